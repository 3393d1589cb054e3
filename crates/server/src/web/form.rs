//! Forms of the pages and their CSRF protection.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use http::{StatusCode, header};

use super::{failure::Failure, visit::Visit};
use crate::Context;

/// Name of the field that carries the CSRF token of the Session.
pub(super) const TOKEN: &str = "token";
const MOST: usize = 64;

/// The fields of a form sent by one of our pages. If the visitor has a Session, its CSRF token was verified.
pub(crate) struct VerifiedForm(Fields);

/// Fields of a form or a query. Names are unique.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Parses the fields. Returns `None` if a name repeats or there are more than [`MOST`] fields.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if fields.len() >= MOST || fields.iter().any(|(known, _)| *known == name) {
                return None;
            }
            fields.push((name.into_owned(), value.into_owned()));
        }
        Some(Self(fields))
    }

    /// Returns the value of a field, or `None` if it is absent or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }
}

impl std::ops::Deref for VerifiedForm {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.0
    }
}

impl FromRequest<Context> for VerifiedForm {
    type Rejection = Failure;

    async fn from_request(request: Request, ctx: &Context) -> Result<Self, Failure> {
        let is_form = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|essence| {
                essence
                    .trim()
                    .eq_ignore_ascii_case("application/x-www-form-urlencoded")
            });
        let visit = request.extensions().get::<Visit>().cloned();
        let body = Bytes::from_request(request, ctx).await;
        let fields = body.ok().filter(|_| is_form);
        let fields = fields.and_then(|body| Fields::parse(&body));
        let fields = fields.ok_or_else(|| {
            Failure::new(
                StatusCode::BAD_REQUEST,
                "The request is not valid",
                "The data from your browser cannot be read. Go back and try again.",
            )
        })?;
        if let Some(Visit::SignedIn(visitor)) = visit {
            visitor.check(ctx, fields.get(TOKEN)).await?;
        }
        Ok(Self(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_there_once() {
        let fields = Fields::parse(b"a=1&b=&c=x%20y").unwrap();
        assert_eq!(fields.get("a"), Some("1"));
        assert_eq!(fields.get("b"), None);
        assert_eq!(fields.get("c"), Some("x y"));
        assert_eq!(Fields::parse(b"a=1&a=2"), None);
    }
}
