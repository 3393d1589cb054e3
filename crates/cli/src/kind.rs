//! The kinds of resources and their names on the command line.

/// A filter for lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filter {
    /// `--user`
    User,
    /// `--namespace`
    Namespace,
}

macro_rules! kinds {
    ($($kind:ident $word:literal [$($alias:literal),*] $plural:literal,)*) => {
        /// A kind of resource.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "the names of the kinds")]
        pub(crate) enum Kind { $($kind,)* }

        impl Kind {
            /// All kinds, in the order of the help.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Returns the name in the `kind` field of a document.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)* }
            }

            /// Returns the kind as the Cluster stores it.
            pub(crate) fn stored(self) -> domain::kind::Kind {
                match self { $(Self::$kind => domain::kind::Kind::$kind,)* }
            }

            /// Returns the name on the command line.
            pub(crate) fn word(self) -> &'static str {
                match self { $(Self::$kind => $word,)* }
            }

            /// Returns the alternative names on the command line.
            pub(crate) fn aliases(self) -> &'static [&'static str] {
                match self { $(Self::$kind => &[$($alias),*],)* }
            }

            /// Returns the plural for messages.
            pub(crate) fn plural(self) -> &'static str {
                match self { $(Self::$kind => $plural,)* }
            }
        }
    };
}

kinds! {
    User "user" ["usr", "users"] "Users",
    Group "group" ["grp", "groups"] "Groups",
    Namespace "namespace" ["ns", "namespaces"] "Namespaces",
    Service "service" ["svc", "services"] "Services",
    Policy "policy" ["pol", "policies"] "Policies",
    Credential "credential" ["cred", "creds", "credentials"] "Credentials",
    Session "session" ["sess", "sessions"] "Sessions",
    Secret "secret" ["sec", "secrets"] "Secrets",
    Config "config" ["cfg", "conf", "configs"] "Configs",
    Device "device" ["dev", "devices"] "Devices",
    Authenticator "authenticator" ["authn", "authenticators", "authen"] "Authenticators",
    IdentityProvider "identityprovider" ["idp", "identityproviders"] "IdentityProviders",
    Region "region" ["rgn", "regions"] "Regions",
    Gateway "gateway" ["gw", "gws", "gateways"] "Gateways",
    ClusterConfig "clusterconfig" ["cc", "clustercfg", "cluster-config"] "ClusterConfigs",
}

impl Kind {
    /// Finds the kind by its name on the command line or in a document. Ignores case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        Self::ALL.iter().copied().find(|kind| {
            kind.name().to_lowercase() == text
                || kind.word() == text
                || kind.aliases().contains(&text.as_str())
        })
    }

    /// Returns the filter that lists of this kind support.
    pub(crate) fn filter(self) -> Option<Filter> {
        match self {
            Self::Session | Self::Credential | Self::Device | Self::Authenticator => {
                Some(Filter::User)
            }
            Self::Service => Some(Filter::Namespace),
            _ => None,
        }
    }

    /// Returns whether `delete` supports this kind.
    pub(crate) fn can_be_deleted(self) -> bool {
        !matches!(self, Self::Region | Self::Gateway | Self::ClusterConfig)
    }

    /// Returns whether there is exactly one object of this kind.
    pub(crate) fn is_single(self) -> bool {
        self == Self::ClusterConfig
    }

    /// Returns the name that the API expects. The name of a Service includes its Namespace.
    pub(crate) fn full_name(self, name: &str) -> String {
        if self == Self::Service {
            domain::name::service_full_name(name)
        } else {
            name.to_owned()
        }
    }
}
