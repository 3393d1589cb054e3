//! Limits on the memory and the time that request bodies can take.
//!
//! Each body that the API, the OAuth2 endpoints or the pages read passes through [`limited`]. Bytes that were received
//! and are not handled yet are charged to the User of an authenticated request, or else to the client's address prefix.
//! A body that does not fit is refused at once. A body that takes too long is cut off.

use std::{net::IpAddr, sync::Arc, time::Duration};

use ::budget::{Pool, ReserveError, Reserved, STEP, Size};
use axum::{body::Body, extract::Request, response::Response};
use domain::{address_prefix::AddressPrefix, id::Uid};
use http_body::Body as _;

use crate::{Error, ErrorKind, limit::Limit};

mod body;
mod message;

use body::{ChargedBody, LimitedBody};

/// Maximum size of one message, in bytes, for methods without authentication.
pub(crate) const ANONYMOUS_MESSAGE: usize = 64 * 1024;
/// Maximum size of one message, in bytes, for methods with authentication.
pub(crate) const MESSAGE: usize = 4 * 1024 * 1024;
/// Maximum size of one message of `platform.v1`, in bytes. An apply sends many documents at once.
pub(crate) const PLATFORM_MESSAGE: usize = 16 * 1024 * 1024;

/// Maximum bytes of unfinished bodies without authentication: of one address prefix, and in total.
const ANONYMOUS: Size = Size {
    share: 16 * 1024 * 1024,
    total: 64 * 1024 * 1024,
};
/// Maximum bytes of streams without authentication (health and reflection): of one address prefix, and in total. They
/// are separate from the bodies, so that streams cannot keep logins out.
const STREAMS: Size = Size {
    share: 32 * STEP,
    total: 256 * STEP,
};
/// Maximum bytes of unfinished bodies with authentication: of one User, and in total.
const AUTHENTICATED: Size = Size {
    share: 32 * 1024 * 1024,
    total: 96 * 1024 * 1024,
};

/// Maximum time without data.
const IDLE: Duration = Duration::from_secs(10);
/// Maximum time of a body without authentication.
const ANONYMOUS_TIME: Duration = Duration::from_secs(30);
/// Maximum time of a body with authentication.
const AUTHENTICATED_TIME: Duration = Duration::from_mins(1);
/// Maximum time without data on a message stream without authentication.
const ANONYMOUS_STREAM_IDLE: Duration = Duration::from_mins(1);

/// The memory budget of unfinished bodies in this process.
pub(crate) struct BodyBudget {
    anonymous: Arc<Pool<Option<AddressPrefix>>>,
    streams: Arc<Pool<Option<AddressPrefix>>>,
    authenticated: Arc<Pool<Uid>>,
}

/// The party to which a body is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payer {
    /// A client that is not authenticated.
    Anonymous(Option<AddressPrefix>),
    /// A client that is not authenticated and asks for an endless response.
    Stream(Option<AddressPrefix>),
    /// An authenticated User.
    User(Uid),
}

/// The framing of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Plain bytes, such as a form.
    Whole,
    /// One gRPC message.
    Message,
    /// Any number of gRPC messages. After the first message, `stream_idle` replaces the other time limits.
    Messages,
}

/// Limits of one body.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Maximum bytes of the body, or of one message of a stream.
    most: usize,
    idle: Duration,
    total: Duration,
    shape: Shape,
    /// Maximum time without data after the first message of a stream.
    stream_idle: Option<Duration>,
    /// True if the request can be evicted after its body has arrived.
    stays_evictable: bool,
}

/// The reason why a body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("the request is larger than {most} bytes")]
    TooLarge { most: usize },
    #[error("the request did not arrive in time")]
    TimedOut,
    #[error("too many requests are unfinished; try again")]
    Overloaded(ReserveError),
}

impl Default for BodyBudget {
    fn default() -> Self {
        Self::new(ANONYMOUS, AUTHENTICATED)
    }
}

impl BodyBudget {
    fn new(anonymous: Size, authenticated: Size) -> Self {
        Self {
            anonymous: Arc::new(Pool::new(anonymous)),
            streams: Arc::new(Pool::new(STREAMS)),
            authenticated: Arc::new(Pool::new(authenticated)),
        }
    }

    fn reserve(&self, payer: Payer) -> Result<Reserved, ReserveError> {
        match payer {
            Payer::Anonymous(prefix) => Pool::reserve(&self.anonymous, prefix),
            Payer::Stream(prefix) => Pool::reserve(&self.streams, prefix),
            Payer::User(user) => Pool::reserve(&self.authenticated, user),
        }
    }
}

