//! Carries out one job: the short ones at once on this thread, the long ones in the background.

use std::{
    ffi::OsStr,
    io,
    pin::pin,
    sync::{PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

use jiff::Zoned;
use nix::sys::signal::Signal;

use super::{
    Stopping, Supervisor,
    jobs::failed,
    progress::{of_copying, of_fetching},
};
use crate::{
    artifact,
    chain::{
        comparison,
        own_node::{self, OwnNode},
    },
    config::go_text,
    decide::{
        decision::{Approach, FetchJob, HomeJob, JobId, RunId},
        event::{Kind, NodeAnswer, NodeExit, Outcome},
        facts::{Current, Verdict, Version},
        plan::Plan,
    },
    home::{
        Home,
        backup::{self, restore},
        current, lock, orders, record, sync_folder, upgrade_info, version,
    },
    log,
    process::{
        hook,
        node::Node,
        program::{Output, Program},
        requests::Requests,
        stray,
    },
};

impl Supervisor {
    pub(super) fn begin_home(&mut self, id: JobId, job: HomeJob) {
        let home = self.config.home.clone();
        match job {
            HomeJob::Ask => self.jobs.spawn(id, ask(home, self.ears.own_node.clone())),
            HomeJob::Greet => self.jobs.spawn(id, greet(self.ears.own_node.clone())),
            HomeJob::Remember(record) => {
                if record.verdict == Verdict::Passed
                    && let Err(error) = current::mark(&home, &record)
                {
                    tracing::warn!(%error, "no marker is left beside the current binary");
                }
                self.at_once(id, record::write(&home, &record));
                match record.verdict {
                    Verdict::Passed | Verdict::Skipped => {
                        drop(tokio::task::spawn_blocking(move || forget(&home, &record.plan)));
                    }
                    // While the node stops, so that the switch has nothing to wait for.
                    Verdict::Pending if record.starts == 0 => {
                        drop(tokio::task::spawn_blocking(move || upgrade_info::sync(&home)));
                    }
                    _ => {}
                }
            }
            HomeJob::Place { receipt, upgrade } => self.jobs.spawn_blocking(id, move |_| {
                let store = home.store();
                done(artifact::place(&store, &receipt, &upgrade, &home.upgrades(), &home.daemon))
            }),
            HomeJob::SetAside(folder) => {
                let aside = home.own().join("aside");
                let moved = artifact::set_aside(&home.upgrades(), &folder, &aside, &home.daemon);
                self.at_once(id, moved.map(|to| tracing::warn!(to = %to.display(), "set a staged binary aside")));
            }
            HomeJob::Renew { folder, receipt } => {
                self.at_once(id, artifact::renew(&home.upgrades(), &folder, &receipt));
            }
            HomeJob::Stop { grace, .. } => self.stop(id, Instant::now() + grace),
            HomeJob::StopStray { grace } => {
                self.jobs.spawn_heeding(id, |requests| async move { done(stray::stop(&home, grace, requests).await) });
            }
            HomeJob::Room { plan, approach } => {
                let known = self.ahead.rooms(&plan);
                match approach {
                    Approach::Far | Approach::Near => self.ahead.begin(home.clone(), plan, approach == Approach::Near),
                    Approach::There => drop(self.ahead.end()),
                }
                self.jobs
                    .spawn_blocking(id, move |_| backup::room(&home, &known).map_or_else(failed, |()| Outcome::Done));
            }
            HomeJob::BackUp(plan) => self.back_up(id, home, plan),
            HomeJob::CustomHook(plan) => {
                let script = self.config.custom_hook.clone().unwrap_or_default();
                self.jobs.spawn_heeding(id, |requests| async move {
                    custom_hook(&home, &script, &plan, requests).await.unwrap_or_else(failed)
                });
            }
            HomeJob::Switch { folder, plan } => {
                // A link that outlives a power cut without the file leads to a binary that does not find its new stores.
                if let Err(error) = upgrade_info::sync(&home) {
                    tracing::warn!(%error, "data/upgrade-info.json may not outlive a power cut");
                }
                let moved = current::switch(&home, &folder, &plan);
                self.switched = moved.is_ok();
                self.at_once(id, moved);
            }
            HomeJob::AppHook => self
                .jobs
                .spawn_heeding(id, |requests| async move { pre_upgrade(&home, requests).await.unwrap_or_else(failed) }),
            HomeJob::Start { run, version, halt, listen } => {
                let outcome = self.start(run, &version, halt, listen).map_or_else(failed, |()| Outcome::Started);
                self.events.push_back(Kind::JobDone { job: id, outcome });
            }
            HomeJob::Generation => self
                .jobs
                .spawn(id, async move { hook::halts_before(&home).await.map_or_else(failed, Outcome::HaltsBefore) }),
            HomeJob::Name { plan, over } => self.at_once(id, orders::name(&home, &plan, over)),
            HomeJob::Unqueue(over) => self.at_once(id, orders::unqueue(&home, &over)),
            HomeJob::Missed(exact) => self.at_once(id, orders::write_exact(&home, Some(&exact))),
            HomeJob::Choose(version) => self.at_once(id, current::choose(&home, &version)),
            HomeJob::Replace(version) => {
                self.jobs.spawn_blocking(id, move |_| done(orders::replace(&home, &version)));
            }
            HomeJob::Weigh(folder) => self.jobs.spawn_blocking(id, move |_| {
                let binary = home.executable(&home.upgrade(&folder));
                artifact::weigh(&binary).map_or_else(failed, |(file, sha256)| Outcome::Weighed { file, sha256 })
            }),
            HomeJob::Restore(plan) => self.jobs.spawn_blocking(id, move |stop| restored(&home, &plan, stop)),
            HomeJob::Heed(record) => {
                let ruling = orders::read(&home).ruling;
                let heeded = record::write_to_last(&home, &record).and_then(|()| orders::heeded(&home, ruling));
                self.at_once(id, heeded);
            }
        }
    }

    pub(super) fn begin_fetch(&mut self, id: JobId, job: FetchJob) {
        let home = self.config.home.clone();
        match job {
            FetchJob::Fetch { upgrade, source } => {
                let web = self.ears.web.clone();
                let source =
                    source.and_then(|source| self.ears.endpoints.iter().find(|endpoint| endpoint.id == source));
                let source = source.map_or("data/upgrade-info.json", |endpoint| &endpoint.label).to_owned();
                tracing::info!(upgrade = upgrade.plan.name, "no upgrade binary found, beginning to download it");
                self.jobs.spawn(id, async move {
                    match of_fetching(&home, &web, &upgrade, &source).await {
                        Ok(receipt) => {
                            tracing::info!(
                                sha256 = receipt.sha256,
                                upgrade = upgrade.plan.name,
                                "downloading binary complete"
                            );
                            Outcome::Done
                        }
                        Err(error) => Outcome::Failed { reason: error.to_string(), retry_after: error.retry_after() },
                    }
                });
            }
            FetchJob::Compare(height) => {
                let (own, others, clients) =
                    (self.ears.own_node.clone(), self.ears.endpoints.clone(), self.ears.clients.clone());
                self.jobs.spawn(id, async move {
                    Outcome::Compared(comparison::compare(height, own, &others, &clients).await)
                });
            }
            FetchJob::Verify(folder) => self.jobs.spawn_blocking(id, move |_| {
                let aside = home.own().join("aside");
                match artifact::verify(&home.store(), &home.upgrades(), &folder, &home.daemon, &aside) {
                    Ok(artifact::Verified::Rotten { kept }) => {
                        let kept = kept.display();
                        tracing::warn!(%folder, %kept, "what was staged has changed on the disk, is set aside, and is to be fetched anew");
                        Outcome::Done
                    }
                    Ok(verified) => {
                        tracing::debug!(%folder, ?verified, "hashed");
                        Outcome::Done
                    }
                    Err(error) => failed(error),
                }
            }),
        }
    }

    fn at_once(&mut self, id: JobId, result: io::Result<()>) {
        self.events.push_back(Kind::JobDone { job: id, outcome: done(result) });
    }

    fn stop(&mut self, id: JobId, deadline: Instant) {
        let Some(node) = &self.node else { return self.at_once(id, Ok(())) };
        tracing::info!("daemon shutting down in an attempt to restart");
        node.signal(self.config.stop_signal);
        tracing::info!("sent interrupt to app, waiting for exit");
        self.stopping = Some(Stopping { job: id, deadline, killed: false });
    }

    fn back_up(&mut self, id: JobId, home: Home, plan: Plan) {
        let now = Zoned::now();
        let ahead = self.ahead.end();
        tracing::info!("backup start time" = %now.timestamp(), "starting to take backup of data directory");
        self.jobs.spawn_blocking(id, move |stop| {
            let began = Instant::now();
            let mut ended = ahead.lock().unwrap_or_else(PoisonError::into_inner);
            let taken = backup::take(&home, &plan, ended.as_mut(), &now, stop, &of_copying("backing up"));
            if let Some(watched) = ended.take() {
                // The kernel takes its time to end watches.
                tokio::task::spawn_blocking(|| drop(watched));
            }
            match taken {
                Ok(backup) => {
                    let milliseconds = began.elapsed().as_secs_f64() * 1e3;
                    tracing::info!(
                        "backup saved at" = %backup.path.display(),
                        "backup completion time" = %Zoned::now().timestamp(),
                        "time taken to complete backup" = milliseconds,
                        bytes = backup.bytes,
                        ahead = backup.ahead,
                        shared = backup.shared,
                        "backup completed"
                    );
                    Outcome::Done
                }
                Err(backup::BackupError::Stopped) => Outcome::Cancelled,
                Err(error) => failed(error),
            }
        });
    }

    fn start(&mut self, run: RunId, version: &Version, halt: Option<u64>, listen: bool) -> io::Result<()> {
        let home = &self.config.home;
        if current::read(home) == Current::Absent {
            current::point_at_genesis(home)?;
        }
        match current::read(home) {
            Current::Version(found) if found == *version => {}
            other => return Err(io::Error::other(format!("current was to be {version}, and is {other:?}"))),
        }
        let binary = current::executable(home)?;
        let wishes = version::of(&binary)?;
        let mut args = wishes.arguments(&self.args);
        // The last one counts.
        args.extend(halt.into_iter().flat_map(|height| ["--halt-height".into(), height.to_string().into()]));
        if std::mem::take(&mut self.switched) {
            tracing::info!(app = %binary.display(), "upgrade detected, relaunching");
        }
        tracing::info!(path = %binary.display(), args = %log::List(&args), "running app");
        let node = Program::new(home, &binary, Signal::SIGTERM).arguments(&args).wished(&wishes);
        let node = node.keeping(lock::for_node(home)?);
        let launching = |error| {
            let (path, args) = (binary.display(), args.join(OsStr::new(" ")));
            let (args, why) = (args.display(), go_text(&error));
            io::Error::other(format!("launching process {path} {args} failed: fork/exec {path}: {why}"))
        };
        let listening = listen.then_some(home.keep_case);
        let node = Node::start(run, node, listening).map_err(launching)?;
        tracing::debug!(pid = node.pid(), "started");
        self.node = Some(node);
        // What the swap wrote becomes durable only now: it must not wait for the disk, and a power cut before this repeats it.
        // The node's own first sync comes later, so that no block is committed by a start that is not counted.
        let home = home.clone();
        tokio::task::spawn_blocking(move || (record::sync(&home), sync_folder(&home.root())));
        Ok(())
    }
}

/// Brings back what was saved before an upgrade.
fn restored(home: &Home, plan: &Plan, stop: &AtomicBool) -> Outcome {
    // Of the attempt before this one only renames are left.
    if restore::is_pending(home) {
        return restore::resume(home).map_or_else(failed, |()| Outcome::Done);
    }
    let Some(backup) = backup::of(home, plan) else {
        return failed(format!("there is no complete backup of before upgrade {:?}", plan.name));
    };
    tracing::info!(from = %backup.path.display(), "bringing the data back");
    match restore::restore(home, &backup, &Zoned::now(), stop, &of_copying("bringing the data back")) {
        Ok(restored) => {
            for failed in &restored.failed {
                tracing::warn!(path = %failed.display(), "what was there before is kept");
            }
            Outcome::Done
        }
        Err(restore::RestoreError::Stopped) => Outcome::Cancelled,
        Err(error) => failed(error),
    }
}

/// The node's height: its RPC first, then what its own `status` command says.
async fn ask(home: Home, own_node: Option<OwnNode>) -> Outcome {
    if let Some(own_node) = own_node {
        let answer = own_node.ask().await;
        if answer.latest.is_some() {
            // A latest height without the committed one may be of a node that is long past the plan: better ask again.
            return Outcome::Answered(if answer.committed.is_some() { answer } else { NodeAnswer::default() });
        }
    }
    let latest = match hook::status(&home).await {
        Ok(Output { stdout, stderr, .. }) => {
            own_node::parse_status_command(&stdout, &stderr, own_node::node_id(&home.path).as_deref())
        }
        Err(error) => {
            tracing::debug!(%error, "`status` gave no answer");
            None
        }
    };
    Outcome::Answered(NodeAnswer { latest, committed: None })
}

/// What the node's RPC says first: it is up before the node takes a block from a peer.
async fn greet(own_node: Option<OwnNode>) -> Outcome {
    const PAUSE: Duration = Duration::from_millis(10);
    const PATIENCE: Duration = Duration::from_mins(10);
    let Some(own_node) = own_node else { return Outcome::Answered(NodeAnswer::default()) };
    let began = Instant::now();
    loop {
        let answer = own_node.ask().await;
        if answer.committed.is_some() || began.elapsed() > PATIENCE {
            return Outcome::Answered(answer);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What was fetched for heights that have passed is not needed in the store any more; what is placed stays. An order that
/// was for this upgrade is fulfilled.
fn forget(home: &Home, plan: &Plan) {
    if let Err(error) = home.store().forget(plan.height, &home.daemon) {
        tracing::warn!(%error, "an old artifact stays in the store");
    }
    match backup::keep::prune(home) {
        Ok(dropped) => dropped.iter().for_each(|backup| {
            tracing::info!(path = %backup.path.display(), "dropped an older checkpoint (WATCHER_BACKUP_KEEP)");
        }),
        Err(error) => tracing::warn!(%error, "an older checkpoint stays"),
    }
    if let Err(error) = upgrade_info::give_back(home, plan) {
        tracing::warn!(%error, "data/upgrade-info.json still looks like an operator's");
    }
    if let Err(error) = orders::fulfilled(home, plan) {
        tracing::warn!(%error, "the order of an exact height stays, and is not followed any more");
    }
}

async fn custom_hook(home: &Home, script: &str, plan: &Plan, requests: Requests) -> io::Result<Outcome> {
    let path = home.root().join(script);
    let file = path.display();
    tracing::info!(%file, "looking for COSMOVISOR_CUSTOM_PREUPGRADE file");
    let output = told(hook::custom(home, script, plan, requests), script).await.inspect_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            tracing::error!(%error, %file, "COSMOVISOR_CUSTOM_PREUPGRADE file missing");
        }
    })?;
    let Some(output) = output else { return Ok(Outcome::Cancelled) };
    if output.exit != NodeExit::Code(0) {
        tracing::error!(command = %file, said = output.last_words(), "COSMOVISOR_CUSTOM_PREUPGRADE failed");
        return Ok(failed(output.exit));
    }
    let result = String::from_utf8_lossy(&output.stdout);
    tracing::info!(command = %file, argv1 = plan.name, argv2 = plan.height, %result, "COSMOVISOR_CUSTOM_PREUPGRADE result");
    Ok(Outcome::Done)
}

/// Waits for a hook, and says that it runs on, and no node: after one minute, two, four.
async fn told<T>(hook: impl Future<Output = T>, what: &str) -> T {
    while_it_lasts(hook, Duration::from_mins(1), |minutes| {
        tracing::warn!("{what} runs since {minutes} min, and the node waits for it");
    })
    .await
}

async fn while_it_lasts<T>(work: impl Future<Output = T>, minute: Duration, mut tell: impl FnMut(u32)) -> T {
    let (mut work, mut minutes, mut pause) = (pin!(work), 1, minute);
    loop {
        match tokio::time::timeout(pause, &mut work).await {
            Ok(done) => return done,
            Err(_) => tell(minutes),
        }
        (pause, minutes) = (minute * minutes, minutes * 2);
    }
}

async fn pre_upgrade(home: &Home, requests: Requests) -> io::Result<Outcome> {
    let Some(output) = told(hook::pre_upgrade(home, requests), "pre-upgrade").await? else {
        return Ok(Outcome::Cancelled);
    };
    let code = if let NodeExit::Code(code) = output.exit { Some(code) } else { None };
    match code {
        Some(0) => {
            tracing::info!(result = %String::from_utf8_lossy(&output.stdout), "pre-upgrade result");
            tracing::info!("pre-upgrade successful. continuing the upgrade.");
        }
        Some(1) => tracing::info!("pre-upgrade command does not exist. continuing the upgrade."),
        // The core says what it makes of the others.
        _ => tracing::warn!(said = output.last_words(), "pre-upgrade result"),
    }
    Ok(Outcome::PreUpgrade(code))
}

fn done(result: io::Result<()>) -> Outcome {
    result.map_or_else(failed, |()| Outcome::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hook_that_lasts_is_told_of_ever_more_seldom() {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let (mut told, mut end) = (Vec::new(), Some(end));
        while_it_lasts(ended, Duration::from_millis(1), |minutes| {
            told.push(minutes);
            if minutes == 8 {
                drop(end.take());
            }
        })
        .await
        .unwrap_err();
        assert_eq!(told, [1, 2, 4, 8]);
    }
}
