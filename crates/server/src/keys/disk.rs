//! Files that are replaced as a whole, whether a server runs or not.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use zeroize::Zeroizing;

use super::KeyFileError;

/// Tells one state of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    inode: (u64, u64),
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
    pub(crate) fn of(found: &fs::Metadata) -> Self {
        Self {
            inode: (found.dev(), found.ino()),
            len: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }

    /// `None` if there is no file.
    pub(crate) fn at(path: &Path) -> Result<Option<Self>, KeyFileError> {
        match fs::metadata(path) {
            Ok(found) => Ok(Some(Self::of(&found))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io_error("reading", path)(error)),
        }
    }
}

pub(super) fn io_error(what: &'static str, path: &Path) -> impl Fn(io::Error) -> KeyFileError {
    move |error| KeyFileError::Io { what, path: path.to_owned(), error }
}

/// Replaces a file by what `change` makes of it, while no other process does. Who may write it stays who
/// may; nobody else can read it.
pub(super) fn change<T>(
    path: &Path,
    change: impl FnOnce() -> Result<(Zeroizing<String>, T), KeyFileError>,
) -> Result<T, KeyFileError> {
    // A symbolic link stays one.
    let target = match fs::canonicalize(path) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(io_error("finding", path)(error)),
    };
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = make_directory(parent.unwrap_or(Path::new(".")))?;
    // Given back when `directory` is dropped.
    directory.lock().map_err(io_error("locking the directory of", path))?;
    let owner = match fs::metadata(&target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => directory.metadata(),
        found => found,
    };
    let owner = owner.map_err(io_error("reading", path))?;
    let (text, done) = change()?;
    write(path, &target, text.as_bytes(), (owner.uid(), owner.gid()))?;
    directory.sync_all().map_err(io_error("syncing the directory of", path))?;
    Ok(done)
}

/// Puts a whole new file in the place of the old one.
fn write(path: &Path, target: &Path, text: &[u8], (uid, gid): (u32, u32)) -> Result<(), KeyFileError> {
    let mut unfinished = target.as_os_str().to_owned();
    unfinished.push(".new");
    let failed = io_error("writing", path);
    // What an interrupted change left.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&unfinished).map_err(&failed)?;
    let written = (|| {
        if file.metadata().map_err(&failed)?.uid() != uid {
            fchown(&file, Some(uid), Some(gid))
                .map_err(|_| KeyFileError::Owner { path: path.to_owned(), owner: uid })?;
        }
        file.write_all(text).and_then(|()| file.sync_all()).map_err(&failed)?;
        fs::rename(&unfinished, target).map_err(&failed)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written
}

/// Opens a directory, which is made first if need be, so that keys can be there before the first start.
fn make_directory(path: &Path) -> Result<File, KeyFileError> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(io_error("creating", path))?;
            let above = path.parent().filter(|above| !above.as_os_str().is_empty());
            let above = File::open(above.unwrap_or(Path::new(".")));
            above
                .and_then(|above| above.sync_all())
                .map_err(io_error("syncing the directory above", path))?;
            File::open(path).map_err(io_error("opening", path))
        }
        opened => opened.map_err(io_error("opening", path)),
    }
}
