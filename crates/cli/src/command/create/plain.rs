//! The commands `create group` and `create namespace`.

use api::{core_v1, platform_v1::Resource, resource::Object as _};
use clap::Args;

use super::named;
use crate::output::OutputArgs;

/// Create a Group
#[derive(Args)]
#[command(after_help = "Example:\n  octeliumctl create group --policy allow-dev developers")]
pub(crate) struct GroupArgs {
    /// Name of the Group, such as `developers`
    name: String,
    /// Attach Policies to its Users: repeatable, or separated by commas, such as `read-only,office-hours`
    /// [default: none]
    #[arg(long, value_name = "POLICY", value_delimiter = ',')]
    policy: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// Create a Namespace
#[derive(Args)]
#[command(after_help = "Example:\n  octeliumctl create namespace production")]
pub(crate) struct NamespaceArgs {
    /// Name of the Namespace, such as `production`
    name: String,
    /// Attach Policies to its Services: repeatable, or separated by commas, such as `read-only,office-hours`
    /// [default: none]
    #[arg(long, value_name = "POLICY", value_delimiter = ',')]
    policy: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

impl GroupArgs {
    pub(super) fn resource(self) -> (Resource, OutputArgs) {
        let authorization =
            (!self.policy.is_empty()).then(|| core_v1::group::spec::Authorization {
                policies: self.policy,
                inline_policies: Vec::new(),
            });
        let group = core_v1::Group {
            metadata: Some(named(&self.name)),
            spec: Some(core_v1::group::Spec {
                authorization,
                ..core_v1::group::Spec::default()
            }),
            ..core_v1::Group::default()
        };
        (group.into_resource(), self.output)
    }
}

impl NamespaceArgs {
    pub(super) fn resource(self) -> (Resource, OutputArgs) {
        let authorization =
            (!self.policy.is_empty()).then(|| core_v1::namespace::spec::Authorization {
                policies: self.policy,
                inline_policies: Vec::new(),
            });
        let namespace = core_v1::Namespace {
            metadata: Some(named(&self.name)),
            spec: Some(core_v1::namespace::Spec {
                authorization,
                ..core_v1::namespace::Spec::default()
            }),
            ..core_v1::Namespace::default()
        };
        (namespace.into_resource(), self.output)
    }
}
