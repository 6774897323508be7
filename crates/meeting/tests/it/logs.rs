//! Logs at the lowest level: what they contain, and what they must not contain.

use crate::world::{World, client_id, create, new_meeting};
use signalling::UpBody;
use std::cell::RefCell;
use std::io;

thread_local! {
    /// What this thread has logged: a test and its service are one thread.
    static SAID: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct OfThisThread;

impl io::Write for OfThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        SAID.with_borrow_mut(|said| said.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn logs_tell_requests_apart_and_name_neither_users_nor_devices_nor_titles() {
    // For the whole process: a subscriber of one thread misses what another thread has met first.
    let logs = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::TRACE);
    logs.with_writer(|| OfThisThread).init();
    let mut world = World::with(|config| (config.requests_burst_max, config.requests_per_second_max) = (3, 1)).await;
    let titled = UpBody::Create {
        callees: vec!["bob".into()],
        media: signalling::Media::Video,
        title: Some("Confidential".to_owned()),
    };
    world.ask("alice.phone", new_meeting(), titled).await;
    world.expect("bob.phone", "invitation").await;
    world.ask("alice.phone", new_meeting(), create(&["nobody"])).await;
    for _ in 0..20 {
        world.ask("alice.phone", new_meeting(), UpBody::Destroy {}).await;
    }
    world.settle().await;
    let said = SAID.with_borrow(|said| String::from_utf8_lossy(said).into_owned());
    for line in ["too many requests", "request refused", "kind=\"create\"", "client="] {
        assert!(said.contains(line), "{line}: {said}");
    }
    for secret in ["alice", "ALICE", "bob", "BOB", "Confidential", &client_id("alice.phone"), "password", "eyJ"] {
        let line = said.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}
