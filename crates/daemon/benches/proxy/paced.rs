//! Requests at a fixed rate, with finer timing than the timers of the runtime.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{Mutex, mpsc};

use crate::load::AsyncWork;

/// Runs `total` pieces of work that become due at `per_second`, each on the next free worker. Returns the latencies,
/// counted from the time at which the work was due.
pub(crate) async fn paced<W, F>(
    workers: Vec<W>,
    total: usize,
    per_second: f64,
    work: F,
) -> Vec<Duration>
where
    W: Send + 'static,
    F: AsyncWork<W>,
{
    let (sender, receiver) = mpsc::unbounded_channel();
    let receiver = Arc::new(Mutex::new(receiver));
    let mut running = Vec::new();
    for mut worker in workers {
        let receiver = Arc::clone(&receiver);
        let work = work.clone();
        running.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            loop {
                let next = receiver.lock().await.recv().await;
                let Some((number, due)) = next else {
                    return latencies;
                };
                let due: Instant = due;
                work.run(&mut worker, number).await;
                latencies.push(due.elapsed());
            }
        }));
    }
    let pacer = thread::spawn(move || {
        let begun = Instant::now();
        for number in 0..total {
            let due = begun + Duration::from_secs_f64(number as f64 / per_second);
            thread::park_timeout(due.saturating_duration_since(Instant::now()));
            sender.send((number, due)).unwrap();
        }
    });
    let mut latencies = Vec::with_capacity(total);
    for worker in running {
        latencies.extend(worker.await.unwrap());
    }
    pacer.join().unwrap();
    latencies
}
