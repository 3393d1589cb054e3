//! Authenticators: creation, and rules about the Sessions that can use them. The crate `authn` verifies their proofs.

use api::{
    core_v1::{
        Authenticator, ClusterConfig, Session, User,
        authenticator::{
            Spec, Status,
            spec::State,
            status::{self, Type},
        },
        session::status::Type as SessionType,
        user,
    },
    meta_v1::{Metadata, ObjectReference},
};

use crate::{
    clock::UnixMillis,
    id::Uid,
    kind::Kind,
    reference::reference,
    rng::{Rng, random_string},
};

mod lockout;

pub use lockout::{Attempts, Blocked};

#[cfg(test)]
mod tests;

const API_VERSION: &str = "core/v1";
const SUFFIX_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const SUFFIX_LENGTH: usize = 6;
const LONGEST_DISPLAY_NAME: usize = 120;

/// The most Authenticators that a User can have, unregistered ones included.
pub const MAX_PER_USER: u32 = 32;

/// The fields of a new Authenticator.
pub struct NewAuthenticator<'a> {
    /// The id of the Authenticator.
    pub uid: Uid,
    /// The resource name. See [`new_name`].
    pub name: String,
    /// The owner.
    pub user: &'a User,
    /// The type: FIDO, TOTP or TPM.
    pub r#type: Type,
    /// The display name that the User chose; can be empty.
    pub display_name: String,
    /// The initial state. See [`default_state`].
    pub state: State,
    /// The current time.
    pub now: UnixMillis,
}

/// Creates an Authenticator that is not registered yet.
pub fn new_authenticator(new: NewAuthenticator<'_>) -> Authenticator {
    Authenticator {
        api_version: API_VERSION.to_owned(),
        kind: Kind::Authenticator.to_string(),
        metadata: Some(Metadata {
            uid: new.uid.to_string(),
            name: new.name,
            created_at: Some(new.now.to_proto()),
            ..Metadata::default()
        }),
        spec: Some(Spec {
            display_name: new.display_name,
            state: new.state.into(),
        }),
        status: Some(Status {
            user_ref: reference(Kind::User, new.user.metadata.as_ref()),
            r#type: new.r#type.into(),
            ..Status::default()
        }),
    }
}

/// Generates a name of the form `<type>-<6 letters>`.
pub fn new_name(r#type: Type, rng: &dyn Rng) -> String {
    let head = match r#type {
        Type::Fido => "fido",
        Type::Totp => "totp",
        Type::Tpm => "tpm",
        Type::Unknown => "authenticator",
    };
    let suffix = random_string(rng, SUFFIX_ALPHABET, SUFFIX_LENGTH);
    format!("{head}-{suffix}")
}

/// Returns the initial state of a new Authenticator of `user`: the setting of the User, else of the Cluster, else
/// ACTIVE.
pub fn default_state(user: &User, config: &ClusterConfig) -> State {
    let of_user = user
        .spec
        .as_ref()
        .and_then(|spec| spec.authentication.as_ref())
        .map(user::spec::Authentication::authenticator_default_state);
    let of_cluster = config
        .spec
        .as_ref()
        .and_then(|spec| spec.authenticator.as_ref())
        .map(api::core_v1::cluster_config::spec::Authenticator::default_state);
    let chosen = [of_user, of_cluster];
    let mut chosen = chosen.into_iter().flatten();
    chosen
        .find(|state| *state != State::Unknown)
        .unwrap_or(State::Active)
}

/// Returns whether `text` is a valid display name: printable ASCII, at most 120 characters.
pub fn is_display_name(text: &str) -> bool {
    text.len() <= LONGEST_DISPLAY_NAME && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Returns the type of an Authenticator, or `Unknown` if its status is missing.
pub fn type_of(authenticator: &Authenticator) -> Type {
    authenticator
        .status
        .as_ref()
        .map_or(Type::Unknown, Status::r#type)
}

/// Returns whether the Authenticator is registered and ACTIVE.
pub fn is_usable(authenticator: &Authenticator) -> bool {
    let state = authenticator.spec.as_ref().map(Spec::state);
    is_registered(authenticator) && state == Some(State::Active)
}

/// Returns whether `session` can use the Authenticator: it is usable and its type [fits](fits) the Session.
pub fn counts(session: &Session, authenticator: &Authenticator) -> bool {
    is_usable(authenticator) && fits(session, type_of(authenticator))
}

/// Returns whether the registration of the Authenticator was completed.
pub fn is_registered(authenticator: &Authenticator) -> bool {
    authenticator
        .status
        .as_ref()
        .is_some_and(|status| status.is_registered)
}

/// Returns whether a Session can use an Authenticator of this type. A browser can use FIDO and TOTP. A client can use
/// TOTP and TPM, and FIDO through a browser.
pub fn fits(session: &Session, r#type: Type) -> bool {
    let status = session.status.as_ref();
    let is_client = status.is_some_and(|status| status.r#type() == SessionType::Client);
    let is_browser = status.is_some_and(|status| status.is_browser);
    match r#type {
        Type::Fido | Type::Totp => is_browser || is_client,
        Type::Tpm => is_client && !is_browser,
        Type::Unknown => false,
    }
}

/// Returns whether the Authenticator is acceptable for `session` if the Session is pinned to another one. `pinned` is
/// the type of the Authenticator that the Session is pinned to.
///
/// A FIDO credential can replace another FIDO credential, because it is equally strong. Nothing can replace a TPM.
pub fn can_replace_pinned(
    session: &Session,
    authenticator: &Authenticator,
    pinned: Option<Type>,
) -> bool {
    let Some(required) = required(session) else {
        return true;
    };
    let uid = authenticator
        .metadata
        .as_ref()
        .map(|metadata| &metadata.uid);
    uid == Some(&required.uid)
        || (pinned == Some(Type::Fido) && type_of(authenticator) == Type::Fido)
}

/// Returns the Authenticator that `session` is pinned to.
pub fn required(session: &Session) -> Option<&ObjectReference> {
    let status = session.status.as_ref()?;
    status
        .required_authenticator_ref
        .as_ref()
        .filter(|required| !required.uid.is_empty())
}

/// Returns false if `authenticator` and `session` refer to different Devices. Returns true if either has no Device.
pub fn is_of_device(authenticator: &Authenticator, session: &Session) -> bool {
    let of = |reference: Option<&ObjectReference>| {
        reference
            .map(|device| device.uid.clone())
            .filter(|uid| !uid.is_empty())
    };
    let own = of(authenticator
        .status
        .as_ref()
        .and_then(|status| status.device_ref.as_ref()));
    let other = of(session
        .status
        .as_ref()
        .and_then(|status| status.device_ref.as_ref()));
    match (own, other) {
        (Some(own), Some(other)) => own == other,
        _ => true,
    }
}

/// Updates the counters of the Authenticator after an attempt to authenticate with it.
pub fn record(authenticator: &mut Authenticator, succeeded: bool, now: UnixMillis) {
    let status = authenticator.status.get_or_insert_default();
    status.total_authentication_attempts = status.total_authentication_attempts.saturating_add(1);
    if succeeded {
        status.successful_authentications = status.successful_authentications.saturating_add(1);
        status.last_used_at = Some(now.to_proto());
    } else {
        status.failed_authentications = status.failed_authentications.saturating_add(1);
    }
}

/// Returns the type-specific information of the Authenticator.
pub fn info(authenticator: &Authenticator) -> Option<&status::info::Type> {
    authenticator
        .status
        .as_ref()?
        .info
        .as_ref()?
        .r#type
        .as_ref()
}
