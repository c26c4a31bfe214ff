//! Calls on a client that block, made beside the thread that waits for them.
//!
//! A client blocks for as long as it is told to, and some of its calls longer; a process that was told to end cannot wait for
//! that. So such a call runs on a thread of its own, and whoever waits for it may leave. What is left behind holds a client and
//! nothing else: it ends by itself, or with the process, which [looks](under_way) whether there is something.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;

/// Calls that were made and are not over.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// How often whoever waits looks whether it has to leave.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Whether a thread was told to leave, and when.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leave(Arc<OnceLock<Instant>>);

impl Leave {
    /// Tells it.
    pub(crate) fn now(&self) {
        let _ = self.0.set(Instant::now());
    }

    /// It was told.
    pub(crate) fn is_told(&self) -> bool {
        self.0.get().is_some()
    }

    /// It was told so long ago.
    pub(crate) fn is_over(&self, grace: Duration) -> bool {
        self.0.get().is_some_and(|told| told.elapsed() >= grace)
    }
}

/// Makes a call. [`KafkaError::Canceled`] when the thread has to leave before it is over.
pub(crate) fn call<T: Send + 'static>(
    leave: &Leave,
    work: impl FnOnce() -> Result<T, KafkaError> + Send + 'static,
) -> Result<T, KafkaError> {
    if leave.is_told() {
        return Err(KafkaError::Canceled);
    }
    let (done, result) = mpsc::channel();
    beside("millpond-kafka", move || _ = done.send(work()))
        .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
    loop {
        match result.recv_timeout(LOOK) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Timeout) if !leave.is_told() => {}
            Err(_) => return Err(KafkaError::Canceled),
        }
    }
}

/// Does something on a thread of its own that may be left behind.
pub(crate) fn beside(name: &str, work: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
    struct Counted;
    impl Drop for Counted {
        fn drop(&mut self) {
            UNDER_WAY.fetch_sub(1, Ordering::AcqRel);
        }
    }
    UNDER_WAY.fetch_add(1, Ordering::AcqRel);
    let counted = Counted;
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let _counted = counted;
        work();
    });
    thread.map(drop)
}

/// How many calls are not over.
pub(crate) fn under_way() -> usize {
    UNDER_WAY.load(Ordering::Acquire)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use rdkafka::error::KafkaError;

    use super::{Leave, call};

    /// Who is told to leave does not wait for a call, and makes no other one.
    #[test]
    fn leaving() {
        let leave = Leave::default();
        assert_eq!(call(&leave, || Ok(7)).expect("it is over at once"), 7);
        assert!(!leave.is_over(Duration::ZERO));
        let (go_on, held) = mpsc::channel::<()>();
        let told = leave.clone();
        let blocked = call(&leave, move || {
            told.now();
            let _ = held.recv();
            Ok(())
        });
        assert!(matches!(blocked, Err(KafkaError::Canceled)));
        assert!(matches!(call(&leave, || Ok(())), Err(KafkaError::Canceled)));
        assert!(leave.is_over(Duration::ZERO) && !leave.is_over(Duration::from_secs(3600)));
        drop(go_on);
    }

    /// A call that panics is an error for whoever waits.
    #[test]
    fn panics() {
        let panicked = call(&Leave::default(), || -> Result<(), KafkaError> { panic!("this is a test") });
        assert!(matches!(panicked, Err(KafkaError::Canceled)));
    }
}
