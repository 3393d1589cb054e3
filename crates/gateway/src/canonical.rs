//! The canonical request: what the Policies see is what the upstream receives.

use http::{
    HeaderMap, HeaderValue, Method, Version,
    request::Parts,
    uri::{PathAndQuery, Scheme},
};

use crate::{
    listener::{has_both_framings, has_malformed_chunk},
    mode::Mode,
};

mod ambiguity;
mod cookie;
mod field_name;
mod fields;
mod framing;
mod grpc;
mod host;
mod names;
mod path;
mod trailers;
mod view;

pub(crate) use ambiguity::Ambiguity;
pub(crate) use cookie::{ACCESS_COOKIE, STATE_COOKIE, is_reserved_cookie};
pub(crate) use field_name::{is_hop_by_hop, is_ours};
pub(crate) use fields::remove_connection_options;
pub(crate) use framing::Length;
use grpc::is_grpc;
pub(crate) use grpc::parse_call;
pub(crate) use host::Host;
pub(crate) use names::{Names, has_prefix, is_same, remove_spellings};
pub(crate) use path::check as check_path;
pub(crate) use trailers::{clean_request_trailers, clean_response_trailers};
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
    /// The client takes trailers, as every client of gRPC does.
    pub(crate) trailers: bool,
    /// That of the Service: it decides how the request is treated.
    pub(crate) mode: Mode,
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
    /// Takes the host out of a request as it came from the wire: all that routing needs.
    ///
    /// # Errors
    /// Where the host, or where the request ends, could be read in two ways, and for methods and schemes that are not
    /// served.
    pub(crate) fn take_host(parts: &mut Parts) -> Result<Host, Ambiguity> {
        if has_both_framings(&parts.extensions) || has_malformed_chunk(&parts.extensions) {
            return Err(Ambiguity::Framing);
        }
        if parts.method == Method::CONNECT || parts.method == Method::TRACE {
            return Err(Ambiguity::Method);
        }
        match parts.uri.scheme() {
            None => {}
            Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {}
            Some(_) => return Err(Ambiguity::Target),
        }
        Host::take(&parts.uri, &mut parts.headers)
    }

    /// Reads the rest of a request to a Service of mode `mode`. `host`: from [`Self::take_host`].
    ///
    /// # Errors
    /// Where anything in it could be read in two ways, or a Service of mode GRPC gets what is no call.
    pub(crate) fn read(
        parts: Parts,
        host: Host,
        length: Length,
        mode: Mode,
    ) -> Result<Self, Ambiguity> {
        let Parts {
            method,
            uri,
            version,
            mut headers,
            ..
        } = parts;
        // First, as every other refusal of this mode has the form of gRPC. A CORS preflight has no content.
        if mode.is_grpc() && method != Method::OPTIONS && !is_grpc(&headers) {
            return Err(Ambiguity::NotGrpc);
        }
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
        let taken = fields::clean(&mut headers, mode)?;
        Ok(Self {
            websocket: taken.websocket
                && !mode.is_grpc()
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
            trailers: mode.is_grpc() || taken.trailers,
            mode,
        })
    }
}
