//! What a person wanted who was sent to the login: they go on there when they are logged in.

use http::StatusCode;

use super::{failure::Failure, form::Fields};
use crate::{
    Context,
    return_to::{self, InvalidReturn, Place},
};

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    /// The portal.
    Portal,
    /// A page of a Service.
    Service(Place),
}

/// As it is sealed into a cookie.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Kept {
    #[prost(string, tag = "1")]
    url: String,
    #[prost(string, tag = "2")]
    state: String,
}

const RETURN: &str = "return";

impl Next {
    /// Reads it from the query of the login page, or from the fields of its form.
    ///
    /// # Errors
    /// Where it is no place that this Cluster has sent somebody from.
    pub(super) async fn read(ctx: &Context, fields: &Fields) -> Result<Self, Failure> {
        if let Some(place) = fields.get(RETURN) {
            return match return_to::verify(ctx, place).await {
                Ok(place) => Ok(Self::Service(place)),
                Err(InvalidReturn::Unavailable) => Err(Failure::unavailable()),
                Err(InvalidReturn::Expired) => Err(Failure::new(
                    StatusCode::BAD_REQUEST,
                    "This took too long",
                    "The way back to where you came from has expired. Open the Service again.",
                )
                .then("/", "Go to the portal")),
                Err(InvalidReturn::Invalid) => Err(Failure::new(
                    StatusCode::BAD_REQUEST,
                    "This link leads nowhere",
                    "It names a place to go on to that this Cluster has not sent you from. Open the Service itself.",
                )
                .then("/", "Go to the portal")),
            };
        }
        Ok(Self::Portal)
    }

    /// The field, and its value, that says the same again.
    pub(super) fn field(&self, ctx: &Context) -> Result<Option<(&'static str, String)>, Failure> {
        Ok(match self {
            Self::Portal => None,
            Self::Service(place) => {
                let signed = return_to::sign(ctx, &place.url, &place.state);
                let signed = signed.map_err(|error| Failure::from(crate::Error::from(error)))?;
                signed.map(|signed| (RETURN, signed))
            }
        })
    }

    /// The login page with all of it.
    pub(super) fn login(&self, ctx: &Context) -> Result<String, Failure> {
        Ok(match self.field(ctx)? {
            None => "/login".to_owned(),
            // Unreserved characters alone.
            Some((name, value)) => format!("/login?{name}={value}"),
        })
    }

    pub(super) fn keep(&self) -> Kept {
        let mut kept = Kept::default();
        match self {
            Self::Portal => {}
            Self::Service(place) => {
                kept.url.clone_from(&place.url);
                kept.state.clone_from(&place.state);
            }
        }
        kept
    }

    pub(super) fn kept(kept: Kept) -> Self {
        if !kept.url.is_empty() {
            return Self::Service(Place {
                url: kept.url,
                state: kept.state,
            });
        }
        Self::Portal
    }
}
