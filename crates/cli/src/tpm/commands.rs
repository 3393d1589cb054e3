//! The TPM commands in use (TPM 2.0 Library, Part 3).

use api::auth_v1::TpmQuoteRequest;
use zeroize::Zeroizing;

use super::{
    Error, Result, Tpm,
    wire::{Authorization, Command},
};

/// `TPM_RH_OWNER`
pub(super) const OWNER: u32 = 0x4000_0001;
/// `TPM_RH_ENDORSEMENT`
pub(super) const ENDORSEMENT: u32 = 0x4000_000b;
/// `TPM_RH_NULL`
const UNAUTHENTICATED_HANDLE: u32 = 0x4000_0007;
/// `TPM_ALG_NULL`
const NULL: u16 = 0x0010;
/// `TPM_SE_POLICY`
const POLICY: u8 = 1;
/// `TPM_HT_PERSISTENT`
const PERSISTENT: u32 = 0x81;
/// Bytes of NV memory that every TPM can read at once.
const NV_CHUNK: u16 = 512;
/// Length of a bitmap of 24 PCRs, in bytes.
const BITMAP: usize = 3;

/// A created key and the proof of its creation.
pub(super) struct Created {
    /// Wrapped private area.
    pub(super) private: Vec<u8>,
    /// `TPMT_PUBLIC`
    pub(super) public: Vec<u8>,
    /// `TPMS_CREATION_DATA`
    pub(super) data: Vec<u8>,
    pub(super) hash: Vec<u8>,
    /// `TPMT_TK_CREATION`
    pub(super) ticket: Vec<u8>,
}

/// `TPML_PCR_SELECTION` of one bank.
pub(super) struct Selection(Vec<u8>);

