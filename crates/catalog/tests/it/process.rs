//! Faults that need a process of their own: this test binary runs one of its tests again in a child.

use crate::Place;
use catalog::contract::Store;
use catalog::{Accounts, ApiKey, Catalog, CatalogError, SqliteCatalog};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const FILE: &str = "CATALOG_TEST_FILE";
/// Labels this long fill a page each.
const LABEL_BYTES: usize = 4_000;

/// Runs the ignored test `name` with the place's file, after `shell` was done.
fn child(place: &Place, shell: &str, name: &str) -> Child {
    let script = format!("{shell} exec \"$0\" --ignored --exact --nocapture process::{name}");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(std::env::current_exe().unwrap()).env(FILE, place.file());
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// The numbers that a child has acknowledged so far, as they come.
fn acknowledged(child: &mut Child) -> impl Iterator<Item = u32> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("acknowledged ")?.parse().ok())
}

async fn open_file_of_parent() -> SqliteCatalog {
    SqliteCatalog::open(std::env::var_os(FILE).unwrap()).await.unwrap()
}

async fn put_until_refused(catalog: &SqliteCatalog) -> CatalogError {
    for number in 0_u32.. {
        let key = ApiKey { secret_sha256: number.to_string(), label: "n".repeat(LABEL_BYTES) };
        if let Err(error) = catalog.put_api_key(key).await {
            return error;
        }
        println!("acknowledged {number}");
    }
    unreachable!("u32 numbers came to an end")
}

async fn expect_all(place: &Place, count: u32) {
    let catalog = place.open().await;
    for number in 0..count {
        assert!(catalog.api_key(&number.to_string()).await.unwrap().is_some(), "{number} was acknowledged and is lost");
    }
}

#[tokio::test]
async fn an_io_error_of_a_commit_ends_the_use_of_the_file_and_loses_nothing_acknowledged() {
    let place = Place::new();
    place.open().await.close().await;
    // 2,048 blocks of 512 or 1,024 bytes; without the trap the signal would end the child.
    let mut child = child(&place, "trap '' XFSZ; ulimit -f 2048;", "child_that_meets_a_file_size_limit");
    let count = acknowledged(&mut child).count() as u32;
    assert!(child.wait().unwrap().success());
    assert!(count > 10, "only {count} commits before the fault");
    expect_all(&place, count).await;
}

#[tokio::test]
#[ignore = "runs in a child of the test above"]
async fn child_that_meets_a_file_size_limit() {
    let catalog = open_file_of_parent().await;
    let health = catalog.health();
    let error = put_until_refused(&catalog).await;
    assert!(matches!(error, CatalogError::Unavailable(_)), "{error}");
    assert!(health.borrow().failure().is_some(), "{error}");
    assert!(catalog.api_key("0").await.is_err() && catalog.prune(0).await.is_err());
}

#[tokio::test]
async fn what_was_acknowledged_survives_the_kill_of_the_process() {
    let place = Place::new();
    place.open().await.close().await;
    let mut child = child(&place, "", "child_that_commits_until_it_is_killed");
    let mut numbers = acknowledged(&mut child);
    assert_eq!(numbers.nth(50), Some(50));
    child.kill().unwrap();
    child.wait().unwrap();
    let last = numbers.last().unwrap_or(50);
    expect_all(&place, last + 1).await;
}

#[tokio::test]
#[ignore = "runs in a child of the test above"]
async fn child_that_commits_until_it_is_killed() {
    let catalog = open_file_of_parent().await;
    put_until_refused(&catalog).await;
}
