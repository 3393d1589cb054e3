//! gRPC: bidirectional streams, trailers, and denials in gRPC form.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Version};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Empty, StreamBody, combinators::BoxBody};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rstest::rstest;
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_stream_shim::receiver;

use crate::support::{
    Upstream, World, service,
    world::{HOST, ServiceExt, TOKEN, matches, rule},
};

mod tokio_stream_shim {
    //! A channel as a stream of frames.
    use futures_util::{Stream, stream};
    use tokio::sync::mpsc::UnboundedReceiver;

    pub(crate) fn receiver<T>(channel: UnboundedReceiver<T>) -> impl Stream<Item = T> {
        stream::unfold(channel, |mut channel| async move {
            channel.recv().await.map(|item| (item, channel))
        })
    }
}

pub(crate) type ClientBody = BoxBody<Bytes, std::convert::Infallible>;
pub(crate) const PATH: &str = "/pkg.v1.Echo/Say";

/// Returns every message and ends with trailers.
pub(crate) async fn echo() -> Upstream {
    Upstream::serving(|request: Request<Incoming>| async move {
        assert_eq!(request.version(), Version::HTTP_2);
        let te = request.headers().get("te").cloned();
        let frames = request
            .into_body()
            .into_data_stream()
            .filter_map(|data| async move { data.ok().map(|data| Ok(Frame::data(data))) });
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        if let Some(te) = te {
            trailers.insert("saw-te", te);
        }
        let end = stream::iter([Ok(Frame::trailers(trailers))]);
        let body = StreamBody::new(frames.chain(end));
        Response::builder()
            .header("content-type", "application/grpc")
            .body(BodyExt::boxed(SyncBody(Box::pin(body))))
            .unwrap()
    })
    .await
}

/// Implements `Sync` for a body, as the boxed type requires. Only one task uses it.
struct SyncBody<B>(std::pin::Pin<Box<B>>);

impl<B: http_body::Body> http_body::Body for SyncBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.0.as_mut().poll_frame(cx)
    }
}

pub(crate) fn grpc_service(url: &str) -> api::core_v1::Service {
    service(url).with(|spec| spec.mode = api::core_v1::service::spec::Mode::Grpc.into())
}

pub(crate) async fn connect(world: &World) -> http2::SendRequest<ClientBody> {
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) fn call(path: &str, token: Option<&str>, body: ClientBody) -> Request<ClientBody> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("https://{HOST}{path}"))
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers");
    if let Some(token) = token {
        request = request.header("x-octelium-auth", token);
    }
    request.body(body).unwrap()
}

pub(crate) fn nothing() -> ClientBody {
    Empty::new().boxed()
}

#[tokio::test]
async fn messages_pass_both_ways_one_by_one_and_trailers_follow() {
    let world = World::start().await;
    let upstream = echo().await;
    world.serve(&grpc_service(&upstream.url()));
    let (messages, channel) = mpsc::unbounded_channel();
    let body = StreamBody::new(receiver(channel));
    let mut client = connect(&world).await;
    let request = call(PATH, Some(TOKEN), BodyExt::boxed(SyncBody(Box::pin(body))));
    let mut response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    for message in ["one", "two", "three"] {
        messages
            .send(Ok(Frame::data(Bytes::from(message))))
            .unwrap();
        let frame = timeout(Duration::from_secs(2), response.body_mut().frame()).await;
        let frame = frame.unwrap().unwrap().unwrap();
        assert_eq!(frame.data_ref().unwrap(), message);
    }
    drop(messages);
    let trailers = response.body_mut().frame().await.unwrap().unwrap();
    let trailers = trailers.into_trailers().ok().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
    assert_eq!(trailers["saw-te"], "trailers");
    assert!(response.body_mut().frame().await.is_none());
}

async fn status(world: &World, request: Request<ClientBody>) -> (u16, Option<String>) {
    let response = connect(world).await.send_request(request).await.unwrap();
    let header = response.headers().get("grpc-status");
    let grpc = header.map(|status| status.to_str().unwrap().to_owned());
    if grpc.is_some() {
        assert!(response.body().is_end_stream(), "not trailers only");
        assert_eq!(response.headers()["content-type"], "application/grpc");
    }
    (response.status().as_u16(), grpc)
}

