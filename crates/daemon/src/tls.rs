//! Certificates: from files, or issued by the Cluster's own authority for the names that it serves.

pub(crate) mod authority;
pub(crate) mod files;
pub(crate) mod issuing;

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::ResolvesServerCert,
};

/// The cryptography of every connection, incoming and outgoing.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// TLS 1.2 and 1.3 with HTTP/2 preferred to HTTP/1.1.
///
/// # Errors
/// Never with the provider above; the library cannot know.
pub(crate) fn server_config(
    certificates: Arc<dyn ResolvesServerCert>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // A request in early data can be replayed by whoever recorded it.
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}
