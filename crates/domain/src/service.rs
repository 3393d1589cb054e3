//! Properties of a Service that follow from its spec.

use api::core_v1::{
    Service,
    service::spec::config::{
        Http,
        http::{auth, body::Mode},
    },
};

/// The maximum size of a request body that is buffered, in bytes (32 MiB).
pub const MAX_BUFFERED_BODY: u32 = 32 * 1024 * 1024;

/// Returns whether no client can reach the Service: a private Service needs a private network, which Clusters do not
/// have yet. The system Services of the Cluster are reachable at their own host names.
pub fn is_unreachable(service: &Service) -> bool {
    let is_public = service.spec.as_ref().is_some_and(|spec| spec.is_public);
    let is_system = service
        .metadata
        .as_ref()
        .is_some_and(|metadata| metadata.is_system);
    !is_public && !is_system
}

/// Returns whether the gateway buffers request bodies: it reads a body completely before it authorizes or sends the
/// request.
pub fn buffers_bodies(http: &Http) -> bool {
    let is_json = http
        .body
        .as_ref()
        .is_some_and(|body| body.mode() == Mode::Json);
    http.enable_request_buffering || is_json || signs_bodies(http)
}

/// Returns whether the gateway signs request bodies for the upstream. Only S3 accepts a signature without the body.
pub fn signs_bodies(http: &Http) -> bool {
    match http.auth.as_ref().and_then(|auth| auth.r#type.as_ref()) {
        Some(auth::Type::Sigv4(sigv4)) => sigv4.service != "s3",
        Some(
            auth::Type::Bearer(_)
            | auth::Type::Basic(_)
            | auth::Type::Custom(_)
            | auth::Type::Oauth2ClientCredentials(_),
        )
        | None => false,
    }
}

#[cfg(test)]
mod tests {
    use api::core_v1::service::spec::config::http::{Auth, Body, auth::Sigv4};
    use rstest::rstest;

    use super::*;

    fn signed_for(service: &str) -> Http {
        let sigv4 = Sigv4 {
            service: service.to_owned(),
            ..Sigv4::default()
        };
        Http {
            auth: Some(Auth {
                r#type: Some(auth::Type::Sigv4(sigv4)),
            }),
            ..Http::default()
        }
    }

    #[rstest]
    #[case::nothing(Http::default(), false)]
    #[case::limited(with_body(Mode::Unset), false)]
    #[case::json(with_body(Mode::Json), true)]
    #[case::buffered(Http { enable_request_buffering: true, ..Http::default() }, true)]
    #[case::signed(signed_for("lambda"), true)]
    #[case::signed_without_the_body(signed_for("s3"), false)]
    fn bodies_are_buffered_if_a_step_needs_them_whole(#[case] http: Http, #[case] expected: bool) {
        assert_eq!(buffers_bodies(&http), expected);
    }

    fn with_body(mode: Mode) -> Http {
        Http {
            body: Some(Body {
                mode: mode.into(),
                max_request_size: 1,
                ..Body::default()
            }),
            ..Http::default()
        }
    }
}
