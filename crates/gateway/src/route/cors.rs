//! Cross-origin requests (Fetch standard, CORS protocol), answered on behalf of the Service.

use api::core_v1::service::spec::config::http::Cors as CorsSpec;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::problems::Problems;

/// The CORS rules of a Service.
pub(crate) struct Cors {
    any_origin: bool,
    origins: Vec<HeaderValue>,
    /// `.example.com` accepts the origins of all Services of this Cluster.
    cluster_suffix: Option<String>,
    allow_credentials: bool,
    allow_methods: Option<HeaderValue>,
    allow_headers: Option<HeaderValue>,
    expose_headers: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

/// The response to a preflight request.
pub(crate) enum Preflight {
    /// 204 with these fields.
    Allowed(HeaderMap),
    /// 403.
    Refused,
}

impl Cors {
    pub(super) fn compile(spec: &CorsSpec, domain: &str, problems: &mut Problems) -> Self {
        let any_origin = spec
            .allow_origin_string_match
            .iter()
            .any(|origin| origin == "*");
        if any_origin && spec.allow_credentials {
            problems.add(
                "spec.config.http.cors.allowOriginStringMatch",
                "cannot be * together with allowCredentials; name the origins",
            );
        }
        let mut value = |field: &str, text: &str| match text {
            "" => None,
            text => {
                if let Ok(value) = HeaderValue::from_str(text) {
                    Some(value)
                } else {
                    problems.add(
                        &format!("spec.config.http.cors.{field}"),
                        "is not a header value",
                    );
                    None
                }
            }
        };
        Self {
            any_origin,
            origins: spec
                .allow_origin_string_match
                .iter()
                .filter_map(|origin| value("allowOriginStringMatch", origin))
                .collect(),
            cluster_suffix: spec
                .allow_cluster_services
                .then(|| format!(".{}", domain.to_ascii_lowercase())),
            allow_credentials: spec.allow_credentials,
            allow_methods: value("allowMethods", &spec.allow_methods),
            allow_headers: value("allowHeaders", &spec.allow_headers),
            expose_headers: value("exposeHeaders", &spec.expose_headers),
            max_age: value("maxAge", &spec.max_age),
        }
    }

    /// Answers a preflight request. Returns `None` if the request is not one.
    pub(crate) fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Preflight> {
        let origin = headers.get(header::ORIGIN)?;
        let asked = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        if method != Method::OPTIONS {
            return None;
        }
        let mut answer = HeaderMap::new();
        if !self.grant(origin, &mut answer) {
            return Some(Preflight::Refused);
        }
        let methods = self.allow_methods.clone().unwrap_or_else(|| asked.clone());
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        let asked_headers = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        if let Some(allowed) = self.allow_headers.as_ref().or(asked_headers) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed.clone());
        }
        if let Some(max_age) = &self.max_age {
            answer.insert(header::ACCESS_CONTROL_MAX_AGE, max_age.clone());
        }
        Some(Preflight::Allowed(answer))
    }

    /// Replaces the CORS fields of an upstream's response.
    pub(crate) fn apply(&self, origin: Option<&HeaderValue>, response: &mut HeaderMap) {
        const REPLACED: [HeaderName; 3] = [
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
        ];
        for name in REPLACED {
            response.remove(name);
        }
        let granted = origin.is_some_and(|origin| self.grant(origin, response));
        if let (true, Some(exposed)) = (granted, &self.expose_headers) {
            response.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
        }
        if !self.any_origin && !granted {
            response.append(header::VARY, HeaderValue::from_static("origin"));
        }
    }

    /// Returns true if pages of `origin` may send requests with cookies.
    pub(crate) fn allows_credentials(&self, origin: &HeaderValue) -> bool {
        self.allow_credentials && (self.origins.contains(origin) || self.is_of_cluster(origin))
    }

    fn grant(&self, origin: &HeaderValue, response: &mut HeaderMap) -> bool {
        if self.any_origin {
            response.insert(
                header::ACCESS_CONTROL_ALLOW_ORIGIN,
                HeaderValue::from_static("*"),
            );
            return true;
        }
        if !self.origins.contains(origin) && !self.is_of_cluster(origin) {
            return false;
        }
        response.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        response.append(header::VARY, HeaderValue::from_static("origin"));
        if self.allow_credentials {
            response.insert(
                header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
        true
    }

    /// Returns true for `https://<label>.<domain>[:port]`.
    fn is_of_cluster(&self, origin: &HeaderValue) -> bool {
        let (Some(suffix), Ok(origin)) = (&self.cluster_suffix, origin.to_str()) else {
            return false;
        };
        let Some(authority) = origin.strip_prefix("https://") else {
            return false;
        };
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            Some(_) => return false,
            None => authority,
        };
        host.strip_suffix(suffix.as_str()).is_some_and(|service| {
            !service.is_empty()
                && service
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn cors(spec: &CorsSpec) -> Cors {
        let mut problems = Problems::default();
        let cors = Cors::compile(spec, "example.com", &mut problems);
        assert!(problems.is_empty());
        cors
    }

    #[rstest]
    #[case("https://app.example.com", true)]
    #[case("https://app.ns.example.com:8443", true)]
    #[case("https://listed.org", true)]
    #[case("http://app.example.com", false)]
    #[case("https://example.com.evil.org", false)]
    #[case("https://evilexample.com", false)]
    #[case("https://.example.com", false)]
    #[case("https://evil.org/.example.com", false)]
    #[case("https://listed.org.evil.org", false)]
    #[case("null", false)]
    fn only_listed_origins_and_those_of_the_cluster_may_read(
        #[case] origin: &'static str,
        #[case] granted: bool,
    ) {
        let cors = cors(&CorsSpec {
            allow_origin_string_match: vec!["https://listed.org".to_owned()],
            allow_cluster_services: true,
            allow_credentials: true,
            ..CorsSpec::default()
        });
        let mut response = HeaderMap::new();
        response.insert(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        );
        cors.apply(Some(&HeaderValue::from_static(origin)), &mut response);
        let expected = granted.then_some(origin);
        let allowed = response.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(allowed.map(|value| value.to_str().unwrap()), expected);
        assert_eq!(response.get(header::VARY).unwrap(), "origin");
    }

    #[test]
    fn any_origin_with_credentials_is_refused() {
        let mut problems = Problems::default();
        let spec = CorsSpec {
            allow_origin_string_match: vec!["*".to_owned()],
            allow_credentials: true,
            ..CorsSpec::default()
        };
        Cors::compile(&spec, "example.com", &mut problems);
        assert!(!problems.is_empty());
    }

    #[test]
    fn only_a_preflight_is_answered() {
        let cors = cors(&CorsSpec {
            allow_origin_string_match: vec!["*".to_owned()],
            ..CorsSpec::default()
        });
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_static("https://a.org"));
        assert!(cors.preflight(&Method::OPTIONS, &headers).is_none());
        headers.insert(
            header::ACCESS_CONTROL_REQUEST_METHOD,
            HeaderValue::from_static("PUT"),
        );
        assert!(cors.preflight(&Method::GET, &headers).is_none());
        let Some(Preflight::Allowed(answer)) = cors.preflight(&Method::OPTIONS, &headers) else {
            panic!("refused");
        };
        assert_eq!(answer[header::ACCESS_CONTROL_ALLOW_METHODS], "PUT");
    }
}
