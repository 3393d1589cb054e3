use std::convert::Infallible;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use h2::client::SendRequest;
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::service::service_fn;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::*;
use crate::listener::{
    ClientShare, StreamBudget, Unauthenticated, discard::Discards, http2_builder,
    service::Connection,
};

const IDLE: Duration = Duration::from_mins(1);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
const PING: &[u8] = &[0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

struct Server {
    activity: Arc<Activity>,
    served: JoinHandle<hyper::Result<()>>,
    /// Releases the response of a request to `/wait`.
    answer: Arc<Notify>,
}

fn serve_one() -> (DuplexStream, Server) {
    serve_client(StreamBudget::new(1000, || {}).of_client())
}

/// Serves one connection of a client with this share.
fn serve_client(share: Arc<ClientShare>) -> (DuplexStream, Server) {
    let (client, stream) = duplex(1 << 20);
    let activity = Arc::new(Activity::new());
    let answer = Arc::new(Notify::new());
    let active = Arc::clone(&activity);
    let waits = Arc::clone(&answer);
    let task = tokio::spawn(async move {
        let service = service_fn(move |request: Request<OpenBody<ClientBody>>| {
            let waits = Arc::clone(&waits);
            Box::pin(async move {
                let body = match request.uri().path() {
                    "/wait" => {
                        waits.notified().await;
                        Empty::new().boxed()
                    }
                    "/refused" => {
                        let mut response = Response::new(Empty::new().boxed());
                        response.extensions_mut().insert(Unauthenticated);
                        return Ok(response);
                    }
                    "/small" => Full::new(Bytes::from_static(b"small")).boxed(),
                    "/large" => Full::new(Bytes::from(vec![7; 200_000])).boxed(),
                    // Never sends anything.
                    "/events" => silence(),
                    _ => Empty::new().boxed(),
                };
                Ok(Response::new(body))
            })
                as BoxFuture<'static, Result<Response<BoxBody<Bytes, Infallible>>, Infallible>>
        });
        let limits = Limits::default();
        let builder = http2_builder(&limits);
        let drain = CancellationToken::new();
        let connection = Connection::Http2 {
            discards: Discards::new(limits.discard).of_connection(),
            most: limits.streams,
        };
        let requests = Requests::new(service, connection, share, Arc::clone(&active));
        serve(
            &builder,
            Box::new(stream),
            requests,
            &limits,
            &active,
            &drain,
        )
        .await
    });
    let server = Server {
        activity,
        served: task,
        answer,
    };
    (client, server)
}

fn silence() -> BoxBody<Bytes, Infallible> {
    let frames = futures_util::stream::pending::<Result<Frame<Bytes>, Infallible>>();
    StreamBody::new(frames).boxed()
}

/// Connects a client that answers every PING. Also returns the task of its connection.
async fn connect(stream: DuplexStream) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    (sender, tokio::spawn(connection))
}