impl Selection {
    /// Converts the selection of a request. Returns `None` if it is invalid.
    pub(super) fn of(request: &TpmQuoteRequest) -> Option<Self> {
        let bank = u16::try_from(request.hash_algorithm).ok()?;
        let mut bitmap = [0_u8; BITMAP];
        for pcr in &request.pcrs {
            let byte = bitmap.get_mut(usize::try_from(pcr / 8).ok()?)?;
            *byte |= 1 << (pcr % 8);
        }
        let bank = bank.to_be_bytes();
        Some(Self(
            [&[0, 0, 0, 1], bank.as_slice(), &[3], &bitmap].concat(),
        ))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Returns the error number of a format-one code, without the handle, session or parameter that it refers to.
pub(super) fn error_number(code: u32) -> Option<u32> {
    (code & 0x80 != 0).then_some(code & 0x3f)
}

impl Tpm {
    /// Reads the public area (`TPMT_PUBLIC`) of a handle. Returns `None` if the handle does not exist.
    pub(super) fn read_public(&mut self, handle: u32) -> Result<Option<Vec<u8>>> {
        let command = Command::new("TPM2_ReadPublic", 0x173).handle(handle);
        match self.execute(&command, false) {
            Ok(mut response) => response.sized().map(Some),
            Err(error) => absent(error),
        }
    }

    /// Reads the contents of an NV index. Returns `None` if the index does not exist.
    pub(super) fn nv_read(&mut self, index: u32) -> Result<Option<Vec<u8>>> {
        let command = Command::new("TPM2_NV_ReadPublic", 0x169).handle(index);
        let public = match self.execute(&command, false) {
            Ok(mut response) => response.sized()?,
            Err(error) => return absent(error),
        };
        // The size is the last field of `TPMS_NV_PUBLIC`.
        let size = public
            .last_chunk()
            .map(|size| u16::from_be_bytes(*size))
            .ok_or(Error::Response("TPM2_NV_ReadPublic"))?;
        let mut contents = Vec::new();
        let mut offset = 0;
        while offset < size {
            let count = NV_CHUNK.min(size - offset);
            let command = Command::new("TPM2_NV_Read", 0x14e)
                .handle(index)
                .handle(index)
                .authorized(Authorization::Password)
                .u16(count)
                .u16(offset);
            contents.extend(self.execute(&command, false)?.sized()?);
            offset += count;
        }
        Ok(Some(contents))
    }

    /// Creates a primary key of a hierarchy from a template. Returns its handle and public area.
    pub(super) fn create_primary(
        &mut self,
        hierarchy: u32,
        template: &[u8],
    ) -> Result<(u32, Vec<u8>)> {
        let command = Command::new("TPM2_CreatePrimary", 0x131)
            .handle(hierarchy)
            .authorized(Authorization::Password)
            // Empty password, no data.
            .sized(&[0; 4])?
            .sized(template)?
            .raw(&[0; 6]);
        let mut response = self.execute(&command, true)?;
        Ok((response.handle, response.sized()?))
    }

    /// Creates a key below `parent`.
    pub(super) fn create(&mut self, parent: u32, template: &[u8]) -> Result<Created> {
        let command = Command::new("TPM2_Create", 0x153)
            .handle(parent)
            .authorized(Authorization::Password)
            .sized(&[0; 4])?
            .sized(template)?
            .raw(&[0; 6]);
        let mut response = self.execute(&command, false)?;
        Ok(Created {
            private: response.sized()?,
            public: response.sized()?,
            data: response.sized()?,
            hash: response.sized()?,
            ticket: response.rest(),
        })
    }

    /// Loads a key below its parent and returns its handle.
    pub(super) fn load(&mut self, parent: u32, private: &[u8], public: &[u8]) -> Result<u32> {
        let command = Command::new("TPM2_Load", 0x157)
            .handle(parent)
            .authorized(Authorization::Password)
            .sized(private)?
            .sized(public)?;
        Ok(self.execute(&command, true)?.handle)
    }

    /// Lets a key sign the proof of its creation. Returns `TPMS_ATTEST` and `TPMT_SIGNATURE`.
    pub(super) fn certify_creation(
        &mut self,
        key: u32,
        created: &Created,
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        let command = Command::new("TPM2_CertifyCreation", 0x14a)
            .handle(key)
            .handle(key)
            .authorized(Authorization::Password)
            .sized(&[])?
            .sized(&created.hash)?
            .u16(NULL)
            .raw(&created.ticket);
        let mut response = self.execute(&command, false)?;
        Ok((response.sized()?, response.rest()))
    }

    /// Lets a key sign a nonce and PCRs. Returns `TPMS_ATTEST` and `TPMT_SIGNATURE`.
    pub(super) fn quote_pcrs(
        &mut self,
        key: u32,
        nonce: &[u8],
        selection: &Selection,
    ) -> Result<(Vec<u8>, Vec<u8>)> {
        let command = Command::new("TPM2_Quote", 0x158)
            .handle(key)
            .authorized(Authorization::Password)
            .sized(nonce)?
            .u16(NULL)
            .raw(selection.bytes());
        let mut response = self.execute(&command, false)?;
        Ok((response.sized()?, response.rest()))
    }

    /// Starts a policy session.
    pub(super) fn start_policy_session(&mut self, hash: u16) -> Result<u32> {
        let command = Command::new("TPM2_StartAuthSession", 0x176)
            .handle(UNAUTHENTICATED_HANDLE)
            .handle(UNAUTHENTICATED_HANDLE)
            // The nonce needs no randomness: the Cluster encrypts what is secret.
            .sized(&[0; 16])?
            .sized(&[])?
            .raw(&[POLICY])
            .u16(NULL)
            .u16(hash);
        Ok(self.execute(&command, true)?.handle)
    }

    /// Satisfies the policy that requires authorization of the endorsement hierarchy.
    pub(super) fn policy_secret(&mut self, session: u32) -> Result<()> {
        let command = Command::new("TPM2_PolicySecret", 0x151)
            .handle(ENDORSEMENT)
            .handle(session)
            .authorized(Authorization::Password)
            // No nonce, parameter hash, reference or expiration.
            .raw(&[0; 10]);
        self.execute(&command, false).map(drop)
    }

    /// Recovers a secret that was encrypted to `endorsement_key` for `key`. Both inputs include their size prefix.
    pub(super) fn activate_credential(
        &mut self,
        key: u32,
        endorsement_key: u32,
        by: Authorization,
        credential: &[u8],
        secret: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>> {
        let command = Command::new("TPM2_ActivateCredential", 0x147)
            .handle(key)
            .handle(endorsement_key)
            .authorized(Authorization::Password)
            .authorized(by)
            .raw(credential)
            .raw(secret);
        match self.execute(&command, false) {
            Ok(mut response) => response.sized().map(Zeroizing::new),
            Err(Error::Refused { code, .. }) if is_foreign(code) => Err(Error::AnotherTpm),
            Err(error) => Err(error),
        }
    }

    /// Frees a loaded key. Does nothing for a persistent one.
    pub(super) fn release(&mut self, handle: u32) -> Result<()> {
        if handle >> 24 == PERSISTENT {
            return Ok(());
        }
        self.flush(handle)
    }

    /// Ends a session or frees a key.
    pub(super) fn flush(&mut self, handle: u32) -> Result<()> {
        let command = Command::new("TPM2_FlushContext", 0x165).raw(&handle.to_be_bytes());
        self.execute(&command, false).map(drop)
    }
}

/// Converts `TPM_RC_HANDLE` to `None`.
fn absent<T>(error: Error) -> Result<Option<T>> {
    match error {
        Error::Refused { code, .. } if error_number(code) == Some(0x0b) => Ok(None),
        error => Err(error),
    }
}

/// Returns whether a code means that data was encrypted to or for another key: `TPM_RC_VALUE`, `TPM_RC_SIZE`,
/// `TPM_RC_INTEGRITY` or `TPM_RC_BINDING`.
///
/// Some TPMs answer `TPM_RC_FAILURE` if RSA decryption fails. A TPM in failure mode would refuse earlier commands.
fn is_foreign(code: u32) -> bool {
    code == 0x101
        || error_number(code).is_some_and(|number| [0x04, 0x15, 0x1f, 0x25].contains(&number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selection_is_a_bitmap_of_its_bank() {
        let select = |pcrs: &[u32], hash_algorithm| {
            let request = TpmQuoteRequest {
                nonce: vec![],
                hash_algorithm,
                pcrs: pcrs.to_vec(),
            };
            Selection::of(&request).map(|selection| selection.0)
        };
        assert_eq!(
            select(&[0, 7, 8, 23], 11).unwrap(),
            [0, 0, 0, 1, 0, 11, 3, 0x81, 1, 0x80]
        );
        assert_eq!(select(&[24], 11), None);
        assert_eq!(select(&[0], 65_536), None);
    }

    #[test]
    fn response_codes_are_distinguished() {
        // TPM_RC_HANDLE of the first handle, TPM_RC_INTEGRITY of the first parameter, TPM_RC_RETRY.
        assert_eq!(error_number(0x18b), Some(0x0b));
        assert_eq!(error_number(0x1df), Some(0x1f));
        assert_eq!(error_number(0x922), None);
        assert!(is_foreign(0x1df) && !is_foreign(0x18b) && !is_foreign(0x922));
    }
}
