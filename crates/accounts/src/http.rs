//! Accounts over HTTP: the way in for an application's users, and what an owner does with groups, topics, grants and keys.
//!
//! The application's own server logs its user in as it likes, then asks here, with an API key, for a device credential
//! and hands the answer to its terminal. Pages without a server of their own redeem a login link. Answers are JSON,
//! refusals `application/problem+json` (RFC 9457) with a stable `code`.
//!
//! What it is not: the binary mounts the router, supplies the peer's address as `ConnectInfo<SocketAddr>` and serves
//! the OpenAPI document.

mod api_keys;
mod audit;
mod body;
mod certificates;
mod credentials;
mod device_login;
mod device_orders;
mod devices;
mod failures;
mod gate;
mod grants;
mod groups;
mod jwts;
mod keys;
mod legacy_tokens;
mod login;
mod logins;
mod meetings;
mod messages;
mod names;
mod once;
mod owner;
mod people;
mod queue_names;
mod rates;
mod refusal_counts;
mod server;
mod tokens;
mod topics;
mod users;

pub use api_keys::{ApiKeys, sha256_hex};
pub use credentials::{CREDENTIAL_VALID_MS, DEVICES_PER_USER_MAX, Endpoints, Terminal};
pub use gate::{Caller, Gate};
pub use login::LoginRequest;
pub use refusal_counts::{RefusalCounts, counted};
pub use users::{DeviceRequest, LoginLinkAnswer, UserAnswer, UserRequest};

use crate::access::AccessView;
use crate::clients::Clients;
use crate::login::DeviceDirectory;
use crate::meetings::Meetings;
use crate::messages::Messages;
use crate::revocation::{Revocation, Sessions};
use crate::server::ServerView;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::map_response;
use axum::routing::options;
use catalog::{Catalog, CatalogError};
use once::Requests;
use problem::{Code, Problem};
use rates::Rates;
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The longest request body.
const BODY_BYTES_MAX: usize = 16 * 1024;
/// Of one with a message: the largest payload that servers take by default fits into it in base64.
const MESSAGE_BODY_BYTES_MAX: usize = 128 * 1024;

/// Questions to the broker that are answered at once, from memory; the others wait in their order.
const QUESTIONS_AT_ONCE: usize = 16;
/// The same of purges, which wait for the disk and so hold up nothing else.
const PURGES_AT_ONCE: usize = 4;
/// The same of messages that are published, looked at and dropped.
const LOOKS_AT_ONCE: usize = 16;
/// The same of looks at the whole server, for which its data directory is walked through.
const SERVER_LOOKS_AT_ONCE: usize = 2;
/// The same of acts in meetings: those in one meeting are decided one after the other anyway.
const ACTS_AT_ONCE: usize = 4;

/// Milliseconds since 1970.
pub type Now = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Whether what was to end then has ended: not before now, nor while that is in doubt.
pub type IsOver = Arc<dyn Fn(u64) -> bool + Send + Sync>;

/// What the handlers work with.
#[derive(Clone)]
pub struct HttpState {
    pub catalog: Arc<dyn Catalog>,
    pub access: AccessView,
    /// Told when a device is replaced.
    pub directory: DeviceDirectory,
    /// Handed to every terminal.
    pub endpoints: Endpoints,
    /// The Group ID of devices that name none.
    pub default_group: String,
    pub gate: Gate,
    /// Of the requests to [`router`], and to others that are [`counted`].
    pub refusals: RefusalCounts,
    /// The broker's.
    pub sessions: Arc<dyn Sessions>,
    /// Ends what a change ends.
    pub revocation: Revocation,
    /// What lives under client ids there.
    pub clients: Arc<dyn Clients>,
    pub meetings: Arc<dyn Meetings>,
    pub server: Arc<dyn ServerView>,
    pub messages: Arc<dyn Messages>,
    pub now_ms: Now,
    pub is_over: IsOver,
}

/// Shared by all requests.
struct Api {
    state: HttpState,
    /// Held from the check whether a device may be registered to its registration; the catalog serves its writers one by
    /// one anyway.
    registering: Mutex<()>,
    /// Questions to the broker, at once.
    questions: Arc<Semaphore>,
    purges: Arc<Semaphore>,
    looks: Arc<Semaphore>,
    server_looks: Arc<Semaphore>,
    acts: Arc<Semaphore>,
    rates: Rates,
    /// With an idempotency key.
    requests: Requests,
}

impl Api {
    fn now_ms(&self) -> u64 {
        (self.state.now_ms)()
    }
}

/// The answer when the catalog has none. What it says is for the operator, not for the caller.
fn unavailable(error: CatalogError) -> Problem {
    tracing::warn!(%error, "the catalog did not serve a request");
    Problem::new(Code::Unavailable, "the catalog did not answer; try again in a moment").retry_after(1)
}

/// Everything of accounts below `/api/v1`.
pub fn router(state: HttpState) -> Router {
    let at_once = |count| Arc::new(Semaphore::new(count));
    let [questions, purges, acts] = [QUESTIONS_AT_ONCE, PURGES_AT_ONCE, ACTS_AT_ONCE].map(at_once);
    let [looks, server_looks] = [LOOKS_AT_ONCE, SERVER_LOOKS_AT_ONCE].map(at_once);
    let api = Arc::new(Api {
        state,
        registering: Mutex::new(()),
        questions,
        purges,
        looks,
        server_looks,
        acts,
        rates: Rates::default(),
        requests: Requests::default(),
    });
    let (refusals, now_ms) = (api.state.refusals.clone(), Arc::clone(&api.state.now_ms));
    let (router, _) = described().split_for_parts();
    counted(router.layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(api), refusals, now_ms)
}

