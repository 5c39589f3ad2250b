//! What a directory must look like for a store to open it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use strandline_model::Timestamp;
use strandline_store::{Batch, PartitionRef, Store, StoreError};
use strandline_store_local::{LocalOptions, LocalStore};

fn options() -> LocalOptions {
    LocalOptions { segment_min: 16 << 10, segment_max: 16 << 10, ..LocalOptions::default() }
}

/// Every file but the lock, with its content.
fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(dir).unwrap().map(|e| e.unwrap());
    files
        .map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap()))
        .filter(|(name, _)| name != "LOCK")
        .collect()
}

/// The store refuses the directory, says which and why, and leaves it as it is.
fn refused(dir: &Path, words: &[&str]) -> StoreError {
    let before = contents(dir);
    let error = LocalStore::open(dir, options()).unwrap_err();
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in {text:?}");
    }
    assert!(contents(dir) == before, "the directory changed: {text}");
    error
}

#[test]
fn missing_directories_are_created() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/c");
    LocalStore::open(&path, options()).unwrap();
    assert!(path.join("format").exists());
    LocalStore::open(dir.path().join("a/b/c/"), options()).unwrap();
}

#[test]
fn empty_directories_are_used() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    fs::write(dir.path().join("keys.json"), "made before the first start").unwrap();
    fs::write(dir.path().join("format.new"), "half a form").unwrap();
    LocalStore::open(dir.path(), options()).unwrap();
    assert!(!dir.path().join("format.new").exists());
    assert!(dir.path().join("keys.json").exists());
}

#[test]
fn other_directories_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    let place = dir.path().display().to_string();
    let error = refused(dir.path(), &[&place, "not a Strandline data directory", "thesis.txt", "choose"]);
    assert!(matches!(error, StoreError::Format(_)));
    assert!(!dir.path().join("LOCK").exists());
    let file = dir.path().join("thesis.txt");
    assert!(LocalStore::open(&file, options()).unwrap_err().to_string().contains("is a file"));
}

#[test]
fn newer_formats_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    LocalStore::open(dir.path(), options()).unwrap();
    let format = fs::read_to_string(dir.path().join("format")).unwrap();
    let newer = format.replace("version 3", "version 5").replace("min_reader 3", "min_reader 4");
    fs::write(dir.path().join("format"), &newer).unwrap();
    let place = dir.path().display().to_string();
    refused(dir.path(), &[&place, "format 4", "newer version of Strandline"]);
    // A newer version may say that this one can read what it wrote.
    fs::write(dir.path().join("format"), format.replace("version 3", "version 5")).unwrap();
    LocalStore::open(dir.path(), options()).unwrap();
    fs::write(dir.path().join("format"), "nonsense").unwrap();
    refused(dir.path(), &["format", "backup"]);
}

#[test]
fn a_format_file_of_another_store_is_refused() {
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    LocalStore::open(a.path(), options()).unwrap();
    LocalStore::open(b.path(), options()).unwrap();
    fs::copy(a.path().join("format"), b.path().join("format")).unwrap();
    assert!(matches!(refused(b.path(), &["id"]), StoreError::Corrupt { .. }));
    fs::remove_file(b.path().join("format")).unwrap();
    refused(b.path(), &["not a Strandline data directory"]);
}

#[test]
fn corruption_is_named_and_nothing_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path(), options()).unwrap();
    let hub = store.create_hub("h", 1).unwrap().number;
    let at = PartitionRef { hub, partition: 0 };
    let epoch = store.acquire(at).unwrap().epoch;
    for position in 1..=100 {
        let batch = Batch { at, epoch, position, time: Timestamp::EPOCH, records: vec![1; 100] };
        store.append(&[batch]).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let file = dir.path().join("log-00000001");
    let mut bytes = fs::read(&file).unwrap();
    // The hub's frame has 80 bytes, the others 72 + 104: the eleventh begins at 1664.
    bytes[1800] ^= 4;
    fs::write(&file, bytes).unwrap();
    let error = refused(dir.path(), &["log-00000001", "1664"]);
    assert!(matches!(error, StoreError::Corrupt { offset: 1664, .. }));
}

#[test]
fn read_only_directories_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hub");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o555)).unwrap();
    // The superuser may write everywhere.
    if fs::write(path.join("probe"), "").is_ok() {
        return;
    }
    refused(&path, &[&path.display().to_string(), "write access"]);
}

#[test]
fn a_second_process_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::open(dir.path(), options()).unwrap();
    let place = dir.path().display().to_string();
    let error = refused(dir.path(), &[&place, &std::process::id().to_string()]);
    assert!(matches!(error, StoreError::Locked { .. }));
    drop(store);
    LocalStore::open(dir.path(), options()).unwrap();
}
