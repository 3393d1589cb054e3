//! One model of an authenticator.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::clock::UnixMillis;
use serde_json::Value;

use crate::webauthn::Aaguid;

/// What is known of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// By which authenticators of FIDO2 name their model.
    pub aaguid: Option<Aaguid>,
    /// By which models of U2F are known: of the keys of their attestation certificates.
    pub key_identifiers: Vec<Vec<u8>>,
    /// For people.
    pub description: String,
    /// Who certifies its authenticators, in DER.
    pub anchors: Vec<Vec<u8>>,
    /// How keys are kept: `hardware`, `software`, `secure_element`, `tee`, `remote_handle`.
    pub key_protection: Vec<String>,
    /// What has been said of it, the oldest first.
    pub statuses: Vec<Status>,
}

/// Something that was said of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What: one of the registry "Authenticator Status".
    pub name: String,
    /// Since when; at once where it is not said.
    pub since: Option<UnixMillis>,
}

/// What the statuses of a model come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Its authenticators are not to be relied upon any longer.
    Compromised,
    /// Nothing is known against it.
    Uncertified,
    /// FIDO Level 1, or 1+.
    Level1,
    /// FIDO Level 2, or 2+.
    Level2,
    /// FIDO Level 3, or 3+.
    Level3,
}

impl Entry {
    /// `None` where it is malformed, `Some(None)` where it is of no use here.
    #[allow(clippy::option_option, reason = "one is an error, the other is not")]
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
        let statuses = statuses.map(Status::read).collect::<Option<Vec<_>>>()?;
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

    /// What holds now. What was said against a model stands: which of its authenticators were mended cannot be told.
    pub fn standing(&self, now: UnixMillis) -> Standing {
        let mut standing = Standing::Uncertified;
        let said = self.statuses.iter();
        for status in said.filter(|status| status.since.is_none_or(|since| since <= now)) {
            standing = match status.name.as_str() {
                "REVOKED"
                | "USER_VERIFICATION_BYPASS"
                | "ATTESTATION_KEY_COMPROMISE"
                | "USER_KEY_REMOTE_COMPROMISE"
                | "USER_KEY_PHYSICAL_COMPROMISE" => Standing::Compromised,
                "NOT_FIDO_CERTIFIED" => standing.min(Standing::Uncertified),
                "FIDO_CERTIFIED" | "FIDO_CERTIFIED_L1" | "FIDO_CERTIFIED_L1plus" => {
                    standing.raised(Standing::Level1)
                }
                "FIDO_CERTIFIED_L2" | "FIDO_CERTIFIED_L2plus" => standing.raised(Standing::Level2),
                "FIDO_CERTIFIED_L3" | "FIDO_CERTIFIED_L3plus" => standing.raised(Standing::Level3),
                _ => standing,
            };
        }
        standing
    }
}

impl Standing {
    /// A certificate does not mend what is broken.
    fn raised(self, to: Self) -> Self {
        match self {
            Self::Compromised => Self::Compromised,
            _ => to,
        }
    }
}

impl Status {
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

/// The beginning of a day, `YYYY-MM-DD`.
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

/// Base64, which some publishers break into lines.
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
