//! The commands by noun.

use super::login::{Login, Logout};
use super::{
    Options, audit, devices, grants, groups, keys, links, meetings, messages, profiles, queue, server, tokens, topics,
    users,
};
use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Keep the address of a server and the place of a key, for the commands below.
    Login(Login),
    /// Forget a server and its key.
    Logout(Logout),
    /// The servers that were kept.
    #[command(after_help = "Examples:\n  convoke profiles list\n  convoke profiles use prod")]
    Profiles {
        #[command(subcommand)]
        verb: profiles::Verb,
    },
    /// Group IDs, under which devices and services log in.
    #[command(after_help = "Examples:\n  convoke groups create GID_phone\n  convoke groups remove GID_phone --force")]
    Groups(Noun<groups::Verb>),
    /// Parent topics and their rules.
    #[command(
        after_help = "Examples:\n  convoke topics create orders-up --rule to_queue\n  convoke topics update orders-up --rule both"
    )]
    Topics(Noun<topics::Verb>),
    /// What groups, users and access keys may do at which parent topics.
    #[command(
        after_help = "Examples:\n  convoke grants create GID_phone orders-up\n  convoke grants test GID_phone@@@d1 publish orders-up/call"
    )]
    Grants(Noun<grants::Verb>),
    /// Keys of services, and of those who administer.
    #[command(
        after_help = "Examples:\n  convoke keys create billing --kind access --scopes topics --secret-file billing.json\n  convoke keys rotate billing --overlap 1h\n  convoke keys disable billing"
    )]
    Keys(Noun<keys::Verb>),
    /// People who can be called.
    #[command(after_help = "Examples:\n  convoke users create ann --name Ann\n  convoke users list --search ann")]
    Users(Noun<users::Verb>),
    /// Devices of users.
    #[command(
        after_help = "Examples:\n  convoke devices create ann --device phone --secret-file ann.json\n  convoke devices list --user ann\n  convoke devices show GID_phone@@@d1\n  convoke devices kick GID_phone@@@d1 --yes"
    )]
    Devices(Noun<devices::Verb>),
    /// Links that log a page in as a user.
    #[command(after_help = "Examples:\n  convoke links create ann --valid 7d\n  convoke links list --user ann")]
    Links(Noun<links::Verb>),
    /// Meetings that go on or have ended, and acts in them.
    #[command(
        after_help = "Examples:\n  convoke meetings list --state live\n  convoke meetings kick MEETING ann --ban 10m\n  convoke meetings end MEETING --yes"
    )]
    Meetings(Noun<meetings::Verb>),
    /// Tokens, by which clients of a service publish and subscribe for a while.
    #[command(
        after_help = "Examples:\n  convoke tokens apply rw chat/# --valid 12h --client-id GID_phone@@@d1 --secret-file token.json\n  convoke tokens query token.json\n  convoke tokens revoke token.json"
    )]
    Tokens(Noun<tokens::Verb>),
    /// Messages: publish one, look at those of the queue, try dead letters again or drop them.
    #[command(
        after_help = "Examples:\n  convoke messages publish orders-up/call hello\n  convoke messages publish orders-up/p2p/GID_phone@@@d1 hello\n  convoke messages list orders-up\n  convoke messages dead-letters convoke-broker\n  convoke messages redrive convoke-broker MESSAGE"
    )]
    Messages(Noun<messages::Verb>),
    /// Topics and consumer groups of the queue.
    #[command(
        after_help = "Examples:\n  convoke queue topics create steps --type fifo\n  convoke queue groups create shop --max-attempts 5\n  convoke queue groups show shop"
    )]
    Queue {
        #[command(subcommand)]
        noun: queue::Queue,
    },
    /// The server: what it is, what it uses, what it was told.
    #[command(
        after_help = "Examples:\n  convoke server show\n  convoke server config\n  convoke server health && echo fine"
    )]
    Server(Noun<server::Verb>),
    /// What was changed, by whom and when.
    #[command(after_help = "Examples:\n  convoke audit list --kind key --subject billing\n  convoke audit refusals")]
    Audit(Noun<audit::Verb>),
}

/// Verbs of one noun, and what all of them take.
#[derive(Debug, Args)]
pub(crate) struct Noun<V: Subcommand> {
    #[command(subcommand)]
    pub(super) verb: V,
    #[command(flatten)]
    pub(super) options: Options,
}
