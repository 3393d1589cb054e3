//! TLS towards upstreams.

use api::core_v1::service::spec::{
    Config,
    config::{client_certificate, tls, upstream::Type},
};

use crate::Error;

const SCHEMES: [&str; 3] = ["https://", "wss://", "grpcs://"];

/// Returns the Secrets with client certificates for the upstream, and the fields that name them.
pub(super) fn secrets(config: &Config) -> impl Iterator<Item = (&'static str, &str)> {
    let beside = config.client_certificate.as_ref().and_then(|certificate| {
        let client_certificate::Type::FromSecret(name) = certificate.r#type.as_ref()?;
        Some(("clientCertificate", name.as_str()))
    });
    let in_tls = config.tls.as_ref();
    let in_tls = in_tls.and_then(|tls| tls.client_certificate.as_ref());
    let in_tls = in_tls.and_then(|certificate| {
        let tls::client_certificate::Type::FromSecret(name) = certificate.r#type.as_ref()?;
        Some(("tls.clientCertificate", name.as_str()))
    });
    beside.into_iter().chain(in_tls)
}

/// Checks that the configuration names one client certificate at most, and that its upstream uses TLS.
///
/// # Errors
/// Returns `InvalidArgument` with the path of the field.
pub(super) fn check(path: &str, config: &Config) -> Result<(), Error> {
    let named: Vec<_> = secrets(config).collect();
    if let [(_, first), (field, second)] = named.as_slice()
        && first != second
    {
        return Err(Error::invalid(format!(
            "{path}.{field} and {path}.clientCertificate name different Secrets: set one of them"
        )));
    }
    let Some((field, _)) = named.first() else {
        return Ok(());
    };
    let upstream = config.upstream.as_ref().and_then(|up| up.r#type.as_ref());
    let has_tls = |url: &str| {
        let url = url.to_ascii_lowercase();
        SCHEMES.iter().any(|scheme| url.starts_with(scheme))
    };
    let is_shown = match upstream {
        Some(Type::Url(url)) => has_tls(url),
        Some(Type::Loadbalance(balance)) => balance.endpoints.iter().all(|end| has_tls(&end.url)),
        Some(Type::Container(_)) | None => false,
    };
    if is_shown {
        Ok(())
    } else {
        Err(Error::invalid(format!(
            "{path}.{field} needs an upstream with TLS: https, wss or grpcs"
        )))
    }
}
