//! The first message of a client's stream.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// How long to wait for it. Existing clients send it at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How much of it is read. A longer one is left where it is.
const MOST_BYTES: usize = 64 * 1024;
/// A flag and the length, in front of each message.
const PREFIX: usize = 5;

/// Reads `body` until its first message is complete, it ends, or it takes too long.
///
/// A call that is refused while its client still sends looks to gRPC clients as a stream that ended (EOF) instead of
/// the status, and they retry it.
pub(super) async fn receive(body: &mut Body) {
    let received = async {
        let mut prefix = Vec::with_capacity(PREFIX);
        let mut count = 0_usize;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(data) = frame.data_ref() else {
                return;
            };
            count = count.saturating_add(data.len());
            prefix.extend(data.iter().take(PREFIX.saturating_sub(prefix.len())));
            if count >= needed(&prefix).unwrap_or(PREFIX).min(MOST_BYTES) {
                return;
            }
        }
    };
    // Too late: the client gets its answer all the same.
    let _ = timeout(PATIENCE, received).await;
}

/// How many bytes the message has with its prefix; `None` before the prefix is complete.
fn needed(prefix: &[u8]) -> Option<usize> {
    let [_, length @ ..] = <[u8; PREFIX]>::try_from(prefix).ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    Some(length.saturating_add(PREFIX))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use bytes::Bytes;
    use futures_util::stream;

    use super::*;

    /// How many of `chunks` are read; after them the client sends nothing and keeps the stream open if `stays_open`.
    async fn read_of(chunks: Vec<Bytes>, stays_open: bool) -> usize {
        let read = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&read);
        let chunks = chunks.into_iter().map(move |chunk| {
            counter.fetch_add(1, Ordering::SeqCst);
            Ok::<_, std::io::Error>(chunk)
        });
        let rest = (!stays_open).then(|| Ok(Bytes::new()));
        let silence = stream::pending();
        let mut body = if stays_open {
            Body::from_stream(futures_util::StreamExt::chain(
                stream::iter(chunks),
                silence,
            ))
        } else {
            Body::from_stream(stream::iter(chunks.chain(rest)))
        };
        receive(&mut body).await;
        read.load(Ordering::SeqCst)
    }

    #[tokio::test(start_paused = true)]
    async fn exactly_the_first_message_is_read_g2() {
        let chunk = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        // The message `ab` in three pieces, then another.
        let pieces = [&b"\0\0\0"[..], b"\0\x02a", b"b", b"\0\0\0\0\0"];
        let pieces: Vec<_> = pieces.iter().map(|piece| chunk(piece)).collect();
        assert_eq!(read_of(pieces, true).await, 3);
        // An empty message is one.
        assert_eq!(
            read_of(vec![chunk(b"\0\0\0\0\0"), chunk(b"x")], true).await,
            1
        );
        // None, or half of one.
        assert_eq!(read_of(Vec::new(), false).await, 0);
        assert_eq!(read_of(vec![chunk(b"\0\0\0\0\x09a")], false).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_read_is_bounded_in_bytes_and_time_g2() {
        // 4 GiB are announced, in pieces of 16 KiB.
        let mut pieces = vec![Bytes::from_static(b"\0\xff\xff\xff\xff")];
        pieces.extend(vec![Bytes::from(vec![0; 16 * 1024]); 100]);
        assert_eq!(read_of(pieces, false).await, 5);
        // Nothing comes: the clock of the test goes on by itself.
        assert_eq!(read_of(Vec::new(), true).await, 0);
    }
}