impl Payer {
    /// Returns the payer for a client at this address that is not authenticated.
    pub(crate) fn anonymous(address: Option<IpAddr>) -> Self {
        Self::Anonymous(address.map(AddressPrefix::from))
    }

    /// Returns the payer for a client at this address that is not authenticated and asks for an endless response.
    pub(crate) fn stream(address: Option<IpAddr>) -> Self {
        Self::Stream(address.map(AddressPrefix::from))
    }

    /// Returns the limit that refused a body.
    fn limit(self, no_room: ReserveError) -> Limit {
        match (self, no_room) {
            (_, ReserveError::Evicted) => Limit::BodyEvicted,
            (Self::Anonymous(_), ReserveError::Share) => Limit::AnonymousShare,
            (Self::Anonymous(_), ReserveError::Total) => Limit::AnonymousTotal,
            (Self::Stream(_), ReserveError::Share) => Limit::StreamShare,
            (Self::Stream(_), ReserveError::Total) => Limit::StreamTotal,
            (Self::User(_), ReserveError::Share) => Limit::UserShare,
            (Self::User(_), ReserveError::Total) => Limit::UserTotal,
        }
    }

    fn limits(self, most: usize, shape: Shape) -> Limits {
        let (total, stream_idle) = match self {
            Self::Anonymous(_) | Self::Stream(_) => (ANONYMOUS_TIME, Some(ANONYMOUS_STREAM_IDLE)),
            Self::User(_) => (AUTHENTICATED_TIME, None),
        };
        Limits {
            most,
            idle: IDLE,
            total,
            shape,
            stream_idle,
            stays_evictable: matches!(self, Self::Stream(_)),
        }
    }
}

/// Calls `handle` with a request whose body is limited and charged to `payer`. `most` is the maximum size of the body
/// in bytes, or of each message of a stream. A response without authentication stays charged until it is sent.
///
/// # Errors
/// Returns an error of the kind `TooLarge`, `TimedOut` or `Overloaded` if the body was refused.
pub(crate) async fn limited<F>(
    budget: &BodyBudget,
    payer: Payer,
    (most, shape): (usize, Shape),
    request: Request,
    handle: impl FnOnce(Request) -> F,
) -> Result<Response, Error>
where
    F: Future<Output = Response>,
{
    let is_stream = matches!(payer, Payer::Stream(_));
    if request.body().is_end_stream() && !is_stream {
        return Ok(handle(request).await);
    }
    let limits = payer.limits(most, shape);
    let announced = request.body().size_hint().lower();
    if shape == Shape::Whole && announced > u64::try_from(most).unwrap_or(u64::MAX) {
        let refused = Refused::TooLarge { most };
        refused.count(payer);
        return Err(refused.into());
    }
    let reserved = budget.reserve(payer).map_err(Refused::Overloaded);
    let reserved = Arc::new(reserved.inspect_err(|refused| refused.count(payer))?);
    let refusal = Arc::default();
    let request = request.map(|body| {
        let body = LimitedBody::new(body, limits, Arc::clone(&reserved), Arc::clone(&refusal));
        Body::new(body)
    });
    let response = handle(request).await;
    if let Some(refused) = body::take(&refusal) {
        refused.count(payer);
        return Err(refused.into());
    }
    if is_stream {
        return Ok(response.map(|body| Body::new(ChargedBody::new(body, reserved))));
    }
    Ok(response)
}

impl Refused {
    /// Counts the refusal. The limit is logged at most once per minute.
    fn count(self, payer: Payer) {
        let limit = match self {
            Self::TooLarge { .. } => Limit::BodyBytes,
            Self::TimedOut => Limit::BodyTime,
            Self::Overloaded(no_room) => payer.limit(no_room),
        };
        match payer {
            Payer::Anonymous(prefix) | Payer::Stream(prefix) => limit.reached_by(prefix),
            Payer::User(user) => limit.reached(&user),
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        let kind = match refused {
            Refused::TooLarge { .. } => ErrorKind::TooLarge,
            Refused::TimedOut => ErrorKind::TimedOut,
            Refused::Overloaded(_) => ErrorKind::Overloaded,
        };
        Self::new(kind, format!("Octelium: {refused}"))
    }
}

#[cfg(test)]
mod tests;
