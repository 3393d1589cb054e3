//! An identity that an `IdentityProvider` has proved.

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
    directory::{Known, ProviderEntry},
};

/// Who somebody is at an `IdentityProvider`, proved.
pub(crate) struct ProvenIdentity {
    /// A login fails where it has changed since the proof was checked against it.
    pub(crate) provider: Known<IdentityProvider>,
    pub(crate) aal: Aal,
    /// As the provider has it, unchanged.
    pub(crate) identifier: String,
    /// Empty where the provider says nothing of it, or nothing that may be believed.
    pub(crate) email: String,
    pub(crate) pic_url: String,
    /// By what a SAML provider knows the session that it has with the person.
    pub(crate) saml: Option<Box<Saml>>,
    /// By what an `OpenID` Connect provider knows it.
    pub(crate) oidc: Option<Box<Oidc>>,
    pub(crate) authenticated: AuthenticationTime,
    /// What is used up with the proof, in the transaction that begins the Session.
    pub(crate) records: Vec<SingleUse>,
    pub(crate) lifetime: Lifetime,
}

/// For how long a Session lives that begins by an identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// As long as those of the User do.
    Settings,
    /// As long as its one access token.
    AccessToken,
}

/// Something of which the Cluster remembers that it was used.
pub(crate) struct SingleUse {
    pub(crate) kind: &'static str,
    pub(crate) key: Vec<u8>,
    /// From here on whatever it was of is refused anyway.
    pub(crate) expires_at: UnixMillis,
}

impl ProvenIdentity {
    /// How a Session was authenticated that begins by it.
    pub(crate) fn info(&self, ctx: &Context, caller: &Caller) -> Info {
        let seen = ctx.seen(caller);
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
        session::identity_info(&self.provider.message, identity, seen)
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
    /// The step that fails where it was used before.
    pub(crate) fn operation(&self) -> Operation {
        Operation::Record {
            kind: self.kind,
            key: self.key.clone(),
            value: Vec::new(),
            expires_at: self.expires_at,
        }
    }
}

/// Why nobody was let in, and what was proved until then.
pub(crate) struct IdentityFailed {
    pub(crate) error: Error,
    pub(crate) provider: Option<Box<Metadata>>,
    pub(crate) user: Option<Box<Metadata>>,
    pub(crate) identifier: Option<String>,
}

impl IdentityFailed {
    /// At a provider, of nobody yet.
    pub(crate) fn at(error: Error, entry: &ProviderEntry) -> Self {
        Self {
            error,
            provider: entry.known.message.metadata.clone().map(Box::new),
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

/// Claims as conditions read them.
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
