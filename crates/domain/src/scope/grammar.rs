//! The grammar of scopes.

use std::collections::HashSet;

use api::core_v1::{
    Scope,
    scope::{self, Api, Service, api as api_scope, service as service_scope},
};

use crate::name::{self, NameError, service_full_name};

const MAX_SCOPES: usize = 128;
const MAX_LENGTH: usize = 256;
const FORMS: &str = "write service:*, service:NAME, service:NAME.NAMESPACE, service:NAMESPACE/*, api:*, \
                     api:PACKAGE, api:PACKAGE.Service or api:PACKAGE.Service/Method";

/// The reason why scopes are invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// More than 128 scopes.
    #[error("there are {count} scopes; at most {MAX_SCOPES} are allowed")]
    TooMany {
        /// The number of scopes.
        count: usize,
    },
    /// Longer than 256 characters.
    #[error("a scope has {length} characters; at most {MAX_LENGTH} are allowed")]
    TooLong {
        /// The number of characters.
        length: usize,
    },
    /// The scope has none of the valid forms.
    #[error("invalid scope `{}`: {FORMS}", .scope.escape_default())]
    Form {
        /// The scope as it was given.
        scope: String,
    },
    /// A name in the scope is invalid.
    #[error("invalid scope `{scope}`: {error}")]
    Name {
        /// The scope as it was given.
        scope: String,
        /// The rule that the name breaks.
        error: NameError,
    },
    /// A duplicate scope.
    #[error("the scope `{scope}` is given twice")]
    Duplicate {
        /// The scope as it was given.
        scope: String,
    },
}

/// Parses at most 128 scopes of at most 256 characters. No scopes means no restriction.
///
/// # Errors
/// Returns a [`ScopeError`] that names the invalid scope.
pub fn parse(scopes: &[String]) -> Result<Vec<Scope>, ScopeError> {
    if scopes.len() > MAX_SCOPES {
        return Err(ScopeError::TooMany {
            count: scopes.len(),
        });
    }
    let mut seen = HashSet::new();
    scopes
        .iter()
        .map(|text| {
            let scope = parse_one(text)?;
            if seen.insert(super::format(&scope)) {
                Ok(scope)
            } else {
                Err(ScopeError::Duplicate {
                    scope: text.clone(),
                })
            }
        })
        .collect()
}

fn parse_one(text: &str) -> Result<Scope, ScopeError> {
    if text.len() > MAX_LENGTH {
        return Err(ScopeError::TooLong { length: text.len() });
    }
    let form = || ScopeError::Form {
        scope: text.to_owned(),
    };
    let r#type = match text.split_once(':') {
        Some(("service", rest)) => scope::Type::Service(Service {
            r#type: Some(service(text, rest)?),
        }),
        Some(("api", rest)) => scope::Type::Api(Api {
            r#type: Some(api(rest).ok_or_else(form)?),
        }),
        _ => return Err(form()),
    };
    Ok(Scope {
        r#type: Some(r#type),
    })
}

fn service(text: &str, rest: &str) -> Result<service_scope::Type, ScopeError> {
    let check = |name: &str, max_parts| {
        name::check(name, max_parts).map_err(|error| match error {
            // The text is not safe to print unescaped.
            _ if !text.chars().all(|c| c.is_ascii_graphic()) => ScopeError::Form {
                scope: text.to_owned(),
            },
            error => ScopeError::Name {
                scope: text.to_owned(),
                error,
            },
        })
    };
    let mut filter = service_scope::Filter::default();
    if rest == "*" {
        return Ok(service_scope::Type::All(service_scope::All {}));
    }
    if let Some(namespace) = rest.strip_suffix("/*") {
        check(namespace, 1)?;
        filter.namespaces.push(namespace.to_owned());
    } else {
        check(rest, 2)?;
        filter.names.push(service_full_name(rest));
    }
    Ok(service_scope::Type::Filter(filter))
}

fn api(rest: &str) -> Option<api_scope::Type> {
    if rest == "*" {
        return Some(api_scope::Type::All(api_scope::All {}));
    }
    let (service, method) = match rest.split_once('/') {
        Some((service, method)) => (service, Some(method)),
        None => (rest, None),
    };
    let (package, service) = match service.split_once('.') {
        Some((package, service)) => (package, Some(service)),
        None => (service, None),
    };
    let is_package = package.starts_with(|c: char| c.is_ascii_lowercase())
        && package
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let is_valid =
        is_package && service.is_none_or(is_identifier) && method.is_none_or(is_identifier);
    let mut filter = api_scope::Filter::default();
    match (service, method) {
        _ if !is_valid => return None,
        (None, Some(_)) => return None,
        (None, None) => filter.packages.push(rest.to_owned()),
        (Some(_), None) => filter.services.push(rest.to_owned()),
        (Some(_), Some(_)) => filter.methods.push(rest.to_owned()),
    }
    Some(api_scope::Type::Filter(filter))
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
