//! AWS Signature Version 4, implemented by AWS's own library.

use std::time::{Duration, UNIX_EPOCH};

use api::core_v1::service::spec::config::http::auth::Sigv4 as Spec;
use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
        UriPathNormalizationMode, sign,
    },
    sign::v4::SigningParams,
};
use domain::clock::UnixMillis;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use zeroize::Zeroizing;

use crate::problems::Problems;

mod admission;

pub(crate) use admission::admit;

const PATH: &str = "spec.config.http.auth.sigv4";
/// The only service that accepts unsigned bodies.
const S3: &str = "s3";

/// A signer with a key from a Secret.
pub(crate) struct Signer {
    access_key_id: String,
    secret_access_key: Zeroizing<String>,
    region: String,
    service: String,
}

/// The request could not be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request cannot be signed")]
pub(crate) struct NotSigned;

/// The part of the body that is signed.
pub(crate) enum Payload<'a> {
    Whole(&'a [u8]),
    /// A streamed body, which is left unsigned.
    Stream,
}

impl Signer {
    pub(super) fn compile(spec: &Spec, secret: &[u8], problems: &mut Problems) -> Option<Self> {
        for (field, value) in [
            ("accessKeyID", &spec.access_key_id),
            ("region", &spec.region),
            ("service", &spec.service),
        ] {
            if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
                problems.add(&format!("{PATH}.{field}"), "must be set, to visible ASCII");
            }
        }
        let Ok(secret) = std::str::from_utf8(secret.trim_ascii_end()) else {
            problems.add(PATH, "has a Secret that is not text");
            return None;
        };
        Some(Self {
            access_key_id: spec.access_key_id.clone(),
            secret_access_key: Zeroizing::new(secret.to_owned()),
            region: spec.region.clone(),
            service: spec.service.clone(),
        })
    }

    /// Sets the signature fields. `url` is the complete URL that the upstream sees.
    ///
    /// # Errors
    ///
    /// Returns [`NotSigned`] if the request cannot be signed.
    pub(crate) fn sign(
        &self,
        method: &Method,
        url: &str,
        headers: &mut HeaderMap,
        payload: &Payload<'_>,
        now: UnixMillis,
    ) -> Result<(), NotSigned> {
        if matches!(payload, Payload::Stream) && self.service != S3 {
            return Err(NotSigned);
        }
        for name in [
            "authorization",
            "x-amz-date",
            "x-amz-security-token",
            "x-amz-content-sha256",
        ] {
            headers.remove(name);
        }
        let identity = Credentials::new(
            &self.access_key_id,
            self.secret_access_key.as_str(),
            None,
            None,
            "Secret",
        )
        .into();
        let millis = u64::try_from(now.0).map_err(|_| NotSigned)?;
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(UNIX_EPOCH + Duration::from_millis(millis))
            .settings(self.settings())
            .build()
            .map_err(|_| NotSigned)?
            .into();
        let signed: Result<Vec<(&str, &str)>, _> = headers
            .iter()
            .filter(|(name, _)| {
                **name == header::CONTENT_TYPE || name.as_str().starts_with("x-amz-")
            })
            .map(|(name, value)| value.to_str().map(|value| (name.as_str(), value)))
            .collect();
        let signed = signed.map_err(|_| NotSigned)?;
        let body = match payload {
            Payload::Whole(bytes) => SignableBody::Bytes(bytes),
            Payload::Stream => SignableBody::UnsignedPayload,
        };
        let request = SignableRequest::new(method.as_str(), url, signed.into_iter(), body)
            .map_err(|_| NotSigned)?;
        let (instructions, _) = sign(request, &parameters)
            .map_err(|_| NotSigned)?
            .into_parts();
        for (name, value) in instructions.headers() {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| NotSigned)?;
            let mut value = HeaderValue::from_str(value).map_err(|_| NotSigned)?;
            value.set_sensitive(name == header::AUTHORIZATION);
            headers.insert(name, value);
        }
        Ok(())
    }

    fn settings(&self) -> SigningSettings {
        let mut settings = SigningSettings::default();
        if self.service == S3 {
            settings.percent_encoding_mode = PercentEncodingMode::Single;
            settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
            settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        }
        settings
    }
}

#[cfg(test)]
mod tests {
    use api::core_v1::service::spec::config::http::auth::Sigv4;

    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn signer(service: &str) -> Signer {
        let spec = Sigv4 {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            region: "us-east-1".to_owned(),
            service: service.to_owned(),
            ..Sigv4::default()
        };
        let mut problems = Problems::default();
        let signer = Signer::compile(&spec, SECRET.as_bytes(), &mut problems).unwrap();
        assert!(problems.is_empty());
        signer
    }

    /// The example of the AWS documentation, "Create a signed request".
    #[test]
    fn the_published_example_is_signed_as_published() {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8"),
        );
        headers.insert("accept", HeaderValue::from_static("not signed"));
        headers.insert("x-amz-date", HeaderValue::from_static("forged"));
        let url = "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08";
        // 2015-08-30T12:36:00Z
        let now = UnixMillis(1_440_938_160_000);
        signer("iam")
            .sign(&Method::GET, url, &mut headers, &Payload::Whole(b""), now)
            .unwrap();
        assert_eq!(headers["x-amz-date"], "20150830T123600Z");
        assert_eq!(
            headers["authorization"],
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
             SignedHeaders=content-type;host;x-amz-date, \
             Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
        );
        assert!(headers["authorization"].is_sensitive());
    }

    #[test]
    fn only_s3_takes_a_body_that_is_not_signed() {
        let mut headers = HeaderMap::new();
        let url = "https://bucket.s3.amazonaws.com/a%20b";
        let mut sign = |service: &str| {
            signer(service).sign(
                &Method::PUT,
                url,
                &mut headers,
                &Payload::Stream,
                UnixMillis(0),
            )
        };
        assert_eq!(sign("dynamodb"), Err(NotSigned));
        assert_eq!(sign("s3"), Ok(()));
        assert_eq!(headers["x-amz-content-sha256"], "UNSIGNED-PAYLOAD");
    }
}
