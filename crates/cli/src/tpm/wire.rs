//! Encodes commands and decodes responses of a TPM (TPM 2.0 Library, Part 1, §18).

use super::{Error, Result};

/// `TPM_ST_NO_SESSIONS`, `TPM_ST_SESSIONS`
const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
/// `TPM_RS_PW`: authorization with a password, which is empty here.
const PASSWORD: u32 = 0x4000_0009;
/// Length of tag, size and code, in bytes.
pub(super) const HEADER: usize = 10;

/// The authorization of a handle.
#[derive(Debug, Clone, Copy)]
pub(super) enum Authorization {
    /// The empty password.
    Password,
    /// A policy session, which ends with the command.
    Session(u32),
}

/// A command under construction.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) name: &'static str,
    code: u32,
    handles: Vec<u8>,
    authorizations: Vec<u8>,
    parameters: Vec<u8>,
}

/// The handle and parameters of a response.
#[derive(Debug)]
pub(super) struct Response {
    command: &'static str,
    /// Handle that the command returns, or 0 if it returns none.
    pub(super) handle: u32,
    parameters: Vec<u8>,
    position: usize,
}

impl Command {
    pub(super) fn new(name: &'static str, code: u32) -> Self {
        Self {
            name,
            code,
            handles: Vec::new(),
            authorizations: Vec::new(),
            parameters: Vec::new(),
        }
    }

    pub(super) fn handle(mut self, handle: u32) -> Self {
        self.handles.extend_from_slice(&handle.to_be_bytes());
        self
    }

    pub(super) fn authorized(mut self, by: Authorization) -> Self {
        let session = match by {
            Authorization::Password => PASSWORD,
            Authorization::Session(session) => session,
        };
        self.authorizations
            .extend_from_slice(&session.to_be_bytes());
        // No nonce, no attributes, no HMAC.
        self.authorizations.extend_from_slice(&[0; 5]);
        self
    }

    /// Appends bytes unchanged.
    pub(super) fn raw(mut self, bytes: &[u8]) -> Self {
        self.parameters.extend_from_slice(bytes);
        self
    }

    pub(super) fn u16(self, number: u16) -> Self {
        self.raw(&number.to_be_bytes())
    }

    /// Appends bytes with a size prefix.
    ///
    /// # Errors
    /// Returns [`Error::Challenge`] if there are more than 65,535 bytes. Only the Cluster can have sent them.
    pub(super) fn sized(self, bytes: &[u8]) -> Result<Self> {
        let size = u16::try_from(bytes.len()).map_err(|_| Error::Challenge("bytes"))?;
        Ok(self.u16(size).raw(bytes))
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut body = self.handles.clone();
        let tag = if self.authorizations.is_empty() {
            NO_SESSIONS
        } else {
            let size = u32::try_from(self.authorizations.len()).unwrap_or(u32::MAX);
            body.extend_from_slice(&size.to_be_bytes());
            body.extend_from_slice(&self.authorizations);
            SESSIONS
        };
        body.extend_from_slice(&self.parameters);
        let size = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        [
            &tag.to_be_bytes(),
            size.to_be_bytes().as_slice(),
            &self.code.to_be_bytes(),
            &body,
        ]
        .concat()
    }
}

/// Returns the code of a response.
pub(super) fn code(response: &[u8]) -> Option<u32> {
    let (_, rest) = response.split_at_checked(6)?;
    rest.first_chunk().map(|code| u32::from_be_bytes(*code))
}

impl Response {
    /// Decodes the response to `command`. The response contains a handle if `has_handle` is true.
    pub(super) fn decode(command: &Command, response: &[u8], has_handle: bool) -> Result<Self> {
        let unreadable = Error::Response(command.name);
        let mut read = Self {
            command: command.name,
            handle: 0,
            parameters: response.to_vec(),
            position: 0,
        };
        let tag = read.u16()?;
        let size = read.u32()?;
        let code = read.u32()?;
        if usize::try_from(size) != Ok(response.len()) {
            return Err(unreadable);
        }
        if code != 0 {
            return Err(Error::Refused {
                command: command.name,
                code,
            });
        }
        if has_handle {
            read.handle = read.u32()?;
        }
        if tag == SESSIONS {
            let size = usize::try_from(read.u32()?).map_err(|_| unreadable)?;
            read.parameters = read.take(size)?.to_vec();
        } else {
            read.parameters.drain(..read.position);
        }
        read.position = 0;
        Ok(read)
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&[u8]> {
        let start = self.position;
        let end = start.checked_add(count);
        let taken = end.and_then(|end| self.parameters.get(start..end));
        self.position = end.unwrap_or(start);
        taken.ok_or(Error::Response(self.command))
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        let command = self.command;
        let bytes = self.take(2)?.try_into();
        Ok(u16::from_be_bytes(
            bytes.map_err(|_| Error::Response(command))?,
        ))
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        let command = self.command;
        let bytes = self.take(4)?.try_into();
        Ok(u32::from_be_bytes(
            bytes.map_err(|_| Error::Response(command))?,
        ))
    }

    /// Reads bytes with a size prefix.
    pub(super) fn sized(&mut self) -> Result<Vec<u8>> {
        let size = self.u16()?;
        Ok(self.take(usize::from(size))?.to_vec())
    }

    /// Returns the remaining bytes.
    pub(super) fn rest(self) -> Vec<u8> {
        self.parameters
            .get(self.position..)
            .unwrap_or_default()
            .to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_written_with_its_handles_and_sessions() {
        let plain = Command::new("TPM2_FlushContext", 0x165).raw(&[0x80, 0, 0, 1]);
        assert_eq!(
            plain.encode(),
            [0x80, 1, 0, 0, 0, 14, 0, 0, 1, 0x65, 0x80, 0, 0, 1]
        );
        let authorized = Command::new("TPM2_NV_Read", 0x14e)
            .handle(0x0102_0304)
            .authorized(Authorization::Password)
            .sized(b"ab")
            .unwrap();
        assert_eq!(
            authorized.encode(),
            [
                0x80, 2, 0, 0, 0, 31, 0, 0, 1, 0x4e, 1, 2, 3, 4, 0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0,
                0, 0, 0, 0, 2, b'a', b'b'
            ]
        );
    }

    #[test]
    fn a_response_is_read_whole_or_not_at_all() {
        let command = Command::new("TPM2_Load", 0x157);
        let decode = |bytes: &[u8], has_handle| Response::decode(&command, bytes, has_handle);
        let plain = [0x80, 1, 0, 0, 0, 16, 0, 0, 0, 0, 0x80, 0, 0, 1, 0, 0];
        let mut read = decode(&plain, true).unwrap();
        assert_eq!(read.handle, 0x8000_0001);
        assert_eq!(read.sized().unwrap(), b"");
        assert!(matches!(read.u16(), Err(Error::Response("TPM2_Load"))));
        let sessions = [
            0x80, 2, 0, 0, 0, 22, 0, 0, 0, 0, 0, 0, 0, 3, 0, 1, 7, 0, 0, 1, 0, 0,
        ];
        let mut read = decode(&sessions, false).unwrap();
        assert_eq!(read.sized().unwrap(), [7]);
        assert!(read.rest().is_empty());
        let refused = decode(&[0x80, 1, 0, 0, 0, 10, 0, 0, 9, 0x22], false).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the TPM refused TPM2_Load with the code 0x922: it is busy"
        );
        for length in 0..plain.len() {
            assert!(decode(&plain[..length], true).is_err());
        }
        assert!(decode(&[&plain[..], &[0]].concat(), true).is_err());
    }
}
