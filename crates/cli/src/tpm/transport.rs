//! Sends commands to a TPM.

use std::{io, thread, time::Duration};

use super::{
    Error, Result, Tpm, device,
    socket::Socket,
    wire::{self, Command, Response},
};

/// Response codes after which the command can be retried: `TPM_RC_RETRY`, `TPM_RC_YIELDED`, `TPM_RC_TESTING`,
/// `TPM_RC_NV_RATE`.
const LATER: [u32; 4] = [0x922, 0x908, 0x90a, 0x920];
const ATTEMPTS: u32 = 9;
/// Delay before the first retry. It doubles each time, five seconds in total.
const FIRST_WAIT: Duration = Duration::from_millis(20);
/// Maximum size of a response, in bytes. `TPM_PT_MAX_RESPONSE_SIZE` of common TPMs is 4096.
pub(super) const LONGEST: usize = 8192;

/// Sends one command and receives its response.
pub(super) trait Transport: Send {
    /// Sends a command and returns its whole response.
    fn transmit(&mut self, command: &[u8]) -> io::Result<Vec<u8>>;
}

/// Opens the TPM at `address`, or the TPM of the system.
pub(super) fn open(address: Option<&str>) -> Result<Box<dyn Transport>> {
    let name = address.unwrap_or(device::DEFAULT);
    let opened = match name.split_once(':') {
        Some(("tcp", address)) => Socket::connect_tcp(address),
        #[cfg(unix)]
        Some(("unix", path)) => Socket::connect_unix(path),
        _ => device::open(name),
    };
    opened.map_err(|source| Error::Open {
        name: name.to_owned(),
        source,
    })
}

impl Tpm {
    /// Executes a command, with retries if the TPM is busy, and decodes its response.
    pub(super) fn execute(&mut self, command: &Command, has_handle: bool) -> Result<Response> {
        let bytes = command.encode();
        let mut wait = FIRST_WAIT;
        for _ in 1..ATTEMPTS {
            let response = self.transport.transmit(&bytes)?;
            if !wire::code(&response).is_some_and(|code| LATER.contains(&code)) {
                return Response::decode(command, &response, has_handle);
            }
            // A spurious wakeup only costs an attempt.
            thread::park_timeout(wait);
            wait *= 2;
        }
        let response = self.transport.transmit(&bytes)?;
        Response::decode(command, &response, has_handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Busy(u32);

    impl Transport for Busy {
        fn transmit(&mut self, _: &[u8]) -> io::Result<Vec<u8>> {
            let busy = self.0 > 0;
            self.0 = self.0.saturating_sub(1);
            let code = if busy { [0, 0, 9, 0x22] } else { [0; 4] };
            Ok([[0x80, 1, 0, 0].as_slice(), &[0, 10], &code].concat())
        }
    }

    #[test]
    fn commands_to_a_busy_tpm_are_retried() {
        let transport = Box::new(Busy(2));
        let command = Command::new("TPM2_SelfTest", 0x143);
        assert!(Tpm { transport }.execute(&command, false).is_ok());
    }
}
