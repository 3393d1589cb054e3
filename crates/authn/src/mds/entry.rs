//! Metadata entry of one authenticator model.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::clock::UnixMillis;
use serde_json::Value;

use crate::webauthn::Aaguid;

/// Metadata of an authenticator model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Model identifier of FIDO2 authenticators.
    pub aaguid: Option<Aaguid>,
    /// Key identifiers of the attestation certificates, which identify U2F models.
    pub key_identifiers: Vec<Vec<u8>>,
    /// Human-readable description.
    pub description: String,
    /// Trust anchors for attestation certificates, in DER.
    pub anchors: Vec<Vec<u8>>,
    /// Key protection: `hardware`, `software`, `secure_element`, `tee` or `remote_handle`.
    pub key_protection: Vec<String>,
    /// Status reports, oldest first.
    pub statuses: Vec<StatusReport>,
}

/// A status report of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReport {
    /// Status from the FIDO registry "Authenticator Status".
    pub name: String,
    /// Effective date. If `None`, the status is effective immediately.
    pub since: Option<UnixMillis>,
}

/// Overall status of a model, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuthenticatorStatus {
    /// The model is compromised or revoked.
    Compromised,
    /// The model is not certified, and no vulnerability is known.
    Uncertified,
    /// FIDO Level 1 or 1+.
    Level1,
    /// FIDO Level 2 or 2+.
    Level2,
    /// FIDO Level 3 or 3+.
    Level3,
}

impl Entry {
    /// Returns `None` for a malformed entry, and `Some(None)` for one without an AAGUID and key identifiers.
    #[allow(clippy::option_option, reason = "only one of them is an error")]
    pub(super) fn read(value: &Value) -> Option<Option<Self>> {
        let object = value.as_object()?;
        let aaguid = match object.get("aaguid") {
            None => None,
            Some(text) => Some(text.as_str()?.to_ascii_lowercase().parse().ok()?),
        };
        let key_identifiers = match object.get("attestationCertificateKeyIdentifiers") {
            None => Vec::new(),
            Some(list) => texts(list)?.map(hex).collect::<Option<Vec<_>>>()?,
        };
        if aaguid.is_none() && key_identifiers.is_empty() {
            return Some(None);
        }
        let statuses = object.get("statusReports")?.as_array()?.iter();
        let statuses = statuses
            .map(StatusReport::read)
            .collect::<Option<Vec<_>>>()?;
        let nothing = Value::Object(serde_json::Map::new());
        let statement = object.get("metadataStatement").unwrap_or(&nothing);
        let anchors = match statement.get("attestationRootCertificates") {
            None => Vec::new(),
            Some(list) => texts(list)?.map(certificate).collect::<Option<Vec<_>>>()?,
        };
        let key_protection = match statement.get("keyProtection") {
            None => Vec::new(),
            Some(list) => texts(list)?.map(str::to_owned).collect(),
        };
        let description = statement.get("description").and_then(Value::as_str);
        Some(Some(Self {
            aaguid,
            key_identifiers,
            description: description.unwrap_or_default().to_owned(),
            anchors,
            key_protection,
            statuses,
        }))
    }

    /// Returns the status at `now`. A compromised model stays compromised, because an update does not reach all of
    /// its authenticators.
    pub fn authenticator_status(&self, now: UnixMillis) -> AuthenticatorStatus {
        let mut overall = AuthenticatorStatus::Uncertified;
        let reports = self.statuses.iter();
        for status in reports.filter(|status| status.since.is_none_or(|since| since <= now)) {
            overall = match status.name.as_str() {
                "REVOKED"
                | "USER_VERIFICATION_BYPASS"
                | "ATTESTATION_KEY_COMPROMISE"
                | "USER_KEY_REMOTE_COMPROMISE"
                | "USER_KEY_PHYSICAL_COMPROMISE" => AuthenticatorStatus::Compromised,
                "NOT_FIDO_CERTIFIED" => overall.min(AuthenticatorStatus::Uncertified),
                "FIDO_CERTIFIED" | "FIDO_CERTIFIED_L1" | "FIDO_CERTIFIED_L1plus" => {
                    overall.raised(AuthenticatorStatus::Level1)
                }
                "FIDO_CERTIFIED_L2" | "FIDO_CERTIFIED_L2plus" => {
                    overall.raised(AuthenticatorStatus::Level2)
                }
                "FIDO_CERTIFIED_L3" | "FIDO_CERTIFIED_L3plus" => {
                    overall.raised(AuthenticatorStatus::Level3)
                }
                _ => overall,
            };
        }
        overall
    }
}

impl AuthenticatorStatus {
    /// Returns the certified status. Certification does not undo a compromise.
    fn raised(self, to: Self) -> Self {
        match self {
            Self::Compromised => Self::Compromised,
            _ => to,
        }
    }
}

impl StatusReport {
    fn read(value: &Value) -> Option<Self> {
        let since = match value.get("effectiveDate") {
            None => None,
            Some(text) => Some(day(text.as_str()?)?),
        };
        Some(Self {
            name: value.get("status")?.as_str()?.to_owned(),
            since,
        })
    }
}

/// Returns the start of a day given as `YYYY-MM-DD`, in UTC.
pub(super) fn day(text: &str) -> Option<UnixMillis> {
    let day: jiff::civil::Date = text.parse().ok()?;
    let begin = day.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(UnixMillis(begin.timestamp().as_millisecond()))
}

fn texts(list: &Value) -> Option<impl Iterator<Item = &str>> {
    let list = list.as_array()?;
    let is_text = list.iter().all(Value::is_string);
    is_text.then(|| list.iter().filter_map(Value::as_str))
}

/// Decodes base64. Some publishers insert line breaks.
fn certificate(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_ascii_whitespace().collect();
    STANDARD.decode(text).ok()
}

fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}
