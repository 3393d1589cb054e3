//! Observation of facts that the HTTP/1 parser hides. It drops `Content-Length` if there is also `Transfer-Encoding`,
//! and accepts malformed chunk size lines. It does not report that it waits for the next request with empty buffers.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{conversation::Conversation, wait::WaitReadable};

mod chunk;
mod scanner;

use scanner::{Finding, Scanner};

/// Returns the finding in a stream that is split into pieces of `piece` bytes, and the number of heads.
#[cfg(feature = "fuzzing")]
pub(crate) fn scan(stream: &[u8], piece: usize) -> (String, u64) {
    let mut scanner = Scanner::default();
    let found = stream.chunks(piece).find_map(|bytes| scanner.feed(bytes));
    (format!("{found:?}"), scanner.heads())
}

/// Returns the size of a chunk size line, with its carriage return and without its line feed.
#[cfg(feature = "fuzzing")]
pub(crate) fn chunk_size(line: &[u8]) -> Option<u64> {
    chunk::size(line, 256)
}

/// An HTTP/1.1 connection that scans the bytes it reads. It does not change them.
pub(super) struct Watched<IO> {
    io: IO,
    scanner: Scanner,
    conversation: Arc<Conversation>,
}

impl<IO> Watched<IO> {
    /// Wraps `io`, which is at the start of its first request.
    pub(super) fn new(io: IO, conversation: Arc<Conversation>) -> Self {
        Self {
            io,
            scanner: Scanner::default(),
            conversation,
        }
    }

    /// Scans received bytes.
    ///
    /// # Errors
    ///
    /// Returns `InvalidData` if a chunk is malformed in the body of a request that was already handed on. A request
    /// that was not handed on yet is marked instead, so that it gets a response.
    fn scan(&mut self, read: &[u8]) -> io::Result<()> {
        let finding = self.scanner.feed(read);
        self.conversation.read_heads(self.scanner.heads());
        match finding {
            None => {}
            Some(Finding::BothFramings(number)) => self.conversation.found_both_framings(number),
            Some(Finding::Lost(number)) => self.conversation.mark_unsynchronized(number),
            Some(Finding::MalformedChunk(number)) if self.conversation.requests() < number => {
                self.conversation.found_malformed_chunk(number);
            }
            Some(Finding::MalformedChunk(_)) => return Err(io::ErrorKind::InvalidData.into()),
        }
        Ok(())
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(cx, buffer);
        let waits = polled.is_pending() && this.scanner.is_between_requests();
        this.conversation.waits_for_a_request(waits);
        if polled.is_ready() {
            let read = buffer.filled().get(before..).unwrap_or_default();
            if let Err(error) = this.scan(read) {
                return Poll::Ready(Err(error));
            }
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.conversation.has_sent(false);
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.conversation.has_sent(false);
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        self.conversation
            .has_sent(matches!(polled, Poll::Ready(Ok(()))));
        polled
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.conversation.set_closing();
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<IO: WaitReadable> WaitReadable for Watched<IO> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_readable(cx)
    }
}
