//! Certificates, from files or issued by the Cluster's own authority.

pub(crate) mod authority;
pub(crate) mod files;
pub(crate) mod issuing;

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::ResolvesServerCert,
};

/// Returns the cryptography provider of all connections, incoming and outgoing.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Builds a configuration for TLS 1.2 and 1.3 that prefers HTTP/2 to HTTP/1.1.
///
/// # Errors
///
/// Returns an error if the provider supports none of these versions, which does not happen with [`provider`].
pub(crate) fn server_config(
    certificates: Arc<dyn ResolvesServerCert>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A request in early data can be replayed by an attacker who recorded it.
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}
