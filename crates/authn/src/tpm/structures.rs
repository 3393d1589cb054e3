//! Parsers of the TPM structures used in attestation (TPM 2.0 Library, Part 2: §10.12, §11.3, §12.2.4, §15).
//!
//! Parsers reject trailing bytes and borrow from their input.

use aws_lc_rs::digest;

const RSA: u16 = 0x0001;
const ECC: u16 = 0x0023;
const NULL: u16 = 0x0010;
/// `TPM_GENERATED_VALUE`.
const GENERATED: u32 = 0xff54_4347;
/// `TPM_ST_ATTEST_CERTIFY`, `TPM_ST_ATTEST_QUOTE`, `TPM_ST_ATTEST_CREATION`.
const CERTIFY: u16 = 0x8017;
const QUOTE: u16 = 0x8018;
const CREATION: u16 = 0x801a;
/// RSA exponent that a TPM encodes as 0.
const DEFAULT_EXPONENT: u32 = 65537;
/// Maximum number of PCR banks in a selection.
const MOST_BANKS: u32 = 16;

/// `TPM_ALG_ID` of a signature scheme.
pub(crate) const RSASSA: u16 = 0x0014;
pub(crate) const RSAPSS: u16 = 0x0016;
pub(crate) const ECDSA: u16 = 0x0018;
/// `TPM_ALG_ID` of a hash.
pub(crate) const SHA256: u16 = 0x000b;
pub(crate) const SHA384: u16 = 0x000c;
pub(crate) const SHA512: u16 = 0x000d;

/// `TPMA_OBJECT`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes(u32);

impl Attributes {
    /// The key cannot leave its TPM.
    pub(crate) const FIXED_TPM: Self = Self(1 << 1);
    /// The key cannot be moved to another parent.
    pub(crate) const FIXED_PARENT: Self = Self(1 << 4);
    /// The TPM generated the private key.
    pub(crate) const SENSITIVE_DATA_ORIGIN: Self = Self(1 << 5);
    /// The key signs or decrypts only structures that the TPM generated.
    pub(crate) const RESTRICTED: Self = Self(1 << 16);
    /// The key can decrypt.
    pub(crate) const DECRYPT: Self = Self(1 << 17);
    /// The key can sign.
    pub(crate) const SIGN: Self = Self(1 << 18);

    /// Returns true if all attributes of `others` are set.
    pub(crate) fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// Signature scheme and its hash, as in `TPMT_RSA_SCHEME`, `TPMT_ECC_SCHEME` and the head of `TPMT_SIGNATURE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scheme {
    pub(crate) algorithm: u16,
    pub(crate) hash: u16,
}

/// `TPMT_PUBLIC` of a signing key.
#[derive(Debug)]
pub(crate) struct Public<'a> {
    pub(crate) name_algorithm: u16,
    pub(crate) attributes: Attributes,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) unique: Unique<'a>,
}

/// Public key (`TPMU_PUBLIC_ID`) with its parameters.
#[derive(Debug)]
pub(crate) enum Unique<'a> {
    Rsa {
        modulus: &'a [u8],
        exponent: u32,
    },
    Point {
        /// COSE number.
        curve: i64,
        x: &'a [u8],
        y: &'a [u8],
    },
}

/// `TPMS_ATTEST`.
#[derive(Debug)]
pub(crate) struct Attest<'a> {
    /// Qualified name of the signing key.
    pub(crate) signer: &'a [u8],
    pub(crate) extra_data: &'a [u8],
    /// `None` if `safe` is neither 0 nor 1. Web Authentication ignores it (§8.3), but the TPM authenticator rejects it.
    pub(crate) clock: Option<Clock>,
    pub(crate) attested: Attested<'a>,
}

/// `TPMS_CLOCK_INFO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Time in milliseconds that the TPM was powered since the owner was last cleared.
    pub clock: u64,
    /// Number of resets of the TPM. For keys outside the endorsement hierarchy, the TPM adds a key-specific value to
    /// this counter and to `restart_count`.
    pub reset_count: u32,
    /// Number of restarts and resumes since the last reset.
    pub restart_count: u32,
    /// True if the TPM has not reported a greater `clock` before.
    pub is_safe: bool,
}

/// `TPMU_ATTEST`.
#[derive(Debug)]
pub(crate) enum Attested<'a> {
    Certify {
        name: &'a [u8],
    },
    Creation {
        name: &'a [u8],
        creation_hash: &'a [u8],
    },
    Quote {
        /// Banks with their PCR bitmaps.
        selection: Vec<(u16, &'a [u8])>,
        pcr_digest: &'a [u8],
    },
}

/// `TPMS_CREATION_DATA`.
#[derive(Debug)]
pub(crate) struct CreationData<'a> {
    pub(crate) parent_name: &'a [u8],
    pub(crate) parent_qualified_name: &'a [u8],
}

