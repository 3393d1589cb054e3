//! The view of a request for Policies and expressions.

use std::borrow::Cow;

use http::Version;
use percent_encoding::percent_decode_str;
use policy::{QueryView, Request};

use crate::{
    authorize::IpText,
    canonical::{Ambiguity, HeaderView, parse_call},
    denial_reason::Denial,
    inbound::ReceivedRequest,
};

/// A lazy view: parses each part when it is first read.
pub(crate) struct LazyRequest<'a> {
    received: ReceivedRequest<'a>,
    headers: HeaderView<'a>,
    query: QueryView<'a>,
    ip: IpText,
    /// The decoded path: upstreams decode it too.
    path: Cow<'a, str>,
    /// The decoded path and the query as sent.
    uri: Cow<'a, str>,
}

impl<'a> LazyRequest<'a> {
    pub(crate) fn new(received: ReceivedRequest<'a>) -> Self {
        let request = received.request;
        let target = &request.target;
        // The canonical path is UTF-8 when decoded, and decoding it a second time changes nothing.
        let path = percent_decode_str(target.path()).decode_utf8_lossy();
        let uri = match (&path, target.query()) {
            (Cow::Borrowed(_), _) => Cow::Borrowed(target.as_str()),
            (Cow::Owned(path), Some(query)) => Cow::Owned(format!("{path}?{query}")),
            (Cow::Owned(path), None) => Cow::Owned(path.clone()),
        };
        Self {
            received,
            headers: HeaderView::new(&request.headers),
            query: QueryView::new(request.target.query()),
            ip: IpText::new(received.client),
            path,
            uri,
        }
    }

    pub(crate) fn request(&self) -> Request<'_> {
        let request = self.received.request;
        Request {
            ip: self.ip.as_str(),
            method: request.method.as_str(),
            path: &self.path,
            uri: &self.uri,
            host: request.host.name(),
            scheme: "https",
            protocol: protocol(request.version),
            size: request.length.as_policy_size(),
            headers: &self.headers,
            query: &self.query,
            body: self.received.body,
            body_map: self.received.body_map,
            grpc: if request.mode.is_grpc() {
                parse_call(request.target.path(), request.target.query()).ok()
            } else {
                None
            },
        }
    }

    /// Checks the parts that were read so far.
    ///
    /// # Errors
    ///
    /// Returns [`Denial::Ambiguous`] if a part was read differently from what the upstream would see.
    pub(crate) fn check(&self) -> Result<(), Denial> {
        if self.query.was_misread() {
            return Err(Denial::Ambiguous(Ambiguity::Query));
        }
        if self.headers.was_misread() {
            return Err(Denial::Ambiguous(Ambiguity::HeaderText));
        }
        Ok(())
    }
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}
