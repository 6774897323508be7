//! The task of one media connection: the socket around a [`MediaPeer`], from its join to its close.

use crate::media::clip::Clip;
use crate::media::join;
use crate::media::peer::{MediaPeer, PeerEvent};
use crate::media::receiver::{FirstFrame, ReceivedFrame, Senders, SourceKey};
use crate::media::record::Recorder;
use crate::media::report::MediaReport;
use signalling::{JoinAnswer, JoinParameters, Source, Track, UserName};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Commands that wait for the task; more are refused, which only a stopped task can cause.
const COMMANDS_MAX: usize = 64;
/// A source that no roster has named within this is reported without a name.
const NAME_TIMEOUT: Duration = Duration::from_secs(3);
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
const DATAGRAM_MAX: usize = 2048;
/// Datagrams taken from the socket before sending gets its turn.
const BURST_MAX: usize = 64;

/// What does not change during a connection.
#[derive(Clone)]
pub struct Setup {
    pub http: reqwest::Client,
    pub clip: Arc<Clip>,
    /// Whole frames of all senders are written to files of this folder.
    pub record: Option<PathBuf>,
}

/// What happened; `Failed` and `Lost` are the last.
#[derive(Clone, Debug)]
pub enum MediaEvent {
    /// ICE and DTLS are done, so long after the start.
    Joined {
        cipher: &'static str,
        after_ms: u64,
    },
    FirstFrame {
        user: Option<UserName>,
        source: Source,
        key_frame: bool,
        after_ms: u64,
    },
    /// Once a second, and once before the end.
    Report(MediaReport),
    /// No datagram has arrived for a while.
    Quiet,
    /// Datagrams arrive again.
    Resumed,
    /// The connection could not be established.
    Failed(String),
    /// The connection is gone.
    Lost(String),
}

enum Command {
    Admit,
    Mute(Track, bool),
    Senders(Senders),
    Report(oneshot::Sender<MediaReport>),
}

/// A running media connection; dropping it closes it.
pub struct MediaConnection {
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl MediaConnection {
    /// Starts to join. Events are given to `sink`, which must not block.
    pub fn start(join: JoinParameters, setup: Setup, sink: impl Fn(MediaEvent) + Send + Sync + 'static) -> Self {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let task = tokio::spawn(async move {
            let end = run(&join, setup, inbox, &sink).await;
            if let Some(event) = end {
                sink(event);
            }
        });
        Self { commands, task }
    }

    /// Closes the connection; the task ends when the server has been told.
    pub fn close(self) -> JoinHandle<()> {
        self.task
    }

    /// Media may flow.
    pub fn admit(&self) {
        self.send(Command::Admit);
    }

    pub fn set_muted(&self, track: Track, muted: bool) {
        self.send(Command::Mute(track, muted));
    }

    pub fn set_senders(&self, senders: Senders) {
        self.send(Command::Senders(senders));
    }

    /// The counters of this moment; `None` when the connection is over.
    pub async fn report(&self) -> Option<MediaReport> {
        let (answer, report) = oneshot::channel();
        self.commands.send(Command::Report(answer)).await.ok()?;
        report.await.ok()
    }

    fn send(&self, command: Command) {
        if self.commands.try_send(command).is_err() {
            tracing::debug!("the media task has ended or is stuck");
        }
    }
}

struct Task<'a, S> {
    peer: MediaPeer,
    socket: UdpSocket,
    recorder: Option<Recorder>,
    senders: Senders,
    sink: &'a S,
    began: Instant,
    /// First frames of sources that the roster does not name yet.
    unnamed: Vec<UnnamedFirstFrame>,
}

struct UnnamedFirstFrame {
    source: SourceKey,
    first: FirstFrame,
    since: Instant,
}

/// Joins and runs to the end; returns the last event, none where this side has closed.
async fn run(
    join: &JoinParameters,
    setup: Setup,
    mut inbox: mpsc::Receiver<Command>,
    sink: &impl Fn(MediaEvent),
) -> Option<MediaEvent> {
    let began = Instant::now();
    let offered = MediaPeer::new(join.profile, setup.clip.clone(), random_sequence(), began);
    let (peer, request) = match offered {
        Ok(offered) => offered,
        Err(error) => return Some(MediaEvent::Failed(error.to_string())),
    };
    let answer = match join::request_join(&setup.http, join, &request).await {
        Ok(answer) => answer,
        Err(error) => return Some(MediaEvent::Failed(error.to_string())),
    };
    let recorder = setup.record.map(Recorder::new).transpose();
    let mut task = match (connect(peer, &answer).await, recorder) {
        (Ok((peer, socket)), Ok(recorder)) => Task::new(peer, socket, recorder, sink, began),
        (Err(why), _) => return Some(MediaEvent::Failed(why)),
        (_, Err(why)) => return Some(MediaEvent::Failed(format!("the folder for recordings: {why}"))),
    };
    let end = task.run(&mut inbox).await;
    task.finish(end).await
}

async fn connect(mut peer: MediaPeer, answer: &JoinAnswer) -> Result<(MediaPeer, UdpSocket), String> {
    let remotes = join::candidates(&answer.sdp);
    let socket = bind_towards(&remotes).await.map_err(|error| format!("no UDP socket towards {remotes:?}: {error}"))?;
    let local = socket.local_addr().map_err(|error| error.to_string())?;
    peer.handle_answer(answer, local, Instant::now()).map_err(|error| error.to_string())?;
    Ok((peer, socket))
}

