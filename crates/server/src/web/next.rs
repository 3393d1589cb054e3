//! What a person wanted who was sent to the login: they go on there when they are logged in.

use http::StatusCode;

use super::{approval, failure::Failure, form::Fields};
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
    /// A command-line client on the person's machine waits to be let in: its request as it came.
    Program(String),
    /// A machine elsewhere shows a code, which may have come along.
    Device(String),
}

/// As it is sealed into a cookie.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Kept {
    #[prost(string, tag = "1")]
    url: String,
    #[prost(string, tag = "2")]
    state: String,
    #[prost(string, tag = "3")]
    program: String,
    #[prost(string, optional, tag = "4")]
    device: Option<String>,
}

const RETURN: &str = "return";
const PROGRAM: &str = "octelium_req";
const DEVICE: &str = "device";
/// In place of a code where there is none.
const NO_CODE: &str = "-";
const LONGEST_CODE: usize = 16;

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
        if let Some(request) = fields.get(PROGRAM) {
            approval::read(request)?;
            return Ok(Self::Program(request.to_owned()));
        }
        if let Some(code) = fields.get(DEVICE) {
            return Ok(Self::Device(Self::code(code)));
        }
        Ok(Self::Portal)
    }

    /// A code as somebody may have typed it in; empty where it cannot be one.
    pub(crate) fn code(text: &str) -> String {
        let is_code = text.len() <= LONGEST_CODE
            && text != NO_CODE
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if is_code {
            text.to_owned()
        } else {
            String::new()
        }
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
            Self::Program(request) => Some((PROGRAM, request.clone())),
            Self::Device(code) if code.is_empty() => Some((DEVICE, NO_CODE.to_owned())),
            Self::Device(code) => Some((DEVICE, code.clone())),
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
            Self::Program(request) => kept.program.clone_from(request),
            Self::Device(code) => kept.device = Some(code.clone()),
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
        if !kept.program.is_empty() {
            return Self::Program(kept.program);
        }
        if let Some(code) = kept.device {
            return Self::Device(code);
        }
        Self::Portal
    }
}
