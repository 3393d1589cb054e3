//! The kinds of resources and of internal documents.

use std::{fmt, str::FromStr};

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident,)*) => {
        /// The kind of a stored document. The names of resource kinds are those of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[$doc])* $variant,)* }

        impl Kind {
            /// All kinds.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the name, as in `kind:` of a document.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }
        }

        impl FromStr for Kind {
            type Err = UnknownKind;

            fn from_str(text: &str) -> Result<Self, UnknownKind> {
                match text { $(stringify!($variant) => Ok(Self::$variant),)* _ => Err(UnknownKind) }
            }
        }
    };
}

kinds! {
    /// `core.v1.Policy`
    Policy,
    /// `core.v1.IdentityProvider`
    IdentityProvider,
    /// `core.v1.Namespace`
    Namespace,
    /// `core.v1.Group`
    Group,
    /// `core.v1.User`
    User,
    /// `core.v1.Service`
    Service,
    /// `core.v1.Credential`
    Credential,
    /// `core.v1.Secret`
    Secret,
    /// `core.v1.Config`
    Config,
    /// `core.v1.ClusterConfig`
    ClusterConfig,
    /// `core.v1.Session`
    Session,
    /// `core.v1.Device`
    Device,
    /// `core.v1.Authenticator`
    Authenticator,
    /// `core.v1.Region`
    Region,
    /// `core.v1.Gateway`
    Gateway,
    /// Internal: a token signing key.
    SigningKey,
    /// Internal: a certificate authority, or a certificate with its key.
    Certificate,
    /// Internal: the state of a User's second factors beyond the Authenticators. Has the uid of the User.
    SecondFactors,
    /// Internal: the published metadata of authenticators.
    AuthenticatorMetadata,
    /// Internal: a single revoked access token. Expires with the token.
    RevokedToken,
    /// Internal: an enrollment link, which signs a person in once. The link works as long as this document exists.
    Enrollment,
}

/// The error for a name that is not a [`Kind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind")]
pub struct UnknownKind;

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
