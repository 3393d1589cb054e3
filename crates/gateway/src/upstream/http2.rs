//! The HTTP/2 connection to an endpoint, shared by all requests of a worker.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hyper::{
    client::conn::http2::{self, SendRequest},
    rt::{Read, Write},
};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::MutexGuard;

use crate::{body::RequestBody, upstream::connect::ConnectError};

pub(super) type Sender = SendRequest<RequestBody>;

/// The current connection, and the lock for opening the next one.
#[derive(Default)]
pub(super) struct Http2Slot {
    current: Mutex<Option<Sender>>,
    opening: tokio::sync::Mutex<()>,
}

impl Http2Slot {
    /// Returns a handle of the current connection if it is open.
    pub(super) fn current(&self) -> Option<Sender> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(Sender::is_closed) {
            *current = None;
        }
        current.clone()
    }

    pub(super) fn set(&self, sender: Sender) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }

    pub(super) async fn lock_for_opening(&self) -> MutexGuard<'_, ()> {
        self.opening.lock().await
    }
}

/// Starts HTTP/2 on a connection.
pub(super) async fn handshake<T>(io: T) -> Result<Sender, ConnectError>
where
    T: Read + Write + Unpin + Send + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .max_frame_size(64 * 1024)
        .max_send_buf_size(256 * 1024)
        .max_header_list_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10))
        .handshake(io)
        .await
        .map_err(ConnectError::Handshake)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
    Ok(sender)
}
