//! A program that only copies packets: what the system calls and TCP cost, whatever broker stands between.
//!
//! It is no broker. Every CONNECT is accepted; a PUBLISH goes byte for byte to each connection that subscribed to exactly
//! its topic, and is acknowledged to its sender at once; acknowledgements of receivers are dropped. Nothing is checked,
//! counted or kept, and nothing bounds what waits for a receiver: its user sends only so much at a time.
//!
//! One thread per core, each with the connections that were dealt out to it. The thread that has read a PUBLISH writes
//! to the receivers itself, so that no thread wakes another.

use super::packets::{CONNECT, Input, PINGREQ, PUBLISH, Packet, SUBSCRIBE, puback};
use anyhow::{Context, Result, anyhow};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use mqtt::Version;
use mqtt::codec::{Packet as Decoded, decode};
use slab::Slab;
use socket2::{Domain, Socket, Type};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// As many as the kernel allows, so that no SYN has to come again.
const BACKLOG: i32 = 4_096;
const READ_BYTES: usize = 64 * 1024;
const EVENTS_MAX: usize = 1_024;
const PACKET_BYTES_MAX: u32 = 1 << 20;
const WAKE: Token = Token(usize::MAX);
/// Success, no flags, no properties.
const CONNACK: &[u8] = &[0x20, 3, 0, 0, 0];
const PINGRESP: &[u8] = &[0xd0, 0];

/// Serves until the process is killed. The first line on standard output is the address.
pub(crate) fn run() -> Result<()> {
    let listener = listen().context("no port to listen on")?;
    println!("{}", listener.local_addr()?);
    serve(&listener)
}

fn serve(listener: &TcpListener) -> Result<()> {
    let routes = Arc::new(Routes::default());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = (0..threads).map(|_| Serving::start(&routes)).collect::<Result<Vec<_>>>()?;
    for (arrivals, waker) in threads.iter().cycle() {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        arrivals.send(TcpStream::from_std(stream)).map_err(|_| anyhow!("a thread has ended"))?;
        waker.wake()?;
    }
    Ok(())
}

fn listen() -> Result<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Where one connection's bytes go, from whatever thread.
struct Outlet {
    stream: TcpStream,
    /// What the socket did not take yet, or is written at the end of a turn.
    out: Mutex<Vec<u8>>,
}

impl Outlet {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing waited before: then the caller writes.
    fn append(&self, bytes: &[u8]) -> bool {
        let mut out = self.lock();
        let was_empty = out.is_empty();
        out.extend_from_slice(bytes);
        was_empty
    }

    /// What the socket does not take is written by the thread that watches it, when it has room.
    fn write(&self) {
        let mut out = self.lock();
        let mut done = 0;
        while done < out.len() {
            match (&self.stream).write(&out[done..]) {
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // The thread that reads it sees its end.
                Err(_) => done = out.len(),
            }
        }
        out.drain(..done);
    }
}

type Outlets = Arc<[Arc<Outlet>]>;

/// Who subscribed to which topic.
#[derive(Default)]
struct Routes {
    /// Changes with every subscription.
    version: AtomicU64,
    by_topic: Mutex<HashMap<Vec<u8>, Outlets>>,
}

impl Routes {
    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Outlets>> {
        self.by_topic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, topic: &str, outlet: &Arc<Outlet>) {
        let mut by_topic = self.lock();
        let outlets = by_topic.entry(topic.as_bytes().to_vec()).or_default();
        *outlets = outlets.iter().chain([outlet]).cloned().collect();
        self.version.fetch_add(1, Ordering::Release);
    }

