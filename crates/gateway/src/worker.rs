//! The threads that serve connections. A request stays on the thread of its connection, and so do the connections to
//! upstreams that it uses: passing them between threads costs more than all else that is done for a small request.

use std::cell::Cell;

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(0) };
}

/// Says that this thread is the one of that number, from 0. To be called where it starts; threads that do not call it
/// count as number 0.
pub fn enter(index: usize) {
    INDEX.set(index);
}

/// What each worker has for itself.
pub(crate) struct PerWorker<T>(Box<[T]>);

impl<T> PerWorker<T> {
    /// For at least one worker.
    pub(crate) fn new(workers: usize, make: impl Fn() -> T) -> Self {
        Self((0..workers.max(1)).map(|_| make()).collect())
    }

    /// Of this thread. Threads share where there are more of them than was said.
    pub(crate) fn get(&self) -> Option<&T> {
        self.0.get(INDEX.get() % self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn each_thread_has_its_own() {
        let counts = PerWorker::new(2, AtomicU32::default);
        thread::scope(|scope| {
            for index in [0, 1, 1, 3] {
                let counts = &counts;
                scope.spawn(move || {
                    enter(index);
                    counts.get().unwrap().fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        let counts: Vec<u32> = counts
            .0
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        assert_eq!(counts, [1, 3]);
    }
}
