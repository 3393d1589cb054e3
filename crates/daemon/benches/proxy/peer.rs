//! The proxies that are measured: octeliumd and its peers.

use std::{
    env, fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use crate::{
    process::{Process, family_cpu_seconds, family_resident},
    replica::Replica,
};

mod jwt;

pub(crate) struct Proxy {
    /// The name in the table of results.
    pub(crate) name: &'static str,
    /// The address that serves HTTP/1.1 and HTTP/2 over TLS.
    pub(crate) address: SocketAddr,
    /// The value of the `Authorization` header.
    pub(crate) authorization: String,
    /// The certificate that clients trust.
    pub(crate) certificate: PathBuf,
    program: Program,
    _directory: TempDir,
}

enum Program {
    Ours(Replica),
    Theirs(Process),
}

/// The upstreams of the proxies.
pub(crate) struct Upstreams {
    /// The server of small responses.
    pub(crate) app: SocketAddr,
    /// The server of large bodies, gRPC and `WebSocket`s.
    pub(crate) streams: SocketAddr,
    /// The server that answers 204 to each subrequest of `auth_request`.
    pub(crate) checker: SocketAddr,
}

impl Proxy {
    /// Returns an octeliumd that already has the Services.
    pub(crate) fn octeliumd(name: &'static str, replica: Replica, access_token: &str) -> Self {
        Self {
            name,
            address: replica.address,
            authorization: format!("Bearer {access_token}"),
            certificate: replica.data_dir().join("ca.pem"),
            program: Program::Ours(replica),
            _directory: tempfile::tempdir().unwrap(),
        }
    }

    /// Starts nginx with only `proxy_pass`.
    pub(crate) fn nginx(upstreams: &Upstreams) -> Self {
        Self::nginx_with("nginx", "", upstreams)
    }

    /// Starts nginx. It sends a subrequest to a checker for each request. The checker's own CPU time is not counted.
    pub(crate) fn nginx_auth_request(upstreams: &Upstreams) -> Self {
        Self::nginx_with("nginx auth_request", "auth_request /check;", upstreams)
    }

    fn nginx_with(name: &'static str, check: &str, upstreams: &Upstreams) -> Self {
        Self::theirs(name, |files, address| {
            let configuration = files.fill(
                "nginx.conf",
                include_str!("peer/nginx.conf"),
                &[
                    ("{address}", address.to_string()),
                    ("{check}", check.to_owned()),
                    ("{app}", upstreams.app.to_string()),
                    ("{streams}", upstreams.streams.to_string()),
                    ("{checker}", upstreams.checker.to_string()),
                ],
            );
            let mut command = Command::new("nginx");
            command.arg("-c").arg(configuration);
            command
        })
    }

    pub(crate) fn haproxy(upstreams: &Upstreams) -> Self {
        Self::theirs("haproxy", |files, address| {
            let configuration = files.fill(
                "haproxy.cfg",
                include_str!("peer/haproxy.cfg"),
                &[
                    ("{address}", address.to_string()),
                    ("{app}", upstreams.app.to_string()),
                    ("{streams}", upstreams.streams.to_string()),
                ],
            );
            let mut command = Command::new("haproxy");
            command.args(["-db", "-f"]).arg(configuration);
            command
        })
    }

    /// Starts Envoy, which verifies a JWT and checks its subject. `ENVOY` names the program, by default `envoy`.
    /// Returns `None` if it is not installed.
    pub(crate) fn envoy(upstreams: &Upstreams) -> Option<Self> {
        let program = env::var_os("ENVOY").map_or_else(|| PathBuf::from("envoy"), PathBuf::from);
        if Command::new(&program).arg("--version").output().is_err() {
            return None;
        }
        let issued = jwt::issue();
        let mut envoy = Self::theirs("envoy jwt_authn+rbac", |files, address| {
            let configuration = files.fill(
                "envoy.yaml",
                include_str!("peer/envoy.yaml"),
                &[
                    ("{port}", address.port().to_string()),
                    ("{jwks}", issued.key_set.clone()),
                    ("{app}", upstreams.app.port().to_string()),
                    ("{streams}", upstreams.streams.port().to_string()),
                ],
            );
            let mut command = Command::new(program);
            command
                .args(["--concurrency", "1", "--disable-hot-restart"])
                .args(["--log-level", "warn", "-c"])
                .arg(configuration);
            command
        });
        envoy.authorization = format!("Bearer {}", issued.token);
        Some(envoy)
    }

    fn theirs(name: &'static str, command: impl FnOnce(&Files, SocketAddr) -> Command) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::new(directory.path());
        let address = free_port();
        let mut command = command(&files, address);
        let process = Process::start(&mut command, &directory.path().join("output"));
        wait_for(name, address, directory.path());
        Self {
            name,
            address,
            // As long as an access token of octeliumd.
            authorization: format!("Bearer {}", "x".repeat(200)),
            certificate: files.certificate,
            program: Program::Theirs(process),
            _directory: directory,
        }
    }

    /// Returns the used CPU time, in seconds.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        family_cpu_seconds(self.id())
    }

    /// Returns the resident memory, in bytes.
    pub(crate) fn resident(&self) -> f64 {
        family_resident(self.id())
    }

    fn id(&self) -> u32 {
        match &self.program {
            Program::Ours(replica) => replica.id(),
            Program::Theirs(process) => process.id(),
        }
    }
}

/// Configuration and certificate of a peer.
struct Files {
    directory: PathBuf,
    certificate: PathBuf,
}

impl Files {
    fn new(directory: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let names = [
            "localhost",
            "app.localhost",
            "bodies.localhost",
            "grpc.localhost",
        ];
        let certificate = CertificateParams::new(names.map(str::to_owned))
            .unwrap()
            .self_signed(&key)
            .unwrap();
        let files = Self {
            directory: directory.to_owned(),
            certificate: directory.join("certificate.pem"),
        };
        fs::write(&files.certificate, certificate.pem()).unwrap();
        fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
        let both = format!("{}{}", certificate.pem(), key.serialize_pem());
        fs::write(directory.join("both.pem"), both).unwrap();
        files
    }

    fn fill(&self, name: &str, template: &str, values: &[(&str, String)]) -> PathBuf {
        let path = |name: &str| self.directory.join(name).display().to_string();
        let mut text = template
            .replace("{dir}", &self.directory.display().to_string())
            .replace("{certificate}", &path("certificate.pem"))
            .replace("{key}", &path("key.pem"))
            .replace("{pem}", &path("both.pem"));
        for (place, value) in values {
            text = text.replace(place, value);
        }
        let file = self.directory.join(name);
        fs::write(&file, text).unwrap();
        file
    }
}

/// Returns a free port of the loopback address.
pub(crate) fn free_port() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

fn wait_for(name: &str, address: SocketAddr, directory: &Path) {
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{name} does not serve: {}",
            fs::read_to_string(directory.join("output")).unwrap_or_default()
        );
        thread::park_timeout(Duration::from_millis(20));
    }
}
