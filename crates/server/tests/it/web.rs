//! The pages as browsers request them, through the whole router.

mod active;
mod admin;
mod approval;
mod authenticators;
mod device;
mod device_races;
mod enrollment;
pub(crate) mod handover;
mod portal;
mod protection;
mod provider;
mod saml;

use std::collections::BTreeMap;

use api::{meta_v1::ObjectReference, platform_v1::CreateEnrollmentRequest};
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use server::{Context, authentication::enrollment::create, web_router};
use tower::ServiceExt as _;

use crate::replicas::Replicas;

pub(crate) const ORIGIN: &str = "https://localhost:8443";
pub(crate) const SESSION: &str = "__Host-octelium-session";

#[derive(Clone)]
pub(crate) struct Browser {
    ctx: Context,
    pub(crate) cookies: BTreeMap<String, String>,
}

/// A response as the browser shows it.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Shown {
    pub(crate) fn location(&self) -> &str {
        let location = self.headers.get(header::LOCATION);
        location
            .unwrap_or_else(|| panic!("{self:#?}"))
            .to_str()
            .unwrap()
    }

    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        assert!(self.body.contains(text), "no {text:?} in {self:#?}");
    }

    /// Returns the value of the first field with this name.
    pub(crate) fn field(&self, name: &str) -> String {
        let mark = format!("name=\"{name}\" value=\"");
        let start = self.body.find(&mark).unwrap_or_else(|| panic!("{self:#?}")) + mark.len();
        let rest = &self.body[start..];
        rest[..rest.find('"').unwrap()].to_owned()
    }
}

impl Browser {
    pub(crate) fn at(ctx: &Context) -> Self {
        Self {
            ctx: ctx.clone(),
            cookies: BTreeMap::new(),
        }
    }

    /// Sends the next requests of this browser to another replica.
    pub(crate) fn turn_to(&mut self, ctx: &Context) {
        self.ctx = ctx.clone();
    }

    pub(crate) async fn get(&mut self, path: &str) -> Shown {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    /// Posts a form as one of our pages does.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Shown {
        self.post_from(path, fields, &[("origin", ORIGIN)]).await
    }

    /// Posts a form with headers that describe its origin.
    pub(crate) async fn post_from(
        &mut self,
        path: &str,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Shown {
        let form = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(form)).unwrap()).await
    }

    pub(crate) async fn send(&mut self, mut request: Request<Body>) -> Shown {
        let pairs = self.cookies.iter();
        let line: Vec<String> = pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        if !line.is_empty() {
            let line = line.join("; ").parse().unwrap();
            request.headers_mut().insert(header::COOKIE, line);
        }
        let response = web_router(self.ctx.clone()).oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        for cookie in parts.headers.get_all(header::SET_COOKIE) {
            let text = cookie.to_str().unwrap();
            let (pair, attributes) = text.split_once(';').unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            assert!(name.starts_with("__Host-"), "{text}");
            for attribute in ["Path=/", "Secure", "HttpOnly"] {
                assert!(attributes.contains(attribute), "{text}");
            }
            assert!(!attributes.to_lowercase().contains("domain"), "{text}");
            if attributes.contains("Max-Age=0;") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let body = body.collect().await.unwrap().to_bytes();
        Shown {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// Signs in with a new enrollment link.
    pub(crate) async fn enroll(&mut self, replicas: &Replicas, user: &str) {
        let link = link(replicas, user).await;
        let page = self.get("/enroll").await;
        let mut fields = vec![("link", link.as_str())];
        let token = self
            .cookies
            .contains_key(SESSION)
            .then(|| page.field("token"));
        if let Some(token) = &token {
            fields.push(("token", token));
        }
        let shown = self.post("/enroll", &fields).await;
        assert_eq!(shown.status, 303, "{shown:#?}");
    }
}

/// Creates a Cluster with two people and a workload.
pub(crate) async fn people(count: usize) -> Replicas {
    let replicas = Replicas::start(crate::replicas::Backend::Sqlite, count).await;
    replicas.user("john", "{ type: HUMAN }").await;
    replicas.user("mary", "{ type: HUMAN }").await;
    replicas.workload("robot").await;
    replicas
}

/// Creates an enrollment link and returns its fragment.
pub(crate) async fn link(replicas: &Replicas, user: &str) -> String {
    let enrollment = create(replicas.context(0), &replicas.actor, &request(user)).await;
    let url = enrollment.unwrap().url;
    let (page, link) = url.split_once('#').unwrap();
    assert_eq!(page, "https://localhost:8443/enroll");
    link.to_owned()
}

pub(crate) fn request(user: &str) -> CreateEnrollmentRequest {
    CreateEnrollmentRequest {
        user_ref: Some(ObjectReference {
            name: user.to_owned(),
            ..ObjectReference::default()
        }),
        expires_in: None,
    }
}
