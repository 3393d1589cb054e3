//! Index entries of each kind. They are derived only from the message, so every writer of a document stores the same
//! entries.

use std::fmt::Write as _;

use api::{
    core_v1 as core,
    meta_v1::{Metadata, ObjectReference},
};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use domain::scope;
use store::IndexEntry;

use super::identity_provider;

/// User: the e-mail address. Unique.
pub const EMAIL: &str = "email";
/// User: `<identity provider name>\0<identifier>`. Unique.
pub const IDENTITY: &str = "identity";
/// User, `IdentityProvider`: the name of each Group.
pub const GROUP: &str = "group";
/// Service: the uid of the Namespace.
pub const NAMESPACE: &str = "namespace";
/// Service, Namespace: objects that non-administrators may list; see [`listed_key`].
pub const LISTED: &str = "listed";
/// Service: each host name under the Cluster's domain. Unique.
pub const HOSTNAME: &str = "hostname";
/// Session, Credential, Device, Authenticator, enrollment: the uid of the User.
pub const USER: &str = "user";
/// Session: the uid of the Credential that created it.
pub const CREDENTIAL: &str = "credential";
/// Session, Authenticator: the uid of the Device.
pub const DEVICE: &str = "device";
/// Session: the uid of the Authenticator that it requires or was created with.
pub const AUTHENTICATOR: &str = "authenticator";
/// FIDO Authenticator: the SHA-256 of its credential id in hexadecimal. Unique.
pub const FIDO_ID: &str = "fido-id";
/// TPM Authenticator: the SHA-256 of its endorsement key in hexadecimal. Unique.
pub const TPM_EK: &str = "tpm-ek";
/// Session of an OAUTH2 Credential: see [`grant_key`]. Unique.
pub const GRANT: &str = "grant";
/// Session: the subject at its SAML provider; see [`saml_key`].
pub const SAML: &str = "saml";
/// Session: subject and session id at its `OpenID` Connect provider; see [`oidc_key`].
pub const OIDC: &str = "oidc";
/// Credential: the public id, which is the OAuth2 client id. Unique.
pub const ID: &str = "id";
/// Device: `<uid of the User>/<id computed by the client>`. Unique. The id is an unverified claim; the uid keeps a User
/// from claiming the id of another User's device.
pub const DEVICE_ID: &str = "device-id";
/// Device: `<uid of the User>/<serial number>`. Unique.
pub const SERIAL: &str = "serial";
/// Policy: the uid of the parent.
pub const PARENT: &str = "parent";

/// OIDC `IdentityProvider`: the canonical issuer. Unique.
pub const OIDC_ISSUER: &str = "oidc-issuer";
/// `IdentityProvider` of identity tokens: the canonical issuer. Unique.
pub const TOKEN_ISSUER: &str = "token-issuer";
/// `IdentityProvider`: the name of its client Secret.
pub const SECRET: &str = "secret";

/// Implementation of [`super::codec::Resource::indexes`] per kind.
pub(super) trait Indexed {
    /// Returns all index entries.
    fn entries(&self) -> Vec<IndexEntry>;
}

/// Returns the key of [`GRANT`]: one Session per OAUTH2 Credential, credential version and set of scopes.
pub fn grant_key(credential_uid: &str, version: u32, scopes: &[core::Scope]) -> String {
    format!("{credential_uid}/{version}/{}", scope::hash(scopes))
}

/// Returns the key of [`LISTED`], filtered by Namespace and mode if they are given.
pub fn listed_key(namespace_uid: Option<&str>, mode: Option<i32>) -> String {
    let mode = mode.map(|mode| mode.to_string()).unwrap_or_default();
    format!("{}/{mode}", namespace_uid.unwrap_or_default())
}

/// Returns the unique index and the value for the issuer of an `IdentityProvider`.
pub(crate) fn issuer_key(spec: &core::identity_provider::Spec) -> Option<(&'static str, String)> {
    let index = match spec.r#type.as_ref()? {
        core::identity_provider::spec::Type::Oidc(_) => OIDC_ISSUER,
        core::identity_provider::spec::Type::OidcIdentityToken(_) => TOKEN_ISSUER,
        _ => return None,
    };
    Some((index, identity_provider::canonical_issuer(spec)?))
}

/// Returns the key of [`IDENTITY`].
pub fn identity_key(provider_name: &str, identifier: &str) -> String {
    format!("{provider_name}\0{identifier}")
}

/// Returns the key of [`SAML`]. The name is hashed because it can be long.
pub fn saml_key(provider_uid: &str, name_id: &str) -> String {
    format!("{provider_uid}/{}", hashed(name_id))
}

