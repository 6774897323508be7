//! The log on a real disk.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use commitlog::storage::Storage as _;
use commitlog::{DiskStorage, Log, OpenError};

use crate::harness::{append_durably, payloads, see, small};

#[test]
fn records_survive_on_a_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Arc::new(DiskStorage::new(folder.path().join("made/by/the/log")));
    for start in 0..3 {
        let (log, replay) = Log::open(storage.clone(), small()).unwrap();
        assert_eq!(see(replay).unwrap().len(), start);
        append_durably(&log, b"record");
        if start == 0 {
            log.close().unwrap();
        }
    }
}

#[test]
fn a_second_opener_is_told_who_holds_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Arc::new(DiskStorage::new(folder.path()));
    let (_log, _) = Log::open(storage.clone(), small()).unwrap();
    let Err(OpenError::Locked { pid, path }) = Log::open(storage, small()) else { panic!("must not open") };
    assert_eq!(pid, std::process::id().to_string());
    assert!(path.starts_with(&folder.path().display().to_string()));
}

#[test]
fn the_lock_goes_with_its_holder() {
    let folder = tempfile::tempdir().unwrap();
    let storage = DiskStorage::new(folder.path());
    drop(storage.lock().unwrap());
    drop(storage.lock().unwrap());
}

/// There may be no descriptor left when a segment gets its name.
#[test]
fn the_folder_is_synced_by_the_descriptor_that_its_lock_has_opened() {
    let folder = tempfile::tempdir().unwrap();
    let storage = DiskStorage::new(folder.path().join("log"));
    let _lock = storage.lock().unwrap();
    std::fs::rename(folder.path().join("log"), folder.path().join("elsewhere")).unwrap();
    storage.sync_dir().unwrap();
}

#[test]
fn a_path_that_is_no_folder_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, b"").unwrap();
    let Err(error) = Log::open(Arc::new(DiskStorage::new(&file)), small()) else { panic!("must not open") };
    let text = error.to_string();
    assert!(text.contains(&file.display().to_string()) && text.contains("check"), "{text}");
}

#[test]
fn an_unreadable_segment_names_file_cause_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let storage = Arc::new(DiskStorage::new(folder.path()));
    let (log, replay) = Log::open(storage.clone(), small()).unwrap();
    assert!(payloads(&see(replay).unwrap()).is_empty());
    log.close().unwrap();
    drop(log);
    let segment = folder.path().join("00000000000000000001.segment");
    std::fs::set_permissions(&segment, std::fs::Permissions::from_mode(0o000)).unwrap();
    match Log::open(storage, small()) {
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("0001.segment") && text.contains("right to read"), "{text}");
        }
        // Nobody is refused who may do everything.
        Ok(_) => assert!(std::fs::File::open(&segment).is_ok()),
    }
}
