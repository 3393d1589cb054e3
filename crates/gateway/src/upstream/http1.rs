//! HTTP/1.1 connections to endpoints. Each carries one request at a time.

use std::{
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hyper::{
    client::conn::http1::{self, SendRequest},
    rt::{Read, Write},
};
use tokio::time::{Instant, timeout};

use crate::{
    Config,
    body::{RequestBody, Transfer, TransferState},
    upstream::{Endpoint, connect::ConnectError},
    worker::PerWorker,
};

/// The time that a pooled connection may take to become ready for the next request.
const LONGEST_TURN: Duration = Duration::from_millis(10);

pub(super) type Sender = SendRequest<RequestBody>;

/// The idle connections to one endpoint, separate for each worker. The most recently used one is taken first, so that
/// surplus ones expire.
pub(super) struct Http1Pool {
    idle: PerWorker<Mutex<Vec<Idle>>>,
    timeout: Duration,
    most: usize,
}

struct Idle {
    sender: Sender,
    since: Instant,
}

/// A connection whose response is being read. Dropping it closes the connection, unless it is
/// [released](Lease::release).
pub(crate) struct Lease {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) sender: Sender,
    pub(super) transfer: Option<Arc<Transfer>>,
}

impl Http1Pool {
    pub(super) fn new(settings: &Config) -> Self {
        Self {
            idle: PerWorker::new(settings.workers, Mutex::default),
            timeout: settings.idle_connection_timeout,
            most: settings.idle_connections.div_ceil(settings.workers.max(1)),
        }
    }

    /// Returns an idle connection that is ready to send.
    pub(super) async fn take(&self) -> Option<Sender> {
        while let Some(mut sender) = self.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
            // The response was read to its end, so this usually waits for one poll of the connection's task. A
            // connection that still sends a body, because the upstream answered without reading it, is dropped.
            let ready = poll_fn(|cx| sender.poll_ready(cx));
            if let Ok(Ok(())) = timeout(LONGEST_TURN, ready).await {
                return Some(sender);
            }
        }
        None
    }

    fn pop(&self) -> Option<Sender> {
        let mut idle = self.idle()?;
        while let Some(Idle { sender, since }) = idle.pop() {
            if since.elapsed() >= self.timeout {
                // All remaining ones are older.
                idle.clear();
                return None;
            }
            if !sender.is_closed() {
                return Some(sender);
            }
        }
        None
    }

    fn idle(&self) -> Option<MutexGuard<'_, Vec<Idle>>> {
        let idle = self.idle.get()?;
        Some(idle.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, sender: Sender) {
        let Some(mut idle) = self.idle() else {
            return;
        };
        let old = idle
            .iter()
            .take_while(|connection| connection.since.elapsed() >= self.timeout)
            .count();
        idle.drain(..old);
        if idle.len() < self.most && !sender.is_closed() {
            idle.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }
}

impl Lease {
    /// Returns the connection to the pool. The response must have been read to its end. If the request body is still
    /// being sent, it would delay the next request, so the connection is closed.
    pub(crate) fn release(self) {
        let sent = self
            .transfer
            .is_none_or(|transfer| transfer.state() == TransferState::Finished);
        if sent {
            self.endpoint.http1.put(self.sender);
        }
    }
}

/// Starts HTTP/1.1 on a connection.
pub(super) async fn handshake<T>(io: T) -> Result<Sender, ConnectError>
where
    T: Read + Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(128 * 1024)
        .handshake(io)
        .await
        .map_err(ConnectError::Handshake)?;
    tokio::spawn(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "upstream connection ended");
        }
    });
    Ok(sender)
}