/// Returns the key of [`OIDC`]. `claim` is `sub` or `sid`, and `value` the value of this claim.
pub fn oidc_key(provider_uid: &str, claim: &str, value: &str) -> String {
    format!("{provider_uid}/{claim}/{}", hashed(value))
}

fn hashed(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    URL_SAFE_NO_PAD.encode(digest.as_ref())
}

/// Returns the key of [`DEVICE_ID`] and [`SERIAL`].
pub fn claim_key(user_uid: &str, value: &str) -> String {
    format!("{user_uid}/{value}")
}

impl Indexed for core::User {
    fn entries(&self) -> Vec<IndexEntry> {
        let Some(spec) = &self.spec else {
            return Vec::new();
        };
        let email = Some(&spec.email)
            .filter(|email| !email.is_empty())
            .map(|email| unique(EMAIL, email.clone()));
        let identities = spec.authentication.iter().flat_map(|a| &a.identities);
        let identities = identities.map(|identity| {
            let value = identity_key(&identity.identity_provider, &identity.identifier);
            unique(IDENTITY, value)
        });
        let groups = spec.groups.iter().map(|group| plain(GROUP, group.clone()));
        email.into_iter().chain(identities).chain(groups).collect()
    }
}

impl Indexed for core::Service {
    fn entries(&self) -> Vec<IndexEntry> {
        let Some(status) = &self.status else {
            return Vec::new();
        };
        let hostnames = std::iter::once(&status.primary_hostname)
            .chain(&status.additional_hostnames)
            .filter(|hostname| !hostname.is_empty())
            .map(|hostname| unique(HOSTNAME, hostname.clone()));
        let namespace = status.namespace_ref.as_ref();
        let namespace_uid = namespace.map(|namespace| namespace.uid.as_str());
        let mode = self.spec.as_ref().map(|spec| spec.mode);
        let listed = [
            (None, None),
            (namespace_uid, None),
            (None, mode),
            (namespace_uid, mode),
        ];
        let listed = listed
            .into_iter()
            .filter(|_| !is_hidden(self.metadata.as_ref()))
            .map(|(namespace, mode)| plain(LISTED, listed_key(namespace, mode)));
        reference(NAMESPACE, namespace)
            .into_iter()
            .chain(hostnames)
            .chain(listed)
            .collect()
    }
}

impl Indexed for core::Namespace {
    fn entries(&self) -> Vec<IndexEntry> {
        Some(plain(LISTED, listed_key(None, None)))
            .filter(|_| !is_hidden(self.metadata.as_ref()))
            .into_iter()
            .collect()
    }
}

impl Indexed for core::Session {
    fn entries(&self) -> Vec<IndexEntry> {
        use core::session::status::authentication::info::Details;
        let Some(status) = &self.status else {
            return Vec::new();
        };
        let info = status
            .initial_authentication
            .as_ref()
            .and_then(|authentication| authentication.info.as_ref());
        let is_grant = matches!(
            info.and_then(|info| info.details.as_ref()),
            Some(Details::Credential(by)) if by.r#type() == core::credential::spec::Type::Oauth2
        );
        let began_by = match info.and_then(|info| info.details.as_ref()) {
            Some(Details::Authenticator(by)) => by.authenticator_ref.as_ref(),
            _ => None,
        };
        let authenticators: std::collections::BTreeSet<String> =
            [status.required_authenticator_ref.as_ref(), began_by]
                .into_iter()
                .flatten()
                .map(|reference| reference.uid.clone())
                .filter(|uid| !uid.is_empty())
                .collect();
        let authenticators = authenticators.into_iter();
        let by = match info.and_then(|info| info.details.as_ref()) {
            Some(Details::IdentityProvider(by)) => Some(by),
            _ => None,
        };
        let provider = by.and_then(|by| by.identity_provider_ref.as_ref());
        let provider = provider.map_or("", |provider| &provider.uid);
        let saml = by.and_then(|by| by.saml.as_ref());
        let saml = saml.map(|saml| plain(SAML, saml_key(provider, &saml.name_id)));
        let oidc = by.and_then(|by| by.oidc.as_ref()).into_iter();
        let oidc = oidc
            .flat_map(|oidc| [("sub", &oidc.subject), ("sid", &oidc.session_id)])
            .filter(|(_, value)| !value.is_empty())
            .map(|(claim, value)| plain(OIDC, oidc_key(provider, claim, value)));
        let grant = status
            .credential_ref
            .as_ref()
            .filter(|_| is_grant)
            .map(|by| {
                let key = grant_key(&by.uid, status.credential_version, &status.scopes);
                unique(GRANT, key)
            });
        reference(USER, status.user_ref.as_ref())
            .into_iter()
            .chain(reference(CREDENTIAL, status.credential_ref.as_ref()))
            .chain(reference(DEVICE, status.device_ref.as_ref()))
            .chain(authenticators.map(|uid| plain(AUTHENTICATOR, uid)))
            .chain(grant)
            .chain(saml)
            .chain(oidc)
            .collect()
    }
}