async fn get(sender: &SendRequest<Bytes>, path: &str) -> h2::client::ResponseFuture {
    let request = Request::get(format!("https://a{path}")).body(()).unwrap();
    let mut sender = sender.clone().ready().await.unwrap();
    sender.send_request(request, true).unwrap().0
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_streams_ends_although_it_answers_pings_s02() {
    let (stream, server) = serve_one();
    let (sender, ended) = connect(stream).await;
    get(&sender, "/").await.await.unwrap();
    let begun = Instant::now();
    ended.await.unwrap().unwrap();
    assert!(begun.elapsed() >= IDLE);
    assert!(
        begun.elapsed() <= IDLE + GOAWAY_GRACE,
        "{:?}",
        begun.elapsed()
    );
    server.served.await.unwrap().ok();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_pings_and_ignores_goaway_ends_s02() {
    let (mut stream, server) = serve_one();
    stream.write_all(PREFACE).await.unwrap();
    stream.write_all(SETTINGS).await.unwrap();
    let begun = Instant::now();
    let mut buffer = [0; 1024];
    loop {
        if stream.write_all(PING).await.is_err() {
            break;
        }
        match tokio::time::timeout(Duration::from_secs(1), stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(_)) => sleep(Duration::from_secs(1)).await,
            Err(_) => {}
        }
        assert!(begun.elapsed() < IDLE * 2);
    }
    assert!(begun.elapsed() >= IDLE);
    server.served.await.unwrap().ok();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_sends_no_request_at_all_ends_s02() {
    for sent in [&b""[..], PREFACE, &[0, 0, 50, 1, 4, 0, 0, 0, 1, 0x82]] {
        let (mut stream, server) = serve_one();
        if sent.starts_with(&[0]) {
            stream.write_all(PREFACE).await.unwrap();
            stream.write_all(SETTINGS).await.unwrap();
        }
        stream.write_all(sent).await.unwrap();
        let begun = Instant::now();
        server.served.await.unwrap().ok();
        let elapsed = begun.elapsed();
        assert!(elapsed <= IDLE + GOAWAY_GRACE, "{sent:?} {elapsed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_open_keeps_its_connection() {
    let (stream, server) = serve_one();
    let (sender, ended) = connect(stream).await;
    let waiting = get(&sender, "/wait").await;
    sleep(IDLE * 30).await;
    assert!(!ended.is_finished() && !server.served.is_finished());
    server.answer.notify_one();
    waiting.await.unwrap();
    // The idle time starts when the stream ends.
    sleep(IDLE / 2).await;
    get(&sender, "/").await.await.unwrap();
    ended.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_evicted_connection_ends_at_once_unless_a_stream_is_open_s02() {
    let (stream, server) = serve_one();
    let (sender, ended) = connect(stream).await;
    get(&sender, "/").await.await.unwrap();
    let begun = Instant::now();
    server.activity.close();
    server.served.await.unwrap().ok();
    assert!(begun.elapsed() <= ANSWER_GRACE * 2);
    ended.await.unwrap().ok();

    let (stream, server) = serve_one();
    let (sender, ended) = connect(stream).await;
    let waiting = get(&sender, "/wait").await;
    sleep(Duration::from_secs(1)).await;
    server.activity.close();
    sleep(Duration::from_secs(10)).await;
    server.answer.notify_one();
    assert_eq!(waiting.await.unwrap().status(), 200);
    server.served.await.unwrap().ok();
    ended.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_window_is_reset_s02() {
    let (stream, server) = serve_one();
    let mut builder = h2::client::Builder::new();
    let (sender, connection) = builder
        .initial_window_size(0)
        .handshake::<_, Bytes>(stream)
        .await
        .unwrap();
    let ended = tokio::spawn(connection);
    let mut body = get(&sender, "/large").await.await.unwrap().into_body();
    let begun = Instant::now();
    let error = body.data().await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    let stall = Limits::default().stall;
    assert!(begun.elapsed() >= stall && begun.elapsed() <= stall * 2);
    drop((body, sender));
    ended.await.unwrap().ok();
    server.served.await.unwrap().ok();
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_nothing_to_say_is_not_reset() {
    let (stream, server) = serve_one();
    let (sender, ended) = connect(stream).await;
    let mut body = get(&sender, "/events").await.await.unwrap().into_body();
    let silence = timeout(IDLE * 30, body.data()).await;
    assert!(silence.is_err());
    assert!(!ended.is_finished() && !server.served.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_slow_client_gets_everything() {
    let (stream, _server) = serve_one();
    let (sender, _ended) = connect(stream).await;
    let mut body = get(&sender, "/large").await.await.unwrap().into_body();
    let mut received = 0;
    while let Some(data) = body.data().await {
        let length = data.unwrap().len();
        received += length;
        // In total, longer than the connection may be idle.
        sleep(IDLE / 6).await;
        body.flow_control().release_capacity(length).unwrap();
    }
    assert_eq!(received, 200_000);
}

/// Connects a client with this window for each stream.
async fn connect_with_window(
    stream: DuplexStream,
    window: u32,
) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let mut builder = h2::client::Builder::new();
    let connecting = builder.initial_window_size(window).handshake(stream);
    let (sender, connection) = connecting.await.unwrap();
    (sender, tokio::spawn(connection))
}

#[tokio::test(start_paused = true)]
async fn a_response_whose_end_is_not_read_ends_its_connection_s02() {
    let (stream, server) = serve_one();
    let (sender, ended) = connect_with_window(stream, 1).await;
    let unread = get(&sender, "/small").await.await.unwrap();
    let begun = Instant::now();
    // Other requests keep the connection active until it refuses them.
    while !server.served.is_finished() {
        let mut sender = sender.clone();
        let request = Request::get("https://a/").body(()).unwrap();
        if let Ok((answer, _)) = sender.send_request(request, true) {
            answer.await.ok();
        }
        sleep(IDLE / 4).await;
        assert!(begun.elapsed() < IDLE * 5);
    }
    assert!(begun.elapsed() >= IDLE);
    drop((unread, sender));
    ended.await.unwrap().ok();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_the_end_slowly_gets_everything() {
    let (stream, _server) = serve_one();
    let (sender, _ended) = connect_with_window(stream, 1).await;
    let mut body = get(&sender, "/small").await.await.unwrap().into_body();
    let mut received = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        sleep(IDLE * 9 / 10).await;
        body.flow_control().release_capacity(data.len()).unwrap();
        received.extend_from_slice(&data);
    }
    assert_eq!(received, b"small");
}

#[tokio::test(start_paused = true)]
async fn streams_of_one_client_are_bounded_over_all_its_connections_s02() {
    let client = StreamBudget::new(10, || {}).of_client();
    let (stream, _server) = serve_client(Arc::clone(&client));
    let (unread, _ended) = connect_with_window(stream, 1).await;
    let (stream, server) = serve_client(client);
    let (other, _ended) = connect(stream).await;

    // The client reads one byte of the first response. The second has no end yet.
    let first = get(&unread, "/small").await.await.unwrap();
    let second = get(&other, "/events").await.await.unwrap();
    let refused = get(&other, "/").await.await.unwrap();
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");

    drop(second);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(get(&other, "/").await.await.unwrap().status(), 200);
    drop((first, unread, server));
}

#[tokio::test(start_paused = true)]
async fn only_the_refusals_of_a_flood_wait_s02() {
    let (stream, _server) = serve_one();
    let (sender, _ended) = connect(stream).await;
    let begun = Instant::now();
    for _ in 0..=1000 {
        get(&sender, "/refused").await.await.unwrap();
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    let mut refused = Vec::new();
    for _ in 0..100 {
        refused.push(get(&sender, "/refused").await);
    }
    get(&sender, "/").await.await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    for response in refused {
        response.await.unwrap();
    }
    assert_eq!(begun.elapsed(), Duration::from_millis(500));
}
