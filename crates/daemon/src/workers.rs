//! Threads that serve connections, each with a runtime of its own: nothing that a request needs has to be passed from
//! one to another.

use std::{
    io, mem,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::spawn_blocking,
};

/// How long what still runs at the end may take to notice.
const LONGEST_END: Duration = Duration::from_secs(1);

/// The threads.
pub(crate) struct Workers(Vec<Runtime>);

/// Whose turn it is to serve a connection.
pub(crate) struct Turns {
    workers: Vec<Handle>,
    next: AtomicUsize,
}

impl Workers {
    /// Starts `count` of them, at least one.
    ///
    /// # Errors
    /// Where a thread does not start.
    pub(crate) fn start(count: usize) -> io::Result<Self> {
        let start = |index| {
            Builder::new_multi_thread()
                .worker_threads(1)
                .thread_name(format!("worker-{index}"))
                .on_thread_start(move || gateway::worker::enter(index))
                .enable_all()
                .build()
        };
        let mut workers = Self(Vec::new());
        for index in 0..count.max(1) {
            workers.0.push(start(index)?);
        }
        Ok(workers)
    }

    /// To be passed round by who accepts connections.
    pub(crate) fn turns(&self) -> Turns {
        Turns {
            workers: self
                .0
                .iter()
                .map(|worker| worker.handle().clone())
                .collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// Ends what still runs.
    pub(crate) async fn end(mut self) {
        let runtimes = mem::take(&mut self.0);
        let ended = spawn_blocking(move || {
            for runtime in runtimes {
                runtime.shutdown_timeout(LONGEST_END);
            }
        });
        if let Err(error) = ended.await {
            tracing::error!(%error, "workers did not end");
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for runtime in self.0.drain(..) {
            // May be dropped where nothing may be waited for.
            runtime.shutdown_background();
        }
    }
}

impl Turns {
    /// Each in turn.
    pub(crate) fn next(&self) -> Handle {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let worker = self.workers.get(next % self.workers.len().max(1));
        worker.cloned().unwrap_or_else(Handle::current)
    }
}
