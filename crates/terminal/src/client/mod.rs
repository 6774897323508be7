//! The SDK: a client, its calls, its events.

mod driver;

use crate::connection::{SetupError, SignallingConnection, tls_config};
use crate::core::Command;
use crate::event::{Event, RingNotification};
use crate::files::FileError;
use crate::media::connection::Setup;
use crate::media::report::MediaReport;
use crate::options::Options;
use crate::store::{RingStore, StoreError};
use driver::{ClientRequest, Driver};
use signalling::{InvitationId, Media, MeetingId, RejectReason, SignalId, Track, UpBody, UserName};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::{broadcast, mpsc, oneshot};
use uuid::Uuid;

/// Requests that wait for the driver; a further one waits in its caller.
const REQUESTS_MAX: usize = 64;
/// Events that a slow reader may be behind; past it the oldest are lost to it, with a warning.
const EVENTS_MAX: usize = 4096;

/// Why a terminal cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    File(#[from] FileError),
}

/// The terminal was closed, or could not continue ([`Event::Failed`] has the reason).
#[derive(Debug, thiserror::Error)]
#[error("the terminal is closed")]
pub struct Closed;

/// One user's terminal. Clones are the same terminal; it ends when the last one is dropped.
///
/// ```no_run
/// # async fn example(options: terminal::Options) -> Result<(), Box<dyn std::error::Error>> {
/// use terminal::{Client, Event, Media, UserName};
/// let (client, mut events) = Client::connect(options)?;
/// let call = client.call(UserName::from("bob"), Media::Video).await?;
/// while let Some(event) = events.next().await {
///     match event {
///         Event::Ring(ring) => drop(client.incoming(&ring).accept().await?),
///         Event::Accepted { user, .. } => println!("{user} answered"),
///         Event::Ended { meeting, user: None, .. } if meeting == call.meeting() => break,
///         _ => {}
///     }
/// }
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    requests: mpsc::Sender<ClientRequest>,
}

/// What happens from now on, in order.
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    /// `None` when the terminal is closed.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            match self.0.recv().await {
                Ok(event) => return Some(event),
                Err(broadcast::error::RecvError::Lagged(lost)) => tracing::warn!(lost, "events are read too slowly"),
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl Client {
    /// Starts the terminal; it connects by itself, and again whenever it must ([`Event::Connected`]).
    ///
    /// # Errors
    /// Options that cannot be used, or a ring store that is in use or unreadable. A server that cannot be reached is
    /// no error: the terminal goes on trying.
    ///
    /// # Panics
    /// Outside a tokio run time.
    pub fn connect(options: Options) -> Result<(Self, Events), StartError> {
        let tls = Arc::new(tls_config(options.ca.as_deref())?);
        let http = reqwest::Client::builder().tls_backend_preconfigured((*tls).clone()).build();
        let http = http.map_err(SetupError::from)?;
        let signalling = SignallingConnection::new(&options.credentials, tls)?;
        let store = RingStore::open(&options.store, &options.credentials.client_id)?;
        let setup = Setup { http, clip: options.clip.clone(), record: options.record.clone() };
        let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
        let (events, reader) = broadcast::channel(EVENTS_MAX);
        tokio::spawn(Driver::new(signalling, store, setup, &options, events).run(inbox));
        Ok((Self { requests }, Events(reader)))
    }

    /// Calls one user.
    ///
    /// # Errors
    /// [`Closed`]; the service's answer is an event.
    pub async fn call(&self, user: UserName, media: Media) -> Result<Call, Closed> {
        self.call_many(vec![user], media, None).await
    }

    /// Opens a meeting and rings all of them.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn call_many(&self, callees: Vec<UserName>, media: Media, title: Option<String>) -> Result<Call, Closed> {
        let meeting = MeetingId(Uuid::now_v7());
        self.command(Command::Call { meeting, callees, media, title }).await?;
        Ok(self.call_of(meeting))
    }

    /// [`Client::call_many`], by the id of its request.
    pub(crate) async fn create(
        &self,
        callees: Vec<UserName>,
        media: Media,
        title: Option<String>,
    ) -> Result<SignalId, Closed> {
        self.command(Command::Call { meeting: MeetingId(Uuid::now_v7()), callees, media, title }).await
    }

    pub(crate) async fn accept(&self, invitation: InvitationId) -> Result<SignalId, Closed> {
        self.command(Command::Accept { invitation }).await
    }

    pub(crate) async fn reject(&self, invitation: InvitationId, reason: RejectReason) -> Result<SignalId, Closed> {
        self.command(Command::Reject { invitation, reason }).await
    }

    /// The call that rings.
    pub fn incoming(&self, ring: &RingNotification) -> IncomingCall {
        IncomingCall { client: self.clone(), invitation: ring.invitation, meeting: ring.meeting }
    }

    /// A call by its meeting, as events name it.
    pub fn call_of(&self, meeting: MeetingId) -> Call {
        Call { client: self.clone(), meeting }
    }

    /// Asks which calls and rings stand; [`Event::State`] answers.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn state(&self) -> Result<SignalId, Closed> {
        self.request(None, UpBody::State {}).await
    }

    /// Asks whom this user may call; [`Event::Contacts`] answers. With `watch_s` (at most 120), changes of their presence
    /// are reported for so long by [`Event::Presence`].
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn contacts(&self, watch_s: Option<u32>) -> Result<SignalId, Closed> {
        self.request(None, UpBody::Contacts { watch_s }).await
    }

    /// Asks for this user's calls that are over, the newest first, 20 or `limit` (at most 50) of them; [`Event::History`]
    /// answers. `before` is the `next` of the page before.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn history(&self, before: Option<String>, limit: Option<u32>) -> Result<SignalId, Closed> {
        self.request(None, UpBody::History { before, limit }).await
    }

    /// Begins or ends to watch the presence of those whom this user may call: [`Event::Presence`] reports each change,
    /// [`Event::Contacts`] the whole, first and then now and again.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn watch_contacts(&self, watches: bool) -> Result<SignalId, Closed> {
        self.command(Command::Watch(watches)).await
    }

    /// Comes back to a meeting that this user has left and that goes on; the `joinable` of [`Event::State`] names them.
    /// [`Event::Admitted`] answers.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn join(&self, meeting: MeetingId) -> Result<Call, Closed> {
        self.request(Some(meeting), UpBody::Join {}).await?;
        Ok(self.call_of(meeting))
    }

    /// The person has seen this missed call.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn seen(&self, invitation: InvitationId) -> Result<SignalId, Closed> {
        self.request(None, UpBody::Seen { invitation }).await
    }

    /// Any request of the schema.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn request(&self, meeting: Option<MeetingId>, body: UpBody) -> Result<SignalId, Closed> {
        self.command(Command::Request { meeting, body }).await
    }

    /// The counters of each media connection at this moment.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn reports(&self) -> Result<Vec<(MeetingId, MediaReport)>, Closed> {
        self.ask(ClientRequest::Reports).await
    }

    /// The call that this device is in or is making, and the ring that is not answered yet.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn current(&self) -> Result<(Option<Call>, Option<InvitationId>), Closed> {
        let (meeting, ringing) = self.ask(ClientRequest::Current).await?;
        Ok((meeting.map(|meeting| self.call_of(meeting)), ringing))
    }

    /// Disconnects from broker and RTC server; what waits for this user is kept.
    pub async fn close(self) {
        // It may be closed already.
        let _ = self.ask(ClientRequest::Close).await;
    }

    async fn command(&self, command: Command) -> Result<SignalId, Closed> {
        self.ask(|answer| ClientRequest::Command(command, answer)).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> ClientRequest) -> Result<T, Closed> {
        let (answer, answered) = oneshot::channel();
        self.requests.send(request(answer)).await.map_err(|_| Closed)?;
        answered.await.map_err(|_| Closed)
    }
}

