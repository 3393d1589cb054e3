//! Sees what the parser hides: of a request with `Content-Length` and `Transfer-Encoding` it shows only the latter.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use http::{Extensions, Request, Version, header};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

mod scanner;

use scanner::{Finding, Scanner};

/// A connection of HTTP/1.1 whose request heads are looked at as they are read. Nothing is changed.
pub struct WatchedHeads<IO> {
    io: IO,
    scanner: Scanner,
    found: Arc<Found>,
}

/// What was found on one connection, for the requests that are parsed from it.
pub struct Heads {
    found: Arc<Found>,
    requests: AtomicU64,
}

/// Numbers of requests, from 1; 0 where there is none.
#[derive(Default)]
struct Found {
    both_framings: AtomicU64,
    lost: AtomicU64,
}

/// Says of a request that its length is given in two ways.
#[derive(Clone, Copy)]
struct BothFramings;

impl<IO> WatchedHeads<IO> {
    /// Looks at what is read from `io`, which is at the beginning of its first request.
    pub fn new(io: IO) -> (Self, Heads) {
        let found = Arc::<Found>::default();
        let heads = Heads {
            found: Arc::clone(&found),
            requests: AtomicU64::new(0),
        };
        let watched = Self {
            io,
            scanner: Scanner::default(),
            found,
        };
        (watched, heads)
    }
}

impl Heads {
    /// Marks a request that both framings were found in, so that it is refused. To be called with each request of the
    /// connection, in their order.
    pub fn mark<B>(&self, request: &mut Request<B>) {
        if request.version() > Version::HTTP_11 {
            return;
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let both = self.found.both_framings.load(Ordering::Acquire);
        let lost = self.found.lost.load(Ordering::Acquire);
        // Where the place was lost nothing can be said of what comes, so what might have both is taken to have them.
        let unknown = lost != 0 && lost <= number;
        if both == number || (unknown && request.headers().contains_key(header::TRANSFER_ENCODING))
        {
            request.extensions_mut().insert(BothFramings);
        }
    }
}

/// Whether a request was [marked](Heads::mark).
pub fn has_both_framings(extensions: &Extensions) -> bool {
    extensions.get::<BothFramings>().is_some()
}

impl<IO: AsyncRead + Unpin> AsyncRead for WatchedHeads<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(cx, buffer);
        let read = buffer.filled().get(before..).unwrap_or_default();
        match this.scanner.feed(read) {
            None => {}
            Some(Finding::BothFramings(number)) => {
                this.found.both_framings.store(number, Ordering::Release);
            }
            Some(Finding::Lost(number)) => this.found.lost.store(number, Ordering::Release),
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for WatchedHeads<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
