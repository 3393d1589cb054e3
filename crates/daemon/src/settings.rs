//! Settings: a flag, else its variable, else its key in the configuration file, else a default.

use std::{fs, net::SocketAddr, path::PathBuf};

use anyhow::{Context as _, bail};

/// The largest configuration file that is read, in bytes.
const MAX_FILE_SIZE: u64 = 64 * 1024;

/// Declares groups of flags and the configuration file that holds the keys of all of them.
macro_rules! settings {
    ($($(#[$group_doc:meta])* $group:ident {
        $($(#[$doc:meta])* $field:ident: $type:ty = $key:literal, $variable:literal, $value:literal;)*
    })*) => {
        /// The configuration file. A key is named as its flag is.
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
                /// What neither a flag nor a variable gives is taken from the file.
                #[must_use]
                pub(crate) fn or(self, file: &File) -> Self {
                    Self { $($field: self.$field.or_else(|| file.$field.clone()),)* }
                }
            }
        )*
    };
}

settings! {
    /// Where the state is.
    StoreSettings {
        /// Directory of the embedded store, its master key, `ca.pem` and `root-token`
        data_dir: PathBuf = "data-dir", "OCTELIUM_DATA_DIR", "DIR";
        /// `postgres://…` of the store; the embedded SQLite store where absent. Give it in the variable or the
        /// file where it holds a password
        database_url: String = "database-url", "OCTELIUM_DATABASE_URL", "URL";
        /// PEM file of the authorities that the database server's certificate may come from; those of the system
        /// where absent
        database_ca: PathBuf = "database-ca", "OCTELIUM_DATABASE_CA", "FILE";
        /// How many connections to the database this replica reads with [default: 16]
        database_connections: u16 = "database-connections", "OCTELIUM_DATABASE_CONNECTIONS", "NUMBER";
        /// Whether changes (revocations included) are acknowledged only after the synchronous standbys of the database
        /// have them: `on`, or `off` for what the server is configured to. Logins do not wait. The server must name
        /// standbys in `synchronous_standby_names` [default: off]
        database_sync_changes: Switch = "database-sync-changes", "OCTELIUM_DATABASE_SYNC_CHANGES", "ON|OFF";
        /// File of the master key: 64 hexadecimal digits. The embedded store makes its own in the data directory
        /// where none is given; replicas on PostgreSQL share one
        master_key_file: PathBuf = "master-key-file", "OCTELIUM_MASTER_KEY_FILE", "FILE";
    }
    /// What is served, and where.
    ListenSettings {
        /// The Cluster's domain, with the port that clients use where that is not 443: `example.com`,
        /// `localhost:8443`
        domain: String = "domain", "OCTELIUM_DOMAIN", "HOST[:PORT]";
        /// Where the API, logins and Services are served; port 0 picks one [default: 127.0.0.1:8443]
        listen: SocketAddr = "listen", "OCTELIUM_LISTEN", "ADDR";
        /// Where health and metrics are served, without TLS; port 0 picks one [default: 127.0.0.1:8444]
        admin_listen: SocketAddr = "admin-listen", "OCTELIUM_ADMIN_LISTEN", "ADDR";
        /// PEM file of the certificate chain, leaf first; the local authority issues one where absent
        tls_cert: PathBuf = "tls-cert", "OCTELIUM_TLS_CERT", "FILE";
        /// PEM file of the certificate's private key
        tls_key: PathBuf = "tls-key", "OCTELIUM_TLS_KEY", "FILE";
        /// Refuse requests when the store has not confirmed its state for this many seconds [default: 5]
        feed_stale_after: u32 = "feed-stale-after", "OCTELIUM_FEED_STALE_AFTER", "SECONDS";
        /// How many seconds open requests may take to end at shutdown [default: 30]
        drain_timeout: u32 = "drain-timeout", "OCTELIUM_DRAIN_TIMEOUT", "SECONDS";
        /// How many connections are open at a time. When it is reached, the longest idle one is closed
        /// [default: 20000]
        max_connections: u32 = "max-connections", "OCTELIUM_MAX_CONNECTIONS", "NUMBER";
        /// How many of them one client may hold: an IPv4 address or an IPv6 /64. When it is reached, its longest idle
        /// one is closed [default: a quarter of --max-connections]
        max_connections_per_address: u32 = "max-connections-per-address", "OCTELIUM_MAX_CONNECTIONS_PER_ADDRESS", "NUMBER";
        /// Whether connections of --trusted-proxies begin with a PROXY protocol header of version 2 that names the
        /// client: `on` or `off`. If `on`, one without is refused. If `off`, `X-Forwarded-For` names the client
        /// [default: off]
        proxy_protocol: ProxyProtocol = "proxy-protocol", "OCTELIUM_PROXY_PROTOCOL", "ON|OFF";
        /// Whether the Cluster keeps the newest requests to Services, for `octeliumctl get access` and the console:
        /// `on` or `off` [default: on]
        access_events: AccessEvents = "access-events", "OCTELIUM_ACCESS_EVENTS", "ON|OFF";
        /// How many days audit events are kept; 0 keeps them for ever [default: 365]
        audit_retention: u32 = "audit-retention", "OCTELIUM_AUDIT_RETENTION", "DAYS";
        /// Database of places (an `.mmdb` file: `GeoLite2-City`, or alike): Sessions say where they were begun,
        /// and Policies may ask. Read again when it changes
        geoip_database: PathBuf = "geoip-database", "OCTELIUM_GEOIP_DATABASE", "FILE";
        /// The same of autonomous systems (`GeoLite2-ASN`, or alike)
        geoip_asn_database: PathBuf = "geoip-asn-database", "OCTELIUM_GEOIP_ASN_DATABASE", "FILE";
        /// Where traces, metrics and logs are exported by OTLP over gRPC, as `http://localhost:4317`; in the variable
        /// `OTEL_EXPORTER_OTLP_ENDPOINT` too
        otlp_endpoint: String = "otlp-endpoint", "OCTELIUM_OTLP_ENDPOINT", "URL";
    }
    /// What is logged, to standard error.
    LogSettings {
        /// `text` or `json`; by default text on a terminal and JSON elsewhere
        log_format: LogFormat = "log-format", "OCTELIUM_LOG_FORMAT", "FORMAT";
        /// What to log, as `info` or `warn,octeliumd=debug` [default: info]
        log: String = "log", "OCTELIUM_LOG", "FILTER";
    }
}

/// Whether requests are kept in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AccessEvents {
    /// The newest.
    On,
    /// None.
    Off,
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// How trusted proxies name the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProxyProtocol {
    /// At the beginning of each connection.
    On,
    /// In `X-Forwarded-For` of each request.
    Off,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Reads the configuration file.
///
/// # Errors
/// Where it cannot be read, is too large, is not YAML or has an unknown key. Says where.
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
