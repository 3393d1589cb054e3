//! The Cluster's own certificate authority. Its key is encrypted in the store, so that all replicas share it.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail};
use domain::{clock::UnixMillis, id::Uid, kind::Kind, rng::Rng};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber,
};
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use store::{CommitError, Expected, NewDocument, Operation, SecretWrite, Store, Transaction};
use zeroize::Zeroizing;

/// The name of the authority's document.
pub(crate) const NAME: &str = "authority";
/// The lifetime of the authority, longer than that of any machine that runs it.
const AUTHORITY_LIFETIME: Duration = Duration::from_hours(20 * 365 * 24);
/// The lifetime of issued certificates.
pub(crate) const LEAF_LIFETIME: Duration = Duration::from_hours(30 * 24);
/// Certificates are valid this much earlier, for clients whose clocks are slow.
const CLOCK_SKEW: Duration = Duration::from_hours(24);

/// The authority with its key.
pub(crate) struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Loads the authority from the store, or creates it.
    ///
    /// # Errors
    ///
    /// Returns an error if the store fails or its authority does not parse.
    pub(crate) async fn open(
        store: &dyn Store,
        rng: &dyn Rng,
        now: UnixMillis,
    ) -> anyhow::Result<Self> {
        if let Some(authority) = Self::read(store, now).await? {
            return Ok(authority);
        }
        match Self::create(store, rng, now).await? {
            Some(authority) => Ok(authority),
            // Another replica created it first.
            None => Self::read(store, now)
                .await?
                .context("certificate authority: it does not exist although it was just created"),
        }
    }

    /// Returns the certificate that clients must trust, as PEM.
    pub(crate) fn pem(&self) -> String {
        use base64::Engine as _;
        let encoded = base64::engine::general_purpose::STANDARD.encode(&self.certificate);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in encoded.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }

    /// Returns the certificate that clients must trust.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Issues a certificate for exactly `host`, with a new key.
    ///
    /// # Errors
    ///
    /// Returns an error if `host` is not valid in a certificate.
    pub(crate) fn issue(
        &self,
        host: &str,
        rng: &dyn Rng,
        now: UnixMillis,
    ) -> anyhow::Result<Arc<CertifiedKey>> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new([host.to_owned()])?;
        params.distinguished_name = common_name(host);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, rng, now, LEAF_LIFETIME);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Arc::new(CertifiedKey::new(
            vec![certificate.der().clone()],
            rustls::crypto::aws_lc_rs::sign::any_supported_type(&key)?,
        )))
    }

    async fn read(store: &dyn Store, now: UnixMillis) -> anyhow::Result<Option<Self>> {
        let Some(document) = store.get_by_name(Kind::Certificate, NAME, now).await? else {
            return Ok(None);
        };
        let key = store
            .secret(Kind::Certificate, document.uid)
            .await?
            .context("certificate authority: its key is not in the store")?;
        Self::parse(document.body, &key).map(Some)
    }

    /// Creates the authority. Returns `None` if one exists already.
    async fn create(
        store: &dyn Store,
        rng: &dyn Rng,
        now: UnixMillis,
    ) -> anyhow::Result<Option<Self>> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = common_name(&format!("Cluster {} CA", store.cluster_uid()));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, rng, now, AUTHORITY_LIFETIME);
        let certificate = params.self_signed(&key)?.der().to_vec();
        let key = Zeroizing::new(key.serialize_der());

        let mut transaction = Transaction::at(now);
        let document = NewDocument {
            kind: Kind::Certificate,
            uid: Uid::random(rng),
            name: NAME.to_owned(),
            created_at: now,
            expires_at: None,
            body: certificate.clone(),
            indexes: Vec::new(),
            secret: SecretWrite::Set(key.clone()),
        };
        transaction.push(Operation::Put(document, Expected::Absent));
        match store.commit(transaction).await {
            Ok(_) => Self::parse(certificate, &key).map(Some),
            Err(CommitError::NameTaken { .. }) => Ok(None),
            Err(error) => bail!(error),
        }
    }

    fn parse(certificate: Vec<u8>, key: &[u8]) -> anyhow::Result<Self> {
        let key = PrivatePkcs8KeyDer::from(key);
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256)
            .context("certificate authority: its key cannot be parsed")?;
        let certificate = CertificateDer::from(certificate);
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .context("certificate authority: its certificate cannot be parsed")?;
        Ok(Self {
            certificate,
            issuer,
        })
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished_name = DistinguishedName::new();
    // RFC 5280 allows 64 characters. Clients use the subject alternative name.
    let short: String = name.chars().take(64).collect();
    distinguished_name.push(DnType::CommonName, short);
    distinguished_name
}

fn set_validity(
    params: &mut CertificateParams,
    rng: &dyn Rng,
    now: UnixMillis,
    lifetime: Duration,
) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = |instant: UnixMillis| instant.since(UnixMillis(0));
    params.not_before = epoch + since(now.saturating_sub(CLOCK_SKEW));
    params.not_after = epoch + since(now.saturating_add(lifetime));
    // RFC 5280 §4.1.2.2: positive, at most 20 octets.
    let mut serial = [0; 16];
    rng.fill(&mut serial);
    serial[0] = serial[0] & 0x3f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
}
