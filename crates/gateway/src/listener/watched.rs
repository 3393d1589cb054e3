//! Sees what the parser hides: of a request with `Content-Length` and `Transfer-Encoding` it shows only the latter, and
//! it does not say when it waits for the next request and holds nothing of the one before.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{conversation::Conversation, wait::WaitReadable};

mod scanner;

use scanner::{Finding, Scanner};

/// A connection of HTTP/1.1 whose request heads are looked at as they are read. Nothing is changed.
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

    fn look(&mut self, read: &[u8]) {
        match self.scanner.feed(read) {
            None => {}
            Some(Finding::BothFramings(number)) => self.conversation.found_both_framings(number),
            Some(Finding::Lost(number)) => self.conversation.lost_place(number),
        }
        self.conversation.read_heads(self.scanner.heads());
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
            this.look(buffer.filled().get(before..).unwrap_or_default());
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
