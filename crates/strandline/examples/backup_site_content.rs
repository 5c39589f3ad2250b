//! Fan-out/fan-in: copies every file of a directory tree at the same time, then adds up the bytes.
//!
//! `cargo run --example backup_site_content -- SOURCE [BACKUP]`, with `--dir PATH` to keep the hub.
//! Hidden folders and `target` are left out. The backup goes to `SOURCE-backup` unless told otherwise.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use strandline::prelude::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Backup {
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
}

/// A file that was copied.
#[derive(Debug, Serialize, Deserialize)]
struct Copied {
    file: PathBuf,
    bytes: u64,
    sha256: String,
}

/// What the whole backup came to.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Total {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
}

/// Lists the files under the source, sorted.
#[activity(name = "GetFileList")]
async fn get_file_list(backup: Backup) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![backup.source.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
            let entry = entry?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            let name = entry.file_name();
            let left_out = name.to_string_lossy().starts_with('.') || name == "target";
            if kind.is_dir() && !left_out && path != backup.target {
                folders.push(path);
            } else if kind.is_file() {
                files.push(path.strip_prefix(&backup.source)?.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Copies one file. Delivered twice, it overwrites its own copy.
#[activity(name = "CopyFileToBlob")]
async fn copy_file_to_blob((backup, file): (Backup, PathBuf)) -> Result<Copied> {
    let content =
        fs::read(backup.source.join(&file)).with_context(|| format!("reading {}", file.display()))?;
    let target = backup.target.join(&file);
    fs::create_dir_all(target.parent().unwrap_or(&backup.target))?;
    fs::write(&target, &content).with_context(|| format!("writing {}", target.display()))?;
    let sha256 = checksum(&content);
    ensure!(checksum(&fs::read(&target)?) == sha256, "the copy of {} differs", file.display());
    Ok(Copied { file, bytes: content.len() as u64, sha256 })
}

/// Writes the checksums in the format of `sha256sum`.
#[activity(name = "WriteManifest")]
async fn write_manifest((backup, copied, bytes): (Backup, Vec<Copied>, u64)) -> Result<Total> {
    let lines: String = copied.iter().map(|c| format!("{}  {}\n", c.sha256, c.file.display())).collect();
    fs::create_dir_all(&backup.target)?;
    fs::write(backup.target.join("SHA256SUMS"), lines)?;
    Ok(Total { files: copied.len(), bytes })
}

#[orchestrator(name = "BackupSiteContent")]
async fn backup_site_content(ctx: OrchestrationContext, backup: Backup) -> Result<Total> {
    let files = ctx.call(get_file_list, backup.clone()).await?;
    let copies = files.into_iter().map(|file| ctx.call(copy_file_to_blob, (backup.clone(), file)));
    let copied = try_join_all(copies).await?;
    let bytes = copied.iter().map(|copy| copy.bytes).sum();
    ctx.call(write_manifest, (backup, copied, bytes)).await
}

pub(crate) fn checksum(content: &[u8]) -> String {
    let mut hex = String::new();
    for byte in Sha256::digest(content) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

pub(crate) async fn run(dir: &Path, backup: Backup) -> Result<Total> {
    let hub = TaskHub::open(dir).await?;
    hub.worker().register((get_file_list, copy_file_to_blob, write_manifest, backup_site_content)).start()?;
    println!("from {} to {}", backup.source.display(), backup.target.display());
    let total = hub.client().start(backup_site_content, backup).await?.output().await?;
    println!("{} files, {} bytes, checksums in SHA256SUMS", total.files, total.bytes);
    hub.close().await?;
    Ok(total)
}

#[tokio::main]
async fn main() -> Result<()> {
    let temporary = tempfile::tempdir()?;
    let mut dir = temporary.path().join("hub");
    let mut paths = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--dir" => dir = arguments.next().context("--dir needs a path")?.into(),
            path => paths.push(PathBuf::from(path)),
        }
    }
    let source = paths.first().context("which directory? Give its path")?;
    let source = fs::canonicalize(source).with_context(|| format!("finding {}", source.display()))?;
    let mut beside = source.clone().into_os_string();
    beside.push("-backup");
    let target = paths.get(1).cloned().unwrap_or_else(|| beside.into());
    run(&dir, Backup { source, target: std::path::absolute(target)? }).await?;
    Ok(())
}
