//! The TPM 2.0 of this machine as an authenticator.
//!
//! Nothing is stored on this machine: the Cluster stores the wrapped attestation key (`akBytes`), which only this TPM
//! can load. The key has the format of go-attestation, so that keys registered by other clients work too.

mod attestation_key;
mod commands;
mod endorsement_key;
mod socket;
#[cfg(test)]
mod tests;
mod transport;
mod wire;

#[cfg(unix)]
#[path = "tpm/linux.rs"]
mod device;
#[cfg(windows)]
#[path = "tpm/windows.rs"]
mod device;

use api::auth_v1::{
    TpmQuoteRequest,
    challenge_response::{Tpm as Answer, tpm::Quote},
    register_authenticator_begin_request::pre_challenge::{Tpm as PreChallenge, tpm::EkType},
};
use zeroize::Zeroizing;

use attestation_key::{AttestationKey, SavedKey};
use commands::Selection;
use endorsement_key::{EndorsementKey, Template};
use transport::Transport;
use wire::Authorization;

/// Variable that selects another TPM: `unix:PATH` or `tcp:HOST:PORT` of an emulator, or the path of a device.
pub const VARIABLE: &str = "OCTELIUM_TPM";

/// An error of a TPM operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The TPM does not exist, or this user lacks the permission to use it.
    #[error("cannot open the TPM {name}: {source}")]
    Open {
        /// Address of the TPM.
        name: String,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The connection to the TPM broke.
    #[error("the TPM does not respond: {0}")]
    Io(#[from] std::io::Error),
    /// The TPM sent a malformed response to a command.
    #[error("the response of the TPM to {0} cannot be decoded")]
    Response(&'static str),
    /// The TPM refused a command.
    #[error("the TPM refused {command} with the code {code:#05x}{}", explanation(*code))]
    Refused {
        /// Name of the command.
        command: &'static str,
        /// Response code (`TPM_RC`).
        code: u32,
    },
    /// The challenge of the Cluster is malformed or not supported.
    #[error("the Cluster sent {0} that this TPM does not support")]
    Challenge(&'static str),
    /// The attestation key belongs to another TPM, or this TPM was cleared since.
    #[error(
        "this TPM cannot load the attestation key: it was registered with another TPM, or this TPM was cleared since \
         then"
    )]
    AnotherTpm,
}

/// Explains the response codes that users may see (TPM 2.0 Library, Part 2, §6.6.3).
fn explanation(code: u32) -> &'static str {
    match code {
        0x921 => ": it is locked after too many wrong authorizations",
        0x922 => ": it is busy",
        0x902 | 0x903 => ": it has no free slots; another program uses them for keys or sessions",
        code if [0x8e, 0xa2].contains(&(code & 0xbf)) => ": a hierarchy of this TPM has a password",
        _ => "",
    }
}

impl Error {
    /// Returns a suggestion to solve the problem.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Open { source, .. } => Some(match source.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "run this command as a user of the group `tss`, or on Windows as an administrator"
                }
                _ => "check in the firmware settings that the TPM 2.0 is enabled",
            }),
            Self::AnotherTpm => Some("delete the Authenticator and register this TPM again"),
            _ => None,
        }
    }
}

type Result<T> = std::result::Result<T, Error>;

/// An open TPM. Slow TPMs need up to 30 seconds for a command.
pub struct Tpm {
    transport: Box<dyn Transport>,
}

impl Tpm {
    /// Opens the TPM of the system, or the one at `address` (see [`VARIABLE`]).
    ///
    /// # Errors
    /// Returns [`Error::Open`] if the TPM does not exist or this user lacks the permission to use it.
    pub fn open(address: Option<&str>) -> Result<Self> {
        Ok(Self {
            transport: transport::open(address)?,
        })
    }

    /// Creates an attestation key and returns the data that the Cluster needs to register this TPM.
    ///
    /// # Errors
    /// Returns an error if the TPM refuses a command.
    pub fn register(&mut self) -> Result<PreChallenge> {
        let (endorsement_key, certificate) = EndorsementKey::find(self)?;
        self.release(endorsement_key.handle)?;
        let key = AttestationKey::create(self)?;
        Ok(PreChallenge {
            ak_bytes: key.to_bytes(),
            attestation_parameters: Some(key.parameters()),
            ek_type: Some(match certificate {
                Some(certificate) => EkType::EkCertificateDer(certificate),
                None => EkType::EkPublicKey(endorsement_key.public_key),
            }),
        })
    }

    /// Answers a challenge: recovers the secret from `credential` and `secret`, and quotes PCRs if `quote` is given.
    ///
    /// The answer has no quote if the TPM lacks the requested bank of PCRs.
    ///
    /// # Errors
    /// Returns [`Error::AnotherTpm`] if this is not the registered TPM, and [`Error::Challenge`] if the challenge is
    /// malformed. Returns another error if the TPM refuses a command.
    pub fn answer(
        &mut self,
        ak_bytes: &[u8],
        credential: &[u8],
        secret: &[u8],
        quote: Option<&TpmQuoteRequest>,
    ) -> Result<Answer> {
        let saved = SavedKey::read(ak_bytes).ok_or(Error::Challenge("an attestation key"))?;
        let key = saved.load(self)?;
        self.holding(key, |tpm| {
            Ok(Answer {
                response: tpm.activate(key, credential, secret)?.to_vec(),
                quote: match quote {
                    Some(request) => tpm.quote(key, request)?,
                    None => None,
                },
            })
        })
    }

    fn activate(
        &mut self,
        key: u32,
        credential: &[u8],
        secret: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        let template = Template::of_secret(secret).ok_or(Error::Challenge("a secret"))?;
        let endorsement_key = EndorsementKey::load(self, template)?.handle;
        self.holding(endorsement_key, |tpm| {
            let Some(hash) = template.policy_hash() else {
                let by = Authorization::Password;
                return tpm.activate_credential(key, endorsement_key, by, credential, secret);
            };
            let session = tpm.start_policy_session(hash)?;
            let recovered = tpm.policy_secret(session).and_then(|()| {
                let by = Authorization::Session(session);
                tpm.activate_credential(key, endorsement_key, by, credential, secret)
            });
            // A successful command has ended its session already.
            if recovered.is_err() {
                tpm.flush(session)?;
            }
            recovered
        })
    }

    fn quote(&mut self, key: u32, request: &TpmQuoteRequest) -> Result<Option<Quote>> {
        let selection = Selection::of(request).ok_or(Error::Challenge("a selection of PCRs"))?;
        let (attestation, signature) = self.quote_pcrs(key, &request.nonce, &selection)?;
        // A TPM omits a bank that it does not have.
        let has_bank = attestation
            .windows(selection.bytes().len())
            .any(|window| window == selection.bytes());
        Ok(has_bank.then_some(Quote {
            attestation,
            signature,
        }))
    }

    /// Runs `action` and then frees `handle`, unless the key is persistent.
    fn holding<T>(
        &mut self,
        handle: u32,
        action: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<T> {
        let result = action(self);
        let freed = self.release(handle);
        result.and_then(|value| freed.map(|()| value))
    }
}
