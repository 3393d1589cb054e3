//! Sees what the parser hides: of a request with `Content-Length` and `Transfer-Encoding` it shows only the latter, it
//! takes malformed lines before chunks, and it does not say when it waits for the next request and holds nothing of the one before.

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

/// What is found in a stream that comes in pieces of `piece` bytes, and how many heads there are.
#[cfg(feature = "fuzzing")]
pub(crate) fn scan(stream: &[u8], piece: usize) -> (String, u64) {
    let mut scanner = Scanner::default();
    let found = stream.chunks(piece).find_map(|bytes| scanner.feed(bytes));
    (format!("{found:?}"), scanner.heads())
}

/// The size in the line before a chunk, which has its carriage return and not its line feed.
#[cfg(feature = "fuzzing")]
pub(crate) fn chunk_size(line: &[u8]) -> Option<u64> {
    chunk::size(line, 256)
}

/// A connection of HTTP/1.1 whose request heads and chunks are looked at as they are read. Nothing is changed.
pub(super) struct Watched<IO> {
    io: IO,
    scanner: Scanner,
    conversation: Arc<Conversation>,
}

impl<IO> Watched<IO> {
    /// Looks at what is read from `io`, which is at the beginning of its first request.
    pub(super) fn new(io: IO, conversation: Arc<Conversation>) -> Self {
        Self {
            io,
            scanner: Scanner::default(),
            conversation,
        }
    }

    /// # Errors
    /// Returns `InvalidData` if a chunk is malformed in the body of a request that has been handed on. One that has not
    /// is marked instead, so that it is answered.
    fn look(&mut self, read: &[u8]) -> io::Result<()> {
        let finding = self.scanner.feed(read);
        self.conversation.read_heads(self.scanner.heads());
        match finding {
            None => {}
            Some(Finding::BothFramings(number)) => self.conversation.found_both_framings(number),
            Some(Finding::Lost(number)) => self.conversation.lost_place(number),
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
            if let Err(error) = this.look(read) {
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
        self.conversation.closes();
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<IO: WaitReadable> WaitReadable for Watched<IO> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_readable(cx)
    }
}
