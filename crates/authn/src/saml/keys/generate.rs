//! New keys with self-signed certificates.

use std::time::Duration;

use domain::{clock::UnixMillis, rng::Rng};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
    SerialNumber,
};
use zeroize::Zeroizing;

use crate::saml::error::{Error, ErrorKind};

/// Certificates begin earlier by this, for identity providers that look at the date and whose clock is behind.
const CLOCK_SKEW: Duration = Duration::from_hours(24);

/// A private key with its certificate, as they are stored.
pub struct KeyMaterial {
    /// The private key in PKCS#8: a secret.
    pub pkcs8: Zeroizing<Vec<u8>>,
    /// The certificate in DER.
    pub certificate: Vec<u8>,
}

/// A new RSA key of 2048 bits, fit to sign and to decrypt, with a certificate for `common_name` that lives for
/// `lifetime`. The key comes from the generator of the cryptographic library, the serial number from `rng`.
///
/// # Errors
///
/// Where `common_name` cannot stand in a certificate, or the library fails.
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
    // RFC 5280, 4.1.2.2: positive, at most 20 octets.
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
