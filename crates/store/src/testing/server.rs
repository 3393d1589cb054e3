//! Temporary PostgreSQL servers: one per test binary, and pairs of a primary and its standby.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::DatabaseUrl;

/// A running server. It stops and its files are deleted when this process ends, even if the process is killed.
pub struct Server {
    directory: PathBuf,
    databases: AtomicU32,
    /// The server stops when this is closed.
    life_line: ChildStdin,
    /// Ends by itself after this process.
    child: Child,
}

/// Starts a server on a socket in a temporary directory and waits for the end of its standard input. If it runs as
/// root, the server runs as an unprivileged user.
const SCRIPT: &str = r#"
set -eu
directory=$(mktemp -d /tmp/octelium-postgres.XXXXXX)
trap 'rm -rf "$directory"' EXIT
trap '' INT TERM HUP
run=
if [ "$(id -u)" = 0 ]; then
  user=nobody
  if id postgres >/dev/null 2>&1; then user=postgres; fi
  chown "$user" "$directory"
  run="setpriv --reuid=$user --regid=$(id -g "$user") --clear-groups"
fi
cd "$directory"
if [ -n "$2" ]; then
  $run "$1/pg_basebackup" -h "$2" -U postgres -D "$directory/data" -R -X stream -c fast --no-sync >"$directory/initdb.log" 2>&1 \
    || { cat "$directory/initdb.log" >&2; exit 1; }
else
  $run "$1/initdb" -D "$directory/data" -U postgres --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$directory/initdb.log" 2>&1 \
    || { cat "$directory/initdb.log" >&2; exit 1; }
fi
$run "$1/postgres" -D "$directory/data" -k "$directory" -c listen_addresses= -c fsync=off \
  -c full_page_writes=off -c max_connections=400 -c shared_buffers=64MB -c autovacuum=off \
  -c max_locks_per_transaction=256 >"$directory/server.log" 2>&1 </dev/null &
server=$!
until "$1/pg_isready" -q -h "$directory" -U postgres; do
  kill -0 "$server" 2>/dev/null || { cat "$directory/server.log" >&2; exit 1; }
  sleep 0.05
done
echo "$directory"
read -r _ || true
kill -QUIT "$server"
wait "$server" || true
"#;

impl Server {
    /// Returns the server that is shared in this process.
    pub(super) fn shared() -> Arc<Self> {
        static SERVER: OnceLock<Arc<Server>> = OnceLock::new();
        Arc::clone(SERVER.get_or_init(|| Arc::new(Self::start(None))))
    }

    /// Starts a separate server, which a test can break.
    ///
    /// # Panics
    /// Panics if PostgreSQL is not installed or does not start.
    pub async fn start_separate() -> Self {
        tokio::task::spawn_blocking(|| Self::start(None))
            .await
            .expect("a throw-away server")
    }

    /// Starts a standby that streams from this server.
    ///
    /// # Panics
    /// Panics if the standby does not start.
    pub async fn standby(&self) -> Self {
        let primary = self.directory.clone();
        tokio::task::spawn_blocking(move || Self::start(Some(&primary)))
            .await
            .expect("a throw-away standby")
    }

    /// Stops the server like a crash: it sends nothing more to a standby.
    pub fn crash(self) {
        let Self {
            mut child,
            life_line,
            ..
        } = self;
        drop(life_line);
        let _ = child.wait();
    }

    /// Returns the path of the socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.join(".s.PGSQL.5432")
    }

    /// Creates an empty database and returns its URL.
    ///
    /// # Panics
    /// Panics if the database cannot be created.
    pub async fn database(&self) -> DatabaseUrl {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let (client, connection) =
            tokio_postgres::connect(self.url("postgres").expose(), tokio_postgres::NoTls)
                .await
                .expect("a connection to the throw-away server");
        let connection = tokio::spawn(connection);
        client
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .await
            .expect("a throw-away database");
        drop(client);
        let _ = connection.await;
        self.url(&name)
    }

    /// Returns the URL of a database on this server.
    pub fn url(&self, database: &str) -> DatabaseUrl {
        let directory = self.directory.display().to_string().replace('/', "%2F");
        DatabaseUrl::new(format!("postgres://postgres@{directory}/{database}"))
    }

    fn start(primary: Option<&std::path::Path>) -> Self {
        let programs = programs();
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(SCRIPT)
            .arg("throw-away-postgres")
            .arg(programs)
            .arg(primary.unwrap_or(std::path::Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh");
        let life_line = child.stdin.take().expect("a pipe");
        let output = child.stdout.take().expect("a pipe");
        let mut directory = String::new();
        BufReader::new(output)
            .read_line(&mut directory)
            .expect("the directory of the throw-away server");
        assert!(
            !directory.trim().is_empty(),
            "the throw-away PostgreSQL server did not start; see above"
        );
        Self {
            directory: PathBuf::from(directory.trim()),
            databases: AtomicU32::new(0),
            life_line,
            child,
        }
    }
}

/// Returns the directory of `initdb` and `postgres`, which Debian does not put on the path.
fn programs() -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|version| {
            let number = version.file_name().to_str()?.parse().ok()?;
            Some((number, version.path().join("bin")))
        })
        .chain(["/usr/bin", "/usr/local/bin"].map(|directory| (0, PathBuf::from(directory))))
        .filter(|(_, directory)| {
            ["initdb", "postgres", "pg_isready", "pg_basebackup"]
                .iter()
                .all(|program| directory.join(program).exists())
        })
        .collect();
    versions.sort();
    let (_, newest) = versions.pop().expect(
        "PostgreSQL is not installed, and these tests run against the real one. Install it with \
         `scripts/install-test-tools` (Debian: `apt-get install postgresql`)",
    );
    newest
}