/// The OpenAPI 3.1 document of [`router`].
pub fn openapi() -> utoipa::openapi::OpenApi {
    described().split_for_parts().1
}

fn described() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(groups::list_groups, groups::create_group))
        .routes(routes!(groups::show_group, groups::remove_group))
        .routes(routes!(topics::list_topics, topics::create_topic))
        .routes(routes!(topics::show_topic, topics::update_topic, topics::remove_topic))
        .routes(routes!(grants::list_grants, grants::create_grant))
        .routes(routes!(grants::show_grant, grants::update_grant, grants::remove_grant))
        .routes(routes!(grants::test_grant))
        .routes(routes!(keys::list_keys, keys::create_key))
        .routes(routes!(keys::show_key, keys::update_key, keys::remove_key))
        .routes(routes!(keys::rotate_key))
        .routes(routes!(tokens::apply_for_token))
        .routes(routes!(tokens::query_token))
        .routes(routes!(tokens::revoke_token))
        .routes(routes!(legacy_tokens::apply, legacy_tokens::apply_by_query))
        .routes(routes!(legacy_tokens::query, legacy_tokens::query_by_query))
        .routes(routes!(legacy_tokens::revoke, legacy_tokens::revoke_by_query))
        .routes(routes!(people::list_users))
        .routes(routes!(users::put_user, people::show_user, people::remove_user))
        .routes(routes!(devices::list_devices))
        .routes(routes!(devices::query_devices))
        .routes(routes!(devices::show_device, devices::rename_device, devices::remove_device))
        .routes(routes!(device_orders::kick_device))
        .routes(routes!(device_orders::purge_device))
        .routes(routes!(device_orders::revoke_device))
        .routes(routes!(people::list_links))
        .routes(routes!(people::show_link, people::update_link, people::remove_link))
        .routes(routes!(meetings::list_meetings))
        .routes(routes!(meetings::show_meeting))
        .routes(routes!(meetings::invite_to_meeting))
        .routes(routes!(meetings::mute_in_meeting))
        .routes(routes!(meetings::unmute_in_meeting))
        .routes(routes!(meetings::block_in_meeting))
        .routes(routes!(meetings::unblock_in_meeting))
        .routes(routes!(meetings::kick_from_meeting))
        .routes(routes!(meetings::unban_in_meeting))
        .routes(routes!(meetings::end_meeting))
        .routes(routes!(audit::list_changes))
        .routes(routes!(audit::list_refusals))
        .routes(routes!(messages::list_messages))
        .routes(routes!(messages::list_dead_letters))
        .routes(routes!(queue_names::list_queue_topics, queue_names::create_queue_topic))
        .routes(routes!(queue_names::show_queue_topic))
        .routes(routes!(queue_names::list_queue_groups, queue_names::create_queue_group))
        .routes(routes!(queue_names::show_queue_group, queue_names::update_queue_group))
        .routes(routes!(messages::show_dead_letter, messages::drop_dead_letter))
        .routes(routes!(messages::redrive_dead_letter))
        .routes(routes!(server::show_server))
        .routes(routes!(server::show_configuration))
        .routes(routes!(users::register_device))
        .routes(routes!(users::make_login_link))
        .merge(login_routes())
        .merge(message_routes())
}

fn message_routes() -> OpenApiRouter<Arc<Api>> {
    let limit = DefaultBodyLimit::max(MESSAGE_BODY_BYTES_MAX);
    OpenApiRouter::new().routes(routes!(messages::publish_message)).layer(limit)
}

fn login_routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::new()
        .routes(routes!(login::log_in, login::log_out))
        .routes(routes!(login::renew))
        .route("/api/v1/login", options(login::preflight))
        .route("/api/v1/login/renew", options(login::preflight))
        .layer(map_response(login::for_any_origin))
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Convoke", description = "Users, devices and logins; groups, topics, grants, keys and tokens."),
    modifiers(&Schemes),
    tags(
        (name = "users", description = "For the application's server, with a key."),
        (name = "devices", description = "Devices of all users, and the client ids of services that have a session."),
        (name = "groups", description = "Group IDs, under which devices and services log in."),
        (name = "topics", description = "Parent topics, and who may publish to them."),
        (name = "keys", description = "Keys of services and of those who administer."),
        (name = "meetings", description = "Meetings that go on or have ended, and acts in them."),
        (name = "tokens", description = "What services hand to their users, so that they may publish and subscribe for a while."),
        (name = "messages", description = "Messages that an owner publishes, and those of the queue."),
        (name = "server", description = "The server, and where its pages are served over TLS."),
        (name = "audit", description = "What was changed, by whom and when."),
        (name = "login", description = "For terminals, from any origin.")
    )
)]
struct Document;

struct Schemes;

impl Modify for Schemes {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(
                "`Authorization: Bearer <API key>`, or `Basic base64(<key id>:<secret>)` of an access key. What is asked \
                 for must be among the scopes of the key.",
            ))
            .build();
        let basic = HttpBuilder::new()
            .scheme(HttpAuthScheme::Basic)
            .description(Some("`Authorization: Basic base64(<client id>:<password>)` (RFC 7617)"))
            .build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("api_key", SecurityScheme::Http(bearer));
        components.add_security_scheme("device_credential", SecurityScheme::Http(basic));
    }
}

#[cfg(test)]
mod tests;
