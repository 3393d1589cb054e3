//! The canonical request. The upstream receives exactly what the Policies see.

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

/// A request in which every part has exactly one meaning.
pub(crate) struct Canonical {
    pub(crate) method: Method,
    pub(crate) version: Version,
    /// The unchanged target, after the checks.
    pub(crate) target: PathAndQuery,
    pub(crate) host: Host,
    /// End-to-end fields only, each name once. They do not include our own fields, `Authorization`, `Host`, `Expect`
    /// and the fields that proxies add.
    pub(crate) headers: HeaderMap,
    /// The credentials of the caller.
    pub(crate) credentials: Credentials,
    pub(crate) length: Length,
    /// True if the client requests a WebSocket.
    pub(crate) websocket: bool,
    /// True if the client accepts trailers, as every gRPC client does.
    pub(crate) trailers: bool,
    /// The mode of the Service, which decides how the request is treated.
    pub(crate) mode: Mode,
}

/// The credential fields. They are separate, so that nothing forwards them by mistake.
#[derive(Default)]
pub(crate) struct Credentials {
    /// `X-Octelium-Auth`
    pub(crate) explicit: Option<HeaderValue>,
    /// `Authorization`
    pub(crate) authorization: Option<HeaderValue>,
    /// The access cookie for this host.
    pub(crate) access_cookie: Option<HeaderValue>,
    /// The cookie that identifies a browser when it returns from the login.
    pub(crate) state_cookie: Option<HeaderValue>,
}

impl Canonical {
    /// Takes the host, which routing needs, out of a request.
    ///
    /// # Errors
    ///
    /// Returns an [`Ambiguity`] if the host or the end of the request is ambiguous, or if the method or the scheme is
    /// not supported.
    pub(crate) fn take_host(parts: &mut Parts) -> Result<Host, Ambiguity> {
        if has_both_framings(&parts.extensions) || has_malformed_chunk(&parts.extensions) {
            return Err(Ambiguity::Framing);
        }
        // Frameworks compare methods in upper case, so `delete` would be another method for Policies only.
        let is_lower = parts
            .method
            .as_str()
            .bytes()
            .any(|byte| byte.is_ascii_lowercase());
        if is_lower || parts.method == Method::CONNECT || parts.method == Method::TRACE {
            return Err(Ambiguity::Method);
        }
        match parts.uri.scheme() {
            None => {}
            Some(scheme) if *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS => {}
            Some(_) => return Err(Ambiguity::Target),
        }
        Host::take(&parts.uri, &mut parts.headers)
    }

    /// Reads the rest of a request to a Service of mode `mode`. `host` is the result of [`Self::take_host`].
    ///
    /// # Errors
    ///
    /// Returns an [`Ambiguity`] if a part of the request is ambiguous, or if a Service of mode GRPC gets a request that
    /// is not a gRPC call.
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
        // This check is first, because all later rejections in this mode have gRPC form. A CORS preflight has no
        // content type.
        if mode.is_grpc() && method != Method::OPTIONS && !is_grpc(&headers) {
            return Err(Ambiguity::NotGrpc);
        }
        let mut target = uri.into_parts().path_and_query.ok_or(Ambiguity::Target)?;
        if target == "/" {
            // An absolute target that is cut at its fragment can be empty and only compare equal to `/`.
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
