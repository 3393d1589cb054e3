//! Routes by host name. A Service is compiled when it is first requested after a change.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use api::core_v1::{
    Secret,
    secret::{Data, data, spec},
    service::spec::Mode,
};
use domain::{clock::Clock, kind::Kind};
use gateway::{Config, Route, SecretValue};
use moka::sync::Cache;
use prost::Message as _;
use server::{Directory, ServiceEntry};
use store::{Changes, Cursor, Store, StoreError};
use tokio::{runtime::Handle, task::block_in_place};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::{
    names::{Names, Site},
    tls::issuing::{HostClass, KnownHosts},
};

/// The number of changes read at a time.
const BATCH: u32 = 1000;

/// Implements the gateway's directory port.
pub(crate) struct Routes {
    directory: Arc<Directory>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    names: Names,
    config: Config,
    /// Compiled Services by host.
    compiled: Cache<String, Compiled>,
}

#[derive(Clone)]
struct Compiled {
    /// The compiled entry. A different entry in the Directory means that the Service changed.
    entry: Arc<ServiceEntry>,
    /// `None` if compilation failed.
    route: Option<Arc<Route>>,
    /// Names of the Secrets that were compiled in.
    secrets: Arc<BTreeSet<String>>,
}

impl Routes {
    /// Creates an empty cache. Call [`Self::follow`] to invalidate it on changes.
    pub(crate) fn new(context: &server::Context, names: Names, config: Config) -> Self {
        Self {
            directory: Arc::clone(&context.directory),
            store: Arc::clone(&context.store),
            clock: Arc::clone(&context.clock),
            names,
            config,
            compiled: Cache::new(100_000),
        }
    }

    /// Evicts Routes if a Secret they use changed or if they are no longer served, until `stop` is cancelled.
    pub(crate) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut feed = self.store.feed();
        let mut known = *feed.borrow();
        loop {
            match stop.run_until_cancelled(feed.changed()).await {
                Some(Ok(())) => {}
                Some(Err(_)) | None => return,
            }
            let state = *feed.borrow_and_update();
            if known.history != state.history {
                self.compiled.invalidate_all();
                known = state;
            }
            while known.cursor < state.cursor {
                match self.take_over(known.cursor).await {
                    Ok(next) => known.cursor = next,
                    Err(error) => {
                        tracing::warn!(%error, "changes of Secrets could not be read; retrying");
                        break;
                    }
                }
            }
        }
    }

    async fn take_over(&self, after: Cursor) -> Result<Cursor, StoreError> {
        let changes = match self.store.changes(after, BATCH).await? {
            Changes::Replaced => {
                self.compiled.invalidate_all();
                return Err(StoreError::transient("the store's history was replaced"));
            }
            Changes::Trimmed(cursor) => {
                self.compiled.invalidate_all();
                return Ok(cursor);
            }
            Changes::Next(changes) => changes,
        };
        for change in &changes {
            match change.kind {
                Kind::Secret => self.forget(|_, compiled| compiled.secrets.contains(&change.name)),
                Kind::Service if change.revision.is_none() => {
                    self.forget(|host, _| self.entry(host).is_none());
                }
                _ => {}
            }
        }
        Ok(changes.last().map_or(after, |change| change.cursor))
    }

    fn forget(&self, matches: impl Fn(&str, &Compiled) -> bool) {
        for (host, compiled) in &self.compiled {
            if matches(&host, &compiled) {
                self.compiled.invalidate(host.as_str());
            }
        }
    }

    /// Returns the Service at `host` if the listener serves it.
    fn entry(&self, host: &str) -> Option<Arc<ServiceEntry>> {
        let hostname = host
            .strip_suffix(self.names.domain().host())?
            .strip_suffix('.')?;
        let entry = self.directory.service_by_host(hostname)?;
        let spec = entry.service.spec.as_ref()?;
        let served = match spec.mode() {
            // Built-in Services without a configuration are served by the Cluster itself, at their own names.
            Mode::Http | Mode::Grpc | Mode::Web => {
                spec.is_public
                    && !spec.is_disabled
                    && (spec.config.is_some() || spec.dynamic_config.is_some())
            }
            _ => false,
        };
        served.then_some(entry)
    }

    fn compile(&self, host: &str, entry: Arc<ServiceEntry>) -> Option<Arc<Route>> {
        let used = Mutex::new(BTreeSet::new());
        let failure = Mutex::new(None);
        let secret = |name: &str| {
            lock(&used).insert(name.to_owned());
            match block_in_place(|| Handle::current().block_on(self.secret(name))) {
                Ok(value) => value,
                Err(error) => {
                    *lock(&failure) = Some(error);
                    None
                }
            }
        };
        let target = Arc::clone(&entry.target);
        let route = Route::compile(&entry.service, target, &secret, &self.config);
        if let Some(error) = lock(&failure).take() {
            // Not cached: the next request tries again.
            tracing::warn!(host, %error, "Secrets of a Service could not be read");
            return None;
        }
        let route = match route {
            Ok(route) => Some(Arc::new(route)),
            Err(problems) => {
                tracing::warn!(host, problems = problems.join("; "), "Service not served");
                None
            }
        };
        let compiled = Compiled {
            entry,
            route: route.clone(),
            secrets: Arc::new(std::mem::take(&mut *lock(&used))),
        };
        self.compiled.insert(host.to_owned(), compiled);
        route
    }

    async fn secret(&self, name: &str) -> Result<Option<SecretValue>, StoreError> {
        let now = self.clock.now();
        let Some(document) = self.store.get_by_name(Kind::Secret, name, now).await? else {
            return Ok(None);
        };
        let Some(data) = self.store.secret(Kind::Secret, document.uid).await? else {
            return Ok(None);
        };
        let damaged = |error| StoreError {
            context: format!("Secret {name}"),
            transient: false,
            source: Some(Arc::new(error)),
        };
        let data = Data::decode(data.as_slice()).map_err(damaged)?;
        let secret = Secret::decode(document.body.as_slice()).map_err(damaged)?;
        let beside = secret.spec.and_then(|spec| spec.data);
        Ok(data.r#type.map(|data| SecretValue {
            data: Zeroizing::new(match data {
                data::Type::Value(text) => text.into_bytes(),
                data::Type::ValueBytes(bytes) => bytes,
            }),
            certificates: beside
                .and_then(|beside| beside.r#type)
                .map(|beside| match beside {
                    spec::data::Type::Value(text) => text.into_bytes(),
                    spec::data::Type::ValueBytes(bytes) => bytes,
                }),
        }))
    }
}

impl gateway::Directory for Routes {
    fn route(&self, host: &str) -> Option<Arc<Route>> {
        let entry = self.entry(host)?;
        match self.compiled.get(host) {
            Some(compiled) if Arc::ptr_eq(&compiled.entry, &entry) => compiled.route,
            _ => self.compile(host, entry),
        }
    }
}

impl KnownHosts for Routes {
    fn class(&self, host: &str) -> HostClass {
        if self.names.site(host) != Site::Service || self.entry(host).is_some() {
            HostClass::Served
        } else if self.names.is_below(host) {
            HostClass::Possible
        } else {
            HostClass::Foreign
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
