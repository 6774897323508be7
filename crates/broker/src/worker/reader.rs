//! The reader: one thread that reads messages from the log for all workers, which never wait for the disk.
//!
//! A worker asks for the next messages of a client, and the answer comes as a [`Notice::MessagesRead`]; or for records that
//! it carries, and the answer is a [`Notice::RecordsRead`]. Requests are served in their order, each from its lowest
//! position up. How many there are at a time is bounded where they are asked (`clients/reads.rs`, `carrying.rs`), so that a worker which asks for much delays the others by little. It is one thread because what
//! has to be fast does not come here: a message that is in memory is delivered from there.
//!
//! The thread ends when the last worker has.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::{io, thread};

use commitlog::{Log, Position, ReadError, Record};
use crossbeam_channel::{Receiver, Sender, unbounded};

use super::action::ClientRef;
use super::post::{Notice, WorkerAddress};
use crate::fatal::{Fatal, OnFatal, PanicGuard};
use crate::memory::Meter;
use crate::message::SharedMessage;
use crate::store::messages::{MessageError, Messages};

pub(crate) struct ReadRequest {
    pub(super) worker: usize,
    pub(super) what: ToRead,
}

pub(crate) enum ToRead {
    /// The next messages of a client.
    Messages {
        client: ClientRef,
        /// They rise.
        positions: Vec<Position>,
    },
    /// Records that are to be carried.
    Records(Vec<Position>),
}

/// A record as it is, by its name.
pub(crate) type ReadRecord = (Position, Result<Record, Box<ReadError>>);

/// A message of the log that is in memory, or why it cannot be read.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(super) position: Position,
    pub(super) message: Result<SharedMessage, Box<MessageError>>,
}

/// Where workers ask.
#[derive(Clone)]
pub(crate) struct ReaderAddress(Sender<ReadRequest>);

impl ReaderAddress {
    pub(super) fn ask(&self, request: ReadRequest) {
        // A reader that has ended ends the process.
        let _ = self.0.send(request);
    }
}

/// The reader's own end.
pub(crate) struct Reader {
    requests: Receiver<ReadRequest>,
    messages: Messages,
    workers: Vec<WorkerAddress>,
    meter: Arc<Meter>,
}

pub(crate) fn reader(log: Log, workers: Vec<WorkerAddress>, meter: Arc<Meter>) -> (ReaderAddress, Reader) {
    let (sender, requests) = unbounded();
    (ReaderAddress(sender), Reader { requests, messages: Messages::new(log), workers, meter })
}

/// Starts the thread.
pub(crate) fn start(reader: Reader, on_fatal: OnFatal) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("broker-reader".to_owned()).spawn(move || {
        let _guard = PanicGuard { on_fatal, fatal: Fatal::Worker };
        reader.requests.iter().for_each(|request| reader.answer(request));
    })
}

impl Reader {
    fn answer(&self, request: ReadRequest) {
        let Some(address) = self.workers.get(request.worker) else { return };
        address.notify(match request.what {
            ToRead::Messages { client, positions } => {
                let messages = positions.into_iter().map(|position| self.load(position)).collect();
                Notice::MessagesRead { client, messages }
            }
            ToRead::Records(names) => Notice::RecordsRead(names.into_iter().map(|name| self.read(name)).collect()),
        });
    }

    fn read(&self, name: Position) -> ReadRecord {
        (name, self.messages.read_record(name).map_err(Box::new))
    }

    fn load(&self, position: Position) -> Loaded {
        let message = self.messages.read(position).map(|message| SharedMessage::new(message, &self.meter));
        Loaded { position, message: message.map_err(Box::new) }
    }

    /// Answers the oldest request. `false`: there is none.
    #[cfg(test)]
    pub(super) fn answer_next(&self) -> bool {
        self.requests.try_recv().map(|request| self.answer(request)).is_ok()
    }
}

/// The one at this position, of some that rise.
pub(super) fn find(loaded: &[Loaded], position: Position) -> Option<&Loaded> {
    let at = loaded.binary_search_by_key(&position, |loaded| loaded.position).ok()?;
    loaded.get(at)
}
