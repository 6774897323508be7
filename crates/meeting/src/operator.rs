//! The way in for those who run the server: meetings as they are stored, and acts in them.
//!
//! An act is an event like any other: the machine decides it on the newest document, and it is stored in one transaction
//! with the row of the log that says who has done what. There is no second way around the machine.

mod audited;

use crate::commit::stored::StoredMeeting;
use crate::commit::{CommitExtra, DecisionError, TRIES_MAX};
use crate::config::Config;
use crate::directory;
use crate::machine::{Event, Meeting, Refusal, Request};
use crate::state::ServiceState;
use catalog::{ActorLost, By, CommitError, MeetingHead, MeetingPlace, MeetingsPage, User};
use signalling::{MeetingId, RefusalCode, Track, UserName};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// What an operator can do of a meeting. Cheap to clone.
#[derive(Clone)]
pub struct Operator {
    service: Arc<ServiceState>,
}

/// A meeting as it is stored.
#[derive(Clone, Debug)]
pub struct Found {
    pub meeting: Arc<Meeting>,
    /// Of the catalog: it rises with each stored decision.
    pub revision: u64,
    pub created_at_ms: u64,
}

impl From<StoredMeeting> for Found {
    fn from(stored: StoredMeeting) -> Self {
        let StoredMeeting { meeting, revision, created_at_ms, .. } = stored;
        Self { meeting, revision, created_at_ms }
    }
}

/// A meeting of a list: its document has no members and no invitations.
#[derive(Clone, Debug)]
pub struct Listed {
    pub meeting: Meeting,
    pub created_at_ms: u64,
    /// How many are in, and are being rung.
    pub inside: u32,
    pub rung: u32,
}

/// What an operator does in a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Rings these users in the name of the host.
    Invite {
        users: Vec<UserName>,
    },
    Mute {
        user: UserName,
        track: Track,
    },
    /// Nobody's microphone is opened from outside.
    AskUnmute {
        user: UserName,
        track: Track,
    },
    Block {
        user: UserName,
        track: Track,
        blocked: bool,
    },
    Kick {
        user: UserName,
        ban_s: u32,
    },
    /// The user may be invited again.
    Unban {
        user: UserName,
    },
    End,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    #[error("there is no such meeting")]
    Unknown,
    #[error("there is no user {0}")]
    UnknownUser(UserName),
    #[error("the meeting is over: nothing of it can be changed")]
    Over,
    /// As a terminal would be refused.
    #[error("{words}")]
    Refused { code: RefusalCode, words: String },
    /// The meeting has another revision than the caller believes.
    #[error("the meeting was changed meanwhile")]
    Stale { present: u64 },
    /// The caller may not any more, or its right must be judged again.
    #[error(transparent)]
    Actor(#[from] ActorLost),
    #[error("{0}")]
    Unavailable(String),
}

