//! Generation of keys with self-signed certificates.

use std::time::Duration;

use domain::{clock::UnixMillis, rng::Rng};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
    SerialNumber,
};
use zeroize::Zeroizing;

use crate::saml::error::{Error, ErrorKind};

/// Certificates are valid this long before their creation, for identity providers that check the date with a slow
/// clock.
const CLOCK_SKEW: Duration = Duration::from_hours(24);

/// A private key with its certificate, for storage.
pub struct KeyMaterial {
    /// Private key in PKCS#8. Secret.
    pub pkcs8: Zeroizing<Vec<u8>>,
    /// Certificate in DER.
    pub certificate: Vec<u8>,
}

/// Generates an RSA key of 2048 bits for signing and decryption, and its certificate for `common_name`, valid for
/// `lifetime`. The cryptographic library generates the key; only the serial number uses `rng`.
///
/// # Errors
/// Returns an error of [`ErrorKind::Key`] if `common_name` is not allowed in a certificate or the library fails.
pub fn generate(
    common_name: &str,
    rng: &dyn Rng,
    now: UnixMillis,
    lifetime: Duration,
) -> Result<KeyMaterial, Error> {
    let failed = |error: rcgen::Error| Error::new(ErrorKind::Key, format!("a new key: {error}"));
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).map_err(failed)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![
        KeyUsagePurpose::DigitalSignature,
        KeyUsagePurpose::KeyEncipherment,
    ];
    // RFC 5280 §4.1.2.2: positive, at most 20 bytes.
    let mut serial = [0; 16];
    rng.fill(&mut serial);
    serial[0] = serial[0] & 0x3f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |instant: UnixMillis| epoch + instant.since(UnixMillis(0));
    params.not_before = at(now.saturating_sub(CLOCK_SKEW));
    params.not_after = at(now.saturating_add(lifetime));
    let certificate = params.self_signed(&key).map_err(failed)?.der().to_vec();
    Ok(KeyMaterial {
        pkcs8: Zeroizing::new(key.serialize_der()),
        certificate,
    })
}
