//! The TPM behind the kernel's resource manager, `/dev/tpmrm0`.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
};

use super::transport::{LONGEST, Transport};

/// Of the kernel, which keeps the keys of programs apart.
pub(super) const DEFAULT: &str = "/dev/tpmrm0";

struct Device(File);

/// Opens a character device.
pub(super) fn open(path: &str) -> io::Result<Box<dyn Transport>> {
    let file = File::options().read(true).write(true).open(path)?;
    Ok(Box::new(Device(file)))
}

impl Transport for Device {
    /// One write is one command, and one read its whole response: what a read leaves behind, the kernel drops.
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
