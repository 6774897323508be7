//! Well-formed packets that ask for what is not allowed, too large, or not there yet.

use super::Scene;
use super::packets::{Connect, V5, V311, ask, packet, publish, subscribe};
use serde_json::Value;

const QOS_1: u8 = 0x02;
const QOS_2: u8 = 0x04;
const RETAIN: u8 = 0x01;

#[test]
fn what_is_not_allowed_is_refused_by_itself_and_a_3_1_1_publish_by_closing() {
    let mut scene = Scene::start().expect("the server starts");
    let (alice, bob) = (scene.device("alice").expect("alice"), scene.device("bob").expect("bob"));
    let foreign = format!("meeting-down/p2p/{}", bob["client_id"].as_str().expect("a client id"));
    let (long, large) = (format!("meeting-up/{}", "x".repeat(60)), vec![b'x'; 64 * 1024 + 1]);
    let table: &[(&str, Packet, &str, &str)] = &[
        ("P2P to another", &|v| publish(v, QOS_1, &foreign, b"x"), "puback 87, alive", "closed"),
        (
            "P2P to nobody",
            &|v| publish(v, QOS_1, "meeting-down/p2p/GID_dev@@@no/x", b"x"),
            "puback 87, alive",
            "closed",
        ),
        ("an unknown parent", &|v| publish(v, QOS_1, "chat/x", b"x"), "puback 87, alive", "closed"),
        ("the service's parent", &|v| publish(v, QOS_1, "ring-down/x", b"x"), "puback 87, alive", "closed"),
        ("the broker's topics", &|v| publish(v, QOS_1, "$SYS/x", b"x"), "puback 87, alive", "closed"),
        ("the same at QoS 0", &|v| publish(v, 0, "chat/x", b"x"), "alive", "alive"),
        ("a topic too long", &|v| publish(v, QOS_1, &long, b"x"), "puback 90, alive", "closed"),
        ("an empty level", &|v| publish(v, QOS_1, "meeting-up//x", b"x"), "puback 90, alive", "closed"),
        ("a payload over the limit", &|v| publish(v, QOS_1, "meeting-up/x", &large), "puback 97, alive", "closed"),
        ("another's P2P", &|v| subscribe(v, &foreign), "suback 87, alive", "suback 80, alive"),
        ("its own P2P", &|v| subscribe(v, "meeting-down/p2p/+"), "suback 87, alive", "suback 80, alive"),
        ("everything", &|v| subscribe(v, "#"), "suback 87, alive", "suback 80, alive"),
        ("the broker's secrets", &|v| subscribe(v, "$SYS/#"), "suback 87, alive", "suback 80, alive"),
        ("a filter that is none", &|v| subscribe(v, "meeting-up/x#"), "suback 8f, alive", "suback 80, alive"),
        ("a shared one", &|v| subscribe(v, "$share/g/meeting-up/x"), "suback 9e, alive", "suback 80, alive"),
    ];
    refuses(&mut scene, &alice, table);
}

#[test]
fn what_is_not_supported_yet_is_refused_as_it_was_announced() {
    let mut scene = Scene::start().expect("the server starts");
    let alice = scene.device("alice").expect("alice");
    let table: &[(&str, Packet, &str, &str)] = &[
        ("QoS 2", &|v| publish(v, QOS_2, "meeting-up/x", b"x"), "disconnect 9b, closed", "closed"),
        ("retain", &|v| publish(v, QOS_1 | RETAIN, "meeting-up/x", b"x"), "disconnect 9a, closed", "closed"),
        ("AUTH", &|_| packet(0xF0, &[]), "disconnect 82, closed", "closed"),
    ];
    refuses(&mut scene, &alice, table);
    let server = scene.addresses().expect("addresses").mqtt;
    // A will, one at QoS 2, a retained one.
    for (will, in_v5, in_v311) in [(0x04, "83", "03"), (0x14, "9b", "03"), (0x24, "9a", "03")] {
        for (level, code) in [(V5, in_v5), (V311, in_v311)] {
            let login = Connect { will, ..Connect::of(&alice, level).expect("a login") };
            let verdict = login.verdict(server).expect("an answer");
            assert_eq!(verdict, format!("connack {code}, closed"), "will flags {will:02x}, level {level}");
        }
    }
    scene.witness_is_unharmed().expect("nobody is harmed");
}

/// Makes a packet for a protocol level.
type Packet<'a> = &'a dyn Fn(u8) -> Vec<u8>;

/// Each packet on a connection of its own, in both versions, again and again.
fn refuses(scene: &mut Scene, device: &Value, table: &[(&str, Packet<'_>, &str, &str)]) {
    let server = scene.addresses().expect("addresses").mqtt;
    let refused = || {
        for (name, make, in_v5, in_v311) in table {
            for (level, expected) in [(V5, in_v5), (V311, in_v311)] {
                let mut stream = Connect::of(device, level)?.open(server)?;
                assert_eq!(ask(&mut stream, &make(level))?, *expected, "{name}, level {level}");
            }
        }
        Ok(())
    };
    scene.costs_nothing(8, refused).expect("nobody is harmed");
}
