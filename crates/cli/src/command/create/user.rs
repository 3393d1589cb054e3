//! The command `create user`.

use api::{
    core_v1::{self, user::spec::Type},
    platform_v1::Resource,
    resource::Object as _,
};
use clap::{Args, ValueEnum};

use super::named;
use crate::output::OutputArgs;

/// Create a User
#[derive(Args)]
#[command(after_help = "Example:\n  octeliumctl create user --type workload microservice1")]
pub(crate) struct UserArgs {
    /// Name of the User, such as `microservice1`
    name: String,
    /// Type of the User: a person or a program
    #[arg(long, value_enum, ignore_case = true, value_name = "TYPE")]
    r#type: UserType,
    /// E-mail address of a person, such as `alice@example.com`
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// Add the User to Groups: repeatable, or separated by commas, such as `developers,on-call` [default: none]
    #[arg(long, value_name = "GROUP", value_delimiter = ',')]
    group: Vec<String>,
    /// Attach Policies to its Sessions: repeatable, or separated by commas, such as `read-only,office-hours`
    /// [default: none]
    #[arg(long, value_name = "POLICY", value_delimiter = ',')]
    policy: Vec<String>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum UserType {
    Human,
    Workload,
}

impl UserArgs {
    pub(super) fn resource(self) -> (Resource, OutputArgs) {
        let user_type = match self.r#type {
            UserType::Human => Type::Human,
            UserType::Workload => Type::Workload,
        };
        let authorization = (!self.policy.is_empty()).then(|| core_v1::user::spec::Authorization {
            policies: self.policy,
            inline_policies: Vec::new(),
        });
        let user = core_v1::User {
            metadata: Some(named(&self.name)),
            spec: Some(core_v1::user::Spec {
                r#type: user_type.into(),
                email: self.email.unwrap_or_default(),
                groups: self.group,
                authorization,
                ..core_v1::user::Spec::default()
            }),
            ..core_v1::User::default()
        };
        (user.into_resource(), self.output)
    }
}