/// A socket on the address from which the first reachable remote is reached.
async fn bind_towards(remotes: &[SocketAddr]) -> io::Result<UdpSocket> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the answer names no media address");
    for remote in remotes {
        match bind_like_route_to(*remote).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn bind_like_route_to(remote: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr =
        if remote.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
    let probe = UdpSocket::bind(any).await?;
    probe.connect(remote).await?;
    UdpSocket::bind((probe.local_addr()?.ip(), 0)).await
}

fn random_sequence() -> u16 {
    let mut bytes = [0; 2];
    // A failing generator leaves zero, which is a valid start too.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u16::from_le_bytes(bytes) >> 1
}

impl<'a, S: Fn(MediaEvent)> Task<'a, S> {
    fn new(mut peer: MediaPeer, socket: UdpSocket, recorder: Option<Recorder>, sink: &'a S, began: Instant) -> Self {
        if recorder.is_some() {
            peer.report_frames();
        }
        Self { peer, socket, recorder, senders: Senders::default(), sink, began, unnamed: Vec::new() }
    }

    /// Runs until the connection is lost (its reason) or the owner is gone (`None`).
    async fn run(&mut self, inbox: &mut mpsc::Receiver<Command>) -> Option<String> {
        let mut next_report = Instant::now() + REPORT_INTERVAL;
        let mut buffer = vec![0; DATAGRAM_MAX];
        loop {
            self.send().await;
            if let Some(why) = self.give_events() {
                return Some(why);
            }
            let now = Instant::now();
            if now >= next_report {
                (self.sink)(MediaEvent::Report(self.peer.report(now)));
                next_report = now + REPORT_INTERVAL;
            }
            let deadline = self.peer.poll_timeout(now).min(next_report);
            tokio::select! {
                command = inbox.recv() => self.handle_command(command?),
                readable = self.socket.readable() => {
                    if readable.is_ok() {
                        self.receive(&mut buffer);
                    }
                }
                () = tokio::time::sleep_until(deadline.into()) => {
                    // What waits in the socket counts as heard: the process may have been stopped.
                    self.receive(&mut buffer);
                    self.peer.handle_timeout(Instant::now());
                }
            }
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Admit => self.peer.handle_admitted(Instant::now()),
            Command::Mute(track, muted) => self.peer.set_muted(track, muted),
            Command::Senders(senders) => {
                self.senders = senders.clone();
                self.peer.set_senders(senders);
            }
            // The client that asked may have been dropped.
            Command::Report(answer) => drop(answer.send(self.peer.report(Instant::now()))),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) {
        for _ in 0..BURST_MAX {
            // Nothing more, or an ICMP error of an earlier datagram: silence is what counts.
            let Ok((length, source)) = self.socket.try_recv_from(buffer) else { return };
            self.peer.handle_datagram(source, &buffer[..length], Instant::now());
        }
    }

    async fn send(&mut self) {
        while let Some((destination, bytes)) = self.peer.poll_datagram() {
            if let Err(error) = self.socket.send_to(&bytes, destination).await {
                tracing::debug!(%error, "a media datagram was not sent");
            }
        }
    }

    /// Passes events on; returns the reason if the connection is over.
    fn give_events(&mut self) -> Option<String> {
        while let Some(event) = self.peer.poll_event() {
            match event {
                PeerEvent::Connected { cipher } => {
                    let after_ms = self.began.elapsed().as_millis() as u64;
                    (self.sink)(MediaEvent::Joined { cipher, after_ms });
                }
                PeerEvent::Quiet => (self.sink)(MediaEvent::Quiet),
                PeerEvent::Resumed => (self.sink)(MediaEvent::Resumed),
                PeerEvent::Lost(why) => return Some(why.to_owned()),
                PeerEvent::FirstFrame { source, first } => {
                    self.unnamed.push(UnnamedFirstFrame { source, first, since: Instant::now() });
                }
                PeerEvent::Frame(received) => self.record(&received),
            }
        }
        self.give_first_frames();
        None
    }

    /// Pictures may be here before the roster that says whose they are.
    fn give_first_frames(&mut self) {
        let users = &self.senders.user_by_participation;
        let named = |unnamed: &mut UnnamedFirstFrame| {
            users.contains_key(&unnamed.source.0) || unnamed.since.elapsed() > NAME_TIMEOUT
        };
        for UnnamedFirstFrame { source: (participation, source), first, .. } in self.unnamed.extract_if(.., named) {
            let user = users.get(&participation).cloned();
            let (after_ms, key_frame) = (first.after.as_millis() as u64, first.key_frame);
            (self.sink)(MediaEvent::FirstFrame { user, source, key_frame, after_ms });
        }
    }

    fn record(&mut self, received: &ReceivedFrame) {
        let Some(recorder) = &mut self.recorder else { return };
        if let Err(error) = recorder.record(received, &self.senders) {
            tracing::warn!(%error, "recording stops");
            self.recorder = None;
        }
    }

    async fn finish(mut self, end: Option<String>) -> Option<MediaEvent> {
        (self.sink)(MediaEvent::Report(self.peer.report(Instant::now())));
        self.peer.close(Instant::now());
        self.send().await;
        if let Some(Err(error)) = self.recorder.take().map(|recorder| recorder.finish(&self.senders)) {
            tracing::warn!(%error, "a recording was not completed");
        }
        end.map(MediaEvent::Lost)
    }
}
