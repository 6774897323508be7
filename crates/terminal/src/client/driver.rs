//! The task of a terminal: it feeds the core, and carries its effects out in their order.

use super::now_ms;
use crate::connection::{Published, SignallingConnection, SignallingEvent};
use crate::core::{Command, Core, Effect, Input, JoinMedia, MediaId, MediaInput, Moment};
use crate::event::Event;
use crate::media::clip::Clip;
use crate::media::connection::{MediaConnection, MediaEvent, Setup};
use crate::media::receiver::Senders;
use crate::media::report::MediaReport;
use crate::options::Options;
use crate::store::{RingEntry, RingStore, StoreError};
use signalling::{InvitationId, MeetingId, ParticipationId, SignalId, Track, UserName};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, mpsc, oneshot};
use uuid::Uuid;

/// How long closing may take.
const CLOSE_MAX: Duration = Duration::from_secs(1);

pub(super) enum ClientRequest {
    Command(Command, oneshot::Sender<SignalId>),
    Reports(oneshot::Sender<Vec<(MeetingId, MediaReport)>>),
    Current(oneshot::Sender<(Option<MeetingId>, Option<InvitationId>)>),
    Close(oneshot::Sender<()>),
}

pub(super) struct Driver {
    core: Core,
    /// The monotonic clock counts from here.
    began: Instant,
    store: RingStore,
    signalling: SignallingConnection,
    setup: Setup,
    /// False: no channel is joined.
    media: bool,
    clips: HashMap<UserName, Arc<Clip>>,
    media_by_id: BTreeMap<MediaId, MeetingMedia>,
    events: broadcast::Sender<Event>,
    /// Unbounded, since only the media tasks feed it: a report a second and a few events in the life of each.
    media_events: mpsc::UnboundedReceiver<TaggedMediaEvent>,
    media_sink: mpsc::UnboundedSender<TaggedMediaEvent>,
}

type TaggedMediaEvent = (MediaId, MediaEvent);

/// A media connection, and the meeting that it is for.
struct MeetingMedia {
    meeting: MeetingId,
    connection: MediaConnection,
}

/// Why the driver stops.
enum Stop {
    Closed(Option<oneshot::Sender<()>>),
    Failed(String),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Driver {
    pub(super) fn new(
        signalling: SignallingConnection,
        store: RingStore,
        setup: Setup,
        options: &Options,
        events: broadcast::Sender<Event>,
    ) -> Self {
        let (media_sink, media_events) = mpsc::unbounded_channel();
        Self {
            core: Core::new(store.entries().copied(), options.warm).with_fault(options.fault),
            began: Instant::now(),
            store,
            signalling,
            setup,
            media: options.media,
            clips: options.expect.clone(),
            media_by_id: BTreeMap::new(),
            events,
            media_events,
            media_sink,
        }
    }

    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<ClientRequest>) {
        let stop = loop {
            if let Err(stop) = self.run_once(&mut inbox).await {
                break stop;
            }
        };
        let media = std::mem::take(&mut self.media_by_id);
        let media: Vec<_> = media.into_values().map(|media| media.connection.close()).collect();
        let closing = async {
            let media_closed = async {
                for task in media {
                    // One that has ended by itself needs no closing.
                    let _ = task.await;
                }
            };
            let (_, ()) = tokio::join!(tokio::time::timeout(CLOSE_MAX, media_closed), self.signalling.close());
        };
        match stop {
            Stop::Failed(reason) => {
                drop(self.events.send(Event::Failed { reason }));
                closing.await;
            }
            Stop::Closed(answer) => {
                closing.await;
                let _ = answer.map(|answer| answer.send(()));
            }
        }
    }

    async fn run_once(&mut self, inbox: &mut mpsc::Receiver<ClientRequest>) -> Result<(), Stop> {
        let now = self.mono_ms();
        let wait = self
            .core
            .poll_timeout_ms()
            .map_or(Duration::from_secs(3600), |at| Duration::from_millis(at.saturating_sub(now)));
        tokio::select! {
            event = self.signalling.next() => self.handle_signalling(event),
            request = inbox.recv() => self.handle_request(request.ok_or(Stop::Closed(None))?).await,
            Some((id, event)) = self.media_events.recv() => self.handle_media(id, event),
            () = tokio::time::sleep_until((Instant::now() + wait).into()) => self.let_core(Core::handle_timeout).map(drop),
        }
    }

    fn handle_signalling(&mut self, event: SignallingEvent) -> Result<(), Stop> {
        let input = match event {
            SignallingEvent::Connected { session_present, endpoint, tls } => {
                Input::Connected { session_present, endpoint, tls }
            }
            SignallingEvent::Disconnected { reason, retry } => {
                Input::Disconnected { reason, retry_ms: retry.as_millis() as u64 }
            }
            SignallingEvent::Signal(signal) => Input::Signal(signal),
            SignallingEvent::Published(published) => {
                let not_sent = published.refused.is_some().then_some(published.signal);
                self.notify(published_event(published));
                let Some(request) = not_sent else { return Ok(()) };
                Input::NotSent(request)
            }
            SignallingEvent::TakenOver => {
                return Err(Stop::Failed("open elsewhere: another connection uses this device's client id".to_owned()));
            }
        };
        self.handle_input(input).map(drop)
    }

