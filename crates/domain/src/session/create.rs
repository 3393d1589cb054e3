//! Creation of Sessions.

use std::net::IpAddr;

use api::{
    core_v1::{
        Credential, GeoIp, IdentityProvider, Scope, Session, User, credential, identity_provider,
        session::{
            Spec, Status,
            spec::{Authorization, State},
            status::{
                Authentication, Type,
                authentication::{
                    Info,
                    info::{self, Details, Downstream},
                },
            },
        },
    },
    meta_v1::{Metadata, ObjectReference},
};

use super::Lifetimes;
use crate::{
    clock::UnixMillis,
    duration,
    id::Uid,
    kind::Kind,
    name,
    reference::reference,
    rng::{Rng, random_string},
};

const API_VERSION: &str = "core/v1";
const CLI_USER_AGENT: &str = "octelium-cli";
const LONGEST_USER_AGENT: usize = 220;
const SUFFIX_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const SUFFIX_LENGTH: usize = 6;

/// The fields of a new Session.
pub struct NewSession<'a> {
    /// The id of the Session.
    pub uid: Uid,
    /// The resource name. See [`new_name`].
    pub name: String,
    /// The owner.
    pub user: &'a User,
    /// The Credential that was redeemed, and the version of its generation.
    pub credential: Option<(&'a Credential, u32)>,
    /// The type. See [`session_type`].
    pub session_type: Type,
    /// True if its tokens are stored in cookies.
    pub is_browser: bool,
    /// The scopes; empty for no restriction.
    pub scopes: Vec<Scope>,
    /// The id of the first tokens.
    pub token_id: Uid,
    /// The description of the first authentication.
    pub info: Info,
    /// The lifetimes of the Session and its tokens. See [`super::lifetimes`].
    pub lifetimes: Lifetimes,
    /// The initial state. See [`super::default_state`].
    pub state: State,
    /// The current time.
    pub now: UnixMillis,
}

/// Creates a Session. Does not copy the Policies of the Credential: [`under_credential`] adds them, so that a change of
/// the Credential takes effect on its Sessions.
pub fn new_session(new: NewSession<'_>) -> Session {
    let authentication = Authentication {
        info: Some(new.info),
        set_at: Some(new.now.to_proto()),
        token_id: new.token_id.to_string(),
        access_token_duration: Some(duration::to_proto(new.lifetimes.access_token)),
        refresh_token_duration: Some(duration::to_proto(new.lifetimes.refresh_token)),
    };
    let expires_at = new.now.saturating_add(new.lifetimes.session);
    Session {
        api_version: API_VERSION.to_owned(),
        kind: Kind::Session.to_string(),
        metadata: Some(Metadata {
            uid: new.uid.to_string(),
            name: new.name,
            created_at: Some(new.now.to_proto()),
            ..Metadata::default()
        }),
        spec: Some(Spec {
            expires_at: Some(expires_at.to_proto()),
            state: new.state.into(),
            authorization: None,
        }),
        status: Some(Status {
            user_ref: reference(Kind::User, new.user.metadata.as_ref()),
            r#type: new.session_type.into(),
            is_browser: new.is_browser,
            authentication: Some(authentication.clone()),
            initial_authentication: Some(authentication),
            credential_ref: new
                .credential
                .and_then(|(credential, _)| credential_reference(credential)),
            total_authentications: 1,
            scopes: new.scopes,
            credential_version: new.credential.map_or(0, |(_, version)| version),
            ..Status::default()
        }),
    }
}

/// Generates a name for a Session of the User `user_name`: `<user>-<6 characters>`. A long user name is truncated, so
/// that the result is a valid resource name.
pub fn new_name(user_name: &str, rng: &dyn Rng) -> String {
    let longest = name::MAX_PART_LENGTH - SUFFIX_LENGTH - 1;
    let head: String = user_name.chars().take(longest).collect();
    let suffix = random_string(rng, SUFFIX_ALPHABET, SUFFIX_LENGTH);
    format!("{}-{suffix}", head.trim_end_matches('-'))
}

