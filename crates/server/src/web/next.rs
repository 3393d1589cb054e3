//! The place to continue at after a login, carried through the pages of the login.

use http::StatusCode;

use super::{approval, failure::Failure, form::Fields};
use crate::{
    Context,
    return_to::{self, InvalidReturn, ReturnTarget},
};

/// The place to continue at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Next {
    Portal,
    /// A page of a Service.
    Service(ReturnTarget),
    /// Approval of a command-line client on the person's machine: its request, unparsed.
    Program(String),
    /// Approval of a device that shows a code. The code is empty if it was not in the link.
    Device(String),
    /// Another page of the Cluster: path and query.
    Page(String),
}

/// A [`Next`] in the encoding that is sealed into a cookie.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SealedNext {
    #[prost(string, tag = "1")]
    url: String,
    #[prost(string, tag = "2")]
    state: String,
    #[prost(string, tag = "3")]
    program: String,
    #[prost(string, optional, tag = "4")]
    device: Option<String>,
    #[prost(string, tag = "5")]
    page: String,
}

const RETURN: &str = "return";
const PROGRAM: &str = "octelium_req";
const DEVICE: &str = "device";
const PAGE: &str = "page";
const LONGEST_PAGE: usize = 1024;
/// Placeholder for an empty code.
const NO_CODE: &str = "-";
const LONGEST_CODE: usize = 16;

impl Next {
    /// Reads the place from the query of the login page or from the fields of a form.
    ///
    /// # Errors
    /// Returns a [`Failure`] if the signed return address is invalid or expired, or the request of the client is
    /// invalid.
    pub(super) async fn read(ctx: &Context, fields: &Fields) -> Result<Self, Failure> {
        if let Some(place) = fields.get(RETURN) {
            return match return_to::verify(ctx, place).await {
                Ok(place) => Ok(Self::Service(place)),
                Err(InvalidReturn::Unavailable) => Err(Failure::unavailable()),
                Err(InvalidReturn::Expired) => Err(Failure::new(
                    StatusCode::BAD_REQUEST,
                    "This took too long",
                    "The link back to the Service has expired. Open the Service again.",
                )
                .then("/", "Go to the portal")),
                Err(InvalidReturn::Invalid) => Err(Failure::new(
                    StatusCode::BAD_REQUEST,
                    "This link is not valid",
                    "The Cluster did not create its return address. Open the Service directly.",
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
        if let Some(page) = fields.get(PAGE) {
            return Ok(Self::page(page));
        }
        Ok(Self::Portal)
    }

    /// Returns a code as a person typed it, or an empty string if it cannot be a code.
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

    /// Returns a page of the Cluster. Returns the portal if `place` could lead to another host.
    pub(super) fn page(place: &str) -> Self {
        let is_path = place.strip_prefix('/').is_some_and(|rest| {
            !rest.is_empty()
                && !rest.starts_with('/')
                && rest
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._~/?=&%+:".contains(&byte))
        });
        if is_path && place.len() <= LONGEST_PAGE {
            Self::Page(place.to_owned())
        } else {
            Self::Portal
        }
    }

    /// Returns name and value of the query or form field that carries this place. `None` for the portal.
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
            Self::Page(place) => Some((PAGE, place.clone())),
        })
    }

    /// Returns the address of the login page that carries this place.
    pub(super) fn login(&self, ctx: &Context) -> Result<String, Failure> {
        self.at(ctx, "/login")
    }

    /// Returns the address of `path` with the field that carries this place.
    pub(super) fn at(&self, ctx: &Context, path: &str) -> Result<String, Failure> {
        let mark = if path.contains('?') { '&' } else { '?' };
        Ok(match self.field(ctx)? {
            None => path.to_owned(),
            Some((name, value)) => {
                let value = form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>();
                format!("{path}{mark}{name}={value}")
            }
        })
    }

    pub(super) fn to_sealed(&self) -> SealedNext {
        let mut kept = SealedNext::default();
        match self {
            Self::Portal => {}
            Self::Service(place) => {
                kept.url.clone_from(&place.url);
                kept.state.clone_from(&place.state);
            }
            Self::Program(request) => kept.program.clone_from(request),
            Self::Device(code) => kept.device = Some(code.clone()),
            Self::Page(place) => kept.page.clone_from(place),
        }
        kept
    }

    pub(super) fn from_sealed(kept: SealedNext) -> Self {
        if !kept.url.is_empty() {
            return Self::Service(ReturnTarget {
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
        if !kept.page.is_empty() {
            return Self::page(&kept.page);
        }
        Self::Portal
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("/sessions", true)]
    #[case("/admin/user?page=2", true)]
    #[case("//evil.example", false)]
    #[case("/\\evil.example", false)]
    #[case("https://evil.example", false)]
    #[case("/a\tb", false)]
    #[case("/", false)]
    #[case("", false)]
    fn w01_a_page_is_one_here(#[case] place: &str, #[case] is_kept: bool) {
        let is_page = Next::page(place) == Next::Page(place.to_owned());
        assert_eq!(is_page, is_kept, "{place}");
    }
}
