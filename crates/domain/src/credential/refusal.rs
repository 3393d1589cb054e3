//! Reasons to refuse a Credential, a Session or a token.

/// The reason why a Credential, a Session or a token is refused. Show it only to a caller that proved to hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant documents it")]
pub enum Refusal {
    #[error("the stored object is incomplete")]
    Incomplete,

    #[error("the Credential is disabled")]
    Disabled,
    #[error("the Credential is locked")]
    Locked,
    #[error("the Credential has expired")]
    Expired,
    #[error("the Credential has reached its limit of authentications")]
    UsedUp,
    #[error("the secret of the Credential was replaced")]
    Superseded,
    #[error("the Credential no longer exists")]
    Gone,
    #[error("the code verifier does not match the Credential")]
    WrongVerifier,
    #[error("the secret of an access-token Credential cannot change without ending its Session")]
    SessionIsSecret,
    #[error("the Credential can no longer be rotated")]
    RotatedTooOften,
    #[error(
        "a recovery Credential cannot be rotated; run `octeliumd recover` on the machine of the Cluster for a new one"
    )]
    Recovery,

    #[error("the Session has expired")]
    SessionExpired,
    #[error("the Session is rejected")]
    SessionRejected,
    #[error("the Session is waiting for approval")]
    SessionPending,
    #[error("the Session is locked")]
    SessionLocked,
    #[error("the Session needs an Authenticator first")]
    AuthenticatorRequired,
    #[error("tokens of this Session are not refreshed")]
    NotRefreshable,

    #[error("the User is disabled")]
    UserDisabled,
    #[error("the User is locked")]
    UserLocked,
    #[error("the Session belongs to another User")]
    WrongUser,

    #[error("the Device no longer exists")]
    DeviceGone,
    #[error("the Device is not active")]
    DeviceInactive,
    #[error("the Device is locked")]
    DeviceLocked,

    #[error("a Group of the User no longer exists")]
    GroupMissing,
    #[error("the identity provider that created the Session is disabled or was deleted")]
    ProviderInactive,

    #[error("the token has expired")]
    TokenExpired,
    #[error("the token was replaced")]
    TokenSuperseded,
    #[error("the token has another type or belongs to another Session")]
    WrongToken,
}

impl Refusal {
    /// Returns a stable identifier for the audit log.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Incomplete => "object_incomplete",
            Self::Disabled => "credential_disabled",
            Self::Locked => "credential_locked",
            Self::Expired => "credential_expired",
            Self::UsedUp => "credential_used_up",
            Self::Superseded => "credential_superseded",
            Self::Gone => "credential_gone",
            Self::WrongVerifier => "code_verifier",
            Self::SessionIsSecret => "credential_session_is_secret",
            Self::RotatedTooOften => "credential_rotated_too_often",
            Self::Recovery => "credential_recovery",
            Self::SessionExpired => "session_expired",
            Self::SessionRejected => "session_rejected",
            Self::SessionPending => "session_pending",
            Self::SessionLocked => "session_locked",
            Self::AuthenticatorRequired => "authenticator_required",
            Self::NotRefreshable => "not_refreshable",
            Self::UserDisabled => "user_disabled",
            Self::UserLocked => "user_locked",
            Self::WrongUser => "wrong_user",
            Self::DeviceGone => "device_gone",
            Self::DeviceInactive => "device_inactive",
            Self::DeviceLocked => "device_locked",
            Self::GroupMissing => "group_missing",
            Self::ProviderInactive => "provider_inactive",
            Self::TokenExpired => "token_expired",
            Self::TokenSuperseded => "token_superseded",
            Self::WrongToken => "wrong_token",
        }
    }
}
