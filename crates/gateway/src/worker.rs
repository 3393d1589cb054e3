//! The threads that serve connections. A request and its upstream connections stay on the thread of its client
//! connection: moving them between threads costs more than all other work for a small request.

use std::cell::Cell;

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(0) };
}

/// Sets the number of this thread, starting at 0. Each worker calls it when it starts; other threads count as number 0.
pub fn enter(index: usize) {
    INDEX.set(index);
}

/// One value for each worker.
pub(crate) struct PerWorker<T>(Box<[T]>);

impl<T> PerWorker<T> {
    /// Creates the values, at least one.
    pub(crate) fn new(workers: usize, make: impl Fn() -> T) -> Self {
        Self((0..workers.max(1)).map(|_| make()).collect())
    }

    /// Returns the value of this thread. Threads share values if there are more threads than workers.
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
