//! The two structures of a TPM that an attestation has (TPM 2.0 Library, Part 2, §12.2.4 and §10.12.8).

const RSA: u16 = 0x0001;
const ECC: u16 = 0x0023;
const NULL: u16 = 0x0010;
/// `TPM_GENERATED_VALUE`
const GENERATED: u32 = 0xff54_4347;
/// `TPM_ST_ATTEST_CERTIFY`
const CERTIFY: u16 = 0x8017;
/// Where the exponent is not said.
const DEFAULT_EXPONENT: u32 = 65537;

/// `TPMT_PUBLIC`
pub(super) struct Public<'a> {
    pub(super) name_algorithm: u16,
    pub(super) unique: Unique<'a>,
}

pub(super) enum Unique<'a> {
    Rsa {
        modulus: &'a [u8],
        exponent: u32,
    },
    Point {
        /// As in COSE.
        curve: i64,
        x: &'a [u8],
        y: &'a [u8],
    },
}

/// `TPMS_ATTEST` with `TPMS_CERTIFY_INFO`
pub(super) struct Certified<'a> {
    pub(super) extra_data: &'a [u8],
    pub(super) name: &'a [u8],
}

impl<'a> Public<'a> {
    /// Reads a key and nothing behind it.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let kind = reader.u16()?;
        let name_algorithm = reader.u16()?;
        let _attributes = reader.u32()?;
        let _policy = reader.sized()?;
        // Neither is anything but null for a key that signs; what it may be has more behind it.
        if reader.u16()? != NULL {
            return None;
        }
        if reader.u16()? != NULL {
            let _hash = reader.u16()?;
        }
        let unique = match kind {
            RSA => {
                let _bits = reader.u16()?;
                let exponent = match reader.u32()? {
                    0 => DEFAULT_EXPONENT,
                    exponent => exponent,
                };
                let modulus = reader.sized()?;
                Unique::Rsa { modulus, exponent }
            }
            ECC => {
                let curve = match reader.u16()? {
                    0x0003 => 1,
                    0x0004 => 2,
                    0x0005 => 3,
                    _ => return None,
                };
                if reader.u16()? != NULL {
                    let _hash = reader.u16()?;
                }
                let x = reader.sized()?;
                let y = reader.sized()?;
                Unique::Point { curve, x, y }
            }
            _ => return None,
        };
        reader.0.is_empty().then_some(Self {
            name_algorithm,
            unique,
        })
    }
}

impl<'a> Certified<'a> {
    /// Reads a certification by a TPM and nothing behind it.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.u32()? != GENERATED || reader.u16()? != CERTIFY {
            return None;
        }
        let _signer = reader.sized()?;
        let extra_data = reader.sized()?;
        // Clock, resets, restarts, and whether that is safe; version of the firmware.
        reader.take(8 + 4 + 4 + 1 + 8)?;
        let name = reader.sized()?;
        let _qualified = reader.sized()?;
        reader.0.is_empty().then_some(Self { extra_data, name })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?.try_into().ok()?;
        Some(u16::from_be_bytes(bytes))
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    }

    /// Bytes behind their number.
    fn sized(&mut self) -> Option<&'a [u8]> {
        let count = self.u16()?;
        self.take(usize::from(count))
    }
}
