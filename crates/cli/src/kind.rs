//! The kinds of resources as the command line names them.

/// What a list can be narrowed to.
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
            /// All, in the order in which help shows them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// As in `kind:` of a document.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)* }
            }

            /// As the Cluster names it.
            pub(crate) fn stored(self) -> domain::kind::Kind {
                match self { $(Self::$kind => domain::kind::Kind::$kind,)* }
            }

            /// As on the command line.
            pub(crate) fn word(self) -> &'static str {
                match self { $(Self::$kind => $word,)* }
            }

            /// Other spellings on the command line.
            pub(crate) fn aliases(self) -> &'static [&'static str] {
                match self { $(Self::$kind => &[$($alias),*],)* }
            }

            /// For sentences.
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
    /// The kind that a word of the command line or a `kind:` means.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.to_lowercase();
        Self::ALL.iter().copied().find(|kind| {
            kind.name().to_lowercase() == text
                || kind.word() == text
                || kind.aliases().contains(&text.as_str())
        })
    }

    /// What its lists can be narrowed to.
    pub(crate) fn filter(self) -> Option<Filter> {
        match self {
            Self::Session | Self::Credential | Self::Device | Self::Authenticator => {
                Some(Filter::User)
            }
            Self::Service => Some(Filter::Namespace),
            _ => None,
        }
    }

    /// Whether `delete` takes it.
    pub(crate) fn can_be_deleted(self) -> bool {
        !matches!(self, Self::Region | Self::Gateway | Self::ClusterConfig)
    }

    /// Whether there is one alone, without a name.
    pub(crate) fn is_single(self) -> bool {
        self == Self::ClusterConfig
    }

    /// The name as the API wants it: a Service's has its Namespace.
    pub(crate) fn full_name(self, name: &str) -> String {
        if self == Self::Service {
            domain::name::service_full_name(name)
        } else {
            name.to_owned()
        }
    }
}
