//! Places of requests with messages: they wait until there is room for their bytes, for each key a share of all.
//!
//! How large a request is stands in its first five bytes. Its place is its own until it is answered, so that what the disk has not
//! taken is counted, too.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};
use tokio::sync::OwnedSemaphorePermit;

use crate::limits::{SEND_BYTES_MAX, SEND_UNIT, SENDS_UNITS_MAX, SENDS_UNITS_PER_KEY_MAX};
use crate::shares::Shares;

/// Of all connections.
#[derive(Clone)]
pub(crate) struct SendPlaces(Shares);

/// Room for the bytes of one request.
pub(crate) struct SendPlace {
    _of_key: OwnedSemaphorePermit,
    _of_all: OwnedSemaphorePermit,
}

impl SendPlaces {
    pub(crate) fn new() -> Self {
        Self(Shares::new(SENDS_UNITS_PER_KEY_MAX, SENDS_UNITS_MAX))
    }

    /// Waits for room. `None`: there are no places any more.
    pub(crate) async fn take(&self, key_id: &Arc<str>, bytes: usize) -> Option<SendPlace> {
        let units = u32::try_from(bytes.div_ceil(SEND_UNIT)).ok()?;
        let [of_key, of_all] = self.0.parts(key_id);
        let of_key = of_key.acquire_many_owned(units).await.ok()?;
        let of_all = of_all.acquire_many_owned(units).await.ok()?;
        Some(SendPlace { _of_key: of_key, _of_all: of_all })
    }
}

/// A body of which the first frame is there.
pub(crate) struct Begun {
    first: Option<Result<Frame<Bytes>, hyper::Error>>,
    rest: Incoming,
}

impl Begun {
    pub(crate) async fn read(mut body: Incoming) -> Self {
        let first = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        Self { first, rest: body }
    }

    /// What room it needs, of which it may say more than it sends.
    pub(crate) fn bytes(&self) -> usize {
        let data = self.first.as_ref().and_then(|first| first.as_ref().ok()?.data_ref());
        data.map_or(0, |data| bytes_of(data)).min(SEND_BYTES_MAX)
    }
}

/// By the prefix of a gRPC message: a flag, then its length.
fn bytes_of(first: &[u8]) -> usize {
    match first {
        [_, a, b, c, d, ..] => usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).unwrap_or(usize::MAX).max(1),
        _ => usize::MAX,
    }
}

impl Body for Begun {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Duration, timeout};

    #[test]
    fn a_request_says_how_large_it_is() {
        assert_eq!(bytes_of(b"\0\0\x01\0\0rest"), 65_536);
        assert_eq!([bytes_of(b"\0\0\0\0\0"), bytes_of(b"\0\0\0\0"), bytes_of(b"")], [1, usize::MAX, usize::MAX]);
    }

    #[tokio::test]
    async fn a_key_that_uses_all_its_room_leaves_some_to_others_and_waits_for_more() {
        let places = SendPlaces::new();
        let [greedy, other]: [Arc<str>; 2] = ["greedy".into(), "other".into()];
        let take = |key| timeout(Duration::ZERO, places.take(key, SEND_BYTES_MAX));
        let mut taken = Vec::new();
        while let Ok(place) = take(&greedy).await {
            taken.push(place);
        }
        assert_eq!(taken.len(), SENDS_UNITS_PER_KEY_MAX / SEND_BYTES_MAX.div_ceil(SEND_UNIT));
        assert!(take(&other).await.is_ok());
        taken.pop();
        assert!(take(&greedy).await.is_ok());
    }
}
