//! Load generation: closed loop (as fast as possible) and open loop (at a fixed rate).

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Runs `total` pieces of work on all workers, as fast as possible. Returns the total time and each latency.
pub(crate) async fn closed_loop<W, F>(
    workers: Vec<W>,
    total: usize,
    work: F,
) -> (Duration, Vec<Duration>)
where
    W: Send + 'static,
    F: AsyncWork<W>,
{
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut running = Vec::new();
    for mut worker in workers {
        let next = Arc::clone(&next);
        let work = work.clone();
        running.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    return latencies;
                }
                let begun = Instant::now();
                work.run(&mut worker, number).await;
                latencies.push(begun.elapsed());
            }
        }));
    }
    let mut latencies = Vec::with_capacity(total);
    for worker in running {
        latencies.extend(worker.await.unwrap());
    }
    (begun.elapsed(), latencies)
}

/// Runs `total` pieces of work that become due at `per_second`. Latencies count from the time at which the work was
/// due.
pub(crate) async fn open_loop<W, F>(
    workers: Vec<W>,
    total: usize,
    per_second: f64,
    work: F,
) -> (Duration, Vec<Duration>)
where
    W: Send + 'static,
    F: AsyncWork<W>,
{
    let next = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let mut running = Vec::new();
    for mut worker in workers {
        let next = Arc::clone(&next);
        let work = work.clone();
        running.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= total {
                    return latencies;
                }
                #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
                let due = begun + Duration::from_secs_f64(number as f64 / per_second);
                tokio::time::sleep_until(due.into()).await;
                work.run(&mut worker, number).await;
                latencies.push(due.elapsed());
            }
        }));
    }
    let mut latencies = Vec::with_capacity(total);
    for worker in running {
        latencies.extend(worker.await.unwrap());
    }
    (begun.elapsed(), latencies)
}

/// The work of one request.
pub(crate) trait AsyncWork<W>: Clone + Send + Sync + 'static {
    /// Runs the piece with this number.
    fn run(&self, worker: &mut W, number: usize) -> impl Future<Output = ()> + Send;
}
