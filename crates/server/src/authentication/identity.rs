//! Identities proven by an `IdentityProvider`.

use api::{
    core_v1::{
        IdentityProvider,
        session::status::authentication::{
            Info,
            info::{
                Aal,
                identity_provider::{Oidc, Saml},
            },
        },
    },
    meta_v1::Metadata,
};
use authn::provider::AuthenticationTime;
use domain::{clock::UnixMillis, kind::Kind, session};
use prost_types::{ListValue, Struct, Value, value};
use store::{Operation, Transaction};

use crate::{
    Caller, Context, Error,
    audit::{self, Entry},
    directory::{ProviderEntry, Versioned},
};

/// A proven identity of a User at an `IdentityProvider`.
pub(crate) struct ProvenIdentity {
    /// The provider against which the proof was checked. The login fails if it changed since.
    pub(crate) provider: Versioned<IdentityProvider>,
    pub(crate) aal: Aal,
    /// Identifier at the provider, unchanged.
    pub(crate) identifier: String,
    /// Email address; empty if the provider sends none, or none that can be trusted.
    pub(crate) email: String,
    pub(crate) pic_url: String,
    /// The identifiers of the provider's session, for a SAML provider.
    pub(crate) saml: Option<Box<Saml>>,
    /// The identifiers of the provider's session, for an `OpenID` Connect provider.
    pub(crate) oidc: Option<Box<Oidc>>,
    pub(crate) authenticated: AuthenticationTime,
    /// Records of single use, written in the transaction that creates the Session.
    pub(crate) records: Vec<SingleUse>,
    pub(crate) lifetime: Lifetime,
}

/// The lifetime of a Session that an identity creates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// The lifetime from the settings of the User and the Cluster.
    Settings,
    /// The lifetime of its only access token.
    AccessToken,
}

/// A record that something was used once.
pub(crate) struct SingleUse {
    pub(crate) kind: &'static str,
    pub(crate) key: Vec<u8>,
    /// After this time, the recorded object is refused in any case.
    pub(crate) expires_at: UnixMillis,
}

impl ProvenIdentity {
    /// Returns the authentication info of a Session that this identity creates.
    pub(crate) fn info(&self, ctx: &Context, caller: &Caller) -> Info {
        let origin = ctx.client_origin(caller);
        let identity = session::ExternalIdentity {
            identifier: self.identifier.clone(),
            email: self.email.clone(),
            pic_url: self.pic_url.clone(),
            aal: self.aal,
            saml: self.saml.clone(),
            oidc: self.oidc.clone(),
            authenticated_at: self.authenticated.at,
            reauthentication_requested: self.authenticated.was_requested,
        };
        session::identity_info(&self.provider.message, identity, origin)
    }

    pub(super) fn redeem(&self, transaction: &mut Transaction) {
        transaction.push(Operation::Unchanged(
            Kind::IdentityProvider,
            self.provider.uid,
            self.provider.revision,
        ));
        for record in &self.records {
            transaction.push(record.operation());
        }
    }
}

impl SingleUse {
    /// Returns the operation that fails if the record already exists.
    pub(crate) fn operation(&self) -> Operation {
        Operation::Record {
            kind: self.kind,
            key: self.key.clone(),
            value: Vec::new(),
            expires_at: self.expires_at,
        }
    }
}

/// A failed login, with what was proven before the failure.
pub(crate) struct IdentityFailed {
    pub(crate) error: Error,
    pub(crate) provider: Option<Box<Metadata>>,
    pub(crate) user: Option<Box<Metadata>>,
    pub(crate) identifier: Option<String>,
}

impl IdentityFailed {
    /// Builds a failure at a provider before the User is known.
    pub(crate) fn at(error: Error, entry: &ProviderEntry) -> Self {
        Self {
            error,
            provider: entry.provider.message.metadata.clone().map(Box::new),
            user: None,
            identifier: None,
        }
    }
}

impl From<Error> for IdentityFailed {
    fn from(error: Error) -> Self {
        Self {
            error,
            provider: None,
            user: None,
            identifier: None,
        }
    }
}

/// Audits a refusal.
pub(crate) fn refused_identity(
    ctx: &Context,
    caller: &Caller,
    event_type: &'static str,
    failed: &IdentityFailed,
) {
    let Some(reason) = failed.error.reason() else {
        return;
    };
    let entry = Entry {
        event_type,
        resource: failed
            .provider
            .as_ref()
            .map(|metadata| (Kind::IdentityProvider, &**metadata)),
        user: failed.user.as_deref(),
        session: None,
    };
    let mut event = audit::refused(ctx, caller, entry, reason);
    if let Some(identifier) = &failed.identifier {
        let identifier = identifier.clone();
        event.attrs.insert("identifier".to_owned(), identifier);
    }
    ctx.audit.add(event);
}

/// Converts claims to the form that conditions evaluate.
pub(crate) fn claims(claims: &serde_json::Map<String, serde_json::Value>) -> Struct {
    Struct {
        fields: claims
            .iter()
            .map(|(name, value)| (name.clone(), self::value(value)))
            .collect(),
    }
}

fn value(value: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match value {
        Json::Null => value::Kind::NullValue(0),
        Json::Bool(value) => value::Kind::BoolValue(*value),
        Json::Number(number) => value::Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => value::Kind::StringValue(text.clone()),
        Json::Array(items) => value::Kind::ListValue(ListValue {
            values: items.iter().map(self::value).collect(),
        }),
        Json::Object(object) => value::Kind::StructValue(claims(object)),
    };
    Value { kind: Some(kind) }
}