#[tokio::test]
async fn denials_are_trailers_only_with_a_status() {
    let world = World::start().await;
    let upstream = echo().await;
    world.serve(&grpc_service(&upstream.url()).rules(vec![rule(
        "say",
        matches(r#"ctx.request.grpc.method == "Say" && ctx.request.grpc.package == "pkg.v1""#),
        true,
    )]));
    let grpc = |status: &str| (200, Some(status.to_owned()));
    assert_eq!(
        status(&world, call(PATH, None, nothing())).await,
        grpc("16")
    );
    assert_eq!(
        status(&world, call(PATH, Some("AQo-bad"), nothing())).await,
        grpc("16")
    );
    let other = call("/pkg.v1.Echo/Other", Some(TOKEN), nothing());
    assert_eq!(status(&world, other).await, grpc("7"));
    assert_eq!(
        status(&world, call(PATH, Some(TOKEN), nothing())).await.0,
        200
    );
    world.serve(&grpc_service("http://127.0.0.1:1"));
    assert_eq!(
        status(&world, call(PATH, Some(TOKEN), nothing())).await,
        grpc("14")
    );
    world
        .identity
        .stale
        .store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(
        status(&world, call(PATH, Some(TOKEN), nothing())).await,
        grpc("14")
    );
}

#[rstest]
#[case("/pkg.v1.Echo")]
#[case("/pkg.v1.Echo/")]
#[case("/pkg.v1.Echo/Say?x=y")]
#[case("/pkg.v1.Echo/Say/More")]
#[case("/Say")]
#[tokio::test]
async fn c10_other_paths_are_not_grpc_calls(#[case] path: &str) {
    let world = World::start().await;
    let upstream = echo().await;
    world.serve(&grpc_service(&upstream.url()).anonymous());
    let (code, grpc) = status(&world, call(path, None, nothing())).await;
    assert_eq!((code, grpc.as_deref()), (200, Some("3")));
}

#[tokio::test]
async fn c10_reflection_and_health_are_calls_like_others() {
    let world = World::start().await;
    let upstream = echo().await;
    world.serve(&grpc_service(&upstream.url()).rules(vec![rule(
        "echo",
        matches(r#"ctx.request.grpc.service == "Echo""#),
        true,
    )]));
    for path in [
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "/grpc.health.v1.Health/Check",
    ] {
        let (_, grpc) = status(&world, call(path, Some(TOKEN), nothing())).await;
        assert_eq!(grpc.as_deref(), Some("7"), "{path}");
        let (_, grpc) = status(&world, call(path, None, nothing())).await;
        assert_eq!(grpc.as_deref(), Some("16"), "{path}");
    }
}

#[tokio::test]
async fn a_grpc_service_accepts_only_grpc() {
    let world = World::start().await;
    let upstream = echo().await;
    world.serve(&grpc_service(&upstream.url()).anonymous());
    let reply = crate::support::client::get(world.address, PATH, &[]).await;
    assert_eq!(reply.status, 415);
}

#[tokio::test]
async fn c09_the_authority_of_http2_must_agree_with_a_host() {
    let world = World::start().await;
    let upstream = echo().await;
    world.serve(&grpc_service(&upstream.url()).anonymous());
    let mut request = call(PATH, None, nothing());
    request
        .headers_mut()
        .insert("host", HeaderValue::from_static("other.example.com"));
    // The Service, and therefore its mode, is unknown.
    assert_eq!(status(&world, request).await, (400, None));
    let mut request = call(PATH, None, nothing());
    request
        .headers_mut()
        .insert("host", HeaderValue::from_static(HOST));
    assert_eq!(status(&world, request).await.0, 200);
}

#[tokio::test]
async fn c15_an_open_call_ends_with_its_session() {
    let world = World::start().await;
    let upstream = echo().await;
    world.serve(&grpc_service(&upstream.url()));
    let revoked = world.grant(TOKEN, Duration::from_hours(1));
    let (messages, channel) = mpsc::unbounded_channel();
    let body = StreamBody::new(receiver(channel));
    let request = call(PATH, Some(TOKEN), BodyExt::boxed(SyncBody(Box::pin(body))));
    let mut response = connect(&world).await.send_request(request).await.unwrap();
    messages.send(Ok(Frame::data(Bytes::from("one")))).unwrap();
    response.body_mut().frame().await.unwrap().unwrap();
    revoked.cancel();
    let end = timeout(Duration::from_secs(3), response.body_mut().frame()).await;
    let trailers = end.unwrap().unwrap().unwrap().into_trailers().ok().unwrap();
    assert_eq!(trailers["grpc-status"], "16");
}

#[tokio::test]
async fn calls_share_one_connection_to_the_upstream() {
    let world = World::start().await;
    let upstream = echo().await;
    world.serve(&grpc_service(&upstream.url()).anonymous());
    let client = connect(&world).await;
    let calls = (0..50).map(|_| {
        let mut client = client.clone();
        async move {
            let response = client
                .send_request(call(PATH, None, nothing()))
                .await
                .unwrap();
            let trailers = response
                .into_body()
                .collect()
                .await
                .unwrap()
                .trailers()
                .cloned();
            trailers.unwrap()["grpc-status"].clone()
        }
    });
    let results = futures_util::future::join_all(calls).await;
    assert!(results.iter().all(|status| status == "0"));
    assert_eq!(upstream.connections(), 1);
}
