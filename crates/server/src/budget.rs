//! Memory and time that the bodies of requests may take.
//!
//! Every body that the API, the OAuth2 endpoints or the pages read goes through [`limited`]. Bytes that have arrived
//! and are not handled yet are charged to the caller: to the User if the request is authenticated, else to the prefix
//! of its address. A body that does not fit is refused at once, and one that takes too long is cut off.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{body::Body, extract::Request, response::Response};
use domain::{address_prefix::AddressPrefix, id::Uid};
use http_body::Body as _;

use crate::{Error, ErrorKind};

mod body;
mod message;
mod pool;

use body::{Held, LimitedBody};
use pool::{NoRoom, Pool, Reserved};

/// How many bytes one message of a method without authentication may have.
pub(crate) const ANONYMOUS_MESSAGE: usize = 64 * 1024;
/// How many bytes one message of a method with authentication may have.
pub(crate) const MESSAGE: usize = 4 * 1024 * 1024;
/// How many bytes one message of `platform.v1` may have: Apply takes many documents at once.
pub(crate) const PLATFORM_MESSAGE: usize = 16 * 1024 * 1024;

/// Bytes that unfinished bodies without authentication may have, for one address prefix and in total.
const ANONYMOUS: Size = Size {
    share: 16 * 1024 * 1024,
    total: 64 * 1024 * 1024,
};
/// Bytes that unfinished bodies with authentication may have, for one User and in total.
const AUTHENTICATED: Size = Size {
    share: 32 * 1024 * 1024,
    total: 96 * 1024 * 1024,
};

/// How long nothing may come.
const IDLE: Duration = Duration::from_secs(10);
/// How long a body may take without authentication.
const ANONYMOUS_TIME: Duration = Duration::from_secs(30);
/// How long a body may take with authentication.
const AUTHENTICATED_TIME: Duration = Duration::from_mins(1);
/// How long nothing may come on a stream of messages without authentication.
const ANONYMOUS_STREAM_IDLE: Duration = Duration::from_mins(1);

/// Limits of a [`Pool`].
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Of one caller.
    share: usize,
    /// Of all callers.
    total: usize,
}

/// What unfinished bodies take of the memory of this process.
pub(crate) struct BodyBudget {
    anonymous: Arc<Pool<Option<AddressPrefix>>>,
    authenticated: Arc<Pool<Uid>>,
}

/// Who a body is charged to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payer {
    /// The client is not authenticated.
    Anonymous(Option<AddressPrefix>),
    /// The client is authenticated as this User.
    User(Uid),
}

/// How a body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Bytes, as a form.
    Whole,
    /// One gRPC message.
    Message,
    /// Any number of gRPC messages. The time limits end with the first one.
    Messages,
}

/// Limits of one body.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Bytes: of the body, or of one message of a stream.
    most: usize,
    idle: Duration,
    total: Duration,
    shape: Shape,
    /// How long nothing may come after the first message of a stream.
    stream_idle: Option<Duration>,
}

/// Why a body is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("the request is larger than {most} bytes")]
    TooLarge { most: usize },
    #[error("the request did not arrive in time")]
    TimedOut,
    #[error("too many requests are unfinished; try again")]
    Overloaded(NoRoom),
}

impl Default for BodyBudget {
    fn default() -> Self {
        Self::new(ANONYMOUS, AUTHENTICATED)
    }
}

impl BodyBudget {
    fn new(anonymous: Size, authenticated: Size) -> Self {
        use crate::limit::Limit;
        Self {
            anonymous: Arc::new(Pool::new(
                anonymous,
                (Limit::AnonymousShare, Limit::AnonymousTotal),
            )),
            authenticated: Arc::new(Pool::new(
                authenticated,
                (Limit::UserShare, Limit::UserTotal),
            )),
        }
    }

    fn reserve(&self, payer: Payer) -> Result<Reserved, NoRoom> {
        match payer {
            Payer::Anonymous(prefix) => Pool::reserve(&self.anonymous, prefix),
            Payer::User(user) => Pool::reserve(&self.authenticated, user),
        }
    }
}

impl Payer {
    /// A client at this address that is not authenticated.
    pub(crate) fn anonymous(address: Option<IpAddr>) -> Self {
        Self::Anonymous(address.map(AddressPrefix::from))
    }

    fn limits(self, most: usize, shape: Shape) -> Limits {
        let (total, stream_idle) = match self {
            Self::Anonymous(_) => (ANONYMOUS_TIME, Some(ANONYMOUS_STREAM_IDLE)),
            Self::User(_) => (AUTHENTICATED_TIME, None),
        };
        Limits {
            most,
            idle: IDLE,
            total,
            shape,
            stream_idle,
        }
    }
}

/// Lets `handle` answer a request whose body has at most `most` bytes (for a stream: each message), is charged to
/// `payer`, and does not take too long. A reply without authentication stays charged until it is sent.
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
    if request.body().is_end_stream() {
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
    Ok(match payer {
        Payer::Anonymous(_) if !response.body().is_end_stream() => {
            response.map(|body| Body::new(Held::new(body, reserved)))
        }
        Payer::Anonymous(_) | Payer::User(_) => response,
    })
}

impl Refused {
    /// Counts it, and logs the first.
    fn count(self, payer: Payer) {
        use crate::limit::Limit;
        let limit = match self {
            Self::TooLarge { .. } => Limit::BodyBytes,
            Self::TimedOut => Limit::BodyTime,
            Self::Overloaded(NoRoom(limit)) => limit,
        };
        match payer {
            Payer::Anonymous(prefix) => limit.reached_by(prefix),
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
