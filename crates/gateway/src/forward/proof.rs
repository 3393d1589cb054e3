//! Authentication of the gateway to an upstream.

use domain::clock::UnixMillis;
use http::{HeaderValue, StatusCode, header};

use crate::{
    body::RequestBody,
    canonical::remove_spellings,
    denial_reason::Denial,
    record::Record,
    route::{Payload, TokenSource, UpstreamCredential},
    upstream::{Outgoing, Upstream},
};

/// The token that was added to a request.
pub(super) struct AddedToken<'a> {
    source: &'a TokenSource,
    value: HeaderValue,
}

impl AddedToken<'_> {
    /// Drops the token if the upstream rejected it.
    pub(super) fn judge(self, status: StatusCode) {
        if status == StatusCode::UNAUTHORIZED {
            self.source.refused(&self.value);
        }
    }
}

/// Adds the credential to a request that is otherwise complete.
pub(super) async fn add<'a>(
    credential: &'a UpstreamCredential,
    upstream: &Upstream,
    outgoing: &mut Outgoing,
    now: UnixMillis,
    record: &Record,
) -> Result<Option<AddedToken<'a>>, Denial> {
    match credential {
        UpstreamCredential::Field { name, value } => {
            let headers = outgoing.request.headers_mut();
            remove_spellings(headers, name);
            headers.insert(name, value.clone());
            Ok(None)
        }
        UpstreamCredential::Token(source) => {
            let value = Box::pin(source.value())
                .await
                .map_err(|error| failed(&error, record))?;
            let headers = outgoing.request.headers_mut();
            headers.insert(header::AUTHORIZATION, value.clone());
            Ok(Some(AddedToken { source, value }))
        }
        UpstreamCredential::Signature(signer) => {
            let url = url(upstream, outgoing).ok_or(Denial::NoCredential)?;
            // Cheap: buffered bytes are shared.
            let body = outgoing.request.body().duplicate();
            let payload = match &body {
                Some(RequestBody::Whole(bytes)) => Payload::Whole(bytes),
                Some(RequestBody::Empty) => Payload::Whole(&[]),
                Some(RequestBody::Stream(_)) | None => Payload::Stream,
            };
            let method = outgoing.request.method().clone();
            let headers = outgoing.request.headers_mut();
            signer
                .sign(&method, &url, headers, &payload, now)
                .map_err(|error| failed(&error, record))?;
            Ok(None)
        }
    }
}

/// Returns the URL as the upstream sees it.
fn url(upstream: &Upstream, outgoing: &Outgoing) -> Option<String> {
    let endpoint = upstream.only()?;
    let host = outgoing.host.as_ref().unwrap_or(&endpoint.host_header);
    let host = host.to_str().ok()?;
    Some(format!(
        "https://{host}{}{}",
        endpoint.base, outgoing.target
    ))
}

fn failed(error: &dyn std::error::Error, record: &Record) -> Denial {
    tracing::warn!(
        request_id = record.id.as_str(),
        service = record.route.as_ref().map(|route| route.name()),
        %error,
        "no credential for the upstream"
    );
    Denial::NoCredential
}
