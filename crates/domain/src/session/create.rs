//! How Sessions begin.

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
    rng::{Rng, random_string},
};

const API_VERSION: &str = "core/v1";
const CLI_USER_AGENT: &str = "octelium-cli";
const LONGEST_USER_AGENT: usize = 220;
const SUFFIX_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const SUFFIX_LENGTH: usize = 6;

/// What a new Session is made of.
pub struct NewSession<'a> {
    /// Its id.
    pub uid: Uid,
    /// See [`new_name`].
    pub name: String,
    /// Whose it is.
    pub user: &'a User,
    /// By which Credential it began, and which version of it.
    pub credential: Option<(&'a Credential, u32)>,
    /// See [`session_type`].
    pub session_type: Type,
    /// Whether its tokens travel as cookies.
    pub is_browser: bool,
    /// What it may at most be used for.
    pub scopes: Vec<Scope>,
    /// The id of its first tokens.
    pub token_id: Uid,
    /// How it was authenticated.
    pub info: Info,
    /// See [`super::lifetimes`].
    pub lifetimes: Lifetimes,
    /// See [`super::default_state`].
    pub state: State,
    /// The present instant.
    pub now: UnixMillis,
}

/// The new Session. Policies of its Credential are not copied into it: they act through [`under_credential`], so
/// that an edit of the Credential reaches the Sessions that it made.
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

/// A name for a Session of the User `user_name`: `<user>-<6 characters>`. A long name of a User is cut, so that the
/// Session can be fetched by its name.
pub fn new_name(user_name: &str, rng: &dyn Rng) -> String {
    let longest = name::MAX_PART_LENGTH - SUFFIX_LENGTH - 1;
    let head: String = user_name.chars().take(longest).collect();
    let suffix = random_string(rng, SUFFIX_ALPHABET, SUFFIX_LENGTH);
    format!("{}-{suffix}", head.trim_end_matches('-'))
}

/// Which type of Session `credential` makes for a client with this `User-Agent`.
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

/// Which type of Session a client with this `User-Agent` gets where nothing else says.
pub fn session_type_of(user_agent: &str) -> Type {
    if user_agent.starts_with(CLI_USER_AGENT) {
        Type::Client
    } else {
        Type::Clientless
    }
}

/// How a Session was authenticated that `credential` made. The token id of the secret stays out of it: it is a secret.
pub fn credential_info(credential: &Credential, seen: impl Into<Seen>) -> Info {
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
        ..seen.into().info()
    }
}

/// Who somebody is at an `IdentityProvider`.
pub struct ExternalIdentity {
    /// As the provider has it, unchanged.
    pub identifier: String,
    /// Empty where it is not known.
    pub email: String,
    /// Empty where it is not known.
    pub pic_url: String,
    /// How sure the provider's rules say that it is.
    pub aal: info::Aal,
    /// By what a SAML provider knows the session that it has with the person.
    pub saml: Option<Box<info::identity_provider::Saml>>,
    /// By what an `OpenID` Connect provider knows it.
    pub oidc: Option<Box<info::identity_provider::Oidc>>,
    /// When the provider authenticated the person; `None` if it does not say.
    pub authenticated_at: Option<UnixMillis>,
    /// Whether the provider was asked to authenticate the person again.
    pub reauthentication_requested: bool,
}

/// How a Session was authenticated that began by what `provider` has said.
pub fn identity_info(
    provider: &IdentityProvider,
    identity: ExternalIdentity,
    seen: impl Into<Seen>,
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
        ..seen.into().info()
    }
}

/// How a Session was authenticated that was refreshed.
pub fn refresh_info(seen: impl Into<Seen>) -> Info {
    Info {
        r#type: info::Type::RefreshToken.into(),
        ..seen.into().info()
    }
}

/// How a Session was authenticated by something that the Cluster itself handed out, as a link of an enrollment.
pub fn internal_info(seen: impl Into<Seen>) -> Info {
    Info {
        r#type: info::Type::Internal.into(),
        ..seen.into().info()
    }
}

/// From where a client was seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Seen {
    /// What it says of itself, and its address.
    pub downstream: Downstream,
    /// Where that address is, as far as it is known.
    pub geoip: Option<GeoIp>,
}

impl Seen {
    /// With nothing else.
    pub(super) fn info(self) -> Info {
        Info {
            downstream: Some(self.downstream),
            geoip: self.geoip,
            ..Info::default()
        }
    }
}

impl From<Downstream> for Seen {
    fn from(downstream: Downstream) -> Self {
        Self {
            downstream,
            geoip: None,
        }
    }
}

/// What is recorded of the client: its address where it is known, and its `User-Agent` unless it is absurdly long.
pub fn downstream(ip_address: Option<IpAddr>, user_agent: &str) -> Downstream {
    let is_recorded = user_agent.len() < LONGEST_USER_AGENT;
    let client_version = user_agent
        .strip_prefix(CLI_USER_AGENT)
        .and_then(|rest| rest.strip_prefix('/'))
        // The first word, even if it is empty: what follows is the version of a library.
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

/// The Session as Policies see it: with the Policies and inline Policies that `credential` has now added to its own.
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

pub(crate) fn reference(kind: Kind, metadata: Option<&Metadata>) -> Option<ObjectReference> {
    metadata.map(|metadata| ObjectReference {
        api_version: API_VERSION.to_owned(),
        kind: kind.to_string(),
        uid: metadata.uid.clone(),
        name: metadata.name.clone(),
        resource_version: String::new(),
    })
}
