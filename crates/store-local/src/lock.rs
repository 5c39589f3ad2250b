//! A data directory belongs to one process at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use strandline_store::StoreError;

use crate::error::io_error;
use crate::format;
use crate::segment::UNFINISHED;

pub(crate) const FILE: &str = "LOCK";

/// What may be there before the store is: what an interrupted creation leaves, what file systems put into
/// every root, and access keys that were made before the server's first start.
const HARMLESS: [&str; 4] = [FILE, "lost+found", "keys.json", "keys.json.new"];

/// The lock on a data directory; dropped, another process may take it.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

/// Creates the directory when it is absent and locks it. Changes nothing when it is refused.
pub(crate) fn take(dir: &Path) -> Result<DirLock, StoreError> {
    let place = dir.display().to_string();
    match fs::metadata(dir) {
        Ok(found) if !found.is_dir() => {
            return Err(StoreError::Format(format!("{place} is a file: choose a directory")));
        }
        Ok(_) => check_contents(dir, &place)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(dir).map_err(|e| unusable(&place, e))?;
            if let Some(parent) = dir.parent() {
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                File::open(parent)
                    .and_then(|p| p.sync_all())
                    .map_err(io_error(|| format!("syncing the directory above {place}")))?;
            }
        }
        Err(error) => return Err(unusable(&place, error)),
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(dir.join(FILE))
        .map_err(|e| unusable(&place, e))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = fs::read_to_string(dir.join(FILE)).unwrap_or_default();
            let pid = if pid.trim().is_empty() { "unknown".into() } else { pid.trim().to_owned() };
            return Err(StoreError::Locked { path: place, pid });
        }
        Err(TryLockError::Error(error)) => {
            return Err(StoreError::Io { what: format!("locking {place}"), source: error });
        }
    }
    // Only information for whoever finds the directory locked.
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(|e| unusable(&place, e))?;
    Ok(DirLock { _file: file })
}

/// Refuses a directory that holds something else.
fn check_contents(dir: &Path, place: &str) -> Result<(), StoreError> {
    let mut foreign = None;
    for entry in fs::read_dir(dir).map_err(|e| unusable(place, e))? {
        let name = entry.map_err(|e| unusable(place, e))?.file_name();
        if name == format::FILE {
            return Ok(());
        }
        let harmless = |name: &str| {
            HARMLESS.contains(&name) || name.strip_suffix(UNFINISHED).is_some_and(|name| name == format::FILE)
        };
        if !name.to_str().is_some_and(harmless) {
            foreign = Some(name);
        }
    }
    match foreign {
        None => Ok(()),
        Some(name) => Err(StoreError::Format(format!(
            "{place} is not a Strandline data directory: it holds {name:?} and no file {:?}; choose an empty or a \
             new directory. Nothing was changed.",
            format::FILE
        ))),
    }
}

fn unusable(place: &str, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreError::Format(format!(
            "{place} cannot be written ({error}): give this user write access, or choose another directory. Nothing \
             was changed."
        )),
        _ => StoreError::Io { what: format!("using the data directory {place}"), source: error },
    }
}