/// A call that rings.
#[derive(Clone)]
pub struct IncomingCall {
    client: Client,
    invitation: InvitationId,
    meeting: MeetingId,
}

impl IncomingCall {
    /// Answers. The device is in the call once it is [`Event::Admitted`]: the service decides between devices.
    ///
    /// # Errors
    /// [`Closed`]
    pub async fn accept(&self) -> Result<Call, Closed> {
        self.client.accept(self.invitation).await?;
        Ok(self.client.call_of(self.meeting))
    }

    /// # Errors
    /// [`Closed`]
    pub async fn reject(&self, reason: RejectReason) -> Result<SignalId, Closed> {
        self.client.reject(self.invitation, reason).await
    }
}

/// A call or meeting. Each method sends one request; its outcome is an event.
#[derive(Clone)]
pub struct Call {
    client: Client,
    meeting: MeetingId,
}

macro_rules! requests {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) => $body:expr;)*) => {
        impl Call {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// [`Closed`]
                pub async fn $name(&self, $($arg: $type),*) -> Result<SignalId, Closed> {
                    self.client.request(Some(self.meeting), $body).await
                }
            )*
        }
    };
}

requests! {
    /// Rings one more user.
    invite(user: UserName) => UpBody::Invite { callees: vec![user] };
    /// Stops ringing one callee, or all who have not answered.
    cancel(callee: Option<UserName>) => UpBody::Cancel { callee };
    leave() => UpBody::Leave {};
    /// Stops sending a track, here at once and at the RTC server.
    mute(track: Track) => UpBody::Mute { user: None, track };
    unmute(track: Track) => UpBody::Unmute { track };
    /// Mutes another member (host).
    mute_other(user: UserName, track: Track) => UpBody::Mute { user: Some(user), track };
    /// Stops a member's track at the RTC server until it is lifted (host).
    block(user: UserName, track: Track) => UpBody::Block { user, track };
    unblock(user: UserName, track: Track) => UpBody::Unblock { user, track };
    ask_unmute(user: UserName, track: Track) => UpBody::AskUnmute { user, track };
    /// Removes a member (host); 0 s: may come back at once.
    kick(user: UserName, ban_s: u32) => UpBody::Kick { user, ban_s };
    /// Ends the meeting for all (host).
    destroy() => UpBody::Destroy {};
    /// Asks for the roster.
    roster() => UpBody::Roster {};
}

impl Call {
    pub fn meeting(&self) -> MeetingId {
        self.meeting
    }
}

/// Local clock, milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
