//! Accepts connections, ends TLS, and serves HTTP/1.1 and HTTP/2 on one port.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::dispatch::Dispatch;

/// A client that has not finished the handshake by then is not going to.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is known of a connection before its first request.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// The other end.
    pub(crate) peer: SocketAddr,
    /// The name in the TLS handshake, in lower case; `None` where the client sent none.
    pub(crate) server_name: Option<Arc<str>>,
}

/// The bound socket with all that serves it.
pub(crate) struct Listener {
    /// The socket.
    pub(crate) socket: TcpListener,
    /// TLS.
    pub(crate) tls: TlsAcceptor,
    /// What answers.
    pub(crate) dispatch: Arc<Dispatch>,
    /// How many connections are served at a time.
    pub(crate) max_connections: usize,
    /// How long open requests may take to end.
    pub(crate) drain_timeout: Duration,
}

impl Listener {
    /// Serves until `stop`, then lets open requests end.
    pub(crate) async fn serve(self, stop: CancellationToken) {
        let tracker = TaskTracker::new();
        let drain = CancellationToken::new();
        let abort = CancellationToken::new();
        let permits = Arc::new(Semaphore::new(self.max_connections));
        let builder = Arc::new(gateway::listener::builder(
            &gateway::listener::Limits::default(),
        ));

        loop {
            let Some(permit) = or_stop(&stop, Arc::clone(&permits).acquire_owned()).await else {
                break;
            };
            let Some(accepted) = or_stop(&stop, self.socket.accept()).await else {
                break;
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "connection not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let serving = serve_connection(
                stream,
                peer,
                self.tls.clone(),
                Arc::clone(&self.dispatch),
                Arc::clone(&builder),
                drain.clone(),
            );
            let abort = abort.clone();
            tracker.spawn(async move {
                abort.run_until_cancelled(serving).await;
                drop(permit);
            });
        }

        drop(self.socket);
        tracker.close();
        drain.cancel();
        let open = tracker.len();
        tracing::info!(connections = open, "draining");
        if timeout(self.drain_timeout, tracker.wait()).await.is_err() {
            tracing::warn!(
                connections = tracker.len(),
                "requests were still open when the time to drain was over"
            );
            abort.cancel();
            tracker.wait().await;
        }
    }
}

async fn or_stop<F: Future>(stop: &CancellationToken, future: F) -> Option<F::Output> {
    stop.run_until_cancelled(future).await
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: TlsAcceptor,
    dispatch: Arc<Dispatch>,
    builder: Arc<auto::Builder<TokioExecutor>>,
    drain: CancellationToken,
) {
    // Small frames of streams go out at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "no-delay not set");
    }
    let stall = gateway::listener::Limits::default().stall;
    let stream = gateway::listener::StallTimeout::new(stream, stall);
    let stream = match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "TLS handshake failed");
            return;
        }
        Err(_) => {
            tracing::debug!(%peer, "TLS handshake not finished in time");
            return;
        }
    };
    let server_name = stream.get_ref().1.server_name();
    let connection = Connection {
        peer,
        server_name: server_name.map(|name| name.to_ascii_lowercase().into()),
    };
    let service = service_fn(move |request: Request<Incoming>| {
        let dispatch = Arc::clone(&dispatch);
        let connection = connection.clone();
        async move {
            let response: Response<_> = dispatch.answer(request, &connection).await;
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = drain.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection ended");
    }
}
