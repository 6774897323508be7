//! CONNECT and what follows in one piece, on every transport, whoever owns the client.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use mqtt::codec::PropertiesBuf;
use mqtt::{QoS, ReasonCode, Version};
use rustls::{ServerConfig, ServerConnection};

use crate::pipe::{Pipe, Stream, Tls, WebSocket, frame, tcp};
use crate::terminal::{Profile, Said, Terminal, publish_bytes, subscribe_bytes};
use crate::world::World;

/// CONNECT, SUBSCRIBE and PUBLISH as one write. Arrivals alternate between the two workers, so that in two of four
/// rounds the client belongs to the other one.
fn speaks_in_one_breath<P: Pipe + 'static>(mut connect: impl FnMut() -> P) {
    for round in 0..4 {
        let profile = Profile::of("GID_dev@@@one-breath");
        let none = PropertiesBuf::new();
        let topic = format!("chat/{round}");
        let bytes = [
            profile.to_bytes(),
            subscribe_bytes(Version::V5, 1, &["chat/#"], &none, QoS::AtLeastOnce),
            publish_bytes(Version::V5, Some(2), &topic, b"to myself", &none),
        ]
        .concat();
        let mut terminal = Terminal::open(connect(), Version::V5);
        terminal.send(&bytes);
        terminal.expect_connack().unwrap();
        assert_eq!(terminal.session_present, round > 0);
        // A matching message may come before the SUBACK (5.0 section 3.8.4).
        let (mut answers, mut received) = (Vec::new(), None);
        while answers.len() < 2 || received.is_none() {
            match terminal.next() {
                Said::Publish(message) => received = Some(message),
                answer => answers.push(answer),
            }
        }
        let suback = Said::Suback { id: 1, codes: vec![ReasonCode::GRANTED_QOS_1] };
        assert_eq!(answers, [suback, Said::Puback { id: 2, reason: ReasonCode::SUCCESS }]);
        let received = received.unwrap();
        assert_eq!(received.topic, topic);
        terminal.ack(&received);
        terminal.disconnect();
    }
}

#[test]
fn over_tcp() {
    let world = World::new();
    speaks_in_one_breath(|| Stream(tcp(world.address())));
}

#[test]
fn over_tls() {
    let tls = Tls::new();
    let world = World::with_tls(tls.server.clone());
    speaks_in_one_breath(|| tls.connect(tcp(world.address())));
}

/// Where the HTTP server would be: it accepts, and hands over what it has upgraded.
struct Upgrader {
    listener: TcpListener,
}

impl Upgrader {
    fn open() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    fn hand_over_plain(&self, world: &World, read_ahead: Vec<u8>) {
        let (socket, _) = self.listener.accept().unwrap();
        world.broker().adopt_websocket(socket, None, read_ahead.into());
    }

    /// Runs the handshake, and reads on until the client has sent one record more: as an HTTP server does that has read
    /// the upgrade and finds more behind it.
    fn hand_over_tls(&self, world: &World, config: Arc<ServerConfig>) {
        let (mut socket, _) = self.listener.accept().unwrap();
        let mut tls = ServerConnection::new(config).unwrap();
        let mut upgrade = [0; 7];
        complete_until_plain(&mut tls, &mut socket);
        tls.reader().read_exact(&mut upgrade).unwrap();
        assert_eq!(&upgrade, b"UPGRADE");
        world.broker().adopt_websocket(socket, Some(tls), bytes::Bytes::new());
    }
}

fn complete_until_plain(tls: &mut ServerConnection, socket: &mut TcpStream) {
    while tls.process_new_packets().unwrap().plaintext_bytes_to_read() == 0 {
        while tls.wants_write() {
            tls.write_tls(socket).unwrap();
        }
        tls.read_tls(socket).unwrap();
    }
}

#[test]
fn over_websocket() {
    let world = World::new();
    let upgrader = Upgrader::open();
    speaks_in_one_breath(|| {
        let client = WebSocket::new(Stream(tcp(upgrader.address())));
        upgrader.hand_over_plain(&world, Vec::new());
        client
    });
}

#[test]
fn over_websocket_with_bytes_that_were_read_ahead() {
    let world = World::new();
    let upgrader = Upgrader::open();
    for cut in [1, 5, 20] {
        let client_id = format!("GID_dev@@@ahead-{cut}");
        let connect = frame(0x82, &Profile::of(&client_id).to_bytes());
        let mut socket = tcp(upgrader.address());
        upgrader.hand_over_plain(&world, connect[..cut].to_vec());
        socket.write_all(&connect[cut..]).unwrap();
        let mut terminal = Terminal::open(WebSocket::new(Stream(socket)), Version::V5);
        terminal.expect_connack().unwrap();
        terminal.ping();
    }
}

#[test]
fn over_websocket_and_tls() {
    let tls = Tls::new();
    let world = World::new();
    let upgrader = Upgrader::open();
    let (upgraded, taken) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let (world, upgrader, config) = (&world, &upgrader, tls.server.clone());
        scope.spawn(move || {
            for () in taken {
                upgrader.hand_over_tls(world, config.clone());
            }
        });
        speaks_in_one_breath(|| {
            let mut client = tls.connect(tcp(upgrader.address()));
            upgraded.send(()).unwrap();
            client.write(b"UPGRADE").unwrap();
            WebSocket::new(client)
        });
        drop(upgraded);
    });
}

#[test]
fn a_websocket_is_pinged_and_closed_as_the_protocol_says() {
    let world = World::new();
    let upgrader = Upgrader::open();
    let mut client = WebSocket::new(Stream(tcp(upgrader.address())));
    upgrader.hand_over_plain(&world, Vec::new());
    client.write_frame(0x89, b"are you there").unwrap();
    assert_eq!(client.read_frame().unwrap(), Some((0x8a, b"are you there".to_vec())));
    client.write_frame(0x88, &1000u16.to_be_bytes()).unwrap();
    assert_eq!(client.read_frame().unwrap(), Some((0x88, 1000u16.to_be_bytes().to_vec())));
    assert_eq!(client.read_frame().unwrap(), None);
    let mut client = WebSocket::new(Stream(tcp(upgrader.address())));
    upgrader.hand_over_plain(&world, Vec::new());
    client.write_frame(0x81, b"text").unwrap();
    assert_eq!(client.read_frame().unwrap(), Some((0x88, 1003u16.to_be_bytes().to_vec())));
    assert_eq!(client.read_frame().unwrap(), None);
    let mut client = WebSocket::new(Stream(tcp(upgrader.address())));
    upgrader.hand_over_plain(&world, Vec::new());
    client.write_frame(0x88, &1005u16.to_be_bytes()).unwrap();
    assert_eq!(client.read_frame().unwrap(), Some((0x88, 1002u16.to_be_bytes().to_vec())));
    assert_eq!(client.read_frame().unwrap(), None);
    world.until("all are gone", |stats| stats.connections == 0);
}
