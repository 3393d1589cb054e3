//! A fake Cluster: real TLS, HTTP/2 and gRPC framing, and the behavior that the clients need.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use api::{meta_v1::ListResponseMeta, platform_v1::Resource, reflect};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};
use tokio_rustls::TlsAcceptor;
use tonic::Code;

mod answers;

/// A received call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Service and method, such as `auth.v1.MainService/Logout`.
    pub(crate) method: String,
    /// Value of `x-octelium-auth`.
    pub(crate) access_token: String,
    /// Value of `x-octelium-refresh-token`.
    pub(crate) refresh_token: String,
    pub(crate) user_agent: String,
    pub(crate) body: Bytes,
}

/// The state of the Cluster.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) objects: BTreeMap<(String, String), Resource>,
    pub(crate) calls: Vec<Call>,
    /// Queued error responses by method. Each one replaces the next response.
    pub(crate) refusals: HashMap<String, Vec<(Code, String)>>,
    /// Warnings by method, and by kind for applied objects.
    pub(crate) warnings: HashMap<String, Vec<String>>,
    /// Reasons (`ErrorInfo`) by method.
    pub(crate) reasons: HashMap<String, String>,
    /// True if the User is of type WORKLOAD.
    pub(crate) is_workload: bool,
    /// Numbers of the current access and refresh tokens.
    pub(crate) sessions: u32,
    pub(crate) refreshes: u32,
    pub(crate) expires_in: i64,
    pub(crate) page_size: usize,
    pub(crate) refresh_delay: Duration,
    pub(crate) rejected_access_tokens: Vec<String>,
}

pub(crate) struct Fake {
    address: SocketAddr,
    ca: PathBuf,
    state: Arc<Mutex<State>>,
    _directory: tempfile::TempDir,
    _runtime: tokio::runtime::Runtime,
}

pub(crate) type Answer = Result<Vec<Vec<u8>>, (Code, String)>;

impl Fake {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (tls, certificate) = certificate();
        let ca = directory.path().join("ca.pem");
        std::fs::write(&ca, certificate).unwrap();
        let state = Arc::new(Mutex::new(State {
            expires_in: 14_400,
            page_size: 200,
            ..State::default()
        }));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, tls, state.clone()));
        Self {
            address,
            ca,
            state,
            _directory: directory,
            _runtime: runtime,
        }
    }

    pub(crate) fn domain(&self) -> String {
        format!("localhost:{}", self.address.port())
    }

    pub(crate) fn ca_path(&self) -> &Path {
        &self.ca
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Adds objects from YAML.
    pub(crate) fn put(&self, yaml: &str) {
        for (_, mut resource) in api::document::parse("test", yaml.as_bytes()).unwrap() {
            answers::complete(&mut resource);
            self.state().insert(resource);
        }
    }

    pub(crate) fn get(&self, kind: &str, name: &str) -> Option<Resource> {
        self.state()
            .objects
            .get(&(kind.to_owned(), name.to_owned()))
            .cloned()
    }

    /// Makes the next call of `method` fail.
    pub(crate) fn refuse(&self, method: &str, code: Code, message: &str) {
        self.state()
            .refusals
            .entry(method.to_owned())
            .or_default()
            .push((code, message.to_owned()));
    }

    pub(crate) fn methods(&self) -> Vec<String> {
        self.state()
            .calls
            .iter()
            .map(|call| call.method.clone())
            .collect()
    }

    /// Returns the request of the last call of `method`.
    pub(crate) fn request<M: prost::Message + Default>(&self, method: &str) -> M {
        let state = self.state();
        let call = state.calls.iter().rev().find(|call| call.method == method);
        let call = call.unwrap_or_else(|| panic!("{method} was not called"));
        M::decode(call.body.clone()).unwrap()
    }
}

impl State {
    pub(crate) fn insert(&mut self, resource: Resource) {
        let key = (
            resource.kind().unwrap().to_owned(),
            resource.name().to_owned(),
        );
        self.objects.insert(key, resource);
    }

    fn of_kind(&self, kind: &str) -> Vec<Resource> {
        self.objects
            .iter()
            .filter(|((of, _), _)| of == kind)
            .map(|(_, resource)| resource.clone())
            .collect()
    }

