//! The upstreams of the proxies: nginx for small responses, and an own program for the rest.

use std::{
    convert::Infallible,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Command, Stdio},
};

use ::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tempfile::TempDir;
use tokio::{io::AsyncReadExt as _, net::TcpListener, runtime};

use crate::{peer::free_port, process::Process};

/// The argument with which this program runs as the upstream.
pub(crate) const ROLE: &str = "upstream";

/// The size of a large body in bytes.
pub(crate) const LARGE: usize = 16 * 1024 * 1024;
const CHUNK: usize = 64 * 1024;

/// A gRPC message: its head and twenty bytes.
pub(crate) const MESSAGE: &[u8] = b"\0\0\0\0\x14\x0a\x12hello, hello, hello";

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// The own upstream: `/download`, `/upload`, `WebSocket`s, and gRPC calls over plain HTTP/2.
pub(crate) struct Upstream {
    _process: Process,
    pub(crate) address: SocketAddr,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let mut process = Process::spawn(
            Command::new(std::env::current_exe().unwrap())
                .arg(ROLE)
                .stdin(Stdio::null())
                .stdout(Stdio::piped()),
            ROLE,
        );
        let mut line = String::new();
        BufReader::new(process.output())
            .read_line(&mut line)
            .unwrap();
        Self {
            _process: process,
            address: line.trim().parse().unwrap(),
        }
    }
}

/// nginx that responds with five bytes, or with no body if the status is 204.
pub(crate) struct Responder {
    _process: Process,
    _directory: TempDir,
    pub(crate) address: SocketAddr,
}

impl Responder {
    /// Starts nginx. `answer` is in nginx syntax, for example `200 hello`.
    pub(crate) fn start(answer: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let address = free_port();
        let file = directory.path().join("nginx.conf");
        let text = include_str!("peer/responder.conf")
            .replace("{dir}", &directory.path().display().to_string())
            .replace("{address}", &address.to_string())
            .replace("{answer}", answer);
        fs::write(&file, text).unwrap();
        let process = Process::start(
            Command::new("nginx").arg("-c").arg(file),
            &directory.path().join("output"),
        );
        Self {
            _process: process,
            _directory: directory,
            address,
        }
    }
}

/// Prints the address and serves until it is killed.
pub(crate) fn serve() {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        std::io::stdout().flush().unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            tokio::spawn(async move {
                let mut builder = Builder::new(TokioExecutor::new());
                builder.http2().max_concurrent_streams(1000);
                let serving = builder
                    .serve_connection_with_upgrades(TokioIo::new(stream), service_fn(answer));
                let _ = serving.await;
            });
        }
    });
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    if request.headers().contains_key(header::UPGRADE) {
        return Ok(websocket(request));
    }
    let mut response = match request.uri().path() {
        "/download" => {
            let mut response = Response::new(large());
            response
                .headers_mut()
                .insert(header::CONTENT_LENGTH, HeaderValue::from(LARGE));
            response
        }
        "/upload" => {
            let mut body = request.into_body();
            let mut length = 0;
            while let Some(Ok(frame)) = body.frame().await {
                length += frame.data_ref().map_or(0, Bytes::len);
            }
            let mut response = Response::new(full("received"));
            if length != LARGE {
                *response.status_mut() = StatusCode::BAD_REQUEST;
            }
            return Ok(response);
        }
        "/bench.Echo/Call" => return Ok(call(request).await),
        _ => Response::new(full("hello")),
    };
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("text/plain"));
    Ok(response)
}

fn full(text: &'static str) -> Body {
    Full::new(Bytes::from_static(text.as_bytes())).boxed_unsync()
}

fn large() -> Body {
    static BYTES: [u8; CHUNK] = [b'x'; CHUNK];
    let frames = (0..LARGE / CHUNK).map(|_| Ok(Frame::data(Bytes::from_static(&BYTES))));
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

async fn call(request: Request<Incoming>) -> Response<Body> {
    let Ok(message) = request.into_body().collect().await else {
        // The run ended in the middle of the body.
        return Response::new(Empty::new().boxed_unsync());
    };
    let message = message.to_bytes();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(message).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed_unsync());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    response
}

/// Reads and discards data without sending any.
fn websocket(mut request: Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut io = TokioIo::new(upgrade.await.unwrap());
        let mut buffer = [0; 256];
        while io.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
    });
    let mut response = Response::new(Empty::new().boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(
        header::SEC_WEBSOCKET_ACCEPT,
        HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    );
    response
}
