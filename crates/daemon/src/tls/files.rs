//! The operator's certificate from PEM files, reloaded when they change.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use anyhow::{Context as _, bail};
use arc_swap::ArcSwap;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

/// A certificate and its key in two files.
pub(crate) struct FileResolver {
    certificate_file: PathBuf,
    key_file: PathBuf,
    current: ArcSwap<Loaded>,
}

struct Loaded {
    key: Arc<CertifiedKey>,
    changed: (SystemTime, SystemTime),
}

impl FileResolver {
    /// Loads both files.
    ///
    /// # Errors
    ///
    /// Returns an error if a file cannot be read or parsed, or if the key does not match the certificate.
    pub(crate) fn open(certificate_file: PathBuf, key_file: PathBuf) -> anyhow::Result<Self> {
        let current = ArcSwap::from_pointee(load(&certificate_file, &key_file)?);
        Ok(Self {
            certificate_file,
            key_file,
            current,
        })
    }

    /// Reloads the files if one has changed. If loading fails, the current certificate stays in use.
    pub(crate) fn refresh(&self) {
        let unchanged = changed(&self.certificate_file, &self.key_file)
            .is_ok_and(|changed| changed == self.current.load().changed);
        if unchanged {
            return;
        }
        match load(&self.certificate_file, &self.key_file) {
            Ok(loaded) => {
                self.current.store(Arc::new(loaded));
                tracing::info!(file = %self.certificate_file.display(), "certificate reloaded");
            }
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "certificate not reloaded; the previous one stays in use"
            ),
        }
    }
}

impl ResolvesServerCert for FileResolver {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.load().key))
    }
}

impl fmt::Debug for FileResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileResolver").finish_non_exhaustive()
    }
}

fn load(certificate_file: &Path, key_file: &Path) -> anyhow::Result<Loaded> {
    let changed = changed(certificate_file, key_file)?;
    let context = || format!("certificate file {}", certificate_file.display());
    let chain = CertificateDer::pem_file_iter(certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| anyhow::anyhow!("{}: {error}", context()))?;
    if chain.is_empty() {
        bail!("{} contains no certificate in PEM", context());
    }
    let context = || format!("key file {}", key_file.display());
    // The original error is dropped, so that it cannot reveal content of the file.
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|_| anyhow::anyhow!("{} contains no private key in PEM", context()))?;
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).with_context(context)?;
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(_) => bail!(
            "{} does not match the certificate in {}",
            context(),
            certificate_file.display()
        ),
    }
    Ok(Loaded {
        key: Arc::new(key),
        changed,
    })
}

fn changed(certificate_file: &Path, key_file: &Path) -> anyhow::Result<(SystemTime, SystemTime)> {
    let of = |file: &Path| {
        fs::metadata(file)
            .and_then(|metadata| metadata.modified())
            .with_context(|| file.display().to_string())
    };
    Ok((of(certificate_file)?, of(key_file)?))
}