    async fn handle_request(&mut self, request: ClientRequest) -> Result<(), Stop> {
        match request {
            ClientRequest::Command(command, answer) => {
                if let Some(signal) = self.handle_input(Input::Command(command))? {
                    let _ = answer.send(signal);
                }
            }
            ClientRequest::Reports(answer) => drop(answer.send(self.reports().await)),
            ClientRequest::Current(answer) => drop(answer.send((self.core.current_meeting(), self.core.ringing()))),
            ClientRequest::Close(answer) => return Err(Stop::Closed(Some(answer))),
        }
        Ok(())
    }

    async fn reports(&mut self) -> Vec<(MeetingId, MediaReport)> {
        let mut reports = Vec::new();
        for media in self.media_by_id.values() {
            reports.extend(media.connection.report().await.map(|report| (media.meeting, report)));
        }
        reports
    }

    fn handle_media(&mut self, id: MediaId, event: MediaEvent) -> Result<(), Stop> {
        let Some(meeting) = self.media_by_id.get(&id).map(|media| media.meeting) else { return Ok(()) };
        let input = match event {
            MediaEvent::Report(report) => {
                self.notify(Event::Media { meeting, report });
                return Ok(());
            }
            MediaEvent::FirstFrame { user, source, key_frame, after_ms } => {
                self.notify(Event::FirstFrame { meeting, user, source, key_frame, after_ms });
                return Ok(());
            }
            MediaEvent::Joined { cipher, after_ms } => MediaInput::Joined { cipher, after_ms },
            MediaEvent::Quiet => MediaInput::Quiet,
            MediaEvent::Resumed => MediaInput::Resumed,
            MediaEvent::Failed(reason) | MediaEvent::Lost(reason) => {
                self.media_by_id.remove(&id);
                MediaInput::Over(reason)
            }
        };
        self.handle_input(Input::Media(id, input)).map(drop)
    }

    fn mono_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    fn handle_input(&mut self, input: Input) -> Result<Option<SignalId>, Stop> {
        self.let_core(|core, now| core.handle_input(input, now))
    }

    /// Lets the core handle something now, and carries its effects out. Returns the id of the first request sent.
    fn let_core(&mut self, handle: impl FnOnce(&mut Core, &mut Moment<'_>)) -> Result<Option<SignalId>, Stop> {
        let mut now = Moment { wall_ms: now_ms(), mono_ms: self.mono_ms(), new_id: &mut Uuid::now_v7 };
        handle(&mut self.core, &mut now);
        let mut sent = None;
        let mut to_store = Vec::new();
        while let Some(effect) = self.core.poll_effect() {
            match effect {
                // Those in a row are one write.
                Effect::Store(entry) => {
                    to_store.push(entry);
                    continue;
                }
                Effect::Publish(ref up) => drop(sent.get_or_insert(up.envelope.id)),
                _ => {}
            }
            self.store(&mut to_store)?;
            self.carry_out(effect)?;
        }
        self.store(&mut to_store)?;
        Ok(sent)
    }

    /// A few milliseconds of fdatasync: nothing else may go on before it.
    fn store(&mut self, entries: &mut Vec<RingEntry>) -> Result<(), StoreError> {
        if !entries.is_empty() {
            self.store.put(entries)?;
            entries.clear();
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect) -> Result<(), Stop> {
        match effect {
            Effect::Store(entry) => self.store.put(&[entry])?,
            Effect::Acknowledge(delivery) => self.signalling.acknowledge(delivery),
            Effect::Publish(up) => self.signalling.publish(&up),
            Effect::Notify(event) => {
                if matches!(event, Event::Synchronised {})
                    && let Some(service_ms) = self.core.known_service_ms(self.mono_ms())
                {
                    self.store.forget_over(service_ms)?;
                }
                self.notify(event);
            }
            Effect::JoinMedia(join) => self.join(*join),
            Effect::AdmitMedia(id) => self.with(id, MediaConnection::admit),
            Effect::MuteMedia(id, track, muted) => self.with(id, |media| media.set_muted(track, muted)),
            Effect::NameSenders(id, names) => {
                let senders = self.senders(names);
                self.with(id, |media| media.set_senders(senders));
            }
            Effect::CloseMedia(id) => drop(self.media_by_id.remove(&id)),
        }
        Ok(())
    }

    fn join(&mut self, JoinMedia { id, meeting, join, waiting, muted }: JoinMedia) {
        if !self.media {
            return;
        }
        let events = self.media_sink.clone();
        // Without a driver the connection ends too.
        let sink = move |event| drop(events.send((id, event)));
        let connection = MediaConnection::start(join, self.setup.clone(), sink);
        for (track, muted) in [(Track::Audio, muted.audio), (Track::Video, muted.video)] {
            if muted {
                connection.set_muted(track, true);
            }
        }
        if !waiting {
            connection.admit();
        }
        self.media_by_id.insert(id, MeetingMedia { meeting, connection });
    }

    fn senders(&self, names: Vec<(ParticipationId, UserName)>) -> Senders {
        Senders { user_by_participation: names.into_iter().collect(), clip_by_user: self.clips.clone() }
    }

    fn with(&self, id: MediaId, act: impl FnOnce(&MediaConnection)) {
        if let Some(media) = self.media_by_id.get(&id) {
            act(&media.connection);
        }
    }

    fn notify(&self, event: Event) {
        // Without a reader the event has no use.
        drop(self.events.send(event));
    }
}

fn published_event(Published { signal, meeting, kind, after, refused }: Published) -> Event {
    match refused {
        None => Event::PublishAcknowledged { signal, meeting, kind, after_ms: after.as_millis() as u64 },
        Some(reason) => Event::PublishRefused { signal, kind, reason },
    }
}
