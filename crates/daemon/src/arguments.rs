//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{
    outbound::OutboundSettings,
    proxies::ProxySettings,
    settings::{File, ListenSettings, LogSettings, StoreSettings, read_file},
};

/// Identity-aware access: issues Credentials, creates Sessions from them, and authorizes every request to a Service
/// with Policies.
#[derive(Debug, Parser)]
#[command(name = "octeliumd", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve on this machine with a demo Service, and show an allowed and a denied request
    Quickstart(Serving),
    /// Serve the API, logins and Services
    Serve(Serving),
    /// Migrate the store to the schema of this version
    Migrate(Offline),
    /// Back up the store to a file, encrypted with the master key
    Backup(Backup),
    /// Restore the store from a backup. Revocations since the backup stay in effect
    Restore(Restore),
    /// Check settings, store, keys, certificates and the clock
    Doctor(Offline),
    /// Create a one-time token for User root. The API accepts it for 15 minutes, regardless of Policies
    Recover(Offline),
}

/// Settings of the commands that serve.
#[derive(Debug, Args)]
pub(crate) struct Serving {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    pub(crate) store: StoreSettings,
    #[command(flatten)]
    pub(crate) listen: ListenSettings,
    #[command(flatten)]
    pub(crate) proxies: ProxySettings,
    #[command(flatten)]
    pub(crate) outbound: OutboundSettings,
    #[command(flatten)]
    pub(crate) logs: LogSettings,
}

/// Settings of the commands that only use the store.
#[derive(Debug, Args)]
pub(crate) struct Offline {
    #[command(flatten)]
    file: ConfigFile,
    #[command(flatten)]
    pub(crate) store: StoreSettings,
    #[command(flatten)]
    pub(crate) logs: LogSettings,
}

/// Settings of `backup`.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// File to write; must not exist
    #[arg(env = "OCTELIUM_BACKUP_FILE", value_name = "FILE")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) offline: Offline,
}

/// Settings of `restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// Backup file to read
    #[arg(env = "OCTELIUM_BACKUP_FILE", value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// When restoring into an empty store, keep Credentials and recovery codes valid. Without this flag, Credentials
    /// must be rotated and recovery codes created again, because revocations since the backup are unknown
    #[arg(long, env = "OCTELIUM_TRUST_CREDENTIALS")]
    pub(crate) trust_credentials: bool,
    /// Database that is being replaced by the empty one at `--database-url`; its revocations are carried over
    #[arg(
        long,
        env = "OCTELIUM_FORMER_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        conflicts_with = "trust_credentials"
    )]
    pub(crate) former_database_url: Option<String>,
    #[command(flatten)]
    pub(crate) offline: Offline,
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// YAML file with settings; keys are named like the flags
    #[arg(long, env = "OCTELIUM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    fn read(&self) -> anyhow::Result<File> {
        self.config
            .as_ref()
            .map_or_else(|| Ok(File::default()), read_file)
    }
}

impl Serving {
    /// Fills in the settings of the configuration file.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or is not valid.
    pub(crate) fn with_file(self) -> anyhow::Result<Self> {
        let file = self.file.read()?;
        Ok(Self {
            store: self.store.or(&file),
            listen: self.listen.or(&file),
            proxies: self.proxies.or(&file),
            outbound: self.outbound.or(&file),
            logs: self.logs.or(&file),
            file: self.file,
        })
    }
}

impl Backup {
    /// Fills in the settings of the configuration file.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or is not valid.
    pub(crate) fn with_file(self) -> anyhow::Result<Self> {
        Ok(Self {
            offline: self.offline.with_file()?,
            ..self
        })
    }
}

impl Restore {
    /// Fills in the settings of the configuration file.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or is not valid.
    pub(crate) fn with_file(self) -> anyhow::Result<Self> {
        Ok(Self {
            offline: self.offline.with_file()?,
            ..self
        })
    }
}

impl Offline {
    /// Fills in the settings of the configuration file.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read or is not valid.
    pub(crate) fn with_file(self) -> anyhow::Result<Self> {
        let file = self.file.read()?;
        Ok(Self {
            store: self.store.or(&file),
            logs: self.logs.or(&file),
            file: self.file,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_flag_has_a_variable() {
        for command in Arguments::command().get_subcommands() {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                let variable = argument.get_env().map(|name| name.to_string_lossy());
                assert!(
                    variable.is_some_and(|variable| variable.starts_with("OCTELIUM_")),
                    "{} {name}",
                    command.get_name()
                );
            }
        }
    }
}
