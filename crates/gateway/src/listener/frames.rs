//! A limit for HTTP/2 frames that carry no request (RFC 9113 §10.5). Each is cheap to send, but costs the server an
//! answer or work.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{Activity, Limit};

mod scanner;

use scanner::{Frame, Kind, Scanner};

/// The maximum burst of control frames from a client.
const BURST: u64 = 10_000;
/// The refill rate after a burst: one frame every 10 ms, which is 100 a second.
const MILLIS_PER_FRAME: u64 = 10;
/// The length of the connection preface, which precedes the first frame (RFC 9113 §3.4).
const PREFACE: u32 = 24;

/// Returns the kinds and lengths of the frames in a stream that is split into pieces of `piece` bytes.
#[cfg(feature = "fuzzing")]
pub(crate) fn scan_frames(stream: &[u8], piece: usize) -> Vec<(String, u32)> {
    let mut scanner = Scanner::after(PREFACE);
    let mut found = Vec::new();
    for bytes in stream.chunks(piece) {
        scanner.feed(bytes, |frame| {
            found.push((format!("{:?}", frame.kind), frame.length));
        });
    }
    found
}

/// An HTTP/2 connection that fails if the client sends too many control frames. It does not change the data.
pub(super) struct Frames<IO> {
    io: IO,
    read: Scanner,
    written: Scanner,
    budget: Budget,
    activity: Arc<Activity>,
}

/// The number of control frames that the client may still send.
struct Budget {
    left: u64,
    /// The time of the last refill.
    filled_at: Instant,
}

impl<IO> Frames<IO> {
    /// Wraps a connection, starting at its first byte.
    pub(super) fn new(io: IO, activity: Arc<Activity>) -> Self {
        Self {
            io,
            read: Scanner::after(PREFACE),
            written: Scanner::after(0),
            budget: Budget {
                left: BURST,
                filled_at: Instant::now(),
            },
            activity,
        }
    }

    /// Counts the client's frames.
    ///
    /// # Errors
    ///
    /// Returns an error if the client exceeded its budget.
    fn take_read(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self { read, budget, .. } = self;
        let mut is_over = false;
        read.feed(bytes, |frame| is_over |= !budget.take_read(frame));
        if is_over {
            Limit::Http2ControlFrames.reached();
            return Err(io::Error::other("too many HTTP/2 control frames"));
        }
        Ok(())
    }

    fn take_written(&mut self, bytes: &[u8]) {
        let Self {
            written,
            budget,
            activity,
            ..
        } = self;
        let mut has_answer = false;
        written.feed(bytes, |frame| {
            budget.take_written(frame);
            has_answer |= frame.kind != Kind::Control;
        });
        if has_answer {
            activity.touch();
        }
    }
}

impl Budget {
    /// Counts a frame of the client. Returns false if it exceeds the budget.
    fn take_read(&mut self, frame: Frame) -> bool {
        match frame.kind {
            // A client may reset each request once and end its body once.
            Kind::Headers => self.add(2),
            Kind::Data if frame.length > 0 => self.add(1),
            Kind::Data | Kind::Control => return self.spend(),
        }
        true
    }

    /// Adds budget for a sent frame: clients react with PING, to measure the connection, and with `WINDOW_UPDATE`.
    fn take_written(&mut self, frame: Frame) {
        match frame.kind {
            Kind::Headers | Kind::Data => self.add(2 + u64::from(frame.length) / 1024),
            Kind::Control => {}
        }
    }

    fn add(&mut self, frames: u64) {
        self.left = (self.left + frames).min(BURST);
    }

    fn spend(&mut self) -> bool {
        if self.left == 0 {
            let passed = self.filled_at.elapsed().as_millis();
            let earned = u64::try_from(passed).unwrap_or(u64::MAX) / MILLIS_PER_FRAME;
            self.add(earned);
            self.filled_at += Duration::from_millis(earned * MILLIS_PER_FRAME);
        }
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => return false,
        }
        true
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Frames<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(cx, buffer);
        if let Poll::Ready(Ok(())) = polled {
            this.take_read(buffer.filled().get(before..).unwrap_or_default())?;
        }
        polled
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Frames<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = polled {
            self.take_written(bytes.get(..count).unwrap_or_default());
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        if let Poll::Ready(Ok(mut left)) = polled {
            for slice in slices {
                let count = left.min(slice.len());
                self.take_written(slice.get(..count).unwrap_or_default());
                left -= count;
            }
        }
        polled
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

#[cfg(test)]
mod tests;
