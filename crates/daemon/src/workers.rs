//! Threads that serve connections. Each has its own runtime, so that a request never moves between threads.

use std::{
    io, mem,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::spawn_blocking,
};

/// The time that remaining tasks may take to end at shutdown.
const LONGEST_END: Duration = Duration::from_secs(1);

pub(crate) struct Workers(Vec<Runtime>);

/// Round-robin assignment of connections to workers.
pub(crate) struct RoundRobin {
    workers: Vec<Handle>,
    next: AtomicUsize,
}

impl Workers {
    /// Starts `count` workers, at least one.
    ///
    /// # Errors
    ///
    /// Returns an error if a thread cannot be started.
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

    /// Returns handles of the workers, for the code that accepts connections.
    pub(crate) fn round_robin(&self) -> RoundRobin {
        RoundRobin {
            workers: self
                .0
                .iter()
                .map(|worker| worker.handle().clone())
                .collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// Ends the workers and their remaining tasks.
    pub(crate) async fn end(mut self) {
        let runtimes = mem::take(&mut self.0);
        let ended = spawn_blocking(move || {
            for runtime in runtimes {
                runtime.shutdown_timeout(LONGEST_END);
            }
        });
        if let Err(error) = ended.await {
            tracing::error!(%error, "worker threads did not stop");
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for runtime in self.0.drain(..) {
            // A drop can happen in a context that must not block.
            runtime.shutdown_background();
        }
    }
}

impl RoundRobin {
    /// Returns the next worker.
    pub(crate) fn next(&self) -> Handle {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let worker = self.workers.get(next % self.workers.len().max(1));
        worker.cloned().unwrap_or_else(Handle::current)
    }
}
