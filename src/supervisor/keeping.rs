//! What is done for backups beside the node's work: making one ahead, and dropping it once nobody can need it any more.

use std::{
    collections::HashSet,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    chain::{self, own_node::OwnNode},
    decide::plan::Plan,
    home::{
        Home,
        backup::{BackupError, Room, Watched, ahead, estimate, keep},
    },
};

/// Between two looks.
const PAUSE: Duration = Duration::from_mins(10);

/// How long what was counted stands for what is there: the node goes on writing.
const FRESH: Duration = Duration::from_mins(15);

/// The making of a backup ahead, which goes on until it is told to end.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    stop: Arc<AtomicBool>,
    /// Held while it works; what it made, once it is watched.
    working: Arc<Mutex<Option<Watched>>>,
    /// What is needed at the halt, once it is made.
    needs: Arc<Mutex<Option<Needs>>>,
    /// Why it failed so far.
    told: Arc<Mutex<HashSet<String>>>,
}

/// What the backup before an upgrade needs.
#[derive(Debug)]
struct Needs {
    plan: Plan,
    rooms: Vec<Room>,
    counted: Instant,
}

impl Ahead {
    /// Makes it ahead, and tells what the backup will cost.
    pub(super) fn begin(&mut self, home: Home, plan: Plan, near: bool) {
        let working = self.end();
        (self.stop, self.needs) = Default::default();
        let (stop, told, needs) = (Arc::clone(&self.stop), Arc::clone(&self.told), Arc::clone(&self.needs));
        tokio::task::spawn_blocking(move || {
            let mut working = working.lock().unwrap_or_else(PoisonError::into_inner);
            *working = None;
            let rehearsed = ahead::make(&home, plan.height, near, &stop).and_then(|files| {
                tracing::debug!(files, "made ahead of the backup");
                if stop.load(Ordering::Relaxed) { Ok(None) } else { estimate::estimate(&home, near, &stop) }
            });
            match rehearsed {
                Ok(Some(estimate)) => {
                    tracing::info!(
                        seconds = estimate.time.as_secs_f64(),
                        bytes = estimate.bytes,
                        shared = estimate.shared,
                        free = estimate.free,
                        place = %estimate.place.display(),
                        "what the backup before upgrade {:?} takes, as rehearsed",
                        plan.name
                    );
                    if near {
                        let counted = Needs { plan, rooms: estimate.rooms, counted: Instant::now() };
                        *needs.lock().unwrap_or_else(PoisonError::into_inner) = Some(counted);
                        // The rehearsal has changed what was made for the last time.
                        *working = Some(&home).filter(|_| !stop.load(Ordering::Relaxed)).and_then(Watched::of);
                    }
                }
                Ok(None) => {}
                // Everything else is told where it is looked at whether there is room, or is of a file that the node took away.
                Err(BackupError::Disk(error)) if error.source.kind() != io::ErrorKind::NotFound => {
                    let error = error.to_string();
                    if told.lock().unwrap_or_else(PoisonError::into_inner).insert(error.clone()) {
                        tracing::warn!(
                            "the backup before upgrade {:?} was rehearsed and failed: {error}; before the switch it may fail \
                             as well: see to that while the node runs, or name another DAEMON_DATA_BACKUP_DIR",
                            plan.name
                        );
                    }
                }
                Err(error) => tracing::debug!(%error, "the backup is not rehearsed"),
            }
        });
    }

    /// What a backup needs that only has to be brought up to date; nothing where that was not counted lately.
    pub(super) fn rooms(&self, plan: &Plan) -> Vec<Room> {
        let needs = self.needs.lock().unwrap_or_else(PoisonError::into_inner);
        let needs = needs.iter().filter(|needs| needs.plan == *plan && needs.counted.elapsed() < FRESH);
        needs.flat_map(|needs| needs.rooms.clone()).collect()
    }

    /// Has it end; whoever takes this lock then has it ended, and what was made.
    pub(super) fn end(&self) -> Arc<Mutex<Option<Watched>>> {
        self.stop.store(true, Ordering::Relaxed);
        Arc::clone(&self.working)
    }
}

/// Looks without end.
pub(super) async fn look(home: Home, own_node: OwnNode) {
    loop {
        tokio::time::sleep(PAUSE).await;
        let Some(height) = own_node.ask().await.committed else { continue };
        let (home, now) = (home.clone(), chain::now() / 1_000);
        match tokio::task::spawn_blocking(move || keep::look(&home, now, height)).await {
            Ok(Ok(dropped)) => dropped.iter().for_each(|backup| {
                tracing::info!(path = %backup.path.display(), "dropped a checkpoint: its upgrade has passed and blocks are made");
            }),
            Ok(Err(error)) => tracing::warn!(%error, "checkpoints that are not needed stay"),
            Err(error) => tracing::warn!(%error, "a defect in watcher"),
        }
    }
}
