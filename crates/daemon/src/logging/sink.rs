//! A background writer for log lines. Requests do not wait for the log, and many lines share one system call.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// The time for which lines are collected, and so the amount that can be lost if the process is killed.
const GATHERED_FOR: Duration = Duration::from_millis(5);
/// The number of unwritten bytes at which callers wait. No line is dropped, and memory stays bounded.
const MOST_UNWRITTEN: usize = 4 * 1024 * 1024;

/// The queue of unwritten lines. Its drop writes the rest.
pub(super) struct Sink {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// A writer that appends lines to the queue.
#[derive(Clone)]
pub(super) struct SinkWriter(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified when there are lines, or when the sink is closed.
    filled: Condvar,
    /// Notified when there is room again.
    drained: Condvar,
}

#[derive(Default)]
struct State {
    unwritten: Vec<u8>,
    closed: bool,
}

impl Sink {
    /// Starts a thread that writes to `output`.
    ///
    /// # Errors
    ///
    /// Returns an error if the thread cannot be started.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let writing = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writing.write_to(output))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    pub(super) fn writer(&self) -> SinkWriter {
        SinkWriter(Arc::clone(&self.shared))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.filled.notify_one();
        if let Some(thread) = self.thread.take() {
            // If the writer panicked, it has reported that itself.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, lines: &[u8]) {
        let mut state = self.lock();
        while state.unwritten.len() >= MOST_UNWRITTEN && !state.closed {
            state = self
                .drained
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let was_empty = state.unwritten.is_empty();
        state.unwritten.extend_from_slice(lines);
        drop(state);
        if was_empty {
            self.filled.notify_one();
        }
    }

    fn write_to(&self, mut output: impl Write) {
        let mut lines = Vec::new();
        loop {
            let closed = self.take(&mut lines);
            // A failed write to the log cannot be reported anywhere else.
            let _ = output.write_all(&lines).and_then(|()| output.flush());
            lines.clear();
            if closed {
                return;
            }
        }
    }

    /// Waits for lines, collects more for a moment, and swaps them with the empty `lines`. Returns true for the last
    /// ones.
    fn take(&self, lines: &mut Vec<u8>) -> bool {
        let mut state = self
            .filled
            .wait_while(self.lock(), |state| {
                state.unwritten.is_empty() && !state.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        if !state.closed {
            let gathering = self
                .filled
                .wait_timeout_while(state, GATHERED_FOR, |state| !state.closed);
            state = gathering.unwrap_or_else(PoisonError::into_inner).0;
        }
        mem::swap(&mut state.unwritten, lines);
        let closed = state.closed;
        drop(state);
        self.drained.notify_all();
        closed
    }
}

impl Write for SinkWriter {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.0.push(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for SinkWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn all_lines_are_written_by_the_end_and_stay_whole() {
        let output = Output::default();
        let sink = Sink::start(output.clone()).unwrap();
        let line = "x".repeat(1000) + "\n";
        thread::scope(|scope| {
            for _ in 0..4 {
                let mut writer = sink.writer();
                let line = &line;
                scope.spawn(move || {
                    for _ in 0..5000 {
                        writer.write_all(line.as_bytes()).unwrap();
                    }
                });
            }
        });
        drop(sink);
        let output = output.0.lock().unwrap();
        assert_eq!(output.len(), 4 * 5000 * line.len());
        assert!(
            output
                .chunks(line.len())
                .all(|chunk| chunk == line.as_bytes())
        );
    }

    struct Sender(std::sync::mpsc::Sender<Vec<u8>>);

    impl Write for Sender {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).unwrap();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_does_not_wait_for_the_next() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let sink = Sink::start(Sender(sender)).unwrap();
        for line in [&b"one\n"[..], b"two\n"] {
            sink.writer().write_all(line).unwrap();
            let written = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
            assert_eq!(written, line);
        }
    }
}
