//! Logins by tokens that wait for the catalog, and what connections by tokens cost.

use super::*;
use crate::worker::post::AnswerOfAll;
use crate::worker::testing::connect_by;
use accounts::token::{Applicant, Token, TokenType};
use catalog::KeyUpdate;
use uuid::Uuid;

const CLIENT: &str = "GID_dev@@@token";

fn token(bench: &Bench, resources: usize) -> Token {
    Token {
        id: Uuid::now_v7(),
        token_type: TokenType::Read,
        resources: (0..resources).map(|n| format!("chat/{n:04}")).collect(),
        expires_at_ms: (bench.now.ms / 1_000 + u64::from(HOUR_S)) * 1_000,
        applicant: Applicant::key(access_key().key_id, 0),
        client_id: None,
        user: None,
        login: None,
    }
}

fn connect_with(token: &Token) -> Vec<u8> {
    let password = format!("R|{}", token_key().sign(token, 0).unwrap());
    connect_by(CLIENT, (&format!("Token|{}|convoke", access_key().key_id), &password), 0, HOUR_S)
}

fn key_ends_at(ends_at_ms: u64) -> Change {
    let update = KeyUpdate { expires_at_ms: Some(Some(ends_at_ms)), ..KeyUpdate::default() };
    Change::UpdateKey { key_id: access_key().key_id, update }
}

impl Bench {
    /// It is let in, told that its token ends soon, and ended with that.
    fn expect_end_in_a_minute(&mut self, client: &mut Peer) {
        self.until_told(client);
        assert_eq!(client.next(), "CONNACK 0x00");
        for (passes_s, says) in [(1, "expireTime"), (60, "code")] {
            self.pass(Duration::from_secs(passes_s));
            self.turn(&[]);
            self.until_told(client);
            let said = client.next();
            assert!(said.starts_with("PUBLISH") && said.contains(says), "{said}");
        }
        assert_eq!([client.next(), client.next()], ["DISCONNECT 0x87", "end"]);
    }
}

#[test]
fn a_parked_login_goes_by_the_time_that_its_key_was_given_meanwhile() {
    let mut bench = Bench::new();
    let token = token(&bench, 1);
    let mut soon = bench.arrive();
    soon.send(&connect_with(&token));
    bench.turn(&[soon.has_input()]);
    bench.change(key_ends_at(bench.now.ms + 60_000));
    bench.expect_end_in_a_minute(&mut soon);
    // And where that time is over by then.
    let mut over = bench.arrive();
    bench.change(key_ends_at(bench.now.ms + 60_000));
    over.send(&connect_with(&token));
    bench.turn(&[over.has_input()]);
    bench.change(key_ends_at(bench.now.ms));
    bench.until_told(&over);
    assert_eq!(over.next(), "CONNACK 0x87");
}

#[test]
fn a_login_whose_connack_waits_for_the_disk_goes_by_the_time_of_its_key_too() {
    let mut bench = Bench::new();
    let mut client = bench.arrive();
    bench.storage.hold_syncs();
    client.send(&connect_with(&token(&bench, 1)));
    bench.turn(&[client.has_input()]);
    // The catalog answers that no device has the client id.
    bench.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(100)).await });
    (0..3).for_each(|_| bench.turn(&[]));
    bench.change(key_ends_at(bench.now.ms + 60_000));
    let (address, key_id) = (bench.address.clone(), access_key().key_id);
    let (answer, _answered) = AnswerOfAll::new();
    address.notify(Notice::KeyChanged { key_id: key_id.into(), answer });
    (0..3).for_each(|_| bench.turn(&[]));
    bench.storage.release_syncs();
    bench.expect_end_in_a_minute(&mut client);
}

#[test]
fn the_tokens_of_a_connection_are_counted_in_the_memory_of_clients() {
    let mut bench = Bench::new();
    let token = token(&bench, 100);
    let before = bench.worker.shared.memory.held_bytes();
    let mut client = bench.arrive();
    client.send(&connect_with(&token));
    bench.turn(&[client.has_input()]);
    bench.until_told(&client);
    bench.finish();
    let held = bench.worker.shared.memory.held_bytes() - before;
    assert!(held >= 100 * (size_of::<String>() as u64 + 9), "{held}");
    bench.say(&mut client, &disconnect());
    assert!(bench.worker.shared.memory.held_bytes() < before + held, "they go with it");
}

impl Bench {
    /// The client id becomes a user's device; what waits for the catalog has been answered before.
    fn register(&mut self, client_id: &str) {
        let catalog = Arc::clone(&self.catalog);
        let user = user_of(client_id).to_owned();
        self.runtime.block_on(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            catalog.put_user(User { user: user.clone(), name: user }).await.unwrap();
            catalog.put_device(device(client_id)).await.unwrap();
        });
        let account = format!("user:{}", user_of(client_id)).into();
        let (answer, _answered) = oneshot::channel();
        self.address.notify(Notice::Registered { client: ClientKey::new(client_id), account, answer });
    }
}

#[test]
fn a_parked_login_that_found_no_device_does_not_come_about_when_one_was_registered_meanwhile() {
    let mut bench = Bench::new();
    let token = token(&bench, 1);
    let mut parked = bench.arrive();
    parked.send(&connect_with(&token));
    bench.turn(&[parked.has_input()]);
    bench.register(CLIENT);
    bench.until_told(&parked);
    assert_eq!([parked.next(), parked.next()], ["CONNACK 0x86", "end"]);
    let mut device = bench.connect(CLIENT, HOUR_S);
    bench.say(&mut device, &ping());
    assert_eq!(device.next(), "another packet");
}

#[test]
fn a_client_id_that_is_registered_is_taken_from_clients_with_tokens_and_kept_by_its_own() {
    let mut bench = Bench::new();
    let token = token(&bench, 1);
    let mut squatter = bench.arrive();
    squatter.send(&connect_with(&token));
    bench.turn(&[squatter.has_input()]);
    bench.until_told(&squatter);
    assert_eq!(squatter.next(), "CONNACK 0x00");
    bench.register(CLIENT);
    bench.until_told(&squatter);
    assert_eq!([squatter.next(), squatter.next()], ["DISCONNECT 0x98", "end"]);
    let mut device = bench.connect(CLIENT, HOUR_S);
    bench.register(CLIENT);
    bench.finish();
    bench.say(&mut device, &ping());
    assert_eq!(device.next(), "another packet");
}
