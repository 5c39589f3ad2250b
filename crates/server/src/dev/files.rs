//! Which files the demo backs up, and how it copies them.

use std::fs;
use std::path::{Component, Path, PathBuf};

use strandline::prelude::*;

/// A demo is over soon, wherever it is started.
const FILES_MAX: usize = 1000;
const FILE_BYTES_MAX: u64 = 16 << 20;
/// In the backup: what was copied. Appears when the backup is complete.
pub(super) const MANIFEST: &str = "MANIFEST";

/// What is copied where. The demo's own is the state of its activities: they touch no other place, whatever an
/// orchestration asks for that somebody else started.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Backup {
    pub(super) source: PathBuf,
    pub(super) target: PathBuf,
    /// Where the hub lives: no part of the backup.
    pub(super) hub: PathBuf,
}

impl Backup {
    /// Of the current directory, to the hub's sibling.
    pub(super) fn beside(hub: &Path) -> Result<Self> {
        let hub = std::path::absolute(hub)?;
        Ok(Self { source: std::env::current_dir()?, target: beside(&hub, "-backup"), hub })
    }

    /// Refuses any job but the demo's own.
    pub(super) fn check(&self, asked: &Self) -> Result<()> {
        ensure!(self == asked, "this demo copies {} only", self.source.display());
        Ok(())
    }

    /// The file of this path if it lies in a part of the source.
    pub(super) fn inside(&self, part: &str, file: &Path) -> Result<PathBuf> {
        let found = || fs::canonicalize(self.source.join(part).join(file));
        let place = fs::canonicalize(self.source.join(part));
        let place = place.with_context(|| format!("looking into {}", self.source.display()))?;
        let found = found().with_context(|| format!("looking for {}", file.display()))?;
        ensure!(found.starts_with(place), "{} is no file of this demo", file.display());
        Ok(found)
    }

    pub(super) fn manifest(&self) -> PathBuf {
        self.target.join(MANIFEST)
    }

    /// Files under the source, but not in hidden folders, `target`, and what the demo makes.
    pub(super) fn list(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        let mut folders = vec![self.source.clone()];
        let made = [self.hub.clone(), self.target.clone(), cabinet(&self.hub)];
        while let Some(folder) = folders.pop() {
            // A folder that can't be read is left out, as is what vanishes while we look.
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
                let name = entry.file_name();
                let skipped = name.to_string_lossy().starts_with('.') || name == "target";
                if kind.is_dir() && !skipped && !made.contains(&path) {
                    folders.push(path);
                } else if kind.is_file() && entry.metadata().is_ok_and(|m| m.len() <= FILE_BYTES_MAX) {
                    files.push(path.strip_prefix(&self.source)?.to_owned());
                }
            }
            if files.len() >= FILES_MAX {
                break;
            }
        }
        files.sort();
        files.truncate(FILES_MAX);
        Ok(files)
    }

    /// Copies one file and returns its size; done twice it does the same again.
    pub(super) fn copy(&self, file: &Path) -> Result<u64> {
        let named = file.components().all(|part| matches!(part, Component::Normal(_)));
        ensure!(named, "{} is no file of this demo", file.display());
        let source = self.inside("", file)?;
        let target = self.target.join(file);
        fs::create_dir_all(target.parent().unwrap_or(&self.target))?;
        let copied = fs::copy(source, &target);
        copied.with_context(|| format!("copying {}", file.display()))
    }

    /// Lists the copies; the file appears whole or not at all.
    pub(super) fn write_manifest(&self, copies: &[(PathBuf, u64)]) -> Result<()> {
        let lines: String =
            copies.iter().map(|(file, bytes)| format!("{bytes:10} {}\n", file.display())).collect();
        fs::create_dir_all(&self.target)?;
        let unfinished = self.target.join("MANIFEST.unfinished");
        fs::write(&unfinished, lines)?;
        fs::rename(unfinished, self.manifest())?;
        Ok(())
    }
}

/// Where the documents of a hub go that the pipeline has processed.
pub(super) fn cabinet(hub: &Path) -> PathBuf {
    beside(hub, "-documents")
}

/// The hub's sibling of this name.
fn beside(hub: &Path, suffix: &str) -> PathBuf {
    // Through its components: a slash at the end would put it inside.
    let mut sibling = hub.components().as_path().as_os_str().to_owned();
    sibling.push(suffix);
    sibling.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_out_hidden_folders_target_and_what_the_demo_makes() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let source = dir.path().to_owned();
        let (hub, target) = (source.join("hub"), source.join("hub-backup"));
        for file in ["a.txt", "sub/b.txt", ".git/c", "target/d", "hub/e", "hub-backup/f", "hub-documents/g"] {
            let path = source.join(file);
            fs::create_dir_all(path.parent().unwrap_or(&source))?;
            fs::write(path, file)?;
        }
        let backup = Backup { source, target: target.clone(), hub };
        assert_eq!(backup.list()?, [Path::new("a.txt"), Path::new("sub/b.txt")]);
        assert_eq!(backup.copy(Path::new("sub/b.txt"))?, 9);
        assert_eq!(fs::read_to_string(target.join("sub/b.txt"))?, "sub/b.txt");
        for outside in ["../a.txt", "/etc/hostname", "sub/../../x", "sub/absent"] {
            assert!(backup.copy(Path::new(outside)).is_err(), "{outside}");
        }
        let other = Backup { target: dir.path().join("elsewhere"), ..backup.clone() };
        assert!(backup.check(&backup).is_ok() && backup.check(&other).is_err());
        Ok(())
    }
}
