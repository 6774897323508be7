//! What an owner wishes of a channel, and where it is put.

use crate::ids::{ParticipationId, UserName};
use crate::join::Rights;
use crate::sources::Sources;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole wish for one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredChannel {
    /// Who may be in it, connected or not. Empty: it is open, and nobody may join yet.
    #[serde(default)]
    pub participations: BTreeMap<ParticipationId, DesiredParticipation>,
}

/// What one participation may do. Its `user` and `client` never change: another client is another participation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredParticipation {
    pub user: UserName,
    /// A stable name of the client, as its tokens have it: a join replaces the same client's older participation.
    pub client: String,
    pub admission: Admission,
    #[serde(default)]
    pub rights: Rights,
    /// Sources that are not forwarded now, whatever the terminal sends.
    #[serde(default)]
    pub muted: Sources,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// It may connect, and nothing is forwarded to or from it (a callee before its accept).
    Waiting,
    Admitted,
}

/// Where a channel is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Placement {
    /// The name of the RTC node.
    pub node: String,
    /// Base addresses of its join endpoints (`https://host:8443`), best first.
    pub endpoints: Vec<String>,
    /// The run of the RTC node: another one means that it has started again, and knows of no channel.
    pub epoch: u64,
}
