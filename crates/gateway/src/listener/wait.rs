//! Waiting for a connection to become readable, without a read buffer.

use std::{
    io,
    task::{Context, Poll},
};

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::{ReadAhead, StallTimeout};

/// A connection that reports when it is readable or closed.
pub trait WaitReadable {
    /// Is ready if a read would not wait. Call it only after a read returned `Pending`.
    ///
    /// # Errors
    ///
    /// Returns the errors of the connection.
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl WaitReadable for TcpStream {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }
}

impl<IO: WaitReadable + ?Sized> WaitReadable for Box<IO> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (**self).poll_readable(cx)
    }
}

impl<IO: WaitReadable> WaitReadable for TlsStream<IO> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_ref().0.poll_readable(cx)
    }
}

impl<IO: WaitReadable> WaitReadable for ReadAhead<IO> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_ref().poll_readable(cx)
    }
}

impl<IO: WaitReadable> WaitReadable for StallTimeout<IO> {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_ref().poll_readable(cx)
    }
}
