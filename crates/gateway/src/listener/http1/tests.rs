use std::{
    convert::Infallible,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Waker},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use tokio::{
    io::{AsyncReadExt as _, DuplexStream, ReadBuf, duplex},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::listener::StreamBudget;

const PATIENCE: Duration = Duration::from_secs(30);
const GET: &str = "GET /get HTTP/1.1\r\nHost: a\r\n\r\n";

/// An in-memory connection that counts how often it rests. It can become readable without data.
struct Memory {
    io: Mutex<DuplexStream>,
    ahead: Mutex<Option<u8>>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    rests: AtomicU64,
    rests_now: AtomicBool,
    is_disturbed: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Seen {
    fn disturb(&self) {
        self.is_disturbed.store(true, Ordering::Relaxed);
        self.waker.lock().unwrap().take().unwrap().wake();
    }
}

impl WaitReadable for Memory {
    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.seen.rests_now.swap(true, Ordering::Relaxed) {
            self.seen.rests.fetch_add(1, Ordering::Relaxed);
        }
        if self.seen.is_disturbed.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        *self.seen.waker.lock().unwrap() = Some(cx.waker().clone());
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        ready!(Pin::new(&mut *self.io.lock().unwrap()).poll_read(cx, &mut buffer))?;
        *self.ahead.lock().unwrap() = buffer.filled().first().copied();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Memory {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.seen.rests_now.store(false, Ordering::Relaxed);
        if let Some(byte) = self.ahead.lock().unwrap().take() {
            buffer.put_slice(&[byte]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut *self.io.lock().unwrap()).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Memory {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.io.lock().unwrap()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io.lock().unwrap()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.io.lock().unwrap()).poll_shutdown(cx)
    }
}

struct World {
    client: DuplexStream,
    seen: Arc<Seen>,
    drain: CancellationToken,
    activity: Arc<Activity>,
    served: JoinHandle<hyper::Result<()>>,
    /// Bodies of requests to `/keep`, which are answered before they are read.
    kept: mpsc::UnboundedReceiver<OpenBody<ClientBody>>,
}

fn serve_one() -> World {
    let (client, io) = duplex(64 * 1024);
    let seen = Arc::<Seen>::default();
    let memory = Memory {
        io: Mutex::new(io),
        ahead: Mutex::default(),
        seen: Arc::clone(&seen),
    };
    let drain = CancellationToken::new();
    let stop = drain.clone();
    let activity = Arc::new(Activity::new());
    let active = Arc::clone(&activity);
    let (keep, kept) = mpsc::unbounded_channel();
    let served = tokio::spawn(async move {
        let mut builder = http1::Builder::new();
        builder
            .timer(hyper_util::rt::TokioTimer::new())
            .header_read_timeout(PATIENCE);
        let service = service_fn(move |request| {
            let keep = keep.clone();
            Box::pin(answer(request, keep)) as BoxFuture<'static, _>
        });
        let memory = Box::new(memory);
        let client = StreamBudget::new(1000, || {}).of_client();
        serve(&builder, memory, service, PATIENCE, &active, &client, &stop).await
    });
    World {
        client,
        seen,
        drain,
        activity,
        served,
        kept,
    }
}

/// Responds with the path and the number of body bytes received.
async fn answer(
    mut request: Request<OpenBody<ClientBody>>,
    keep: mpsc::UnboundedSender<OpenBody<ClientBody>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    if path == "/upgrade" {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let upgraded = upgrade.await.unwrap();
            let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
            tokio::io::copy(&mut read, &mut write).await.unwrap();
        });
        let mut response = Response::new(Full::default());
        *response.status_mut() = http::StatusCode::SWITCHING_PROTOCOLS;
        return Ok(response);
    }
    let body = request.into_body();
    let count = if path == "/keep" {
        keep.send(body).unwrap();
        0
    } else {
        body.collect().await.unwrap().to_bytes().len()
    };
    Ok(Response::new(Full::from(format!("{path} {count}!"))))
}

impl World {
    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    /// Reads one response and returns its body.
    async fn answer(&mut self) -> String {
        let mut read = Vec::new();
        while !read.ends_with(b"!") {
            read.push(self.client.read_u8().await.unwrap());
        }
        let text = String::from_utf8(read).unwrap();
        text.split("\r\n\r\n").nth(1).unwrap().to_owned()
    }

    async fn pass(&self, seconds: u64) -> u64 {
        sleep(Duration::from_secs(seconds)).await;
        self.rests()
    }

    fn rests(&self) -> u64 {
        self.seen.rests.load(Ordering::Relaxed)
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_rests_between_requests_and_goes_on() {
    let mut world = serve_one();
    assert_eq!(world.pass(5).await, 1, "before the first");
    for round in 1..5 {
        world.send(GET).await;
        assert_eq!(world.answer().await, "/get 0!");
        world
            .send("POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            .await;
        assert_eq!(world.answer().await, "/post 3!");
        assert_eq!(world.rests(), round, "no pause, no rest");
        assert_eq!(world.pass(5).await, round + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_in_a_row_are_answered_in_order() {
    let mut world = serve_one();
    world.send(&GET.repeat(3)).await;
    for _ in 0..3 {
        assert_eq!(world.answer().await, "/get 0!");
    }
    assert_eq!(world.pass(5).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_not_idle_within_a_request() {
    let mut world = serve_one();
    let head = "POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for piece in [&head[..2], &head[2..50], &head[50..], "1\r\n", "a", "\r\n0"] {
        world.send(piece).await;
        assert_eq!(world.pass(5).await, 0, "{piece}");
    }
    world.send("\r\n\r\n").await;
    assert_eq!(world.answer().await, "/post 1!");
    assert_eq!(world.pass(5).await, 1);
}

/// A body that is still read must not be cut, or parsed as a request.
#[tokio::test(start_paused = true)]
async fn c17_a_connection_is_not_idle_while_a_request_body_is_read() {
    let mut world = serve_one();
    let head = "POST /keep HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n";
    world.send(&format!("{head}{}", &GET[..30])).await;
    assert_eq!(world.answer().await, "/keep 0!");
    assert_eq!(world.pass(20).await, 0);
    let body = world.kept.recv().await.unwrap();
    assert_eq!(body.collect().await.unwrap().to_bytes(), &GET[..30]);
    assert_eq!(world.pass(5).await, 1);
    world.send(GET).await;
    assert_eq!(world.answer().await, "/get 0!");
}

/// If the parser may see other boundaries than the scanner, it keeps its buffers.
#[tokio::test(start_paused = true)]
async fn c17_a_connection_is_not_idle_if_the_end_of_a_request_is_uncertain() {
    for head in [
        "POST /keep HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n",
        "POST /keep HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
        "\r\nPOST /keep HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    ] {
        let mut world = serve_one();
        world.send(head).await;
        world.pass(5).await;
        assert_eq!(world.rests(), 0, "{head}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rest_ends_whatever_else_than_a_request_comes() {
    let mut world = serve_one();
    world.send(GET).await;
    world.answer().await;
    assert_eq!(world.pass(5).await, 1);
    world.seen.disturb();
    let mut rest = Vec::new();
    let begun = Instant::now();
    world.client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty());
    assert!(
        begun.elapsed() <= PATIENCE + 2 * PAUSE,
        "{:?}",
        begun.elapsed()
    );
    assert!(world.rests() > 2);
    world.served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn c19_the_patience_with_the_next_request_ends() {
    let mut world = serve_one();
    let mut rest = Vec::new();
    let ended = timeout(PATIENCE * 2, world.client.read_to_end(&mut rest)).await;
    ended.unwrap().unwrap();
    assert!(rest.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_resting_connection_ends_with_the_process() {
    let mut world = serve_one();
    world.send(GET).await;
    world.answer().await;
    assert_eq!(world.pass(5).await, 1);
    let before = Instant::now();
    world.drain.cancel();
    world.served.await.unwrap().unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_resting_connection_ends_with_its_client() {
    let mut world = serve_one();
    world.send(GET).await;
    world.answer().await;
    assert_eq!(world.pass(5).await, 1);
    world.client.shutdown().await.unwrap();
    world.served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_evicted_connection_ends_at_once_unless_a_request_is_open_s02() {
    let partial = "POST /post HTTP/1.1\r\nHost: a\r\n";
    for sent in ["", "GET / HT", partial] {
        let mut world = serve_one();
        world.send(sent).await;
        sleep(Duration::from_secs(5)).await;
        let before = Instant::now();
        world.activity.close();
        world.served.await.unwrap().unwrap();
        assert!(before.elapsed() <= EVICTION_GRACE * 2, "{sent:?}");
    }
    let mut world = serve_one();
    world
        .send(&format!("{partial}Content-Length: 3\r\n\r\nab"))
        .await;
    sleep(Duration::from_secs(5)).await;
    world.activity.close();
    sleep(Duration::from_secs(5)).await;
    assert!(!world.served.is_finished());
    world.send("c").await;
    assert_eq!(world.answer().await, "/post 3!");
    world.served.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_upgraded_connection_is_never_idle_s02() {
    let mut world = serve_one();
    let head = "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    world.send(head).await;
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.push(world.client.read_u8().await.unwrap());
    }
    assert!(read.starts_with(b"HTTP/1.1 101"));
    sleep(PATIENCE * 10).await;
    assert_eq!(world.activity.idle(), None);
    world.activity.close();
    sleep(PATIENCE).await;
    world.send("still here").await;
    let mut echo = [0; 10];
    world.client.read_exact(&mut echo).await.unwrap();
    assert_eq!(&echo, b"still here");
}