impl Indexed for core::Credential {
    fn entries(&self) -> Vec<IndexEntry> {
        let Some(status) = &self.status else {
            return Vec::new();
        };
        let id = Some(&status.id)
            .filter(|id| !id.is_empty())
            .map(|id| unique(ID, id.clone()));
        reference(USER, status.user_ref.as_ref())
            .into_iter()
            .chain(id)
            .collect()
    }
}

impl Indexed for core::Device {
    fn entries(&self) -> Vec<IndexEntry> {
        let Some(status) = &self.status else {
            return Vec::new();
        };
        let user = status.user_ref.as_ref();
        let user = user.map_or("", |user| user.uid.as_str());
        let present = |index, value: &String| {
            Some(value)
                .filter(|value| !value.is_empty())
                .map(|value| unique(index, claim_key(user, value)))
        };
        reference(USER, status.user_ref.as_ref())
            .into_iter()
            .chain(present(DEVICE_ID, &status.id))
            .chain(present(SERIAL, &status.serial_number))
            .collect()
    }
}

impl Indexed for core::Authenticator {
    fn entries(&self) -> Vec<IndexEntry> {
        use core::authenticator::status::info::Type;
        let Some(status) = &self.status else {
            return Vec::new();
        };
        let info = status.info.as_ref().and_then(|info| info.r#type.as_ref());
        let of_type = match info {
            Some(Type::Fido(fido)) if !fido.id_hash.is_empty() => {
                Some(unique(FIDO_ID, hex(&fido.id_hash)))
            }
            // The key is known from the start of the registration, but becomes unique only when it finishes.
            Some(Type::Tpm(tpm)) if status.is_registered && !tpm.ek_public_key.is_empty() => {
                let hash = digest::digest(&digest::SHA256, &tpm.ek_public_key);
                Some(unique(TPM_EK, hex(hash.as_ref())))
            }
            _ => None,
        };
        reference(USER, status.user_ref.as_ref())
            .into_iter()
            .chain(reference(DEVICE, status.device_ref.as_ref()))
            .chain(of_type)
            .collect()
    }
}

impl Indexed for core::IdentityProvider {
    fn entries(&self) -> Vec<IndexEntry> {
        let Some(spec) = &self.spec else {
            return Vec::new();
        };
        let mut groups: Vec<&String> = identity_provider::groups(spec).collect();
        groups.sort_unstable();
        groups.dedup();
        let groups = groups.into_iter().map(|group| plain(GROUP, group.clone()));
        let secret = identity_provider::client_secret(spec);
        issuer_key(spec)
            .map(|(index, value)| unique(index, value))
            .into_iter()
            .chain(secret.map(|secret| plain(SECRET, secret.to_owned())))
            .chain(groups)
            .collect()
    }
}

impl Indexed for core::Policy {
    fn entries(&self) -> Vec<IndexEntry> {
        let parent = self
            .status
            .as_ref()
            .and_then(|s| s.parent_policy_ref.as_ref());
        reference(PARENT, parent).into_iter().collect()
    }
}

macro_rules! without_indexes {
    ($($kind:ident),*) => {$(
        impl Indexed for core::$kind {
            fn entries(&self) -> Vec<IndexEntry> {
                Vec::new()
            }
        }
    )*};
}

without_indexes!(Group, Secret, Config, ClusterConfig, Region, Gateway);

/// Returns `bytes` as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn is_hidden(metadata: Option<&Metadata>) -> bool {
    metadata.is_some_and(|metadata| metadata.is_user_hidden || metadata.is_system_hidden)
}

fn reference(index: &'static str, to: Option<&ObjectReference>) -> Option<IndexEntry> {
    let to = to.filter(|to| !to.uid.is_empty())?;
    Some(plain(index, to.uid.clone()))
}

fn plain(index: &'static str, value: String) -> IndexEntry {
    IndexEntry {
        index,
        value,
        unique: false,
    }
}

fn unique(index: &'static str, value: String) -> IndexEntry {
    IndexEntry {
        index,
        value,
        unique: true,
    }
}
