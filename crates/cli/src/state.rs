//! Stores the tokens of logins on this machine.
//!
//! Each state directory has one file, `octelium.db`, with the protobuf message `config.v1.State`. Only its owner can
//! read it, and it is replaced as a whole. A process that reads in order to write holds the lock of `octelium.db.lock`.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use api::config_v1::{State, state::Domain};
use prost::Message as _;

use crate::{environment::Environment, failure::Failure};

const FILE: &str = "octelium.db";
const LOCK: &str = "octelium.db.lock";
/// Maximum time to wait for the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(50);

/// The place where the state is stored.
pub(crate) enum StateStore {
    Directory(PathBuf),
    /// In memory, until the program exits.
    Memory(Mutex<State>),
}

/// The store while this process holds the lock.
pub(crate) struct Locked<'a> {
    store: &'a StateStore,
    // Closing the file releases the lock.
    _lock: Option<File>,
}

impl StateStore {
    /// Opens the directory in `--homedir`, in `OCTELIUM_HOME`, or `octelium` in the user's configuration directory.
    ///
    /// `mem` and `memory` store nothing on disk.
    ///
    /// # Errors
    /// Returns a failure if the home directory is unknown.
    pub(crate) fn open(homedir: Option<&str>, environment: &Environment) -> Result<Self, Failure> {
        match homedir
            .filter(|directory| !directory.is_empty())
            .or_else(|| environment.get("OCTELIUM_HOME"))
        {
            Some(word) if ["mem", "memory"].contains(&word.to_ascii_lowercase().as_str()) => {
                Ok(Self::Memory(Mutex::default()))
            }
            Some(directory) => Ok(Self::Directory(directory.into())),
            None => default_directory(environment)
                .map(Self::Directory)
                .ok_or_else(|| {
                    Failure::input("the login cannot be saved, because there is no home directory")
                        .hint("set OCTELIUM_HOME to a directory, or to `mem` to save nothing")
                }),
        }
    }

    /// Returns the entry of a domain.
    ///
    /// # Errors
    /// Returns a failure if the file cannot be read or is damaged.
    pub(crate) fn get(&self, domain: &str) -> Result<Option<Domain>, Failure> {
        Ok(self.read()?.domain_map.remove(domain))
    }

    /// Waits until no other process holds the lock, and takes it.
    ///
    /// # Errors
    /// Returns a failure if another process holds the lock for more than 10 seconds or the directory cannot be written.
    pub(crate) async fn lock(&self) -> Result<Locked<'_>, Failure> {
        let lock = match self {
            Self::Memory(_) => None,
            Self::Directory(directory) => Some(lock(directory).await?),
        };
        Ok(Locked {
            store: self,
            _lock: lock,
        })
    }

    fn read(&self) -> Result<State, Failure> {
        let directory = match self {
            Self::Memory(state) => {
                return Ok(state
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .clone());
            }
            Self::Directory(directory) => directory,
        };
        let path = directory.join(FILE);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(State::default()),
            Err(error) => Err(failed("read", &path, &error)),
            Ok(bytes) => State::decode(bytes.as_slice()).map_err(|_| {
                Failure::input(format!("the saved login {} is damaged", path.display()))
                    .hint("delete the file and log in again")
            }),
        }
    }

    fn write(&self, state: &State) -> Result<(), Failure> {
        match self {
            Self::Memory(held) => {
                *held
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner) = state.clone();
                Ok(())
            }
            Self::Directory(directory) => replace(&directory.join(FILE), &state.encode_to_vec()),
        }
    }
}

impl Locked<'_> {
    /// Returns the entry of a domain.
    ///
    /// # Errors
    /// Returns a failure if the file cannot be read or is damaged.
    pub(crate) fn get(&self, domain: &str) -> Result<Option<Domain>, Failure> {
        self.store.get(domain)
    }

    /// Sets or removes the entry of a domain.
    ///
    /// # Errors
    /// Returns a failure if the file cannot be read or written.
    pub(crate) fn set(&self, domain: &str, entry: Option<Domain>) -> Result<(), Failure> {
        let mut state = self.store.read()?;
        match entry {
            Some(entry) => state.domain_map.insert(domain.to_owned(), entry),
            None => state.domain_map.remove(domain),
        };
        self.store.write(&state)
    }
}

