//! Location databases, reloaded when their files change.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, ensure};
use arc_swap::ArcSwapOption;
use server::geoip::{Database, GeoIpDatabases};
use tokio_util::sync::CancellationToken;

use crate::settings::ListenSettings;

/// The interval between checks of the files.
const PERIOD: Duration = Duration::from_mins(1);
/// The maximum size of a database in bytes.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// The files, with their state when they were read.
pub(crate) struct GeoIpFiles {
    cities: Option<Watched>,
    networks: Option<Watched>,
    geoip: Arc<GeoIpDatabases>,
}

struct Watched {
    path: PathBuf,
    read: State,
}

/// Modification time and size.
type State = (SystemTime, u64);

impl GeoIpFiles {
    /// Loads the configured files.
    ///
    /// # Errors
    ///
    /// Returns an error if a file cannot be read or is not a location database.
    pub(crate) fn open(settings: &ListenSettings) -> anyhow::Result<Self> {
        let geoip = Arc::new(GeoIpDatabases::default());
        let open = |path: Option<&PathBuf>, into: &ArcSwapOption<Database>| {
            path.map(|path| {
                let (database, read) = load(path)?;
                into.store(Some(Arc::new(database)));
                let path = path.clone();
                Ok::<_, anyhow::Error>(Watched { path, read })
            })
            .transpose()
        };
        Ok(Self {
            cities: open(settings.geoip_database.as_ref(), &geoip.cities)?,
            networks: open(settings.geoip_asn_database.as_ref(), &geoip.networks)?,
            geoip,
        })
    }

    pub(crate) fn geoip(&self) -> Arc<GeoIpDatabases> {
        Arc::clone(&self.geoip)
    }

    /// Reloads changed files until `stop` is cancelled. If a file is not valid, the previous content stays in use.
    pub(crate) async fn follow(mut self, stop: CancellationToken) {
        if self.cities.is_none() && self.networks.is_none() {
            return;
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
            let reloaded = tokio::task::spawn_blocking(move || {
                self.reload_changed();
                self
            });
            match reloaded.await {
                Ok(files) => self = files,
                Err(_) => return,
            }
        }
    }

    fn reload_changed(&mut self) {
        for (watched, into) in [
            (&mut self.cities, &self.geoip.cities),
            (&mut self.networks, &self.geoip.networks),
        ] {
            let Some(watched) = watched else { continue };
            if state(&watched.path).is_ok_and(|state| state == watched.read) {
                continue;
            }
            match load(&watched.path) {
                Ok((database, read)) => {
                    into.store(Some(Arc::new(database)));
                    watched.read = read;
                }
                Err(error) => {
                    tracing::error!(
                        error = format!("{error:#}"),
                        "location database not reloaded; the previous one stays in use"
                    );
                }
            }
        }
    }
}

fn load(path: &Path) -> anyhow::Result<(Database, State)> {
    let context = || format!("location database {}", path.display());
    let read = state(path).with_context(context)?;
    ensure!(
        read.1 <= MAX_BYTES,
        "{}: larger than {MAX_BYTES} bytes",
        context()
    );
    let bytes = fs::read(path).with_context(context)?;
    let database = Database::new(bytes).with_context(context)?;
    tracing::info!(path = %path.display(), kind = database.kind(), "location database loaded");
    Ok((database, read))
}

fn state(path: &Path) -> std::io::Result<State> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.modified()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CITIES: &[u8] = include_bytes!("../../server/tests/data/cities.mmdb");

    #[test]
    fn changed_files_are_reloaded_and_invalid_ones_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cities.mmdb");
        let settings = ListenSettings {
            geoip_database: Some(path.clone()),
            ..ListenSettings::default()
        };
        let missing = GeoIpFiles::open(&settings);
        assert!(missing.err().unwrap().to_string().contains("cities.mmdb"));
        fs::write(&path, "nothing").unwrap();
        assert!(GeoIpFiles::open(&settings).is_err());
        fs::write(&path, CITIES).unwrap();
        let mut files = GeoIpFiles::open(&settings).unwrap();
        let is_known = |files: &GeoIpFiles| {
            let found = files.geoip().find([127, 0, 0, 1].into());
            found.is_some()
        };
        assert!(is_known(&files));
        fs::write(&path, "no longer").unwrap();
        files.reload_changed();
        assert!(is_known(&files));
        let empty = include_bytes!("../../server/tests/data/networks.mmdb");
        fs::write(&path, empty).unwrap();
        files.reload_changed();
        let found = files.geoip().find([192, 0, 2, 7].into());
        assert_eq!(found, None);
    }
}
