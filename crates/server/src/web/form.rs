//! Forms that our pages send.

use axum::{
    body::Bytes,
    extract::{FromRequest, Request},
};
use http::{StatusCode, header};

use super::{failure::Failure, visit::Visit};
use crate::Context;

/// The field that shows that a page which was made for this Session has sent the form.
pub(super) const TOKEN: &str = "token";
const MOST: usize = 64;

/// The fields of a form that one of our pages has sent: of a visitor whose Session is known it carried the token of
/// that Session.
pub(crate) struct Posted(Fields);

/// Fields of a form or a query, each at most once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads them; `None` where a name is there twice or there are very many.
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

    /// The value of a field that has one.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }
}

impl std::ops::Deref for Posted {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.0
    }
}

impl FromRequest<Context> for Posted {
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
                "That did not arrive whole",
                "What your browser has sent cannot be read. Go back and try again.",
            )
        })?;
        if let Some(Visit::Known(visitor)) = visit {
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
