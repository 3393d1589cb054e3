//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{
    outbound::OutboundSettings,
    proxies::ProxySettings,
    settings::{File, ListenSettings, LogSettings, StoreSettings, read_file},
};

/// Identity-aware access: issues Credentials, turns them into Sessions, and decides every request to a
/// Service by Policies.
#[derive(Debug, Parser)]
#[command(name = "octeliumd", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve on this machine with a demo Service, show an allowed and a denied request, and say what to try
    Quickstart(Serving),
    /// Serve the API, logins and Services
    Serve(Serving),
    /// Bring the store to this version's schema, and say what was done
    Migrate(Offline),
    /// Write everything in the store to a file, sealed under the master key
    Backup(Backup),
    /// Replace what is in the store by a backup, without bringing back what was revoked since
    Restore(Restore),
    /// Look for what is wrong: settings, store, keys, certificates, time
    Doctor(Offline),
    /// Make a one-time token for User root that the API accepts for 15 minutes whatever its Policies say
    Recover(Offline),
}

/// Settings of what serves.
#[derive(Debug, Args)]
pub(crate) struct Serving {
    #[command(flatten)]
    file: ConfigFile,
    /// Where the state is.
    #[command(flatten)]
    pub(crate) store: StoreSettings,
    /// What is served.
    #[command(flatten)]
    pub(crate) listen: ListenSettings,
    /// What is in front of it.
    #[command(flatten)]
    pub(crate) proxies: ProxySettings,
    /// How identity providers are reached.
    #[command(flatten)]
    pub(crate) outbound: OutboundSettings,
    /// What is logged.
    #[command(flatten)]
    pub(crate) logs: LogSettings,
}

/// Settings of what works on the store alone.
#[derive(Debug, Args)]
pub(crate) struct Offline {
    #[command(flatten)]
    file: ConfigFile,
    /// Where the state is.
    #[command(flatten)]
    pub(crate) store: StoreSettings,
    /// What is logged.
    #[command(flatten)]
    pub(crate) logs: LogSettings,
}

/// Settings of `backup`.
#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file to write; must not exist
    #[arg(env = "OCTELIUM_BACKUP_FILE", value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// The rest.
    #[command(flatten)]
    pub(crate) offline: Offline,
}

/// Settings of `restore`.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The file that `backup` wrote
    #[arg(env = "OCTELIUM_BACKUP_FILE", value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Where the store is empty, so that nobody knows what was revoked since the backup: let its Credentials
    /// authenticate and its recovery codes work as they are. Without this, each must be rotated or made anew first
    #[arg(long, env = "OCTELIUM_TRUST_CREDENTIALS")]
    pub(crate) trust_credentials: bool,
    /// The database that an empty one at `--database-url` takes the place of: its revocations are carried over
    #[arg(
        long,
        env = "OCTELIUM_FORMER_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL",
        conflicts_with = "trust_credentials"
    )]
    pub(crate) former_database_url: Option<String>,
    /// The rest.
    #[command(flatten)]
    pub(crate) offline: Offline,
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// YAML file of settings; a key is named as its flag is
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
    /// Fills in what the configuration file says.
    ///
    /// # Errors
    /// Where it cannot be read.
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
    /// Fills in what the configuration file says.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn with_file(self) -> anyhow::Result<Self> {
        Ok(Self {
            offline: self.offline.with_file()?,
            ..self
        })
    }
}

impl Restore {
    /// Fills in what the configuration file says.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn with_file(self) -> anyhow::Result<Self> {
        Ok(Self {
            offline: self.offline.with_file()?,
            ..self
        })
    }
}

impl Offline {
    /// Fills in what the configuration file says.
    ///
    /// # Errors
    /// Where it cannot be read.
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