impl From<DecisionError> for ActError {
    fn from(error: DecisionError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Operator {
    pub(crate) fn new(service: Arc<ServiceState>) -> Self {
        Self { service }
    }

    /// Meetings, those that were created last first, each with its place. One whose document cannot be read is left out.
    ///
    /// # Errors
    /// [`ActError::Unavailable`]
    pub async fn list(&self, page: MeetingsPage) -> Result<Vec<(MeetingPlace, Option<Listed>)>, ActError> {
        let heads = self.service.catalog.meetings(page).await.map_err(DecisionError::from)?;
        Ok(heads.into_iter().map(listed).collect())
    }

    /// The meeting, also one that is over, while it is kept.
    ///
    /// # Errors
    /// [`ActError::Unavailable`]
    pub async fn find(&self, id: Uuid) -> Result<Option<Found>, ActError> {
        Ok(self.service.stored_meeting(id).await?.map(Found::from))
    }

    /// Whether this moment has passed, by the service's clock.
    #[must_use]
    pub fn is_over(&self, at_ms: u64) -> bool {
        self.service.clock.times().is_over(at_ms)
    }

    /// Does it, unless all is so already, or the service is off. It is finished also if the caller goes away. `expected`: the revision that the
    /// caller has seen.
    ///
    /// # Errors
    /// Nothing is done then.
    pub async fn act(&self, id: Uuid, act: Act, by: By, expected: Option<u64>) -> Result<Found, ActError> {
        let service = Arc::clone(&self.service);
        if service.config.is_off() {
            let words = "the meeting service of this server is off: meeting.topics names no topic".to_owned();
            return Err(ActError::Refused { code: RefusalCode::NotAllowed, words });
        }
        let task = tokio::spawn(async move { service.act(id, &act, &by, expected).await });
        task.await.unwrap_or_else(|_| Err(ActError::Unavailable("the act was not finished".to_owned())))
    }
}

fn listed(head: MeetingHead) -> (MeetingPlace, Option<Listed>) {
    let MeetingHead { id, created_at_ms, document, inside, rung, .. } = head;
    let read = Meeting::from_rows(&document, []);
    let read = read.inspect_err(|error| tracing::warn!(meeting = %id, %error, "a meeting is not listed")).ok();
    let place = MeetingPlace { created_at_ms, id };
    (place, read.map(|(meeting, _)| Listed { meeting, created_at_ms, inside, rung }))
}

/// Why an act was not done, or not yet.
enum Undone {
    Act(ActError),
    Decision(DecisionError),
}

impl From<ActError> for Undone {
    fn from(error: ActError) -> Self {
        Self::Act(error)
    }
}

impl From<DecisionError> for Undone {
    fn from(error: DecisionError) -> Self {
        Self::Decision(error)
    }
}

impl ServiceState {
    async fn act(&self, id: Uuid, act: &Act, by: &By, expected: Option<u64>) -> Result<Found, ActError> {
        for _ in 0..TRIES_MAX {
            let stored = self.stored_meeting(id).await?.ok_or(ActError::Unknown)?;
            let present = stored.revision;
            if expected.is_some_and(|seen| seen != present) {
                return Err(ActError::Stale { present });
            }
            match self.try_act(stored, act, by).await {
                Err(Undone::Decision(DecisionError::Commit(CommitError::Conflict))) => {}
                Err(Undone::Decision(DecisionError::Commit(CommitError::Actor(lost)))) => return Err(lost.into()),
                Err(Undone::Decision(error)) => return Err(error.into()),
                Err(Undone::Act(error)) => return Err(error),
                Ok(found) => return Ok(found),
            }
        }
        Err(DecisionError::from(CommitError::Conflict).into())
    }

    async fn try_act(&self, stored: StoredMeeting, act: &Act, by: &By) -> Result<Found, Undone> {
        // Before it is said which users there are.
        if stored.meeting.is_over() && matches!(act, Act::Invite { .. }) {
            return Err(ActError::Over.into());
        }
        let request = self.request_of(act, stored.meeting.id).await?;
        let mut decided = self.decide(|context| stored.meeting.handle_event(Event::Operator { request }, context));
        let refused = decided.refused.take();
        let is_over = decided.meeting.is_over();
        // What is so already is not told again, and makes no row of the log.
        let tells = refused.is_none() && matches!(act, Act::AskUnmute { .. }) && !decided.sends.is_empty();
        let found = if decided.changed || tells {
            let audit = refused.is_none().then(|| audited::entry(act, by, &stored.meeting, &decided.meeting));
            let (revision, created_at_ms) = (stored.revision + u64::from(decided.changed), stored.created_at_ms);
            let extra = CommitExtra { audit, ..CommitExtra::default() };
            Found { meeting: self.store(Some(&stored), decided, extra).await?, revision, created_at_ms }
        } else {
            stored.into()
        };
        match refused {
            // To end what is over already succeeds.
            Some(_) if is_over && *act == Act::End => Ok(found),
            Some(_) if is_over => Err(ActError::Over.into()),
            Some(Refusal { code, words }) => Err(ActError::Refused { code, words }.into()),
            None => Ok(found),
        }
    }

    /// The request of the machine, with what the catalog knows of those who are to be rung.
    async fn request_of(&self, act: &Act, meeting: MeetingId) -> Result<Request, Undone> {
        Ok(match act.clone() {
            Act::Invite { users } => {
                check_callees(&users)?;
                let unique: Vec<UserName> = users.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
                let found = directory::callees(&*self.catalog, &unique, meeting).await.map_err(DecisionError::from)?;
                Request::Invite { callees: found.map_err(ActError::UnknownUser)? }
            }
            Act::Mute { user, track } => Request::Mute { user: Some(user), track },
            Act::AskUnmute { user, track } => Request::AskUnmute { user, track },
            Act::Block { user, track, blocked } => Request::Block { user, track, blocked },
            Act::Kick { user, ban_s } => Request::Kick { user, ban_s },
            Act::Unban { user } => Request::Unban { user },
            Act::End => Request::Destroy,
        })
    }
}

fn check_callees(users: &[UserName]) -> Result<(), ActError> {
    if users.is_empty() || users.len() > Config::CALLEES_MAX {
        let words = format!("{} users cannot be invited at once: name 1 to {}", users.len(), Config::CALLEES_MAX);
        return Err(ActError::Refused { code: RefusalCode::Limit, words });
    }
    match users.iter().find(|user| !User::may_be_called(user.as_str())) {
        Some(user) => Err(ActError::UnknownUser(user.clone())),
        None => Ok(()),
    }
}
