//! Which certificates the listener has: the operator's, or those of the Cluster's own authority.

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

/// How often the operator's files are looked at.
const REFRESH_INTERVAL: Duration = Duration::from_mins(1);

/// Where certificates come from.
pub(crate) enum Certificates {
    /// Files.
    Operator(Arc<FileResolver>),
    /// The authority in the store.
    Issued {
        /// What clients must trust.
        authority: CertificateDer<'static>,
        /// The same as PEM.
        pem: String,
        /// Issues on demand.
        resolver: Arc<IssuingResolver>,
    },
}

impl Certificates {
    /// As the settings say.
    ///
    /// # Errors
    /// Where only one of the two files is given or they do not load, or the authority does not open.
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
            _ => bail!("--tls-cert and --tls-key belong together: give both or neither"),
        }
    }

    /// For the listener.
    pub(crate) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        match self {
            Self::Operator(resolver) => Arc::clone(resolver) as _,
            Self::Issued { resolver, .. } => Arc::clone(resolver) as _,
        }
    }

    /// What clients must trust; `None` for the operator's certificate.
    pub(crate) fn authority(&self) -> Option<CertificateDer<'static>> {
        match self {
            Self::Operator(_) => None,
            Self::Issued { authority, .. } => Some(authority.clone()),
        }
    }

    /// As [`Self::authority`], as PEM.
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