/// `TPMT_SIGNATURE`.
#[derive(Debug)]
pub(crate) struct Signature<'a> {
    pub(crate) scheme: Scheme,
    pub(crate) value: SignatureValue<'a>,
}

/// `TPMU_SIGNATURE`.
#[derive(Debug)]
pub(crate) enum SignatureValue<'a> {
    Rsa(&'a [u8]),
    Point { r: &'a [u8], s: &'a [u8] },
}

/// Returns the hash of a `TPM_ALG_ID`, if it is supported.
pub(crate) fn hash(algorithm: u16) -> Option<&'static digest::Algorithm> {
    match algorithm {
        SHA256 => Some(&digest::SHA256),
        SHA384 => Some(&digest::SHA384),
        SHA512 => Some(&digest::SHA512),
        _ => None,
    }
}

/// Returns the `TPMU_NAME` of the concatenated `contents`: the algorithm and the hash (Part 1, §16).
pub(crate) fn name(algorithm: u16, contents: &[&[u8]]) -> Option<Vec<u8>> {
    let mut context = digest::Context::new(hash(algorithm)?);
    for part in contents {
        context.update(part);
    }
    Some([&algorithm.to_be_bytes(), context.finish().as_ref()].concat())
}

impl<'a> Public<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let kind = reader.u16()?;
        let name_algorithm = reader.u16()?;
        let attributes = Attributes(reader.u32()?);
        let _policy = reader.sized()?;
        // The symmetric algorithm is for encryption of child keys, so a signing key has none.
        if reader.u16()? != NULL {
            return None;
        }
        let scheme = match reader.u16()? {
            NULL => None,
            algorithm => Some(Scheme {
                algorithm,
                hash: reader.u16()?,
            }),
        };
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
        reader.end(Self {
            name_algorithm,
            attributes,
            scheme,
            unique,
        })
    }
}

impl<'a> Attest<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        if reader.u32()? != GENERATED {
            return None;
        }
        let kind = reader.u16()?;
        let signer = reader.sized()?;
        let extra_data = reader.sized()?;
        let (clock, reset_count, restart_count) = (reader.u64()?, reader.u32()?, reader.u32()?);
        let is_safe = match reader.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        };
        let clock = is_safe.map(|is_safe| Clock {
            clock,
            reset_count,
            restart_count,
            is_safe,
        });
        let _firmware = reader.u64()?;
        let attested = match kind {
            CERTIFY => {
                let name = reader.sized()?;
                let _qualified = reader.sized()?;
                Attested::Certify { name }
            }
            CREATION => Attested::Creation {
                name: reader.sized()?,
                creation_hash: reader.sized()?,
            },
            QUOTE => Attested::Quote {
                selection: reader.selection()?,
                pcr_digest: reader.sized()?,
            },
            _ => return None,
        };
        reader.end(Self {
            signer,
            extra_data,
            clock,
            attested,
        })
    }
}

impl<'a> CreationData<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let _selection = reader.selection()?;
        let _pcr_digest = reader.sized()?;
        let _locality = reader.u8()?;
        let _parent_name_algorithm = reader.u16()?;
        let parent_name = reader.sized()?;
        let parent_qualified_name = reader.sized()?;
        let _outside = reader.sized()?;
        reader.end(Self {
            parent_name,
            parent_qualified_name,
        })
    }
}

impl<'a> Signature<'a> {
    /// Parses an RSA or ECDSA signature.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let scheme = Scheme {
            algorithm: reader.u16()?,
            hash: reader.u16()?,
        };
        let value = match scheme.algorithm {
            RSASSA | RSAPSS => SignatureValue::Rsa(reader.sized()?),
            ECDSA => SignatureValue::Point {
                r: reader.sized()?,
                s: reader.sized()?,
            },
            _ => return None,
        };
        reader.end(Self { scheme, value })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Returns `value` if all input was read.
    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take(2)?.try_into().ok()?;
        Some(u16::from_be_bytes(bytes))
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.take(4)?.try_into().ok()?;
        Some(u32::from_be_bytes(bytes))
    }

    fn u64(&mut self) -> Option<u64> {
        let bytes = self.take(8)?.try_into().ok()?;
        Some(u64::from_be_bytes(bytes))
    }

    /// Reads bytes with a 16-bit length prefix.
    fn sized(&mut self) -> Option<&'a [u8]> {
        let count = self.u16()?;
        self.take(usize::from(count))
    }

    /// Reads a `TPML_PCR_SELECTION`.
    fn selection(&mut self) -> Option<Vec<(u16, &'a [u8])>> {
        let count = self.u32()?;
        if count > MOST_BANKS {
            return None;
        }
        (0..count)
            .map(|_| {
                let bank = self.u16()?;
                let size = self.u8()?;
                Some((bank, self.take(usize::from(size))?))
            })
            .collect()
    }
}
