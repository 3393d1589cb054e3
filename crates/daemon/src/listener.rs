//! Accepts connections, ends TLS, and serves HTTP/1.1 and HTTP/2 on one port.

use std::{convert::Infallible, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use gateway::listener::{
    ClientBody, Limits, OpenBody, Protocol, Protocols, ReadAhead, StallTimeout,
};
use http::{Request, Response};
use hyper::service::Service;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    dispatch::{Answer, Dispatch},
    workers::Turns,
};

/// A client that has not finished the handshake by then is not going to.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A body on its way in.
pub(crate) type Incoming = OpenBody<ClientBody>;

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
    /// The threads that serve connections.
    pub(crate) workers: Turns,
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
        let protocols = Arc::new(Protocols::new(&Limits::default()));

        loop {
            let Some(permit) = or_stop(&stop, Arc::clone(&permits).acquire_owned()).await else {
                break;
            };
            let Some(accepted) = or_stop(&stop, self.socket.accept()).await else {
                break;
            };
            let accepted = accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer)));
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
                Arc::clone(&protocols),
                drain.clone(),
            );
            let abort = abort.clone();
            tracker.spawn_on(
                async move {
                    abort.run_until_cancelled(serving).await;
                    drop(permit);
                },
                &self.workers.next(),
            );
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
    stream: std::net::TcpStream,
    peer: SocketAddr,
    tls: TlsAcceptor,
    dispatch: Arc<Dispatch>,
    protocols: Arc<Protocols>,
    drain: CancellationToken,
) {
    // What is only needed for a while is in boxes: the rest lasts as long as the connection does.
    let Some(stream) = Box::pin(handshake(stream, peer, tls)).await else {
        return;
    };
    let tls = stream.get_ref().1;
    let protocol = match tls.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    let server_name = tls.server_name();
    let connection = Connection {
        peer,
        server_name: server_name.map(|name| name.to_ascii_lowercase().into()),
    };
    let requests = Requests {
        dispatch,
        connection,
    };
    if let Err(error) = protocols.serve(stream, protocol, requests, &drain).await {
        tracing::debug!(%peer, %error, "connection ended");
    }
}

type Stream = TlsStream<StallTimeout<ReadAhead<TcpStream>>>;

/// Answers the requests of one connection.
struct Requests {
    dispatch: Arc<Dispatch>,
    connection: Connection,
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response<Answer>;
    type Error = Infallible;
    /// In a box, as a connection has room for it as long as it is open.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let dispatch = Arc::clone(&self.dispatch);
        let connection = self.connection.clone();
        Box::pin(async move { Ok(dispatch.answer(request, &connection).await) })
    }
}

/// Ends TLS. `None` where the client does not go through with it.
async fn handshake(
    stream: std::net::TcpStream,
    peer: SocketAddr,
    tls: TlsAcceptor,
) -> Option<Box<Stream>> {
    // Here, as it stays with the thread that it is made on.
    let stream = match TcpStream::from_std(stream) {
        Ok(stream) => stream,
        Err(error) => {
            tracing::warn!(%peer, %error, "connection not served");
            return None;
        }
    };
    // Small frames of streams go out at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "no-delay not set");
    }
    let stream = StallTimeout::new(ReadAhead::new(stream), Limits::default().stall);
    match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
        Ok(Ok(stream)) => Some(Box::new(stream)),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%peer, "TLS handshake not finished in time");
            None
        }
    }
}