/// Returns the type of Session that `credential` creates for a client with this `User-Agent`.
pub fn session_type(credential: &Credential, user_agent: &str) -> Type {
    let spec = credential.spec.as_ref();
    let wanted = spec.map_or(Type::Unknown, credential::Spec::session_type);
    let credential_type = spec.map_or(credential::spec::Type::Unknown, credential::Spec::r#type);
    match (wanted, credential_type) {
        (Type::Client | Type::Clientless, _) => wanted,
        (Type::Unknown, credential::spec::Type::AuthToken) => session_type_of(user_agent),
        (Type::Unknown, _) => Type::Clientless,
    }
}

/// Returns the default type of Session for a client with this `User-Agent`.
pub fn session_type_of(user_agent: &str) -> Type {
    if user_agent.starts_with(CLI_USER_AGENT) {
        Type::Client
    } else {
        Type::Clientless
    }
}

/// Describes an authentication with `credential`. Leaves out the token id, which is a secret.
pub fn credential_info(credential: &Credential, origin: impl Into<ClientOrigin>) -> Info {
    let r#type = credential
        .spec
        .as_ref()
        .map_or(credential::spec::Type::Unknown, credential::Spec::r#type);
    Info {
        r#type: info::Type::Credential.into(),
        details: Some(Details::Credential(info::Credential {
            credential_ref: credential_reference(credential),
            r#type: r#type.into(),
            token_id: String::new(),
        })),
        ..origin.into().info()
    }
}

/// The identity of a person or workload at an `IdentityProvider`.
pub struct ExternalIdentity {
    /// The identifier, exactly as the provider sent it.
    pub identifier: String,
    /// The email address; empty if unknown.
    pub email: String,
    /// The URL of the picture; empty if unknown.
    pub pic_url: String,
    /// The authenticator assurance level that the rules of the provider assign.
    pub aal: info::Aal,
    /// The session at the SAML provider.
    pub saml: Option<Box<info::identity_provider::Saml>>,
    /// The session at the `OpenID` Connect provider.
    pub oidc: Option<Box<info::identity_provider::Oidc>>,
    /// The time at which the provider authenticated the person; `None` if the provider does not report it.
    pub authenticated_at: Option<UnixMillis>,
    /// True if the provider was asked to authenticate the person again.
    pub reauthentication_requested: bool,
}

/// Describes a login at `provider`.
pub fn identity_info(
    provider: &IdentityProvider,
    identity: ExternalIdentity,
    origin: impl Into<ClientOrigin>,
) -> Info {
    let r#type = provider
        .status
        .as_ref()
        .map_or(identity_provider::status::Type::Unknown, |status| {
            status.r#type()
        });
    Info {
        r#type: info::Type::IdentityProvider.into(),
        details: Some(Details::IdentityProvider(info::IdentityProvider {
            identity_provider_ref: reference(Kind::IdentityProvider, provider.metadata.as_ref()),
            r#type: r#type.into(),
            identifier: identity.identifier,
            pic_url: identity.pic_url,
            email: identity.email,
            saml: identity.saml,
            oidc: identity.oidc,
            authenticated_at: identity.authenticated_at.map(UnixMillis::to_proto),
            reauthentication_requested: identity.reauthentication_requested,
        })),
        aal: identity.aal.into(),
        ..origin.into().info()
    }
}

/// Describes a refresh.
pub fn refresh_info(origin: impl Into<ClientOrigin>) -> Info {
    Info {
        r#type: info::Type::RefreshToken.into(),
        ..origin.into().info()
    }
}

/// Describes an authentication with something that the Cluster itself issued, such as an enrollment link.
pub fn internal_info(origin: impl Into<ClientOrigin>) -> Info {
    Info {
        r#type: info::Type::Internal.into(),
        ..origin.into().info()
    }
}

/// The origin of a client request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ClientOrigin {
    /// The address and `User-Agent` of the client.
    pub downstream: Downstream,
    /// The location of the address, if known.
    pub geoip: Option<GeoIp>,
}

impl ClientOrigin {
    pub(super) fn info(self) -> Info {
        Info {
            downstream: Some(self.downstream),
            geoip: self.geoip,
            ..Info::default()
        }
    }
}

impl From<Downstream> for ClientOrigin {
    fn from(downstream: Downstream) -> Self {
        Self {
            downstream,
            geoip: None,
        }
    }
}

/// Returns the recorded facts about a client: its address if known, and its `User-Agent` unless it is 220 bytes or
/// longer.
pub fn downstream(ip_address: Option<IpAddr>, user_agent: &str) -> Downstream {
    let is_recorded = user_agent.len() < LONGEST_USER_AGENT;
    let client_version = user_agent
        .strip_prefix(CLI_USER_AGENT)
        .and_then(|rest| rest.strip_prefix('/'))
        // The first word, even if it is empty: the version of a library follows.
        .and_then(|rest| rest.split(char::is_whitespace).next());
    Downstream {
        ip_address: ip_address.map_or_else(String::new, |address| address.to_string()),
        user_agent: if is_recorded {
            user_agent.to_owned()
        } else {
            String::new()
        },
        client_version: client_version
            .filter(|_| is_recorded)
            .unwrap_or_default()
            .to_owned(),
    }
}

/// Returns the Session as Policies see it, with the current Policies and inline Policies of `credential` added.
#[must_use]
pub fn under_credential(session: &Session, credential: &Credential) -> Session {
    let mut session = session.clone();
    let added = credential
        .spec
        .as_ref()
        .and_then(|spec| spec.authorization.clone());
    if let (Some(spec), Some(added)) = (&mut session.spec, added) {
        let own = spec
            .authorization
            .get_or_insert_with(Authorization::default);
        for policy in added.policies {
            if !own.policies.contains(&policy) {
                own.policies.push(policy);
            }
        }
        own.inline_policies.extend(added.inline_policies);
    }
    session
}

fn credential_reference(credential: &Credential) -> Option<ObjectReference> {
    reference(Kind::Credential, credential.metadata.as_ref())
}
