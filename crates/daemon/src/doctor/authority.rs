//! Checks of the Cluster's certificate authority.

use std::{fs, path::Path};

use domain::{clock::UnixMillis, kind::Kind};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use store::Store;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Report;
use crate::{running::CA_FILE, tls::authority::NAME};

const SUBJECT: &str = "certificate authority";
/// The remaining lifetime below which the check warns.
const SOON_SECONDS: i64 = 90 * 24 * 3600;

/// Checks its key, its validity and the copy for clients.
pub(crate) async fn examine(
    store: &dyn Store,
    data_dir: &Path,
    now: UnixMillis,
    report: &mut Report,
) {
    let document = match store.get_by_name(Kind::Certificate, NAME, now).await {
        Ok(Some(document)) => document,
        Ok(None) => return report.passed(SUBJECT, "none: certificates of the operator are used"),
        Err(error) => return report.problem(SUBJECT, error.to_string()),
    };
    let Ok((_, certificate)) = X509Certificate::from_der(&document.body) else {
        return report.problem(SUBJECT, "its certificate cannot be parsed");
    };
    let left = certificate.validity().not_after.timestamp() - now.seconds();
    if left <= 0 {
        report.problem(SUBJECT, "its certificate has expired");
    } else if left < SOON_SECONDS {
        report.warning(
            SUBJECT,
            format!("its certificate expires in {} days", left / 86_400),
        );
    } else {
        report.passed(SUBJECT, format!("valid for {} days", left / 86_400));
    }
    let path = data_dir.join(CA_FILE);
    match fs::read(&path).map(|pem| CertificateDer::from_pem_slice(&pem)) {
        Ok(Ok(given)) if *given == *document.body => {}
        Ok(_) => report.problem(
            path.display().to_string(),
            "is not the Cluster's certificate authority: the next start overwrites it; distribute it to clients again",
        ),
        Err(_) => report.warning(path.display().to_string(), "does not exist: the next start writes it"),
    }
}
