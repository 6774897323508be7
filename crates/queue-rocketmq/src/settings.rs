//! Telemetry: a client says what it is, and is told how it is to behave. The stream stays open for as long as the client lives.

use std::sync::Arc;

use queue::GroupOptions;
use rocketmq_proto::settings::PubSub;
use rocketmq_proto::{
    Code, CustomizedBackoff, Duration, ExponentialBackoff, Metric, RetryPolicy, Settings, Status, TelemetryCommand,
    retry_policy, telemetry_command::Command,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::answer::ok;
use crate::connection::stopped;
use crate::door::{Caller, TelemetryPlace};
use crate::limits::{ANSWER_STEP_MAX, BATCH_MAX, POLL_MAX};
use crate::service::Shared;

type Commands = ReceiverStream<Result<TelemetryCommand, tonic::Status>>;

const SENDS_PER_MESSAGE_MAX: i32 = 3;
const AGAIN_AFTER_MS: u128 = 1_000;
const AGAIN_AFTER_MS_MAX: u128 = 7_200_000;
/// The number of that language in the settings of a client.
const PYTHON: i32 = 6;

/// Answers each settings command, one after the other, until the client or the server ends.
pub(crate) fn converse(
    mut commands: Streaming<TelemetryCommand>,
    (caller, place): (Caller, Option<TelemetryPlace>),
    shared: Arc<Shared>,
) -> Commands {
    let (answers, stream) = mpsc::channel(1);
    let mut stop = shared.stop.clone();
    tokio::spawn(async move {
        loop {
            let command = tokio::select! {
                command = commands.message() => command,
                () = answers.closed() => break,
                () = stopped(&mut stop) => break,
            };
            // It has ended, or sent what is no command.
            let Ok(Some(command)) = command else { break };
            let Some(Command::Settings(settings)) = command.command else { continue };
            let group = shared.group_of(&caller, &settings).await;
            let answer = Ok(answer(settings, group));
            if answers.send_timeout(answer, ANSWER_STEP_MAX).await.is_err() {
                break;
            }
        }
        drop(place);
    });
    ReceiverStream::new(stream)
}

impl Shared {
    /// How the consumer group of the settings is. One that does not exist is refused at the first receive, since not all clients
    /// live through a refusal here.
    async fn group_of(&self, caller: &Caller, settings: &Settings) -> GroupOptions {
        let Some(PubSub::Subscription(subscription)) = &settings.pub_sub else { return GroupOptions::default() };
        let Ok(group) = self.group(caller, subscription.group.as_ref()) else { return GroupOptions::default() };
        self.queue.group_options(group).await.unwrap_or_default()
    }
}

fn answer(settings: Settings, group: GroupOptions) -> TelemetryCommand {
    match filled(settings, group) {
        Some(settings) => TelemetryCommand { status: ok(), command: Some(Command::Settings(settings)) },
        None => {
            let message = "the settings are neither of a producer nor of a consumer".to_owned();
            let status = Some(Status { code: Code::UnrecognizedClientType.into(), message });
            TelemetryCommand { status, command: None }
        }
    }
}

/// The client's own settings with what the server decides.
fn filled(mut settings: Settings, group: GroupOptions) -> Option<Settings> {
    let backoff_policy = match settings.pub_sub.as_mut()? {
        PubSub::Publishing(publishing) => {
            publishing.max_body_size = i32::try_from(queue::limits::BODY_BYTES_MAX).unwrap_or(i32::MAX);
            publishing.validate_message_type = true;
            backoff(SENDS_PER_MESSAGE_MAX, 10, 1_000)
        }
        PubSub::Subscription(subscription) => {
            subscription.fifo = Some(group.is_fifo);
            subscription.receive_batch_size = i32::try_from(BATCH_MAX).ok();
            // Where the client does not wish it: one that stops waits for its poll.
            subscription.long_polling_timeout.get_or_insert_with(|| duration(POLL_MAX.as_millis()));
            let language = settings.user_agent.as_ref().map(|agent| agent.language);
            again(i32::try_from(group.attempts_max).unwrap_or(i32::MAX), language == Some(PYTHON))
        }
    };
    settings.backoff_policy = Some(backoff_policy);
    settings.metric = Some(Metric::default());
    Some(settings)
}

/// What a consumer could not process: after a second, and then after twice as long each time. The official client for Node.js knows
/// the exponential form alone, and that for Python the list alone; the others know both.
fn again(max_attempts: i32, as_list: bool) -> RetryPolicy {
    if !as_list {
        return backoff(max_attempts, AGAIN_AFTER_MS, AGAIN_AFTER_MS_MAX);
    }
    let all = std::iter::successors(Some(AGAIN_AFTER_MS), |ms| (*ms < AGAIN_AFTER_MS_MAX).then_some(ms * 2));
    let next = all.map(|ms| duration(ms.min(AGAIN_AFTER_MS_MAX))).collect();
    RetryPolicy { max_attempts, strategy: Some(retry_policy::Strategy::CustomizedBackoff(CustomizedBackoff { next })) }
}

fn backoff(max_attempts: i32, initial_ms: u128, max_ms: u128) -> RetryPolicy {
    let (initial, max) = (Some(duration(initial_ms)), Some(duration(max_ms)));
    let strategy = retry_policy::Strategy::ExponentialBackoff(ExponentialBackoff { initial, max, multiplier: 2.0 });
    RetryPolicy { max_attempts, strategy: Some(strategy) }
}

fn duration(ms: u128) -> Duration {
    let seconds = i64::try_from(ms / 1_000).unwrap_or(i64::MAX);
    Duration { seconds, nanos: i32::try_from(ms % 1_000 * 1_000_000).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use rocketmq_proto::{ClientType, Publishing, Resource, Subscription, Ua};

    fn filled_of(client_type: ClientType, pub_sub: PubSub, group: GroupOptions) -> Settings {
        let settings = Settings { client_type: Some(client_type.into()), pub_sub: Some(pub_sub), ..Default::default() };
        filled(settings, group).unwrap()
    }

    fn strategy(settings: &Settings) -> &ExponentialBackoff {
        match settings.backoff_policy.as_ref().unwrap().strategy.as_ref().unwrap() {
            retry_policy::Strategy::ExponentialBackoff(backoff) => backoff,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_producer_is_told_how_to_repeat_and_how_large_a_body_may_be() {
        let topics = vec![Resource { name: "orders".to_owned(), ..Resource::default() }];
        let publishing = PubSub::Publishing(Publishing { topics: topics.clone(), ..Default::default() });
        let settings = filled_of(ClientType::Producer, publishing, GroupOptions::default());
        let expected = Publishing { topics, max_body_size: 4_194_304, validate_message_type: true };
        assert_eq!(settings.pub_sub, Some(PubSub::Publishing(expected)));
        assert_eq!(strategy(&settings).initial.unwrap(), Duration { seconds: 0, nanos: 10_000_000 });
        assert_eq!(settings.metric, Some(Metric::default()));
    }

    #[test]
    fn a_consumer_gets_the_form_of_backoff_that_all_clients_know() {
        let (plain, fifo) = (GroupOptions::default(), GroupOptions { attempts_max: 3, is_fifo: true });
        for (client_type, group, asked, poll_s) in
            [(ClientType::PushConsumer, fifo, None, 20), (ClientType::SimpleConsumer, plain, Some(5), 5)]
        {
            let long_polling_timeout = asked.map(|seconds| Duration { seconds, nanos: 0 });
            let subscription = Subscription { long_polling_timeout, ..Default::default() };
            let settings = filled_of(client_type, PubSub::Subscription(subscription), group);
            let attempts_max = settings.backoff_policy.as_ref().unwrap().max_attempts;
            assert_eq!(u32::try_from(attempts_max), Ok(group.attempts_max));
            assert_eq!(strategy(&settings).initial.unwrap().seconds, 1);
            let Some(PubSub::Subscription(subscription)) = settings.pub_sub else { panic!("not a subscription") };
            assert_eq!((subscription.fifo, subscription.receive_batch_size), (Some(group.is_fifo), Some(32)));
            assert_eq!(subscription.long_polling_timeout.unwrap().seconds, poll_s);
        }
    }

    #[test]
    fn the_client_for_python_gets_the_same_backoff_as_a_list() {
        let subscription = Some(PubSub::Subscription(Subscription::default()));
        let user_agent = Some(Ua { language: PYTHON, ..Ua::default() });
        let settings = Settings { user_agent, pub_sub: subscription, ..Settings::default() };
        let policy = filled(settings, GroupOptions::default()).unwrap().backoff_policy.unwrap();
        let Some(retry_policy::Strategy::CustomizedBackoff(list)) = policy.strategy else { panic!("no list") };
        let seconds: Vec<_> = list.next.iter().map(|after| after.seconds).collect();
        assert_eq!(policy.max_attempts, 16);
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 7200]);
    }

    #[test]
    fn settings_of_nobody_are_answered_too() {
        let answer = answer(Settings::default(), GroupOptions::default());
        assert_eq!(answer.status.unwrap().code, i32::from(Code::UnrecognizedClientType));
        assert_eq!(answer.command, None);
    }
}
