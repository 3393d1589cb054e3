//! The rule lists of the contract, and the `ctx` of each.

use std::sync::OnceLock;

use cel::{
    Context, Environment, Source,
    schema::{Field, Kind, MessageType, Shape},
};

use crate::{Problem, request, schema};

/// The rule list that an expression belongs to. It determines the fields of `ctx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleList {
    /// Rules and enforcement rules of a Policy: `request`, `session`, `user`, `groups`, `device`, `service`,
    /// `namespace`.
    Policy,
    /// Authentication and registration enforcement rules: `user`, `session`, `identityProvider`,
    /// `authenticatorList`.
    Enforcement,
    /// Post-authentication rules of Authenticators: `user`, `session`, `authenticator`, `info`.
    AuthenticatorPostAuthentication,
    /// Post-authentication rules of an `IdentityProvider`: `user`, `identityProvider`, `authenticationInfo`.
    IdentityProviderPostAuthentication,
    /// Assurance level rules of an `IdentityProvider`: `assertion`, `assertionMap`.
    Aal,
    /// Creation of Users and mapping of Groups of an `IdentityProvider`: `assertion`, `assertionMap`, `identifier`,
    /// `email`.
    Provisioning,
}

/// The type that an expression must yield.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EvalType {
    /// A boolean.
    Bool,
    /// A string.
    String,
    /// A name or a list of names.
    Names,
}

/// Document of the User, the Groups and the Device. The only document of lists that have one.
pub(crate) const SUBJECT: u8 = 0;
/// Document of the Service and the Namespace.
pub(crate) const TARGET: u8 = 1;
/// Document of the Session.
pub(crate) const OF_SESSION: u8 = 2;
/// Number of documents of the list with the most documents.
const DOCUMENTS: u8 = 3;

impl RuleList {
    /// Returns the names that expressions of this list can refer to.
    pub(crate) fn environment(self) -> Environment<'static> {
        Environment {
            context: Some(self.schema()),
            attributes: self == Self::Policy,
            ..Environment::default()
        }
    }

    pub(crate) fn schema(self) -> &'static Context {
        static POLICY: OnceLock<Context> = OnceLock::new();
        static ENFORCEMENT: OnceLock<Context> = OnceLock::new();
        static AUTHENTICATOR: OnceLock<Context> = OnceLock::new();
        static PROVIDER: OnceLock<Context> = OnceLock::new();
        static AAL: OnceLock<Context> = OnceLock::new();
        static PROVISIONING: OnceLock<Context> = OnceLock::new();
        match self {
            Self::Policy => POLICY.get_or_init(|| {
                let root = schema::message("octelium.api.main.core.v1.RequestContext");
                Context::new(root, DOCUMENTS, |field| match field.name.as_str() {
                    "request" => Source::Part(request::part()),
                    "session" => Source::Document(OF_SESSION),
                    "service" | "namespace" => Source::Document(TARGET),
                    _ => Source::Document(SUBJECT),
                })
            }),
            Self::Enforcement => ENFORCEMENT.get_or_init(|| {
                stored(vec![
                    message(USER, "user", "User"),
                    message(SESSION, "session", "Session"),
                    message(IDENTITY_PROVIDER, "identityProvider", "IdentityProvider"),
                    message(AUTHENTICATOR_LIST, "authenticatorList", "AuthenticatorList"),
                ])
            }),
            Self::AuthenticatorPostAuthentication => AUTHENTICATOR.get_or_init(|| {
                stored(vec![
                    message(USER, "user", "User"),
                    message(SESSION, "session", "Session"),
                    message(AUTHENTICATOR_FIELD, "authenticator", "Authenticator"),
                    message(INFO, "info", "Session.Status.Authentication.Info"),
                ])
            }),
            Self::IdentityProviderPostAuthentication => PROVIDER.get_or_init(|| {
                stored(vec![
                    message(USER, "user", "User"),
                    message(IDENTITY_PROVIDER, "identityProvider", "IdentityProvider"),
                    message(
                        INFO,
                        "authenticationInfo",
                        "Session.Status.Authentication.Info",
                    ),
                ])
            }),
            Self::Aal => AAL.get_or_init(|| {
                stored(vec![
                    field(ASSERTION, "assertion", Kind::Text),
                    field(ASSERTION_MAP, "assertionMap", Kind::Object),
                ])
            }),
            Self::Provisioning => PROVISIONING.get_or_init(|| {
                stored(vec![
                    field(ASSERTION, "assertion", Kind::Text),
                    field(ASSERTION_MAP, "assertionMap", Kind::Object),
                    plain(IDENTIFIER, "identifier", Kind::Text),
                    plain(EMAIL, "email", Kind::Text),
                ])
            }),
        }
    }
}

// Field numbers of `ctx` in the lists whose `ctx` is not a message of the contract.
pub(crate) const USER: u32 = 1;
pub(crate) const SESSION: u32 = 2;
pub(crate) const IDENTITY_PROVIDER: u32 = 3;
pub(crate) const AUTHENTICATOR_LIST: u32 = 4;
pub(crate) const AUTHENTICATOR_FIELD: u32 = 5;
pub(crate) const INFO: u32 = 6;
pub(crate) const ASSERTION: u32 = 7;
pub(crate) const ASSERTION_MAP: u32 = 8;
pub(crate) const IDENTIFIER: u32 = 9;
pub(crate) const EMAIL: u32 = 10;

/// Builds a schema whose fields are stored in one document.
fn stored(fields: Vec<Field>) -> Context {
    // Leaked once for each rule list; schemas live as long as the program.
    let root = Box::leak(Box::new(MessageType::synthetic("ctx", fields)));
    Context::new(root, 1, |_| Source::Document(SUBJECT))
}

fn message(number: u32, name: &str, message: &str) -> Field {
    let message = schema::reference(&format!("octelium.api.main.core.v1.{message}"));
    field(number, name, message.map_or(Kind::Object, Kind::Message))
}

fn field(number: u32, name: &str, kind: Kind) -> Field {
    Field {
        name: name.to_owned(),
        number,
        shape: Shape::Explicit(kind),
    }
}

/// A field that has its default value if it is not set.
fn plain(number: u32, name: &str, kind: Kind) -> Field {
    Field {
        name: name.to_owned(),
        number,
        shape: Shape::One(kind),
    }
}

/// Converts compiler mistakes to problems with line and column.
pub(crate) fn problems(path: &str, source: &str, mistakes: Vec<cel::Mistake>) -> Vec<Problem> {
    mistakes
        .into_iter()
        .map(|mistake| {
            let offset = usize::try_from(mistake.offset).unwrap_or(0);
            let before = source.get(..offset).unwrap_or(source);
            let line = before.matches('\n').count() + 1;
            let start = before.rfind('\n').map_or(0, |newline| newline + 1);
            let column = before.get(start..).unwrap_or_default().chars().count() + 1;
            Problem {
                path: path.to_owned(),
                line: u32::try_from(line).unwrap_or(u32::MAX),
                column: u32::try_from(column).unwrap_or(u32::MAX),
                message: mistake.message,
                suggestion: mistake.suggestion,
            }
        })
        .collect()
}
