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
    /// Begins to count.
    pub(crate) fn of(home: &Path, name: &'static str) -> Self {
        let (home, stop) = (home.to_owned(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let counting = thread::spawn(move || {
            let mut count = Count::default();
            while !stopped.load(Ordering::Relaxed) {
                let now = alive(&home, name);
                count.most_at_once = count.most_at_once.max(now.len());
                // A node whose parent died has another one now, and is still the same node.
                let known = |node: &Node| {
                    count.seen.iter().any(|seen| (seen.pid, &seen.executable) == (node.pid, &node.executable))
                };
                let new: Vec<Node> = now.into_iter().filter(|node| !known(node)).collect();
                count.seen.extend(new);
                thread::sleep(Duration::from_millis(20));
            }
            count
        });
        Self { stop, counting: Some(counting) }
    }

    /// Ends the count.
    pub(crate) fn end(mut self) -> Count {
        self.stop.store(true, Ordering::Relaxed);
        self.counting.take().expect("it ends once").join().expect("counting does not panic")
    }
}

impl Drop for Census {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
