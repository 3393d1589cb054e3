//! Safe bindings to the TPM Base Services of Windows (`tbs.h`), which send commands to a TPM 2.0. Empty on other
//! systems.
//!
//! Calls to these C functions are unsafe. All `unsafe` code of the workspace is in this crate.
#![cfg(windows)]

use std::{ffi::c_void, fmt, io, ptr};

/// `TBS_CONTEXT_VERSION_TWO`.
const VERSION: u32 = 2;
/// `includeTpm20`.
const TPM_2_0: u32 = 1 << 2;
/// `TBS_COMMAND_LOCALITY_ZERO`.
const LOCALITY_ZERO: u32 = 0;
/// `TBS_COMMAND_PRIORITY_NORMAL`.
const PRIORITY_NORMAL: u32 = 200;
const SUCCESS: u32 = 0;

/// `TBS_CONTEXT_PARAMS2`.
#[repr(C)]
struct Parameters {
    version: u32,
    versions_of_tpm: u32,
}

#[link(name = "tbs")]
unsafe extern "system" {
    fn Tbsi_Context_Create(parameters: *const Parameters, context: *mut *mut c_void) -> u32;
    fn Tbsip_Context_Close(context: *mut c_void) -> u32;
    fn Tbsip_Submit_Command(
        context: *mut c_void,
        locality: u32,
        priority: u32,
        command: *const u8,
        command_length: u32,
        response: *mut u8,
        response_length: *mut u32,
    ) -> u32;
}

/// A connection to the TPM of the system. When it is closed, Windows frees all objects that were loaded through it.
pub struct Context(*mut c_void);

// SAFETY: TBS contexts belong to the process, not to the thread that created them.
unsafe impl Send for Context {}

impl Context {
    /// Connects to the TPM 2.0 of the system.
    ///
    /// # Errors
    /// Returns [`io::ErrorKind::NotFound`] if the system has none, and [`io::ErrorKind::PermissionDenied`] if the user
    /// cannot access it.
    pub fn open() -> io::Result<Self> {
        let parameters = Parameters {
            version: VERSION,
            versions_of_tpm: TPM_2_0,
        };
        let mut context = ptr::null_mut();
        // SAFETY: both pointers refer to values that live during the call, and `Parameters` has the layout of version
        // 2.
        let code = unsafe { Tbsi_Context_Create(&raw const parameters, &raw mut context) };
        check(code)?;
        Ok(Self(context))
    }

    /// Sends a command and returns its response of at most `longest` bytes.
    ///
    /// # Errors
    /// Returns an error if Windows rejects the command. It blocks some commands of users without administrator rights.
    pub fn submit(&mut self, command: &[u8], longest: usize) -> io::Result<Vec<u8>> {
        let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
        let command_length = u32::try_from(command.len()).map_err(too_long)?;
        let mut response = vec![0; longest];
        let mut length = u32::try_from(longest).map_err(too_long)?;
        // SAFETY: the context is open. Both buffers have the given lengths and live during the call.
        let code = unsafe {
            Tbsip_Submit_Command(
                self.0,
                LOCALITY_ZERO,
                PRIORITY_NORMAL,
                command.as_ptr(),
                command_length,
                response.as_mut_ptr(),
                &raw mut length,
            )
        };
        check(code)?;
        response.truncate(usize::try_from(length).unwrap_or(longest));
        Ok(response)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: the context is open and not used after this call.
        unsafe { Tbsip_Context_Close(self.0) };
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Context(..)")
    }
}

fn check(code: u32) -> io::Result<()> {
    let (kind, text) = match code {
        SUCCESS => return Ok(()),
        0x8028_4008 => (io::ErrorKind::NotFound, "the TPM service is not running"),
        0x8028_400f => (io::ErrorKind::NotFound, "no TPM 2.0 was found"),
        0x8028_4010 => (io::ErrorKind::NotFound, "the TPM service is disabled"),
        0x8028_4012 | 0x8028_0400 | 0x8007_0005 => (
            io::ErrorKind::PermissionDenied,
            "this user is not allowed to use the TPM in this way",
        ),
        code => {
            let text = format!("the TPM Base Services answer {code:#010x}");
            return Err(io::Error::other(text));
        }
    };
    Err(io::Error::new(kind, text))
}
