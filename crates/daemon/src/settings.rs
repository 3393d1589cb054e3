//! Settings. A flag takes precedence over its environment variable, then the configuration file, then the default.

use std::{fs, net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, bail};

/// The maximum size of a configuration file in bytes.
const MAX_FILE_SIZE: u64 = 64 * 1024;

/// Declares groups of flags, and the configuration file with the keys of all groups.
macro_rules! settings {
    ($($(#[$group_doc:meta])* $group:ident {
        $($(#[$doc:meta])* $field:ident: $type:ty = $key:literal, $variable:literal, $value:literal;)*
    })*) => {
        /// The configuration file. Keys are named like the flags.
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct File {
            $($(#[serde(rename = $key)] $field: Option<$type>,)*)*
            #[serde(rename = "trusted-proxies")]
            pub(crate) trusted_proxies: Option<Vec<String>>,
            #[serde(rename = "outbound-allow")]
            pub(crate) outbound_allow: Option<Vec<String>>,
            #[serde(rename = "outbound-ca")]
            pub(crate) outbound_ca: Option<PathBuf>,
            #[serde(rename = "mds-url")]
            pub(crate) mds_url: Option<String>,
            #[serde(rename = "mds-file")]
            pub(crate) mds_copy: Option<PathBuf>,
            #[serde(rename = "mds-anchor")]
            pub(crate) mds_anchor: Option<PathBuf>,
            #[serde(rename = "mds-publisher")]
            pub(crate) mds_publisher: Option<String>,
        }

        $(
            $(#[$group_doc])*
            #[derive(Debug, Clone, Default, clap::Args)]
            pub(crate) struct $group {
                $(
                    $(#[$doc])*
                    #[arg(long = $key, env = $variable, hide_env_values = true, value_name = $value)]
                    pub(crate) $field: Option<$type>,
                )*
            }

            impl $group {
                /// Takes settings without a flag or variable from the file.
                #[must_use]
                pub(crate) fn or(self, file: &File) -> Self {
                    Self { $($field: self.$field.or_else(|| file.$field.clone()),)* }
                }
            }
        )*
    };
}

settings! {
    /// Storage.
    StoreSettings {
        /// Directory of the embedded store, its master key, `ca.pem` and `root-token`
        data_dir: PathBuf = "data-dir", "OCTELIUM_DATA_DIR", "DIR";
        /// `postgres://…` URL of the store [default: the embedded SQLite store]. If it contains a password, set it in
        /// the variable or the file
        database_url: String = "database-url", "OCTELIUM_DATABASE_URL", "URL";
        /// PEM file of the certificate authorities to trust for the database server [default: those of the system]
        database_ca: PathBuf = "database-ca", "OCTELIUM_DATABASE_CA", "FILE";
        /// Number of database connections for reads of this replica [default: 16]
        database_connections: u16 = "database-connections", "OCTELIUM_DATABASE_CONNECTIONS", "NUMBER";
        /// Acknowledge changes, including revocations, only after the synchronous standbys of the database have them:
        /// `on`, or `off` to use the server's configuration. Logins do not wait. The server must name standbys in
        /// `synchronous_standby_names` [default: off]
        database_sync_changes: Switch = "database-sync-changes", "OCTELIUM_DATABASE_SYNC_CHANGES", "ON|OFF";
        /// File of the master key: 64 hexadecimal digits. Replicas on PostgreSQL share one [default: the embedded store
        /// creates one in the data directory]
        master_key_file: PathBuf = "master-key-file", "OCTELIUM_MASTER_KEY_FILE", "FILE";
    }
    /// Listeners.
    ListenSettings {
        /// Domain of the Cluster, with the port for clients if it is not 443: `example.com`, `localhost:8443`
        domain: String = "domain", "OCTELIUM_DOMAIN", "HOST[:PORT]";
        /// Address of the API, logins and Services; port 0 selects a free port [default: 127.0.0.1:8443]
        listen: SocketAddr = "listen", "OCTELIUM_LISTEN", "ADDR";
        /// Address of health checks and metrics, without TLS; port 0 selects a free port [default: 127.0.0.1:8444]
        admin_listen: SocketAddr = "admin-listen", "OCTELIUM_ADMIN_LISTEN", "ADDR";
        /// PEM file of the certificate chain, leaf first [default: certificates of the local authority]
        tls_cert: PathBuf = "tls-cert", "OCTELIUM_TLS_CERT", "FILE";
        /// PEM file of the certificate's private key
        tls_key: PathBuf = "tls-key", "OCTELIUM_TLS_KEY", "FILE";
        /// Refuse requests if the store has not confirmed its state for this many seconds [default: 5]
        feed_stale_after: u32 = "feed-stale-after", "OCTELIUM_FEED_STALE_AFTER", "SECONDS";
        /// Seconds that open requests may take to end at shutdown [default: 30]
        drain_timeout: u32 = "drain-timeout", "OCTELIUM_DRAIN_TIMEOUT", "SECONDS";
        /// Maximum number of open connections. If it is reached, the longest idle one is closed [default: 20000]
        max_connections: u32 = "max-connections", "OCTELIUM_MAX_CONNECTIONS", "NUMBER";
        /// Maximum number of open connections of one client: an IPv4 address or an IPv6 /64. If it is reached, its
        /// longest idle one is closed [default: a fifth of --max-connections]
        max_connections_per_address: u32 = "max-connections-per-address", "OCTELIUM_MAX_CONNECTIONS_PER_ADDRESS", "NUMBER";
        /// Require a PROXY protocol header of version 2 with the client's address on connections of --trusted-proxies:
        /// `on` or `off`. If `on`, connections without one are refused. If `off`, `X-Forwarded-For` names the client
        /// [default: off]
        proxy_protocol: ProxyProtocol = "proxy-protocol", "OCTELIUM_PROXY_PROTOCOL", "ON|OFF";
        /// Keep the newest requests to Services, for `octeliumctl get access` and the console: `on` or `off` [default:
        /// on]
        access_events: AccessEvents = "access-events", "OCTELIUM_ACCESS_EVENTS", "ON|OFF";
        /// Days to keep audit events; 0 keeps them forever [default: 365]
        audit_retention: u32 = "audit-retention", "OCTELIUM_AUDIT_RETENTION", "DAYS";
        /// Location database (an `.mmdb` file, such as `GeoLite2-City`). Sessions record their location, and Policies
        /// can use it. The file is reloaded when it changes
        geoip_database: PathBuf = "geoip-database", "OCTELIUM_GEOIP_DATABASE", "FILE";
        /// Database of autonomous systems (`.mmdb`, such as `GeoLite2-ASN`). The file is reloaded when it changes
        geoip_asn_database: PathBuf = "geoip-asn-database", "OCTELIUM_GEOIP_ASN_DATABASE", "FILE";
        /// OTLP endpoint (gRPC) for traces, metrics and logs, for example `http://localhost:4317`. The variable
        /// `OTEL_EXPORTER_OTLP_ENDPOINT` works too
        otlp_endpoint: String = "otlp-endpoint", "OCTELIUM_OTLP_ENDPOINT", "URL";
    }
    /// Logging to standard error.
    LogSettings {
        /// Log format: `text` or `json` [default: text on a terminal, else json]
        log_format: LogFormat = "log-format", "OCTELIUM_LOG_FORMAT", "FORMAT";
        /// Log filter, for example `info` or `warn,octeliumd=debug` [default: info]
        log: String = "log", "OCTELIUM_LOG", "FILTER";
    }
}

/// Whether the newest requests to Services are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AccessEvents {
    /// Keep the newest requests
    On,
    /// Keep no requests
    Off,
}

/// A switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    /// Enable
    On,
    /// Disable
    Off,
}

/// The method with which trusted proxies pass the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProxyProtocol {
    /// A PROXY protocol header at the start of each connection
    On,
    /// `X-Forwarded-For` in each request
    Off,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// Text for people
    Text,
    /// One JSON object a line
    Json,
}

/// Reads the configuration file.
///
/// # Errors
///
/// Returns an error if the file cannot be read, is too large, is not YAML or has an unknown key.
pub(crate) fn read_file(path: &PathBuf) -> anyhow::Result<File> {
    let context = || format!("configuration file {}", path.display());
    if fs::metadata(path).with_context(context)?.len() > MAX_FILE_SIZE {
        bail!("{} is larger than {MAX_FILE_SIZE} bytes", context());
    }
    let text = fs::read_to_string(path).with_context(context)?;
    parse(&text).with_context(context)
}

fn parse(text: &str) -> anyhow::Result<File> {
    if text.trim().is_empty() {
        return Ok(File::default());
    }
    let options = serde_saphyr::options! { strict_booleans: true };
    Ok(serde_saphyr::from_str_with_options(text, options)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_wins_over_the_file() {
        let file = parse("domain: file.example\nlisten: 127.0.0.1:1\nlog-format: json\n").unwrap();
        let given = ListenSettings {
            domain: Some("flag.example".to_owned()),
            ..ListenSettings::default()
        };
        let merged = given.or(&file);
        assert_eq!(merged.domain.as_deref(), Some("flag.example"));
        assert_eq!(merged.listen, Some("127.0.0.1:1".parse().unwrap()));
        assert_eq!(
            LogSettings::default().or(&file).log_format,
            Some(LogFormat::Json)
        );
    }

    #[test]
    fn an_unknown_key_is_refused_by_name_and_place() {
        let problem = format!(
            "{:#}",
            parse("domain: a.example\nlisten-on: x\n").unwrap_err()
        );
        assert!(problem.contains("listen-on"), "{problem}");
        assert!(problem.contains("line 2"), "{problem}");
    }

    #[test]
    fn a_duplicate_key_is_refused() {
        assert!(parse("domain: a.example\ndomain: b.example\n").is_err());
    }

    #[test]
    fn an_empty_file_changes_nothing() {
        assert!(parse("\n").unwrap().domain.is_none());
    }
}
