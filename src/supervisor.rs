//! The loop: events in, decisions out. It carries out what the core decides and decides nothing itself.

mod execute;
mod jobs;
mod keeping;
pub mod progress;
mod report;
mod trace;

use std::{
    collections::VecDeque,
    ffi::OsString,
    io,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use nix::sys::signal::Signal as System;
use tokio::sync::{mpsc, watch};

use crate::{
    chain::{
        self,
        endpoints::{Clients, Endpoint},
        own_node::OwnNode,
    },
    config::Config,
    decide::{
        Core,
        decision::{Attention, Decision, Exit, JobId, NodeSignal},
        event::{Event, Heard, Kind, NodeExit, Outcome, Words},
    },
    home::{backup, changes::Changes, lock, observe::Observer, orders, record},
    http::Web,
    persona::spoken,
    process::{
        node::Node,
        orphans,
        signals::{Signals, forwarded},
        systemd::Manager,
    },
};
use jobs::Jobs;

/// What the loop works with.
#[derive(Debug)]
pub struct Supervisor {
    config: Config,
    args: Vec<OsString>,
    core: Core,
    observer: Observer,
    jobs: Jobs,
    /// What happened and was not decided on yet.
    events: VecDeque<Kind>,
    node: Option<Node>,
    /// A stop that `watcher` itself wants.
    stopping: Option<Stopping>,
    /// Whether `current` was moved since the node was started last.
    switched: bool,
    /// What is copied before a backup is made.
    ahead: keeping::Ahead,
    ears: Ears,
    manager: Manager,
    began: Instant,
    wake: Option<Duration>,
    _lock: lock::Supervisor,
}

#[derive(Debug)]
struct Stopping {
    job: JobId,
    /// When patience ends, and SIGKILL follows.
    deadline: Instant,
    killed: bool,
}

/// What comes from the chain, and how the loop says how closely to follow it.
#[derive(Debug)]
pub struct Ears {
    /// What endpoints say.
    pub heard: mpsc::Receiver<Heard>,
    /// How closely they are to be followed.
    pub attention: watch::Sender<Attention>,
    /// The node's own RPC, where it has one.
    pub own_node: Option<OwnNode>,
    /// Who says it.
    pub endpoints: Vec<Endpoint>,
    /// What they are asked with.
    pub clients: Clients,
    /// For downloads.
    pub web: Web,
}

impl Supervisor {
    /// Takes the home's lock and makes ready.
    ///
    /// # Errors
    /// Where another `watcher` works on the home, or it cannot be written to.
    pub fn new(config: Config, args: Vec<OsString>, ears: Ears) -> anyhow::Result<Self> {
        config.home.prepare().with_context(|| format!("cannot work in {}", config.home.root().display()))?;
        let lock = lock::supervise(&config.home)?;
        // A failure that stands in it keeps every node from being started.
        record::readable(&config.home).with_context(|| format!("cannot read {}", config.home.record().display()))?;
        if let Some((reason, kept)) = record::set_aside_damaged(&config.home) {
            tracing::warn!(
                path = %config.home.record().display(), %reason, kept = %kept.display(),
                "what is remembered of the last upgrade cannot be understood: whether it failed is not known any more, and hooks that \
                 may have run, run again"
            );
        }
        if let Err(error) = backup::ahead::put_back(&config.home) {
            tracing::warn!(%error, "what a backup left that did not end is in the way");
        }
        if backup::restore::is_pending(&config.home) {
            tracing::warn!("a restore was interrupted, and is to be completed");
            backup::restore::resume(&config.home)?;
        }
        if let Err(error) = backup::restore::clear(&config.home, &lock) {
            tracing::warn!(%error, "what a restore left that was interrupted stays there");
        }
        if let Err(error) = config.home.store().sweep() {
            tracing::warn!(%error, "what an earlier run left in the store stays there");
        }
        let core = Core::new(config.settings.clone());
        Ok(Self {
            config,
            args,
            core,
            observer: Observer::default(),
            jobs: Jobs::new(),
            events: VecDeque::from([Kind::Tick]),
            node: None,
            stopping: None,
            switched: false,
            ahead: keeping::Ahead::default(),
            ears,
            manager: Manager::of_environment(),
            began: Instant::now(),
            wake: None,
            _lock: lock,
        })
    }

    /// Runs until there is nothing more to do, and says why. The node is reaped by then.
    ///
    /// # Errors
    /// Where the system refuses signal handlers, or cannot tell how the node ended.
    pub async fn run(mut self) -> io::Result<Exit> {
        let mut signals = Signals::listen()?;
        let mut changes = Changes::of(self.config.home.data())
            .inspect_err(|error| tracing::warn!(%error, "the data directory is polled, not watched"))
            .ok();
        if changes.is_some() {
            self.core.is_told_of_changes();
        }
        trace::begins(&self.config.settings, changes.is_some());
        if let Some(own_node) = self.ears.own_node.clone() {
            tokio::spawn(keeping::look(self.config.home.clone(), own_node));
        }
        if !orders::read(&self.config.home).queue.is_empty() {
            tracing::info!("starting the batch watcher loop");
        }
        tokio::spawn(orphans::reap());
        self.manager.ready();
        loop {
            let kind = self.next(&mut signals, changes.as_mut()).await?;
            let facts = self.observer.observe(&self.config.home, &self.core.interest(&kind), self.node.is_some());
            let event = Event { now: self.began.elapsed(), wall: chain::now(), facts, kind };
            if let Kind::Signal(signal) = &event.kind {
                self.manager.stopping(self.config.settings.shutdown_grace);
                if self.node.is_none() {
                    tracing::info!(
                        ?signal,
                        "asked to stop while no node runs; what is under way is left to the next start"
                    );
                }
            }
            let decision = self.core.decide(&event);
            self.manager.status(|| spoken(&self.core.status(&event.facts), &self.config.program));
            trace::decided(&event, &decision);
            if let Some(exit) = self.carry_out(decision) {
                if self.switched && exit == Exit::Fine && !self.config.settings.restart_after_upgrade {
                    tracing::info!(
                        "upgrade detected, DAEMON_RESTART_AFTER_UPGRADE is off. Verify new upgrade and start {} again.",
                        self.config.persona.name()
                    );
                }
                return Ok(exit);
            }
        }
    }

    async fn next(&mut self, signals: &mut Signals, changes: Option<&mut Changes>) -> io::Result<Kind> {
        let wake = self.wake.map(|wake| self.began + wake);
        let deadline = self.stopping.as_ref().filter(|stopping| !stopping.killed).map(|stopping| stopping.deadline);
        tokio::select! {
            biased;
            ended = node_exit(self.node.as_mut()) => {
                let (exit, words) = ended?;
                self.reaped(exit, words)
            }
            signal = signals.next() => Ok(Kind::Signal(signal)),
            kind = first(&mut self.events) => Ok(kind),
            (job, outcome) = self.jobs.next() => Ok(Kind::JobDone { job, outcome }),
            () = change(changes) => Ok(Kind::Tick),
            () = sleep_until(deadline) => {
                self.kill_after_grace();
                Ok(Kind::Tick)
            }
            () = sleep_until(self.manager.beat_at()) => {
                self.manager.beat();
                Ok(Kind::Tick)
            }
            () = sleep_until(wake) => Ok(Kind::Tick),
            Some(heard) = self.ears.heard.recv() => Ok(Kind::Heard(heard)),
        }
    }

    fn reaped(&mut self, exit: NodeExit, words: Option<Words>) -> io::Result<Kind> {
        let node = self.node.take().ok_or_else(|| io::Error::other("a node ended that was not running"))?;
        if let Some(stopping) = self.stopping.take() {
            if exit == NodeExit::Code(0) {
                tracing::info!("app exited normally");
            }
            self.events.push_back(Kind::JobDone { job: stopping.job, outcome: Outcome::Done });
        }
        Ok(Kind::Exited { run: node.run, exit, words })
    }

    fn kill_after_grace(&mut self) {
        if let (Some(node), Some(stopping)) = (&self.node, &mut self.stopping) {
            tracing::warn!("DAEMON_SHUTDOWN_GRACE exceeded, killing app");
            node.signal(System::SIGKILL);
            stopping.killed = true;
        }
    }

    fn carry_out(&mut self, decision: Decision) -> Option<Exit> {
        for note in &decision.notes {
            report::note(note, &self.ears.endpoints, &self.config.program);
        }
        for job in decision.cancel {
            self.jobs.cancel(job);
        }
        if let (Some(signal), Some(node)) = (decision.signal, &self.node) {
            match signal {
                NodeSignal::Forward(signal) => {
                    node.signal(forwarded(signal));
                    tracing::info!(?signal, "passed on to the node; waiting until it has ended");
                }
                NodeSignal::Kill => {
                    node.signal(System::SIGKILL);
                    tracing::warn!("asked to stop a second time: the node is killed");
                }
            }
        }
        if let Some((id, job)) = decision.home {
            self.begin_home(id, job);
        }
        if let Some((id, job)) = decision.fetch {
            self.begin_fetch(id, job);
        }
        self.ears.attention.send_if_modified(|attention| {
            let changed = *attention != decision.attention;
            *attention = decision.attention;
            changed
        });
        self.wake = decision.wake;
        decision.exit
    }
}

/// What has happened already. One job may be done as soon as the next is begun, and signals are heard between them.
async fn first(events: &mut VecDeque<Kind>) -> Kind {
    tokio::task::yield_now().await;
    match events.pop_front() {
        Some(kind) => kind,
        None => std::future::pending().await,
    }
}

async fn node_exit(node: Option<&mut Node>) -> io::Result<(NodeExit, Option<Words>)> {
    match node {
        Some(node) => node.wait().await,
        None => std::future::pending().await,
    }
}

async fn change(changes: Option<&mut Changes>) {
    match changes {
        Some(changes) => changes.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}
