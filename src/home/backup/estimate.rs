//! What a backup will cost, before anything is stopped: counted, and timed by a rehearsal beside the running node.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use super::{
    APART, BackupError, Means, ahead, at, carry,
    layout::{INNER, Layout, ours},
    place, saved,
    work::{Room, Watched, Way, Work},
    work_for,
};
use crate::home::{Home, write_whole};

/// Bytes copied for a rehearsal; where there is more to copy, it takes so much longer.
const MOST: u64 = 1 << 30;
/// Blocks come more often than this, as a rule.
const LATELY: Duration = Duration::from_secs(30);
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
    /// What it needs on each filesystem.
    pub rooms: Vec<Room>,
}

/// Finds out what a backup would cost now, where it is `made` ahead by bringing that up to date; none where none is wanted.
///
/// # Errors
/// [`BackupError`], also where there is no room.
pub fn estimate(home: &Home, made: bool, stop: &AtomicBool) -> Result<Option<Estimate>, BackupError> {
    estimated(home, made, LATELY, stop)
}

/// The same, where the node goes on writing to what it changed no longer ago than this.
pub(super) fn estimated(
    home: &Home,
    made: bool,
    lately: Duration,
    stop: &AtomicBool,
) -> Result<Option<Estimate>, BackupError> {
    let Some(chosen) = &home.backups else { return Ok(None) };
    let place = place::of(home, chosen)?;
    let mut tries = 1..TRIES;
    loop {
        match rehearsed(home, &place, made, lately, stop) {
            Err(BackupError::Disk(error))
                if error.source.kind() == std::io::ErrorKind::NotFound && tries.next().is_some() => {}
            other => return other.map(Some),
        }
    }
}

/// Does it, but for what would take long, and takes away again what was not there.
fn rehearsed(
    home: &Home,
    place: &Path,
    made: bool,
    lately: Duration,
    stop: &AtomicBool,
) -> Result<Estimate, BackupError> {
    let mut began = Instant::now();
    super::fits(home)?;
    let layout = Layout::of(home).map_err(at(&home.path))?;
    let tree = ahead::tree(home, place);
    let (mut work, means) = work_for(home, &layout, place, "rehearsal", &tree, None)?;
    let own = place.join(ours(home, &format!("{APART}rehearsed")));
    let (shared, files) = (work.shared(), work.files.len());
    let inner = own.join(INNER);
    let restless = ahead::restless(&work, lately, &inner);
    work.files.extend(restless.iter().cloned());
    let rooms = work.room()?;
    let free = rooms.first().map_or(0, |room| room.free);
    let apart: Vec<_> = work.parts.iter().map(|part| part.at.clone()).filter(|at| at.is_absolute()).collect();
    let done = own.with_extension("done");
    let clear = || apart.iter().chain([&own, &done]).try_for_each(|folder| carry::remove(folder));
    clear()?;
    let in_place = made && means == Means::Checkpoint && tree.is_dir();
    let folder = if in_place { &tree } else { &own };
    let mut watched = in_place.then(|| Watched::of(home)).flatten();
    if watched.is_some() {
        // At the halt all of this is known, and only what has changed is looked at.
        began = Instant::now();
        super::room(home, &rooms)?;
    }
    match watched.as_mut().and_then(|watched| watched.up_to_date(&Layout::of(home).ok()?, place, &tree)) {
        Some(known) => work.files = known.files.into_iter().chain(restless).collect(),
        None => ahead::keep_in(&mut work, folder)?,
    }
    let bytes = work.bytes(Way::Copy);
    let chosen = sampled(&mut work, MOST);
    fs::create_dir_all(&inner).map_err(at(&inner))?;
    let rehearsed = saved(&layout, &work, folder, |_, _| (), stop, &|_, _| {}).and_then(|()| {
        write_whole(&own.join("note"), &[], true).map_err(at(&own))?;
        Ok(carry::rename(&own, &done)?)
    });
    let time = began.elapsed();
    // What was not quiet is copied again at the halt, and needs this room.
    for file in work.files.iter().filter(|file| in_place && !file.way.is_a_name()) {
        let _ = fs::remove_file(tree.join(&file.to));
    }
    clear()?;
    rehearsed?;
    let time = time.as_nanos() * u128::from(bytes.max(1)) / u128::from(chosen.max(1));
    let time = Duration::from_nanos(u64::try_from(time).unwrap_or(u64::MAX));
    Ok(Estimate { place: place.to_owned(), bytes, shared, files, time, free, rooms })
}

/// Leaves no more bytes to copy than these, spread over all files; of the last one its beginning. Gives how many those are.
pub(super) fn sampled(work: &mut Work, most: u64) -> u64 {
    let every = work.bytes(Way::Copy) / most + 1;
    let (mut seen, mut chosen) = (0, 0);
    work.files.retain_mut(|file| {
        if file.way != Way::Copy {
            return true;
        }
        let due = chosen * every <= seen;
        seen += file.state.size;
        if due {
            file.state.size = file.state.size.min(most - chosen);
            chosen += file.state.size;
        }
        due
    });
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::backup::{Means, tests::*};

    #[test]
    fn a_rehearsal_copies_a_part_of_what_is_to_be_copied_also_of_few_great_files() {
        let sampled = |count: usize, size: usize| {
            let (_keep, mut home) = home_with(&["genesis"]);
            home.manner.means = Means::Copy;
            for number in 0..count {
                fs::write(home.data().join(number.to_string()), vec![1; size]).unwrap();
            }
            let layout = Layout::of(&home).unwrap();
            let mut work = work_for(&home, &layout, &home.path, "rehearsal", &home.path, None).unwrap().0;
            sampled(&mut work, 100)
        };
        assert_eq!([sampled(1, 50), sampled(1, 500), sampled(2, 150), sampled(100, 10)], [50, 100, 100, 100]);
    }
}
