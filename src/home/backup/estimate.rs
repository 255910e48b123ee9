//! What a backup will cost, before anything is stopped: counted, and timed by a rehearsal beside the running node.

use std::{
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use super::{
    APART, BackupError, at, carry,
    layout::{Layout, ours},
    place, saved,
    work::{Way, Work},
    work_for,
};
use crate::home::{Home, write_whole};

/// Bytes copied for a rehearsal; where there is more to copy, it takes so much longer.
const MOST: u64 = 1 << 30;
/// How often a rehearsal is tried while the node takes its files away.
const TRIES: usize = 3;

/// What a backup made now would cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    /// Where it would go.
    pub place: PathBuf,
    /// Bytes to copy.
    pub bytes: u64,
    /// Bytes that it would share with the node's files.
    pub shared: u64,
    /// Files in it.
    pub files: usize,
    /// How long it would take.
    pub time: Duration,
    /// Bytes that are free where it would go.
    pub free: u64,
}

/// Finds out what a backup would cost now; none where none is wanted.
///
/// # Errors
/// [`BackupError`], also where there is no room.
pub fn estimate(home: &Home, stop: &AtomicBool) -> Result<Option<Estimate>, BackupError> {
    let Some(chosen) = &home.backups else { return Ok(None) };
    let place = place(home, chosen)?;
    super::fits(home)?;
    let mut tries = 1..TRIES;
    let (work, time) = loop {
        match rehearsed(home, &place, stop) {
            Err(BackupError::Disk(error))
                if error.source.kind() == std::io::ErrorKind::NotFound && tries.next().is_some() => {}
            other => break other?,
        }
    };
    let free = work.room()?.first().map_or(0, |(_, _, free)| *free);
    let shared = work.bytes(Way::Link) + work.bytes(Way::Clone);
    Ok(Some(Estimate { bytes: work.bytes(Way::Copy), shared, files: work.files.len(), place, time, free }))
}

/// Does it, but for what would take long, and takes it away again.
fn rehearsed(home: &Home, place: &Path, stop: &AtomicBool) -> Result<(Work, Duration), BackupError> {
    let began = Instant::now();
    let layout = Layout::of(home).map_err(at(&home.path))?;
    let (mut work, _) = work_for(home, &layout, place, "rehearsal")?;
    let bytes = work.bytes(Way::Copy);
    let whole = std::mem::take(&mut work.files);
    let (rehearsed, left): (Vec<_>, Vec<_>) = {
        let mut room = MOST;
        // Spread over all of them.
        let every = usize::try_from(bytes / MOST).unwrap_or(usize::MAX).saturating_add(1);
        let mut number = 0;
        whole.into_iter().partition(|file| {
            if file.way != Way::Copy {
                return true;
            }
            number += 1;
            let chosen = number % every == 0 && room > 0;
            room = room.saturating_sub(if chosen { file.state.size } else { 0 });
            chosen
        })
    };
    work.files = rehearsed;
    let done = work.bytes(Way::Copy);
    let folder = place.join(ours(home, &format!("{APART}rehearsed")));
    let clear = || {
        let apart = work.parts.iter().map(|part| &part.at).filter(|at| at.is_absolute());
        apart.chain([&folder, &folder.with_extension("done")]).try_for_each(|folder| carry::remove(folder))
    };
    clear()?;
    let result = saved(&layout, &work, &folder, "", stop, &|_, _| {});
    let done_folder = folder.with_extension("done");
    let noted = write_whole(&folder.join("note"), &[], true).map_err(at(&folder));
    let noted = noted.and_then(|()| carry::rename(&folder, &done_folder));
    let time = began.elapsed();
    clear()?;
    result?;
    noted?;
    work.files.extend(left);
    let time = time.as_nanos() * u128::from(bytes.max(1)) / u128::from(done.max(1));
    Ok((work, Duration::from_nanos(u64::try_from(time).unwrap_or(u64::MAX))))
}
