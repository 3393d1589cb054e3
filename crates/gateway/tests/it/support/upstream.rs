//! Upstreams: real servers on loopback.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};

pub(crate) type UpstreamBody = BoxBody<Bytes, Infallible>;

/// A request that an upstream received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        Some(value)
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }
}

#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) connections: Arc<Mutex<usize>>,
}

impl Upstream {
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns all requests received so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Returns the only request received since the last call.
    pub(crate) fn one(&self) -> Seen {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.into_iter().next().unwrap()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// Records each request and responds with `hello` and `fields`.
    pub(crate) async fn recording(fields: &'static [(&'static str, &'static str)]) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let mut upstream = Self::serving(move |request| {
            let log = Arc::clone(&log);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes().to_vec());
                let target = parts
                    .uri
                    .path_and_query()
                    .map_or("", |target| target.as_str());
                log.lock().unwrap().push(Seen {
                    method: parts.method.to_string(),
                    target: target.to_owned(),
                    headers: parts
                        .headers
                        .iter()
                        .map(|(name, value)| {
                            let value = String::from_utf8_lossy(value.as_bytes());
                            (name.as_str().to_owned(), value.into_owned())
                        })
                        .collect(),
                    body: body.unwrap_or_default(),
                });
                let mut response = Response::builder();
                for (name, value) in fields {
                    response = response.header(*name, *value);
                }
                response.body(full("hello")).unwrap()
            }
        })
        .await;
        upstream.seen = seen;
        upstream
    }

    /// Responds with `handler`, over HTTP/1.1 and HTTP/2.
    pub(crate) async fn serving<F, R>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<UpstreamBody>> + Send + 'static,
    {
        Self::accepting(move |stream| {
            let handler = handler.clone();
            async move { serve_io(stream, handler).await }
        })
        .await
    }

    /// Passes each connection to `handler`.
    pub(crate) async fn accepting<F, R>(handler: F) -> Self
    where
        F: Fn(tokio::net::TcpStream) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *counter.lock().unwrap() += 1;
                tokio::spawn(handler(stream));
            }
        });
        Self {
            address,
            seen: Arc::default(),
            connections,
        }
    }

    /// Records the bytes of each request head and responds with 200 and no body.
    pub(crate) async fn verbatim() -> (Self, Arc<Mutex<Vec<Vec<u8>>>>) {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heads);
        let upstream = Self::accepting(move |mut stream| {
            let log = Arc::clone(&log);
            async move {
                let mut bytes = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                    bytes.extend_from_slice(&buffer[..count]);
                    while let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") {
                        let head: Vec<u8> = bytes.drain(..end + 4).collect();
                        log.lock().unwrap().push(head);
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        stream.write_all(answer).await.unwrap();
                    }
                }
            }
        })
        .await;
        (upstream, heads)
    }
}

pub(crate) async fn serve_io<IO, F, R>(io: IO, handler: F)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
    R: Future<Output = Response<UpstreamBody>> + Send + 'static,
{
    let service = service_fn(move |request| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(handler(request).await) }
    });
    let _ = auto::Builder::new(TokioExecutor::new())
        .serve_connection_with_upgrades(TokioIo::new(io), service)
        .await;
}

pub(crate) fn full(text: impl Into<Bytes>) -> UpstreamBody {
    Full::new(text.into()).boxed()
}
