//! A received request with its body.

use std::{net::IpAddr, sync::Arc};

use budget::STEP;
use bytes::{Bytes, BytesMut};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use prost_types::Struct;

use crate::{
    body::{Bounds, RequestBody, RequestTrailers, Transfer, TransferState, Watch},
    canonical::{Canonical, Length},
    denial_reason::Denial,
    route::Buffering,
    shares::{ChargedBytes, PendingCharge},
};

mod json;

#[cfg(feature = "fuzzing")]
pub(crate) use json::{MAX_NODES, read as read_json};

/// A canonical request with its body and connection.
pub(crate) struct Inbound<B> {
    pub(crate) request: Canonical,
    pub(crate) content: Content<B>,
    /// The client's connection, for an upgrade to a WebSocket.
    pub(crate) upgrade: Option<OnUpgrade>,
    pub(crate) client: IpAddr,
    /// The place of a buffered body in the memory budget.
    pub(crate) held: Option<ChargedBytes>,
}

/// The body of a request.
pub(crate) enum Content<B> {
    /// A streamed body.
    Stream(B),
    /// A buffered body, and the parsed object if JSON is required.
    Whole(Bytes, Option<Box<Struct>>),
}

/// The parts of a request that Policies and expressions can see.
#[derive(Clone, Copy)]
pub(crate) struct ReceivedRequest<'a> {
    pub(crate) request: &'a Canonical,
    pub(crate) client: IpAddr,
    pub(crate) body: &'a [u8],
    pub(crate) body_map: Option<&'a Struct>,
}

impl<B> Inbound<B> {
    pub(crate) fn received(&self) -> ReceivedRequest<'_> {
        let (body, body_map) = match &self.content {
            Content::Stream(_) => (&[][..], None),
            Content::Whole(bytes, map) => (&**bytes, map.as_deref()),
        };
        ReceivedRequest {
            request: &self.request,
            client: self.client,
            body,
            body_map,
        }
    }
}

impl<B> Inbound<B>
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Reads the whole body, before the Policies run. `charge` is `None` if the body is empty.
    pub(crate) async fn buffer(
        self,
        rule: &Buffering,
        charge: Option<PendingCharge>,
        watch: &Watch,
        transfer: &Arc<Transfer>,
    ) -> Result<Self, Denial> {
        let Content::Stream(stream) = self.content else {
            return Ok(self);
        };
        let mut request = self.request;
        if rule.json {
            json::check_fields(&request)?;
        }
        let expected = match request.length {
            Length::Exact(length) if length > rule.limit => return Err(Denial::BodyTooLarge),
            Length::Exact(length) => length,
            Length::Unknown => 0,
        };
        let bounds = Bounds {
            limit: Some(rule.limit),
            idle: Some(rule.idle),
            watch: watch.another(),
            trailers: RequestTrailers::Dropped,
        };
        let body = RequestBody::stream(stream, bounds, Arc::clone(transfer));
        let reading = read(body, expected, charge.as_ref(), transfer);
        let bytes = match &charge {
            None => reading.await?,
            Some(charge) => charge.within_limits(reading).await?,
        };
        let (bytes, held) = match charge {
            None => (bytes, None),
            Some(charge) => {
                let (bytes, held) = charge.bind(bytes);
                (bytes, Some(held))
            }
        };
        request.length = Length::Exact(bytes.len() as u64);
        let map = if rule.json {
            json::parse(&request, &bytes)?.map(Box::new)
        } else {
            None
        };
        Ok(Self {
            request,
            content: Content::Whole(bytes, map),
            upgrade: self.upgrade,
            client: self.client,
            held,
        })
    }
}

/// Reads the body to its end. Memory grows with the received data, because the declared length may be false.
async fn read(
    mut body: RequestBody,
    expected: u64,
    charge: Option<&PendingCharge>,
    transfer: &Transfer,
) -> Result<Bytes, Denial> {
    let first = usize::try_from(expected).unwrap_or(STEP).min(STEP);
    let mut bytes = BytesMut::with_capacity(first);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| denial(transfer.state()))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        match charge {
            Some(charge) => charge.hold(bytes.len().saturating_add(data.len()))?,
            None if data.is_empty() => {}
            None => return Err(Denial::BodyBroken),
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// Maps the state of a body that ended early to a denial.
pub(crate) fn denial(state: TransferState) -> Denial {
    match state {
        TransferState::TooLarge => Denial::BodyTooLarge,
        TransferState::Idle => Denial::BodyIdle,
        TransferState::Revoked => Denial::InvalidToken,
        TransferState::ClientGone | TransferState::Running | TransferState::Finished => {
            Denial::BodyBroken
        }
    }
}
