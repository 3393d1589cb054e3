//! The structures of a TPM that prove something (TPM 2.0 Library, Part 2: §10.12, §11.3, §12.2.4, §15).
//!
//! Each is read whole, with nothing behind it, and borrows what it was read from.

use aws_lc_rs::digest;

const RSA: u16 = 0x0001;
const ECC: u16 = 0x0023;
const NULL: u16 = 0x0010;
/// `TPM_GENERATED_VALUE`
const GENERATED: u32 = 0xff54_4347;
/// `TPM_ST_ATTEST_CERTIFY`, `TPM_ST_ATTEST_QUOTE`, `TPM_ST_ATTEST_CREATION`
const CERTIFY: u16 = 0x8017;
const QUOTE: u16 = 0x8018;
const CREATION: u16 = 0x801a;
/// Where the exponent is not said.
const DEFAULT_EXPONENT: u32 = 65537;
/// Banks of PCRs that a selection may name.
const MOST_BANKS: u32 = 16;

/// `TPM_ALG_ID` of what signs.
pub(crate) const RSASSA: u16 = 0x0014;
/// See [`RSASSA`].
pub(crate) const RSAPSS: u16 = 0x0016;
/// See [`RSASSA`].
pub(crate) const ECDSA: u16 = 0x0018;
/// `TPM_ALG_ID` of a hash.
pub(crate) const SHA256: u16 = 0x000b;
/// See [`SHA256`].
pub(crate) const SHA384: u16 = 0x000c;
/// See [`SHA256`].
pub(crate) const SHA512: u16 = 0x000d;

/// `TPMA_OBJECT`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Attributes(u32);

impl Attributes {
    /// Never leaves its TPM.
    pub(crate) const FIXED_TPM: Self = Self(1 << 1);
    /// Never leaves its parent.
    pub(crate) const FIXED_PARENT: Self = Self(1 << 4);
    /// The TPM has drawn its secret.
    pub(crate) const SENSITIVE_DATA_ORIGIN: Self = Self(1 << 5);
    /// Signs or decrypts what the TPM itself has made, and nothing else.
    pub(crate) const RESTRICTED: Self = Self(1 << 16);
    /// Decrypts.
    pub(crate) const DECRYPT: Self = Self(1 << 17);
    /// Signs.
    pub(crate) const SIGN: Self = Self(1 << 18);

    /// Whether it has all of `others`.
    pub(crate) fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

/// A scheme and its hash, as in `TPMT_RSA_SCHEME`, `TPMT_ECC_SCHEME` and the head of `TPMT_SIGNATURE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scheme {
    pub(crate) algorithm: u16,
    pub(crate) hash: u16,
}

/// `TPMT_PUBLIC` of a key that signs.
#[derive(Debug)]
pub(crate) struct Public<'a> {
    pub(crate) name_algorithm: u16,
    pub(crate) attributes: Attributes,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) unique: Unique<'a>,
}

/// A public key.
#[derive(Debug)]
pub(crate) enum Unique<'a> {
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

/// `TPMS_ATTEST`
#[derive(Debug)]
pub(crate) struct Attest<'a> {
    /// The qualified name of the key that has signed.
    pub(crate) signer: &'a [u8],
    pub(crate) extra_data: &'a [u8],
    /// `None` if its `safe` is neither 0 nor 1. Web Authentication ignores it (§8.3); a TPM of our own must not.
    pub(crate) clock: Option<Clock>,
    pub(crate) attested: Attested<'a>,
}

/// `TPMS_CLOCK_INFO`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Milliseconds of power since the owner was last cleared.
    pub clock: u64,
    /// Resets of the TPM. Keys outside the endorsement hierarchy add a number of their own to it and to the next.
    pub reset_count: u32,
    /// Restarts and resumes since the last reset.
    pub restart_count: u32,
    /// Whether no greater `clock` can have been reported before.
    pub is_safe: bool,
}

/// `TPMU_ATTEST`
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
        /// Banks and bitmaps.
        selection: Vec<(u16, &'a [u8])>,
        pcr_digest: &'a [u8],
    },
}

/// `TPMS_CREATION_DATA`
#[derive(Debug)]
pub(crate) struct CreationData<'a> {
    pub(crate) parent_name: &'a [u8],
    pub(crate) parent_qualified_name: &'a [u8],
}

/// `TPMT_SIGNATURE`
#[derive(Debug)]
pub(crate) struct Signature<'a> {
    pub(crate) scheme: Scheme,
    pub(crate) value: SignatureValue<'a>,
}

/// `TPMU_SIGNATURE`
#[derive(Debug)]
pub(crate) enum SignatureValue<'a> {
    Rsa(&'a [u8]),
    Point { r: &'a [u8], s: &'a [u8] },
}

/// The hash that a `TPM_ALG_ID` names, where it is one that is accepted.
pub(crate) fn hash(algorithm: u16) -> Option<&'static digest::Algorithm> {
    match algorithm {
        SHA256 => Some(&digest::SHA256),
        SHA384 => Some(&digest::SHA384),
        SHA512 => Some(&digest::SHA512),
        _ => None,
    }
}

/// `TPMU_NAME` of what `contents` (together) describe: the algorithm and the hash of them (Part 1, §16).
pub(crate) fn name(algorithm: u16, contents: &[&[u8]]) -> Option<Vec<u8>> {
    let mut context = digest::Context::new(hash(algorithm)?);
    for part in contents {
        context.update(part);
    }
    Some([&algorithm.to_be_bytes(), context.finish().as_ref()].concat())
}

impl<'a> Public<'a> {
    /// Reads a key and nothing behind it.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let kind = reader.u16()?;
        let name_algorithm = reader.u16()?;
        let attributes = Attributes(reader.u32()?);
        let _policy = reader.sized()?;
        // Of what encrypts for its children, which a key that signs has none of.
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
    /// Reads what a TPM has attested, and nothing behind it.
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
    /// Reads how a key was made, and nothing behind it.
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
    /// Reads a signature of RSA or ECDSA, and nothing behind it.
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
    /// `value` where all was read.
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

    /// Bytes behind their number.
    fn sized(&mut self) -> Option<&'a [u8]> {
        let count = self.u16()?;
        self.take(usize::from(count))
    }

    /// `TPML_PCR_SELECTION`
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
