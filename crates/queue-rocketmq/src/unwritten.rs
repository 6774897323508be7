//! Hand-outs on their way to a consumer. What is still on its way when this is dropped is given back.
//!
//! So it is when the client cancels its receive, when its connection ends, and when it does not read on.

use std::collections::VecDeque;
use std::sync::Arc;

use queue::Receipt;
use tokio::runtime::Handle;

use crate::service::Shared;

pub(crate) struct Unwritten {
    shared: Arc<Shared>,
    /// As they were issued, in the order in which they are written.
    receipts: VecDeque<Receipt>,
}

impl Unwritten {
    pub(crate) fn new(shared: Arc<Shared>, receipts: impl IntoIterator<Item = Receipt>) -> Self {
        Self { shared, receipts: receipts.into_iter().collect() }
    }

    pub(crate) fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.receipts.iter()
    }

    /// The first of them is written.
    pub(crate) fn wrote_one(&mut self) {
        self.receipts.pop_front();
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        let receipts = std::mem::take(&mut self.receipts);
        // Without a runtime the process ends, and with it all receipts.
        if let (false, Ok(runtime)) = (receipts.is_empty(), Handle::try_current()) {
            let shared = Arc::clone(&self.shared);
            runtime.spawn(async move { shared.give_back(receipts).await });
        }
    }
}
