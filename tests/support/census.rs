//! Counts the nodes of a home all the time, to catch two of them at once.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crate::nodes::{Node, alive};

/// A count that goes on until it is ended.
pub(crate) struct Census {
    stop: Arc<AtomicBool>,
    counting: Option<thread::JoinHandle<Count>>,
}

/// What a census found.
#[derive(Debug, Default)]
pub(crate) struct Count {
    /// Every node that was seen, in the order of their appearance.
    pub(crate) seen: Vec<Node>,
    /// The largest number of nodes that ran at the same time.
    pub(crate) most_at_once: usize,
}

impl Census {
    /// Begins to count: those that run now are counted before this returns.
    pub(crate) fn of(home: &Path, name: &'static str) -> Self {
        let (home, stop) = (home.to_owned(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let mut count = Count::default();
        count.look(&home, name);
        let counting = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(20));
                count.look(&home, name);
            }
            count
        });
        Self { stop, counting: Some(counting) }
    }

    /// Ends the count, after a last look.
    pub(crate) fn end(mut self) -> Count {
        self.stop.store(true, Ordering::Relaxed);
        self.counting.take().expect("it ends once").join().expect("counting does not panic")
    }
}

impl Count {
    fn look(&mut self, home: &Path, name: &str) {
        let now = alive(home, name);
        self.most_at_once = self.most_at_once.max(now.len());
        // A node whose parent died has another one now, and is still the same node.
        let known =
            |node: &Node| self.seen.iter().any(|seen| (seen.pid, &seen.executable) == (node.pid, &node.executable));
        let new: Vec<Node> = now.into_iter().filter(|node| !known(node)).collect();
        self.seen.extend(new);
    }
}

impl Drop for Census {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
