//! The HTTP router of the process: what each part brings, mounted together.

use super::Keys;
use super::channel_api::{self, ChannelRoutes, TokenSigner};
use super::channels::MEETINGS;
use super::endpoints::Endpoints;
use super::meetings::MeetingDesk;
use super::messages::OwnersMessages;
use super::roles::Directory;
use super::view::View;
use crate::http::{AdoptWebSocket, Health, Pages, mqtt_route};
use accounts::http::{ApiKeys, Gate, HttpState, IsOver, Now, RefusalCounts, counted};
use accounts::revocation::{Revocation, Sessions};
use axum::Router;
use broker::Broker;
use catalog::Catalog;
use clock::Clock;
use queue::Engine;
use rtc::{Owner, Rtc};
use signalling::topics::INSTANCE;
use std::sync::Arc;

/// The parts of the server that its HTTP router is made of.
pub(super) struct HttpParts<'a> {
    pub(super) keys: &'a Keys,
    pub(super) clock: Clock,
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) directory: Directory,
    pub(super) broker: &'a Arc<Broker>,
    pub(super) revocation: Revocation,
    pub(super) rtc: &'a Arc<Rtc>,
    pub(super) endpoints: &'a Endpoints,
    pub(super) health: &'a Health,
    pub(super) operator: meeting::operator::Operator,
    pub(super) default_group: String,
    pub(super) view: View,
    pub(super) queue: Engine,
    pub(super) signer: TokenSigner,
    pub(super) refusals: RefusalCounts,
}

impl HttpParts<'_> {
    pub(super) fn router(self) -> Router {
        let adopting = Arc::clone(self.broker);
        let adopt: AdoptWebSocket =
            Arc::new(move |stream, tls, read_ahead| adopting.adopt_websocket(stream, tls, read_ahead));
        let api_keys = ApiKeys::new([self.keys.api.text()]);
        let clock = self.clock.clone();
        let is_over: IsOver = Arc::new(move |at_ms| clock.times().is_over(at_ms));
        let gate = Gate::new(api_keys, Arc::clone(&self.catalog), Arc::clone(&is_over));
        let channels = ChannelRoutes {
            channels: self.rtc.channels(Owner::from(INSTANCE)),
            meetings: self.rtc.channels(Owner::from(MEETINGS)),
            gate: gate.clone(),
            signer: self.signer.clone(),
        };
        let pages = Pages::new(&self.endpoints.origins());
        let router = Router::new()
            .merge(mqtt_route(adopt))
            .merge(self.health.router())
            .merge(self.rtc.http_router())
            .merge(counted(channel_api::router(channels), self.refusals.clone(), self.now()))
            .merge(accounts::http::router(self.api_state(gate, is_over)));
        pages.mount(router)
    }

    fn now(&self) -> Now {
        let clock = self.clock.clone();
        Arc::new(move || clock.now_ms())
    }

    fn api_state(self, gate: Gate, is_over: IsOver) -> HttpState {
        let now_ms = self.now();
        HttpState {
            catalog: self.catalog,
            access: self.directory.access,
            directory: self.directory.devices,
            endpoints: self.endpoints.for_terminals(),
            default_group: self.default_group,
            gate,
            refusals: self.refusals,
            sessions: Arc::clone(self.broker) as Arc<dyn Sessions>,
            revocation: self.revocation,
            messages: Arc::new(OwnersMessages { broker: Arc::clone(self.broker), queue: self.queue }),
            clients: Arc::clone(self.broker) as Arc<dyn accounts::clients::Clients>,
            meetings: Arc::new(MeetingDesk(self.operator)),
            server: Arc::new(self.view),
            now_ms,
            is_over,
        }
    }
}
