//! The certificates of the listener: the operator's, or those that the Cluster's own authority issues.

use std::{sync::Arc, time::Duration};

use anyhow::bail;
use domain::{clock::Clock, rng::Rng};
use rustls::server::ResolvesServerCert;
use rustls_pki_types::CertificateDer;
use store::Store;

use crate::{
    settings::ListenSettings,
    tls::{
        authority::Authority,
        files::FileResolver,
        issuing::{IssuingResolver, KnownHosts},
    },
};

/// The interval between checks of the operator's files.
const REFRESH_INTERVAL: Duration = Duration::from_mins(1);

/// The source of certificates.
pub(crate) enum Certificates {
    /// The operator's files.
    Operator(Arc<FileResolver>),
    /// The certificate authority in the store.
    Issued {
        /// The certificate that clients must trust.
        authority: CertificateDer<'static>,
        /// The certificate that clients must trust, as PEM.
        pem: String,
        /// Issues certificates on demand.
        resolver: Arc<IssuingResolver>,
    },
}

impl Certificates {
    /// Opens the source that the settings select.
    ///
    /// # Errors
    ///
    /// Returns an error if only one of the two files is given, if a file does not load, or if the authority cannot be
    /// opened.
    pub(crate) async fn open(
        settings: &ListenSettings,
        store: &dyn Store,
        hosts: Arc<dyn KnownHosts>,
        default_host: &str,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> anyhow::Result<Self> {
        match (&settings.tls_cert, &settings.tls_key) {
            (Some(certificate), Some(key)) => {
                let resolver = Arc::new(FileResolver::open(certificate.clone(), key.clone())?);
                tokio::spawn(refresh(Arc::clone(&resolver)));
                Ok(Self::Operator(resolver))
            }
            (None, None) => {
                let authority = Authority::open(store, rng.as_ref(), clock.now()).await?;
                Ok(Self::Issued {
                    authority: authority.certificate().clone(),
                    pem: authority.pem(),
                    resolver: Arc::new(IssuingResolver::new(
                        authority,
                        hosts,
                        default_host.to_owned(),
                        clock,
                        rng,
                    )),
                })
            }
            _ => bail!("--tls-cert and --tls-key must be set together"),
        }
    }

    /// Returns the certificate resolver of the listener.
    pub(crate) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        match self {
            Self::Operator(resolver) => Arc::clone(resolver) as _,
            Self::Issued { resolver, .. } => Arc::clone(resolver) as _,
        }
    }

    /// Returns the certificate that clients must trust, or `None` for the operator's certificate.
    pub(crate) fn authority(&self) -> Option<CertificateDer<'static>> {
        match self {
            Self::Operator(_) => None,
            Self::Issued { authority, .. } => Some(authority.clone()),
        }
    }

    /// Returns the same certificate as [`Self::authority`], as PEM.
    pub(crate) fn pem(&self) -> Option<&str> {
        match self {
            Self::Operator(_) => None,
            Self::Issued { pem, .. } => Some(pem),
        }
    }
}

async fn refresh(resolver: Arc<FileResolver>) {
    loop {
        tokio::time::sleep(REFRESH_INTERVAL).await;
        resolver.refresh();
    }
}
