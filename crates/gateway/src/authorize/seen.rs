//! The view of a request for Policies and expressions.

use http::Version;
use policy::{QueryView, Request};

use crate::{
    authorize::IpText,
    canonical::{Ambiguity, HeaderView, parse_call},
    denial::Denial,
    inbound::Arrived,
};

/// A lazy view: parses each part when it is first read.
pub(crate) struct Seen<'a> {
    arrived: Arrived<'a>,
    headers: HeaderView<'a>,
    query: QueryView<'a>,
    ip: IpText,
}

impl<'a> Seen<'a> {
    pub(crate) fn new(arrived: Arrived<'a>) -> Self {
        let request = arrived.request;
        Self {
            arrived,
            headers: HeaderView::new(&request.headers),
            query: QueryView::new(request.target.query()),
            ip: IpText::new(arrived.client),
        }
    }

    pub(crate) fn request(&self) -> Request<'_> {
        let request = self.arrived.request;
        Request {
            ip: self.ip.as_str(),
            method: request.method.as_str(),
            path: request.target.path(),
            uri: request.target.as_str(),
            host: request.host.name(),
            scheme: "https",
            protocol: protocol(request.version),
            size: request.length.as_policy_size(),
            headers: &self.headers,
            query: &self.query,
            body: self.arrived.body,
            body_map: self.arrived.body_map,
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
