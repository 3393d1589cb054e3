//! The rule lists of the contract, and the `ctx` of each.

use std::sync::OnceLock;

use crate::{
    Problem,
    cel::{self, Environment},
    document::Layout,
    schema::{self, Field, Kind, MessageType, Shape},
};

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

/// The `ctx` of a rule list: its fields and the documents that store them.
pub(crate) struct ContextSchema {
    pub(crate) root: &'static MessageType,
    pub(crate) layouts: Vec<Layout>,
    documents: fn(u32) -> Option<u8>,
}

impl ContextSchema {
    /// Returns the document that stores field `number`, or `None` for the request, which is not stored.
    pub(crate) fn document(&self, number: u32) -> Option<u8> {
        (self.documents)(number)
    }

    fn new(root: &'static MessageType, count: u8, documents: fn(u32) -> Option<u8>) -> Self {
        let layouts = (0..count)
            .map(|document| Layout::new(root, |field| documents(field.number) == Some(document)))
            .collect();
        Self {
            root,
            layouts,
            documents,
        }
    }

    /// Returns the layout of a document.
    pub(crate) fn layout(&self, document: u8) -> &Layout {
        static EMPTY: OnceLock<Layout> = OnceLock::new();
        self.layouts
            .get(usize::from(document))
            .unwrap_or_else(|| EMPTY.get_or_init(|| Layout::new(schema::message(""), |_| false)))
    }
}

/// Document of the User, the Groups and the Device. The only document of lists that have one.
pub(crate) const SUBJECT: u8 = 0;
/// Document of the Service and the Namespace.
pub(crate) const TARGET: u8 = 1;
/// Document of the Session.
pub(crate) const OF_SESSION: u8 = 2;
/// Maximum number of documents of a list.
pub(crate) const DOCUMENTS: usize = 3;

impl RuleList {
    /// Returns the names that expressions of this list can refer to.
    pub(crate) fn environment(self) -> Environment<'static> {
        Environment {
            context: Some(self.schema()),
            attributes: self == Self::Policy,
            ..Environment::default()
        }
    }

    pub(crate) fn schema(self) -> &'static ContextSchema {
        static POLICY: OnceLock<ContextSchema> = OnceLock::new();
        static ENFORCEMENT: OnceLock<ContextSchema> = OnceLock::new();
        static AUTHENTICATOR: OnceLock<ContextSchema> = OnceLock::new();
        static PROVIDER: OnceLock<ContextSchema> = OnceLock::new();
        static AAL: OnceLock<ContextSchema> = OnceLock::new();
        static PROVISIONING: OnceLock<ContextSchema> = OnceLock::new();
        match self {
            Self::Policy => POLICY.get_or_init(|| {
                let root = schema::message("octelium.api.main.core.v1.RequestContext");
                ContextSchema::new(root, 3, |number| match number {
                    1 => None,
                    2 => Some(OF_SESSION),
                    6 | 7 => Some(TARGET),
                    _ => Some(SUBJECT),
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
fn stored(fields: Vec<Field>) -> ContextSchema {
    // Leaked once for each rule list; schemas live as long as the program.
    let root = Box::leak(Box::new(MessageType::synthetic("ctx", fields)));
    ContextSchema::new(root, 1, |_| Some(SUBJECT))
}

fn message(number: u32, name: &str, message: &str) -> Field {
    let id = schema::message_id(&format!("octelium.api.main.core.v1.{message}"));
    field(number, name, id.map_or(Kind::Object, Kind::Message))
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