fn default_directory(environment: &Environment) -> Option<PathBuf> {
    let below = |variable: &str, rest: &str| {
        let directory = Path::new(environment.get(variable)?).join(rest);
        directory.is_absolute().then_some(directory)
    };
    if cfg!(target_os = "macos") {
        below("HOME", "Library/Application Support/octelium")
    } else if cfg!(windows) {
        below("AppData", "Octelium")
    } else {
        below("XDG_CONFIG_HOME", "octelium").or_else(|| below("HOME", ".config/octelium"))
    }
}

async fn lock(directory: &Path) -> Result<File, Failure> {
    create_private_directory(directory).map_err(|error| failed("create", directory, &error))?;
    let path = directory.join(LOCK);
    let file = private()
        .read(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|error| failed("open", &path, &error))?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path, &error)),
            Err(TryLockError::WouldBlock) if waited >= LOCK_TIMEOUT => {
                return Err(Failure::input(format!(
                    "another octelium process has held {} for more than {} s",
                    path.display(),
                    LOCK_TIMEOUT.as_secs()
                ))
                .hint("wait for it or stop it, or use another --homedir"));
            }
            Err(TryLockError::WouldBlock) => {
                tokio::time::sleep(LOCK_POLL).await;
                waited += LOCK_POLL;
            }
        }
    }
}

/// Replaces a file atomically. After a crash it has either the old or the new contents.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    use io::Write as _;
    let temporary = path.with_extension(format!("db.{}", std::process::id()));
    let written = (|| {
        // Removes the leftover of a crashed process with the same id.
        fs::remove_file(&temporary).ok();
        let mut file = private().create_new(true).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    })();
    written.map_err(|error| {
        fs::remove_file(&temporary).ok();
        failed("write", path, &error)
    })
}

fn failed(verb: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::input(format!("cannot {verb} {}: {error}", path.display()))
        .hint("use --homedir or OCTELIUM_HOME to set another directory, or `mem` to save nothing")
}

#[cfg(unix)]
fn create_private_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

#[cfg(not(unix))]
fn create_private_directory(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)
}

/// Returns options that create files with access for their owner only.
fn private() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(refresh_token: &str) -> Domain {
        Domain {
            session_token: Some(api::auth_v1::SessionToken {
                refresh_token: refresh_token.to_owned(),
                ..Default::default()
            }),
            session_token_set_at: None,
        }
    }

    #[tokio::test]
    async fn entries_are_kept_by_domain_and_private() {
        let home = tempfile::tempdir().unwrap();
        let store = StateStore::Directory(home.path().join("a/b"));
        assert_eq!(store.get("x").unwrap(), None);
        {
            let locked = store.lock().await.unwrap();
            locked.set("x", Some(entry("1"))).unwrap();
            locked.set("y:8443", Some(entry("2"))).unwrap();
            locked.set("x", None).unwrap();
        }
        assert_eq!(store.get("x").unwrap(), None);
        assert_eq!(store.get("y:8443").unwrap(), Some(entry("2")));

        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &str| {
                let path = home.path().join(path);
                fs::metadata(path).unwrap().permissions().mode() & 0o777
            };
            assert_eq!(mode("a/b"), 0o700);
            assert_eq!(mode("a/b/octelium.db"), 0o600);
            assert_eq!(mode("a/b/octelium.db.lock"), 0o600);
        }
        assert_eq!(fs::read_dir(home.path().join("a/b")).unwrap().count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_held_lock_is_waited_for_and_then_reported() {
        let home = tempfile::tempdir().unwrap();
        let one = StateStore::Directory(home.path().to_owned());
        let other = StateStore::Directory(home.path().to_owned());
        let held = one.lock().await.unwrap();
        let failure = other.lock().await.err().unwrap();
        assert!(failure.message.contains("10 s"), "{}", failure.message);
        drop(held);
        other.lock().await.unwrap();
    }

    #[test]
    fn a_damaged_file_is_reported_and_kept() {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(FILE), b"\xff\xff\xff").unwrap();
        let store = StateStore::Directory(home.path().to_owned());
        let failure = store.get("x").unwrap_err();
        assert!(failure.message.contains("damaged"), "{}", failure.message);
        assert!(home.path().join(FILE).exists());
    }
}
