//! The resource kinds that the console shows, derived from the descriptors of the API.

use std::sync::LazyLock;

use ::api::{core_v1::main_service_server::SERVICE_NAME, reflect};
use domain::kind::Kind;
use prost_reflect::MethodDescriptor;

use super::api::path_of;
use crate::web::failure::Failure;

static ALL: LazyLock<Vec<ConsoleKind>> =
    LazyLock::new(|| ORDER.iter().copied().filter_map(ConsoleKind::of).collect());

/// Order in the navigation.
const ORDER: [Kind; 15] = [
    Kind::User,
    Kind::Group,
    Kind::Credential,
    Kind::Session,
    Kind::Device,
    Kind::Authenticator,
    Kind::IdentityProvider,
    Kind::Service,
    Kind::Namespace,
    Kind::Policy,
    Kind::Secret,
    Kind::Config,
    Kind::Region,
    Kind::Gateway,
    Kind::ClusterConfig,
];

/// A kind with pages in the console.
pub(super) struct ConsoleKind {
    pub(super) kind: Kind,
    pub(super) get: MethodDescriptor,
    /// `None` for a singleton.
    pub(super) list: Option<MethodDescriptor>,
    /// The filter that the list method supports.
    pub(super) owner_filter: Option<OwnerFilter>,
    /// Name in addresses.
    pub(super) word: String,
}

/// Filter of a list by owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnerFilter {
    User,
    Namespace,
}

impl OwnerFilter {
    const ALL: [Self; 2] = [Self::User, Self::Namespace];

    /// Returns the name in queries.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Namespace => "namespace",
        }
    }

    /// Returns the field name in the list options.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::User => "userRef",
            Self::Namespace => "namespaceRef",
        }
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::User => Kind::User,
            Self::Namespace => Kind::Namespace,
        }
    }
}

impl ConsoleKind {
    pub(super) fn all() -> &'static [Self] {
        &ALL
    }

    /// Returns the kind with this name in addresses.
    ///
    /// # Errors
    /// Returns a 404 [`Failure`] if the kind is unknown.
    pub(super) fn named(word: &str) -> Result<&'static Self, Failure> {
        let found = ALL.iter().find(|console_kind| console_kind.word == word);
        found.ok_or_else(Failure::not_found)
    }

    fn of(kind: Kind) -> Option<Self> {
        let service = reflect::pool().get_service_by_name(SERVICE_NAME)?;
        let method = |verb: &str| {
            let name = format!("{verb}{kind}");
            service.methods().find(|method| method.name() == name)
        };
        let list = method("List");
        let owner_filter = list.as_ref().and_then(|list| {
            let options = list.input();
            let mut ways = OwnerFilter::ALL.into_iter();
            ways.find(|way| options.get_field_by_json_name(way.field()).is_some())
        });
        Some(Self {
            kind,
            get: method("Get")?,
            list,
            owner_filter,
            word: kind.as_str().to_lowercase(),
        })
    }

    /// Returns the path of the list method, or of the get method for a singleton.
    pub(super) fn path(&self) -> String {
        path_of(self.list.as_ref().unwrap_or(&self.get))
    }

    /// Returns the address of the list.
    pub(super) fn place(&self) -> String {
        format!("{}/{}", super::ADMIN, self.word)
    }

    pub(super) fn plural(&self) -> String {
        match self.kind {
            Kind::Policy => "Policies".to_owned(),
            Kind::ClusterConfig => "ClusterConfig".to_owned(),
            kind => format!("{kind}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_that_the_api_lists_or_gets_has_pages() {
        let service = reflect::pool().get_service_by_name(SERVICE_NAME).unwrap();
        for method in service.methods() {
            let Some(kind) = method
                .name()
                .strip_prefix("Get")
                .or(method.name().strip_prefix("List"))
            else {
                continue;
            };
            let console_kind = ConsoleKind::named(&kind.to_lowercase());
            assert!(console_kind.is_ok(), "{kind}");
        }
        let narrowed = |word| ConsoleKind::named(word).unwrap().owner_filter;
        assert_eq!(narrowed("session"), Some(OwnerFilter::User));
        assert_eq!(narrowed("service"), Some(OwnerFilter::Namespace));
        assert_eq!(narrowed("user"), None);
        assert!(ConsoleKind::named("clusterconfig").unwrap().list.is_none());
        assert!(ConsoleKind::named("signingkey").is_err());
    }
}
