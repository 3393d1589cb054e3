//! The commands `create secret` and `create config`, and the values of `update secret` and `update config`.

use api::{core_v1, platform_v1::Resource, resource::Object as _};
use clap::{Args, ValueEnum};

use super::named;
use crate::{context::Context, failure::Failure, input, output::OutputArgs};

/// Maximum size of a value, in bytes. This is the limit of a Config; the limit of a Secret is lower.
const MAX_VALUE: usize = 3 << 20;

/// Create a Secret
#[derive(Args)]
#[command(after_help = "Example:\n  octeliumctl create secret --file password.txt pg-password")]
pub(crate) struct SecretArgs {
    /// Name of the Secret, such as `pg-password`
    pub(crate) name: String,
    #[command(flatten)]
    value: SecretValueArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Create a Config
#[derive(Args)]
#[command(after_help = "Example:\n  octeliumctl create config --file settings.json settings")]
pub(crate) struct ConfigArgs {
    /// Name of the Config, such as `settings`
    pub(crate) name: String,
    #[command(flatten)]
    value: ConfigValueArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// Arguments with the value of a Secret.
#[derive(Args)]
pub(crate) struct SecretValueArgs {
    /// Value, or `-` to read it from standard input, which hides it from other users of this machine
    #[arg(long, value_name = "VALUE", conflicts_with_all = ["file", "cert", "cert_key"])]
    value: Option<String>,
    /// File with the value, or `-` for standard input
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with_all = ["cert", "cert_key"])]
    file: Option<String>,
    /// Type of the Secret [default: value]
    #[arg(long, value_enum, value_name = "TYPE")]
    r#type: Option<SecretType>,
    /// File with a certificate chain in PEM form
    #[arg(long, value_name = "FILE", requires = "cert_key")]
    cert: Option<String>,
    /// File with the private key of the certificate in PEM form
    #[arg(long, value_name = "FILE", requires = "cert")]
    cert_key: Option<String>,
}

/// Arguments with the value of a Config.
#[derive(Args)]
pub(crate) struct ConfigValueArgs {
    /// Value, or `-` to read it from standard input
    #[arg(
        long,
        value_name = "VALUE",
        conflicts_with = "file",
        required_unless_present = "file"
    )]
    value: Option<String>,
    /// File with the value, or `-` for standard input
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SecretType {
    Value,
    Cert,
}

impl SecretArgs {
    pub(super) fn resource(self, context: &Context) -> Result<(Resource, OutputArgs), Failure> {
        let mut secret = core_v1::Secret {
            metadata: Some(named(&self.name)),
            spec: Some(core_v1::secret::Spec::default()),
            ..core_v1::Secret::default()
        };
        self.value.set(context, &mut secret)?;
        Ok((secret.into_resource(), self.output))
    }
}

impl SecretValueArgs {
    /// Sets the value in `secret`.
    ///
    /// # Errors
    /// Returns a failure if the value is missing or cannot be read.
    pub(crate) fn set(
        &self,
        context: &Context,
        secret: &mut core_v1::Secret,
    ) -> Result<(), Failure> {
        use core_v1::secret::{Data, data, spec};
        if let (Some(cert), Some(key)) = (&self.cert, &self.cert_key) {
            secret.spec_mut().data = Some(spec::Data {
                r#type: Some(spec::data::Type::Value(text(cert)?)),
            });
            secret.data = Some(Data {
                r#type: Some(data::Type::Value(text(key)?)),
            });
            return Ok(());
        }
        if self.r#type == Some(SecretType::Cert) {
            return Err(Failure::usage("--type cert requires --cert and --cert-key"));
        }
        let value = match source(self.value.as_deref(), self.file.as_deref()) {
            Some(value) => value?,
            None => context
                .terminal
                .secret("Value: ", "set --value or --file (`-` is standard input)")?
                .into_bytes(),
        };
        secret.data = Some(Data {
            r#type: Some(data::Type::ValueBytes(value)),
        });
        Ok(())
    }
}

impl ConfigArgs {
    pub(super) fn resource(self, _: &Context) -> Result<(Resource, OutputArgs), Failure> {
        let config = core_v1::Config {
            metadata: Some(named(&self.name)),
            spec: Some(core_v1::config::Spec::default()),
            data: Some(self.value.data()?),
            ..core_v1::Config::default()
        };
        Ok((config.into_resource(), self.output))
    }
}

impl ConfigValueArgs {
    /// Returns the value.
    ///
    /// # Errors
    /// Returns a failure if the value is missing or cannot be read.
    pub(crate) fn data(&self) -> Result<core_v1::config::Data, Failure> {
        use core_v1::config::{Data, data};
        let value = source(self.value.as_deref(), self.file.as_deref())
            .ok_or_else(|| Failure::usage("set --value or --file"))??;
        Ok(Data {
            r#type: Some(data::Type::ValueBytes(value)),
        })
    }
}

/// Reads the value of `--value`, or else of `--file`. For both, `-` is standard input.
fn source(value: Option<&str>, file: Option<&str>) -> Option<Result<Vec<u8>, Failure>> {
    match (value, file) {
        (Some("-"), _) => Some(input::read("-", MAX_VALUE)),
        (Some(value), _) => Some(Ok(value.as_bytes().to_vec())),
        (None, Some(path)) => Some(input::read(path, MAX_VALUE)),
        (None, None) => None,
    }
}

fn text(path: &str) -> Result<String, Failure> {
    String::from_utf8(input::read(path, MAX_VALUE)?)
        .map_err(|_| Failure::input(format!("{}: not text", input::source_name(path))))
}
