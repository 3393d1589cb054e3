//! Scopes: the upper limit of what a Session can be used for. A Session without scopes is not restricted.
//!
//! The forms are `service:*`, `service:NAME`, `service:NAME.NAMESPACE`, `service:NAMESPACE/*`, `api:*`, `api:PACKAGE`,
//! `api:PACKAGE.Service` and `api:PACKAGE.Service/Method`. PACKAGE is the short name (`core`, `user`, `auth`,
//! `platform`). Each text becomes one message.

use api::core_v1::{
    Scope,
    scope::{self, Api, Service, api as api_scope, service as service_scope},
};

use crate::name::service_full_name;

mod grammar;
mod hash;

pub use grammar::{ScopeError, parse};
pub use hash::hash;

/// Returns the texts of `scope`, in the form that [`parse`] accepts. An empty message, which allows nothing, has none.
pub fn format(scope: &Scope) -> Vec<String> {
    match &scope.r#type {
        None => Vec::new(),
        Some(scope::Type::Service(Service { r#type })) => match r#type {
            None => Vec::new(),
            Some(service_scope::Type::All(_)) => vec!["service:*".to_owned()],
            Some(service_scope::Type::Filter(filter)) => {
                let names = filter.names.iter().map(|name| {
                    let short = name.strip_suffix(".default").unwrap_or(name);
                    format!("service:{short}")
                });
                let namespaces = filter.namespaces.iter();
                names
                    .chain(namespaces.map(|name| format!("service:{name}/*")))
                    .collect()
            }
        },
        Some(scope::Type::Api(Api { r#type })) => match r#type {
            None => Vec::new(),
            Some(api_scope::Type::All(_)) => vec!["api:*".to_owned()],
            Some(api_scope::Type::Filter(filter)) => {
                let parts = [&filter.packages, &filter.services, &filter.methods];
                parts
                    .into_iter()
                    .flatten()
                    .map(|part| format!("api:{part}"))
                    .collect()
            }
        },
    }
}

/// Returns whether a Session with `scopes` can reach the Service `service_name` (`name.namespace`). `service:*` covers
/// the Services behind the gateway. The API (`is_api`) is reached with `api:` scopes or by the name of its Service;
/// then [`allows_method`] decides on each call.
pub fn allows_service(scopes: &[Scope], service_name: &str, is_api: bool) -> bool {
    scopes.is_empty()
        || scopes.iter().any(|scope| match &scope.r#type {
            Some(scope::Type::Service(service)) => match &service.r#type {
                Some(service_scope::Type::All(_)) => !is_api,
                Some(service_scope::Type::Filter(filter)) => names_service(filter, service_name),
                None => false,
            },
            Some(scope::Type::Api(api)) => is_api && api.r#type.is_some(),
            None => false,
        })
}

/// Returns whether a Session with `scopes` can call `method` of the gRPC service `service` of the API package
/// `package`: `allows_method(scopes, "core", "MainService", "GetUser")`. This is the only scope check that an API call
/// needs.
pub fn allows_method(scopes: &[Scope], package: &str, service: &str, method: &str) -> bool {
    if scopes.is_empty() {
        return true;
    }
    let api_service = match package {
        "auth" => "auth.octelium-api",
        _ => "default.octelium-api",
    };
    let qualified_service = format!("{package}.{service}");
    let qualified_method = format!("{qualified_service}/{method}");
    let has = |list: &[String], wanted: &str| list.iter().any(|entry| entry == wanted);
    scopes.iter().any(|scope| match &scope.r#type {
        Some(scope::Type::Service(Service {
            r#type: Some(service_scope::Type::Filter(filter)),
        })) => names_service(filter, api_service),
        Some(scope::Type::Api(api)) => match &api.r#type {
            Some(api_scope::Type::All(_)) => true,
            Some(api_scope::Type::Filter(filter)) => {
                has(&filter.packages, package)
                    || has(&filter.services, &qualified_service)
                    || has(&filter.methods, &qualified_method)
            }
            None => false,
        },
        _ => false,
    })
}

fn names_service(filter: &service_scope::Filter, service_name: &str) -> bool {
    let service_name = service_full_name(service_name);
    let in_namespace = |namespace: &String| {
        service_name
            .rsplit_once('.')
            .is_some_and(|(_, of)| of == namespace)
    };
    filter
        .names
        .iter()
        .any(|name| service_full_name(name) == service_name)
        || filter.namespaces.iter().any(in_namespace)
}

#[cfg(test)]
mod tests;
