//! Who gets in, and what those hear who do not.

use accounts::revocation::Sessions;
use clock::testing::TestMachine;
use mqtt::{ReasonCode, Version};

use crate::terminal::{Profile, Said, Terminal};
use crate::world::{ALICE, BOB, SERVICE, World, credentials};

pub(crate) fn refusal(world: &World, profile: Profile) -> ReasonCode {
    match Terminal::connect(world.address(), profile) {
        Err(Said::Connack { reason, session_present: false, .. }) => reason,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it got in"),
    }
}

#[test]
fn a_service_and_a_device_log_in_with_both_versions() {
    let world = World::new();
    for client_id in [SERVICE, ALICE] {
        for profile in [Profile::of(client_id), Profile::v311(client_id)] {
            world.connect(profile).disconnect();
        }
    }
}

#[test]
fn a_wrong_password_an_unknown_group_and_a_foreign_client_id_are_refused() {
    let world = World::new();
    let (bobs_name, bobs_password) = credentials(BOB);
    let unknown_group = "GID_none@@@x";
    let table = [
        (Profile { password: Some("d3Jvbmc=".into()), ..Profile::of(ALICE) }, ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        (Profile { password: None, ..Profile::of(ALICE) }, ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        (Profile::of(unknown_group), ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        (
            Profile { username: Some(bobs_name), password: Some(bobs_password), ..Profile::of(ALICE) },
            ReasonCode::BAD_USER_NAME_OR_PASSWORD,
        ),
        (Profile { client_id: "alice".into(), ..Profile::of(ALICE) }, ReasonCode::CLIENT_IDENTIFIER_NOT_VALID),
    ];
    let count = table.len() as u64 * 2;
    for (profile, reason) in table {
        assert_eq!(refusal(&world, profile.clone()), reason, "{}", profile.client_id);
        let v311 = Profile { version: Version::V311, session_expiry_s: None, ..profile };
        assert_eq!(refusal(&world, v311), reason, "3.1.1");
    }
    world.until("refusals are counted", |stats| stats.refused_connects == count);
    world.until("no refused connection stays", |stats| stats.connections == 0);
}

#[test]
fn a_service_may_not_take_the_client_id_of_a_user() {
    let world = World::new();
    let (service_name, _) = credentials(SERVICE);
    let password = accounts::login::sign("SecretForTestsOnly123456789012", ALICE);
    let profile = Profile { username: Some(service_name), password: Some(password), ..Profile::of(ALICE) };
    assert_eq!(refusal(&world, profile), ReasonCode::NOT_AUTHORIZED);
}

#[test]
fn who_holds_a_client_id_is_known_as_long_as_there_is_a_session() {
    let world = World::new();
    let holder = |client_id| world.broker().holder_of(client_id).blocking_recv().unwrap().map(String::from);
    assert_eq!(holder(SERVICE), None);
    let service = world.connect(Profile::passing(SERVICE));
    assert_eq!(holder(SERVICE).as_deref(), Some("service:convoke/LTAItest"));
    service.disconnect();
    world.until("the session ends with its connection", |stats| stats.sessions == 0);
    assert_eq!(holder(SERVICE), None);
    for client_id in [SERVICE, ALICE] {
        world.connect(Profile::of(client_id)).disconnect();
    }
    world.until("both are off", |stats| stats.connections == 0);
    assert_eq!(holder(SERVICE).as_deref(), Some("service:convoke/LTAItest"));
    assert_eq!(holder(ALICE).as_deref(), Some("user:alice"));
}

/// Eleven minutes in which the clock is asked.
pub(crate) fn believe(machine: &TestMachine, world: &World) {
    for _ in 0..11 * 60 {
        machine.pass(1_000);
        let _ = world.clock.now_ms();
    }
}

#[test]
fn a_credential_expires_by_a_step_of_the_clock_that_is_believed_and_by_no_other() {
    const HOUR_S: i64 = 3_600;
    const DAY_S: i64 = 24 * HOUR_S;
    let mut world = World::new();
    for is_boot in [false, true] {
        for step_s in [5 * HOUR_S, -5 * HOUR_S, 40 * DAY_S, -40 * DAY_S] {
            let machine = TestMachine::at(1_800_000_000_000);
            let when = format!("{step_s} s, a boot: {is_boot}");
            world.stop();
            world.clock = machine.clock(None);
            world.start();
            world.let_alice_in_until(machine.true_ms() + 30 * 86_400_000);
            if is_boot {
                let kept = world.clock.keep();
                world.stop();
                machine.reboot();
                machine.set_wrong_by(step_s);
                world.clock = machine.clock(Some(&kept));
                world.start();
            } else {
                machine.set_wrong_by(step_s);
            }
            let alice = || Terminal::connect(world.address(), Profile::of(ALICE));
            assert!(alice().is_ok(), "{when}, at once");
            believe(&machine, &world);
            // A worker looks at its clock when something happens, and twice a second.
            std::thread::sleep(std::time::Duration::from_millis(600));
            let is_over = step_s > 30 * DAY_S;
            assert_eq!(alice().is_err(), is_over, "{when}, when it is believed");
            machine.set_wrong_by(0);
            believe(&machine, &world);
            std::thread::sleep(std::time::Duration::from_millis(600));
            assert!(alice().is_ok(), "{when}, when it is right again");
        }
    }
}

#[test]
fn a_credential_from_before_the_clock_was_set_is_good_when_it_is() {
    let machine = TestMachine::at(1_800_000_000_000);
    machine.unset();
    let mut world = World::new();
    world.stop();
    world.clock = machine.clock(None);
    world.start();
    world.let_alice_in_until(world.clock.now_ms() + 30 * 86_400_000);
    machine.set_wrong_by(0);
    believe(&machine, &world);
    assert!(world.clock.now_ms() > machine.true_ms() - 1_000);
    assert!(Terminal::connect(world.address(), Profile::of(ALICE)).is_ok());
}
