//! A headless terminal in this process, with its two pipes.

use crate::scripted_broker::{PATIENCE, ScriptedBroker};
use serde_json::{Value, json};
use std::path::Path;
use terminal::headless::{self, Answer, HeadlessError};
use terminal::{Credentials, Options};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines, duplex};
use tokio::task::JoinHandle;

pub(crate) struct Person {
    input: DuplexStream,
    output: Lines<BufReader<DuplexStream>>,
    task: JoinHandle<Result<(), HeadlessError>>,
    /// Events that were passed over while waiting for another.
    pub(crate) passed: Vec<Value>,
}

impl Person {
    pub(crate) fn start(options: Options) -> Self {
        Self::start_answering(options, Answer::ByCommand)
    }

    pub(crate) fn start_answering(options: Options, answer: Answer) -> Self {
        let (input, commands) = duplex(64 << 10);
        let (events, output) = duplex(1 << 20);
        let task = tokio::spawn(headless::run(options, answer, BufReader::new(commands), events));
        Self { input, output: BufReader::new(output).lines(), task, passed: Vec::new() }
    }

    pub(crate) async fn say(&mut self, command: Value) {
        self.input.write_all(format!("{command}\n").as_bytes()).await.unwrap();
    }

    pub(crate) async fn wait(&mut self, event: &str) -> Value {
        self.wait_for(event, |_| true).await
    }

    pub(crate) async fn wait_for(&mut self, event: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let search = async {
            while let Some(line) = self.output.next_line().await.unwrap() {
                let value: Value = serde_json::from_str(&line).unwrap();
                assert!(value["at_ms"].as_u64().is_some(), "{value}");
                if value["event"] == event && wanted(&value) {
                    return value;
                }
                self.passed.push(value);
            }
            panic!("the terminal ended before {event}: {:?}", self.passed);
        };
        match tokio::time::timeout(PATIENCE, search).await {
            Ok(found) => found,
            Err(_) => panic!("no {event}; seen: {:?}", self.passed),
        }
    }

    pub(crate) fn count(&self, event: &str) -> usize {
        self.passed.iter().filter(|value| value["event"] == event).count()
    }

    pub(crate) async fn quit(mut self) {
        self.say(json!({ "do": "quit" })).await;
        self.ended().await.unwrap();
    }

    pub(crate) async fn ended(self) -> Result<(), HeadlessError> {
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }

    /// Ends at once: nothing is said, nothing is completed.
    pub(crate) async fn kill(self) {
        self.task.abort();
        // Its own tasks end with their last handle.
        let _ = self.task.await;
    }
}

pub(crate) fn options(broker: &ScriptedBroker, user: &str, store: &Path) -> Options {
    let credentials: Credentials = serde_json::from_value(broker.credentials(user)).unwrap();
    Options { media: false, ..Options::new(credentials, store.to_owned()) }
}
