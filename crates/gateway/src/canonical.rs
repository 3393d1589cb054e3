//! The canonical request: what the Policies see is what the upstream receives.

use http::{
    HeaderMap, HeaderValue, Method, Version,
    request::Parts,
    uri::{PathAndQuery, Scheme},
};

use crate::listener::has_both_framings;

mod ambiguity;
mod cookie;
mod field_name;
mod fields;
mod framing;
mod grpc;
mod host;
mod path;
mod view;

pub(crate) use ambiguity::Ambiguity;
pub(crate) use cookie::{ACCESS_COOKIE, STATE_COOKIE, is_reserved_cookie};
pub(crate) use field_name::{is_hop_by_hop, is_ours};
pub(crate) use fields::remove_connection_options;
pub(crate) use framing::Length;
pub(crate) use grpc::{is_grpc, parse_call};
pub(crate) use host::Host;
pub(crate) use path::check as check_path;
pub(crate) use view::HeaderView;

/// A request of which every part has one meaning.
pub(crate) struct Canonical {
    pub(crate) method: Method,
    pub(crate) version: Version,
    /// As it came, checked.
    pub(crate) target: PathAndQuery,
    pub(crate) host: Host,
    /// End-to-end fields only; each name once; without anything of ours, `Authorization`, `Host`, `Expect` and what
    /// proxies say of one another.
    pub(crate) headers: HeaderMap,
    /// What the request proves itself with.
    pub(crate) credentials: Credentials,
    pub(crate) length: Length,
    /// The client asks for a WebSocket.
    pub(crate) websocket: bool,
    /// The client takes trailers.
    pub(crate) trailers: bool,
    /// The content is a stream of gRPC messages.
    pub(crate) grpc: bool,
}

/// The fields that say who is asking; kept apart so that nothing forwards them by mistake.
#[derive(Default)]
pub(crate) struct Credentials {
    /// `X-Octelium-Auth`
    pub(crate) explicit: Option<HeaderValue>,
    /// `Authorization`
    pub(crate) authorization: Option<HeaderValue>,
    /// The cookie that the login has left at this host.
    pub(crate) access_cookie: Option<HeaderValue>,
    /// The cookie by which this browser is known again when it comes from the login.
    pub(crate) state_cookie: Option<HeaderValue>,
}

impl Canonical {
    /// Reads a request as it came from the wire.
    ///
    /// # Errors
    /// Where anything in it could be read in two ways.
    pub(crate) fn read(parts: Parts, length: Length) -> Result<Self, Ambiguity> {
        let Parts {
            method,
            uri,
            version,
            mut headers,
            extensions,
            ..
        } = parts;
        if has_both_framings(&extensions) {
            return Err(Ambiguity::Framing);
        }
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(Ambiguity::Method);
        }
        match uri.scheme() {
            None => {}
            Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {}
            Some(_) => return Err(Ambiguity::Target),
        }
        let host = Host::take(&uri, &mut headers)?;
        let mut target = uri.into_parts().path_and_query.ok_or(Ambiguity::Target)?;
        if target == "/" {
            // Of an absolute target that is cut at its fragment nothing may be left, which only looks like this.
            target = PathAndQuery::from_static("/");
        }
        path::check(target.path())?;
        if let Some(query) = target.query() {
            path::check_query(query)?;
        }
        let length = framing::check(&headers, length)?;
        let grpc = is_grpc(&headers);
        let taken = fields::clean(&mut headers, grpc)?;
        Ok(Self {
            websocket: taken.websocket
                && version == Version::HTTP_11
                && method == Method::GET
                && length == Length::Exact(0),
            method,
            version,
            target,
            host,
            headers,
            credentials: taken.credentials,
            length,
            trailers: taken.trailers,
            grpc,
        })
    }
}
