//! The methods, each handed to its module.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clock::Clock;
use queue::Queue;
use rocketmq_proto as wire;
use rocketmq_proto::Code;
use rocketmq_proto::messaging_service_server::MessagingService;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::access::Access;
use crate::answer::{Refusal, ok, split};
use crate::door::{Caller, TelemetryPlace};
use crate::handles::Handles;
use crate::limits::{ANSWERS_UNITS_MAX, ANSWERS_UNITS_PER_KEY_MAX, POLLS_MAX};
use crate::receive::Answers;
use crate::renewals::Renewals;
use crate::shares::Shares;
use crate::{names, receive, renewing, settings};

/// What the methods share.
pub(crate) struct Shared {
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) access: Arc<dyn Access>,
    pub(crate) clock: Clock,
    pub(crate) handles: Handles,
    renewals: Mutex<Renewals>,
    pub(crate) polls: Semaphore,
    /// Room for what is handed out until it is written.
    pub(crate) answers: Shares,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Shared {
    /// Never held over an await; each change of it is one method call.
    pub(crate) fn renewals(&self) -> MutexGuard<'_, Renewals> {
        self.renewals.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone)]
pub(crate) struct Service(Arc<Shared>);

impl Shared {
    pub(crate) fn new(
        queue: Arc<dyn Queue>,
        access: Arc<dyn Access>,
        clock: Clock,
        stop: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let polls = Semaphore::new(POLLS_MAX);
        let answers = Shares::new(ANSWERS_UNITS_PER_KEY_MAX, ANSWERS_UNITS_MAX);
        let (handles, renewals) = (Handles::new(), Mutex::default());
        Arc::new(Self { queue, access, clock, handles, renewals, polls, answers, stop })
    }
}

impl Service {
    pub(crate) fn new(
        queue: Arc<dyn Queue>,
        access: Arc<dyn Access>,
        clock: Clock,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let shared = Shared::new(queue, access, clock, stop);
        renewing::start(&shared);
        Self(shared)
    }
}

type Answer<T> = Result<Response<T>, Status>;

/// The door has put the caller there.
fn opened<T>(request: Request<T>) -> Result<(Caller, T), Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    let caller = caller.ok_or_else(|| Status::internal("the request came by no door"))?;
    Ok((caller, request.into_inner()))
}

fn not_served(what: &str) -> Refusal {
    Refusal::new(Code::NotImplemented, format!("{what} are not served here"))
}

#[tonic::async_trait]
impl MessagingService for Service {
    async fn query_route(&self, request: Request<wire::QueryRouteRequest>) -> Answer<wire::QueryRouteResponse> {
        let (caller, request) = opened(request)?;
        let (status, message_queues) = split(self.0.route(&caller, request).await);
        Ok(Response::new(wire::QueryRouteResponse { status, message_queues }))
    }

    async fn query_assignment(
        &self,
        request: Request<wire::QueryAssignmentRequest>,
    ) -> Answer<wire::QueryAssignmentResponse> {
        let (caller, request) = opened(request)?;
        let (status, assignments) = split(self.0.assignment(&caller, request).await);
        Ok(Response::new(wire::QueryAssignmentResponse { status, assignments }))
    }

    async fn heartbeat(&self, request: Request<wire::HeartbeatRequest>) -> Answer<wire::HeartbeatResponse> {
        let (caller, _) = opened(request)?;
        self.0.renewals().saw(&caller, Instant::now());
        Ok(Response::new(wire::HeartbeatResponse { status: ok() }))
    }

    async fn send_message(&self, request: Request<wire::SendMessageRequest>) -> Answer<wire::SendMessageResponse> {
        let (caller, request) = opened(request)?;
        let (status, entries) = match self.0.send(&caller, request).await {
            Ok(sent) => sent,
            Err(refusal) => (refusal.status(), Vec::new()),
        };
        Ok(Response::new(wire::SendMessageResponse { status, entries }))
    }

    type ReceiveMessageStream = Answers;

    async fn receive_message(
        &self,
        request: Request<wire::ReceiveMessageRequest>,
    ) -> Answer<Self::ReceiveMessageStream> {
        let patience = request.metadata().get("grpc-timeout").and_then(|text| receive::patience(text.to_str().ok()?));
        let (caller, request) = opened(request)?;
        let received = self.0.receive(&caller, request, patience).await;
        Ok(Response::new(self.0.stream_of(received)))
    }

    async fn ack_message(&self, request: Request<wire::AckMessageRequest>) -> Answer<wire::AckMessageResponse> {
        let (caller, request) = opened(request)?;
        let (status, entries) = match self.0.ack(&caller, request).await {
            Ok(done) => done,
            Err(refusal) => (refusal.status(), Vec::new()),
        };
        Ok(Response::new(wire::AckMessageResponse { status, entries }))
    }

    async fn change_invisible_duration(
        &self,
        request: Request<wire::ChangeInvisibleDurationRequest>,
    ) -> Answer<wire::ChangeInvisibleDurationResponse> {
        let (caller, request) = opened(request)?;
        let (status, receipt_handle) = split(self.0.change_invisible(&caller, request).await);
        Ok(Response::new(wire::ChangeInvisibleDurationResponse { status, receipt_handle }))
    }

    async fn forward_message_to_dead_letter_queue(
        &self,
        request: Request<wire::ForwardMessageToDeadLetterQueueRequest>,
    ) -> Answer<wire::ForwardMessageToDeadLetterQueueResponse> {
        let (caller, request) = opened(request)?;
        let (status, ()) = split(self.0.give_up(&caller, request).await);
        Ok(Response::new(wire::ForwardMessageToDeadLetterQueueResponse { status }))
    }

    async fn end_transaction(
        &self,
        request: Request<wire::EndTransactionRequest>,
    ) -> Answer<wire::EndTransactionResponse> {
        opened(request)?;
        Ok(Response::new(wire::EndTransactionResponse { status: not_served("transactions").status() }))
    }

    async fn recall_message(
        &self,
        request: Request<wire::RecallMessageRequest>,
    ) -> Answer<wire::RecallMessageResponse> {
        let (caller, request) = opened(request)?;
        let (status, message_id) = split(self.0.recall(&caller, request).await);
        Ok(Response::new(wire::RecallMessageResponse { status, message_id }))
    }

    async fn notify_client_termination(
        &self,
        request: Request<wire::NotifyClientTerminationRequest>,
    ) -> Answer<wire::NotifyClientTerminationResponse> {
        let (caller, request) = opened(request)?;
        if let Ok(group) = names::group(request.group.as_ref()) {
            self.0.leave(&caller, &group).await;
        }
        Ok(Response::new(wire::NotifyClientTerminationResponse { status: ok() }))
    }

    type TelemetryStream = ReceiverStream<Result<wire::TelemetryCommand, Status>>;

    async fn telemetry(
        &self,
        request: Request<tonic::Streaming<wire::TelemetryCommand>>,
    ) -> Answer<Self::TelemetryStream> {
        let place = request.extensions().get::<TelemetryPlace>().cloned();
        let (caller, commands) = opened(request)?;
        Ok(Response::new(settings::converse(commands, (caller, place), Arc::clone(&self.0))))
    }
}