    /// Returns a page as encoded List message.
    fn list(&self, kind: &str, page: usize) -> Vec<u8> {
        let all = self.of_kind(kind);
        let total = all.len();
        let items: Vec<Value> = all
            .into_iter()
            .skip(page * self.page_size)
            .take(self.page_size)
            .map(|resource| Value::Message(resource.dynamic().unwrap()))
            .collect();
        let meta = ListResponseMeta {
            page: u32::try_from(page).unwrap(),
            items_per_page: u32::try_from(self.page_size).unwrap(),
            total_count: u32::try_from(total).unwrap(),
            has_more: (page + 1) * self.page_size < total,
        };
        let name = format!("octelium.api.main.core.v1.{kind}List");
        let mut list = DynamicMessage::new(reflect::pool().get_message_by_name(&name).unwrap());
        list.set_field_by_name("kind", Value::String(format!("{kind}List")));
        list.set_field_by_name("items", Value::List(items));
        list.set_field_by_name(
            "listResponseMeta",
            Value::Message(reflect::dynamic(&meta).unwrap()),
        );
        list.encode_to_vec()
    }
}

fn certificate() -> (TlsAcceptor, String) {
    let issued = rcgen::generate_simple_self_signed(["octelium-api.localhost".to_owned()]).unwrap();
    let key =
        rustls_pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), issued.cert.pem())
}

async fn serve(listener: tokio::net::TcpListener, tls: TlsAcceptor, state: Arc<Mutex<State>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, state) = (tls.clone(), state.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let service = hyper::service::service_fn(move |request| answer(request, state.clone()));
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

type Body = StreamBody<tokio_stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>>>;

async fn answer(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let header = |name: &str| {
        let value = head.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let path = head.uri.path();
    let method = ["/octelium.api.main.", "/octelium."]
        .iter()
        .find_map(|prefix| path.strip_prefix(prefix))
        .unwrap_or(path)
        .to_owned();
    let call = Call {
        access_token: header("x-octelium-auth"),
        refresh_token: header("x-octelium-refresh-token"),
        user_agent: header("user-agent"),
        body: body.collect().await.unwrap().to_bytes().slice(5..),
        method,
    };
    let delay = state.lock().unwrap().refresh_delay;
    if call.method.ends_with("AuthenticateWithRefreshToken") {
        tokio::time::sleep(delay).await;
    }
    let answer = {
        let mut state = state.lock().unwrap();
        state.calls.push(call.clone());
        let refusals = state.refusals.get_mut(&call.method);
        match refusals.filter(|refusals| !refusals.is_empty()) {
            Some(refusals) => Err(refusals.remove(0)),
            None => answers::answer(&mut state, &call),
        }
    };
    let reason = state.lock().unwrap().reasons.get(&call.method).cloned();
    let warnings = state.lock().unwrap().warnings.get(&call.method).cloned();
    let mut response = framed(answer, reason);
    for warning in warnings.unwrap_or_default() {
        let headers = response.headers_mut();
        headers.append("x-octelium-warning", warning.parse().unwrap());
    }
    Ok(response)
}

/// `google.rpc.Status`
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ErrorInfo {
    #[prost(string, tag = "1")]
    reason: String,
}

fn details(code: Code, text: &str, reason: String) -> String {
    let info = prost_types::Any {
        type_url: "type.googleapis.com/google.rpc.ErrorInfo".to_owned(),
        value: ErrorInfo { reason }.encode_to_vec(),
    };
    let status = RpcStatus {
        code: code as i32,
        message: text.to_owned(),
        details: vec![info],
    };
    STANDARD_NO_PAD.encode(status.encode_to_vec())
}

fn framed(answer: Answer, reason: Option<String>) -> Response<Body> {
    let (messages, code, text) = match answer {
        Ok(messages) => (messages, Code::Ok, String::new()),
        Err((code, text)) => (Vec::new(), code, text),
    };
    let mut frames: Vec<Result<Frame<Bytes>, Infallible>> = Vec::new();
    for message in messages {
        let mut frame = BytesMut::with_capacity(message.len() + 5);
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len()).unwrap());
        frame.put_slice(&message);
        frames.push(Ok(Frame::data(frame.freeze())));
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", (code as i32).into());
    trailers.insert("grpc-message", text.replace(' ', "%20").parse().unwrap());
    if let Some(reason) = reason.filter(|_| code != Code::Ok) {
        let details = details(code, &text, reason);
        trailers.insert("grpc-status-details-bin", details.parse().unwrap());
    }
    frames.push(Ok(Frame::trailers(trailers)));
    Response::builder()
        .header("content-type", "application/grpc")
        .body(StreamBody::new(tokio_stream::iter(frames)))
        .unwrap()
}

/// Returns the current time in seconds since the epoch.
pub(crate) fn now() -> i64 {
    answers::ago(0).seconds
}
