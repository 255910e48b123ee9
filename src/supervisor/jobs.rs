//! Work in the background: each job ends in exactly one outcome, whatever becomes of it.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinError, JoinHandle},
};

use crate::{
    decide::{decision::JobId, event::Outcome},
    process::requests::{Asking, Requests, requests},
};

/// The jobs under way.
#[derive(Debug)]
pub(super) struct Jobs {
    ended: mpsc::UnboundedSender<(JobId, Outcome)>,
    outcomes: mpsc::UnboundedReceiver<(JobId, Outcome)>,
    running: BTreeMap<JobId, Handle>,
}

#[derive(Debug)]
enum Handle {
    /// Stops where it next waits.
    Task(AbortHandle),
    /// Stops where it next looks.
    Blocking(Arc<AtomicBool>),
    /// Stops as it sees fit.
    Heeding(Asking),
}

impl Jobs {
    pub(super) fn new() -> Self {
        let (ended, outcomes) = mpsc::unbounded_channel();
        Self { ended, outcomes, running: BTreeMap::new() }
    }

    /// Begins a job that waits for things.
    pub(super) fn spawn(&mut self, id: JobId, job: impl Future<Output = Outcome> + Send + 'static) {
        let task = tokio::spawn(job);
        self.running.insert(id, Handle::Task(task.abort_handle()));
        self.report(id, task);
    }

    /// Begins a job that hears each request to stop, and sees to it by itself.
    pub(super) fn spawn_heeding<F>(&mut self, id: JobId, job: impl FnOnce(Requests) -> F)
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let (asking, requests) = requests();
        self.running.insert(id, Handle::Heeding(asking));
        let task = tokio::spawn(job(requests));
        self.report(id, task);
    }

    /// Begins a job that keeps a processor or a disk busy, on a thread of its own. It is told by `stop` to end early.
    pub(super) fn spawn_blocking(&mut self, id: JobId, job: impl FnOnce(&AtomicBool) -> Outcome + Send + 'static) {
        let stop = Arc::new(AtomicBool::new(false));
        self.running.insert(id, Handle::Blocking(Arc::clone(&stop)));
        let task = tokio::task::spawn_blocking(move || job(&stop));
        self.report(id, task);
    }

    /// Asks a job to stop; its outcome still comes.
    pub(super) fn cancel(&self, id: JobId) {
        match self.running.get(&id) {
            Some(Handle::Task(task)) => task.abort(),
            Some(Handle::Blocking(stop)) => stop.store(true, Ordering::Relaxed),
            Some(Handle::Heeding(asking)) => asking.ask(),
            None => {}
        }
    }

    /// The next job that ended.
    pub(super) async fn next(&mut self) -> (JobId, Outcome) {
        let (id, outcome) = self.outcomes.recv().await.expect("this struct itself holds a sender");
        self.running.remove(&id);
        (id, outcome)
    }

    fn report(&self, id: JobId, task: JoinHandle<Outcome>) {
        let ended = self.ended.clone();
        tokio::spawn(async move {
            let outcome = task.await.unwrap_or_else(lost);
            // A closed channel means that the loop has ended, and nobody wants to know any more.
            let _ = ended.send((id, outcome));
        });
    }
}

fn lost(error: JoinError) -> Outcome {
    if error.is_cancelled() {
        return Outcome::Cancelled;
    }
    let panic = error.into_panic();
    let text =
        panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    failed(format!("a defect in watcher: {}", text.unwrap_or_default()))
}

/// An outcome that failed for this reason.
pub(super) fn failed(reason: impl std::fmt::Display) -> Outcome {
    Outcome::Failed { reason: reason.to_string(), retry_after: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn whatever_becomes_of_a_job_it_ends_in_one_outcome() {
        let mut jobs = Jobs::new();
        jobs.spawn(JobId(1), async { Outcome::Done });
        assert_eq!(jobs.next().await, (JobId(1), Outcome::Done));
        jobs.spawn(JobId(2), std::future::pending());
        jobs.cancel(JobId(2));
        assert_eq!(jobs.next().await, (JobId(2), Outcome::Cancelled));
        jobs.spawn(JobId(3), async { panic!("two powers of 2^63-1") });
        let (id, outcome) = jobs.next().await;
        assert!(id == JobId(3) && matches!(&outcome, Outcome::Failed { reason, .. } if reason.contains("2^63-1")));
        jobs.spawn_blocking(JobId(4), |stop| {
            while !stop.load(Ordering::Relaxed) {
                std::thread::yield_now();
            }
            Outcome::Cancelled
        });
        jobs.cancel(JobId(4));
        assert_eq!(jobs.next().await, (JobId(4), Outcome::Cancelled));
    }
}