    fn remove(&self, outlet: &Arc<Outlet>) {
        for outlets in self.lock().values_mut() {
            *outlets = outlets.iter().filter(|other| !Arc::ptr_eq(other, outlet)).cloned().collect();
        }
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// Where the last topic of one connection goes.
#[derive(Default)]
struct Route {
    topic: Vec<u8>,
    version: u64,
    outlets: Outlets,
}

struct Connection {
    outlet: Arc<Outlet>,
    input: Input,
    route: Route,
    has_subscribed: bool,
}

/// One thread.
struct Serving {
    poll: Poll,
    arrivals: Receiver<TcpStream>,
    connections: Slab<Connection>,
    work: Work,
}

/// What packets of all connections of one thread work on.
struct Work {
    routes: Arc<Routes>,
    /// To be written at the end of the turn.
    dirty: Vec<Arc<Outlet>>,
}

impl Serving {
    fn start(routes: &Arc<Routes>) -> Result<(Sender<TcpStream>, Waker)> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let (sender, arrivals) = channel();
        let work = Work { routes: Arc::clone(routes), dirty: Vec::new() };
        let mut serving = Self { poll, arrivals, connections: Slab::new(), work };
        thread::spawn(move || {
            if let Err(error) = serving.run() {
                eprintln!("the copying program failed: {error:#}");
                std::process::exit(1);
            }
        });
        Ok((sender, waker))
    }

    fn run(&mut self) -> Result<()> {
        let (mut events, mut buffer) = (Events::with_capacity(EVENTS_MAX), vec![0; READ_BYTES]);
        loop {
            if let Err(error) = self.poll.poll(&mut events, None)
                && error.kind() != ErrorKind::Interrupted
            {
                return Err(error.into());
            }
            for event in &events {
                match event.token() {
                    WAKE => self.take_arrivals()?,
                    Token(number) => self.take_event(number, event.is_readable(), event.is_writable(), &mut buffer)?,
                }
            }
            self.work.dirty.drain(..).for_each(|outlet| outlet.write());
        }
    }

    fn take_arrivals(&mut self) -> Result<()> {
        while let Ok(mut stream) = self.arrivals.try_recv() {
            let entry = self.connections.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            let outlet = Arc::new(Outlet { stream, out: Mutex::default() });
            entry.insert(Connection {
                outlet,
                input: Input::default(),
                route: Route::default(),
                has_subscribed: false,
            });
        }
        Ok(())
    }

    fn take_event(&mut self, number: usize, can_read: bool, can_write: bool, buffer: &mut [u8]) -> Result<()> {
        let Some(connection) = self.connections.get_mut(number) else { return Ok(()) };
        // Its readiness is told together with every read: nothing waits, mostly.
        if can_write && !connection.outlet.lock().is_empty() {
            connection.outlet.write();
        }
        if can_read && connection.read(buffer, &mut self.work)? {
            let connection = self.connections.remove(number);
            if connection.has_subscribed {
                self.work.routes.remove(&connection.outlet);
            }
        }
        Ok(())
    }
}

impl Connection {
    /// Whether it has ended.
    fn read(&mut self, buffer: &mut [u8], work: &mut Work) -> Result<bool> {
        loop {
            match (&self.outlet.stream).read(buffer) {
                Ok(0) => return Ok(true),
                Ok(count) => {
                    let mut input = std::mem::take(&mut self.input);
                    input.take(&buffer[..count], |packet| self.handle(packet, work))?;
                    self.input = input;
                    // Less than there was room for: the socket is empty.
                    if count < buffer.len() {
                        return Ok(false);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(_) => return Ok(true),
            }
        }
    }

    fn handle(&mut self, packet: Packet<'_>, work: &mut Work) -> Result<()> {
        match packet.kind() {
            PUBLISH => {
                if let Some(id) = packet.publish_id() {
                    work.append(&self.outlet, &puback(id));
                }
                self.route.find(packet.topic(), &work.routes);
                self.route.outlets.iter().for_each(|outlet| work.append(outlet, packet.whole));
            }
            CONNECT => work.append(&self.outlet, CONNACK),
            PINGREQ => work.append(&self.outlet, PINGRESP),
            SUBSCRIBE => self.subscribe(packet, work)?,
            _ => {}
        }
        Ok(())
    }

    fn subscribe(&mut self, packet: Packet<'_>, work: &mut Work) -> Result<()> {
        let Some((Decoded::Subscribe(subscribe), _)) = decode(packet.whole, Version::V5, PACKET_BYTES_MAX)? else {
            return Ok(());
        };
        let [high, low] = subscribe.packet_id.get().to_be_bytes();
        for wish in subscribe.filters.iter() {
            work.routes.add(wish.filter, &self.outlet);
            self.has_subscribed = true;
            // One filter a packet is all that its user sends.
            work.append(&self.outlet, &[0x90, 4, high, low, 0, wish.options.qos as u8]);
        }
        Ok(())
    }
}

impl Route {
    fn find(&mut self, topic: &[u8], routes: &Routes) {
        let version = routes.version.load(Ordering::Acquire);
        if self.version != version || self.topic != topic {
            let outlets = routes.lock().get(topic).cloned().unwrap_or_default();
            *self = Self { topic: topic.to_vec(), version, outlets };
        }
    }
}

impl Work {
    fn append(&mut self, outlet: &Arc<Outlet>, bytes: &[u8]) {
        if outlet.append(bytes) {
            self.dirty.push(Arc::clone(outlet));
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::super::generator::Generator;
    use super::super::packets::{PUBACK, Template, connect, subscribe};
    use super::*;
    use mqtt::QoS;
    use std::time::Duration;

    #[test]
    fn a_message_comes_to_each_subscriber_as_it_was_sent_and_is_acknowledged() {
        let listener = listen().unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || serve(&listener));
        let mut generator = Generator::new(address).unwrap();
        generator.connect_all(&["a", "b", "publisher"].map(|client| connect(client, None).unwrap()), 3).unwrap();
        generator.subscribe_all([0, 1].map(|who| (who, subscribe("bench/a", QoS::AtLeastOnce).unwrap()))).unwrap();
        for topic in ["bench/a", "bench/b"] {
            Template::new(topic, QoS::AtLeastOnce, b"payload").unwrap().write([0x12, 0x34], generator.out(2));
        }
        let sent = generator.out(2).clone();
        generator.flush(2).unwrap();
        let mut came = Vec::new();
        while came.len() < 4 {
            let mut keep = |who: usize, packet: Packet<'_>, _: &mut Vec<u8>| -> Result<()> {
                came.push((who, packet.whole.to_vec()));
                Ok(())
            };
            generator.turn(Duration::from_secs(1), &mut keep).unwrap();
        }
        came.sort();
        let (publish, puback) = (sent[..sent.len() / 2].to_vec(), vec![PUBACK << 4, 2, 0x12, 0x34]);
        assert_eq!(came, [(0, publish.clone()), (1, publish), (2, puback.clone()), (2, puback)]);
    }
}
