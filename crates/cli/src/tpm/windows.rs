//! The TPM on Windows, through the TPM Base Services.

use std::io;

use super::transport::{LONGEST, Transport};

/// Name of the only TPM that Windows offers.
pub(super) const DEFAULT: &str = "of Windows";

struct Device(tbs::Context);

/// Opens the TPM of the system.
pub(super) fn open(name: &str) -> io::Result<Box<dyn Transport>> {
    if name != DEFAULT {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(Box::new(Device(tbs::Context::open()?)))
}

impl Transport for Device {
    fn transmit(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.submit(command, LONGEST)
    }
}
