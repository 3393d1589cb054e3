//! Reads the first message of a client stream before a refusal.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// Timeout for the first message. Existing clients send it at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum number of bytes read. The rest of a longer message is not read.
const MOST_BYTES: usize = 64 * 1024;
/// Length of the gRPC message prefix: a flag and the message length.
const PREFIX: usize = 5;

/// Reads `body` until its first message is complete, the body ends or the timeout expires.
///
/// If a call is refused while its client still sends, gRPC clients report an ended stream (EOF) instead of the status
/// and retry.
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
    // After the timeout the client gets its answer too.
    let _ = timeout(PATIENCE, received).await;
}

/// Returns the length of the message including the prefix, or `None` if the prefix is incomplete.
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

    /// Returns how many of `chunks` are read. With `stays_open` the client then keeps the stream open without sending.
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
        // The message `ab` in three chunks, then another message.
        let pieces = [&b"\0\0\0"[..], b"\0\x02a", b"b", b"\0\0\0\0\0"];
        let pieces: Vec<_> = pieces.iter().map(|piece| chunk(piece)).collect();
        assert_eq!(read_of(pieces, true).await, 3);
        // An empty message is a complete message.
        assert_eq!(
            read_of(vec![chunk(b"\0\0\0\0\0"), chunk(b"x")], true).await,
            1
        );
        // No message, and half a message.
        assert_eq!(read_of(Vec::new(), false).await, 0);
        assert_eq!(read_of(vec![chunk(b"\0\0\0\0\x09a")], false).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn reading_is_bounded_in_bytes_and_time_g2() {
        // Announces 4 GiB, sent in chunks of 16 KiB.
        let mut pieces = vec![Bytes::from_static(b"\0\xff\xff\xff\xff")];
        pieces.extend(vec![Bytes::from(vec![0; 16 * 1024]); 100]);
        assert_eq!(read_of(pieces, false).await, 5);
        // Nothing arrives. The paused clock advances by itself.
        assert_eq!(read_of(Vec::new(), true).await, 0);
    }
}
