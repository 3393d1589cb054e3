//! The TPM on Linux, through the kernel's resource manager.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
};

use super::transport::{LONGEST, Transport};

/// Device of the kernel's resource manager, which isolates the keys of programs from each other.
pub(super) const DEFAULT: &str = "/dev/tpmrm0";

struct Device(File);

/// Opens a character device.
pub(super) fn open(path: &str) -> io::Result<Box<dyn Transport>> {
    let file = File::options().read(true).write(true).open(path)?;
    Ok(Box::new(Device(file)))
}

impl Transport for Device {
    /// Writes one command and reads its whole response. The kernel discards the rest of a partial read.
    fn transmit(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        if self.0.write(command)? != command.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let mut response = vec![0; LONGEST];
        let length = self.0.read(&mut response)?;
        response.truncate(length);
        Ok(response)
    }
}
