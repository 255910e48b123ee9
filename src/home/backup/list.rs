//! The list of backups: what it names, what of that is there, and what may come back.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    At, Means, NOTE, Part, at, carry, keep,
    layout::{OURS, file_name, is_ours, resolved},
    place,
};
use crate::{
    decide::{facts::Backup, plan::Plan},
    home::{Home, lock, write_whole},
};

/// The note that says that a backup is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// The plan it was made for.
    pub plan: Plan,
    /// Where it is.
    pub path: PathBuf,
    /// Where its home was, without links.
    pub home: PathBuf,
    /// Where its filesystem was mounted, where that can be told.
    pub mount: Option<PathBuf>,
    /// What tells it from another of that name.
    pub token: String,
    /// How it was made.
    pub means: Means,
    /// When, RFC 3339.
    pub made: String,
    /// How long that took.
    pub milliseconds: u64,
    /// Bytes copied.
    pub bytes: u64,
    /// Bytes that were copied ahead.
    pub ahead: u64,
    /// Bytes that it shares with the node's files.
    pub shared: u64,
    /// How many files it has.
    pub files: usize,
    /// What it covers.
    pub parts: Vec<Part>,
    /// The node's health since its upgrade has passed.
    #[serde(default)]
    pub health: keep::Health,
}

/// Whether a complete backup for this plan is there.
#[must_use]
pub fn state(home: &Home, plan: Option<&Plan>) -> Backup {
    let is_there = plan.is_some_and(|plan| all(home).iter().any(|backup| backup.plan == *plan));
    match (home.backups.is_some(), is_there) {
        (true, true) => Backup::Complete,
        (true, false) => Backup::Missing,
        (false, true) => Backup::Earlier,
        (false, false) => Backup::NotWanted,
    }
}

/// Every backup that is complete and still there, the oldest first; none where that cannot be read.
#[must_use]
pub fn all(home: &Home) -> Vec<Completion> {
    noted(home).unwrap_or_default()
}

/// Backups that the list names and that are not there under their names, or cannot be read now.
#[must_use]
pub fn away(home: &Home) -> Vec<Completion> {
    let known = known(home).unwrap_or_default();
    known.iter().filter_map(|backup| own(home, backup)).filter(|backup| !is_there(backup)).collect()
}

/// The backup that was made for a plan. Its info is left out: a record does without it.
#[must_use]
pub fn of(home: &Home, plan: &Plan) -> Option<Completion> {
    let of = |backup: &Completion| backup.plan.is_alike(plan);
    all(home).into_iter().rfind(of)
}

/// Whether a backup is there under its name, as far as can be read.
fn is_there(backup: &Completion) -> bool {
    is(&backup.path, backup).unwrap_or(false)
}

/// The same as [`all`] for whoever changes something by it: where the list cannot be read for a moment, nothing is gone.
pub(super) fn noted(home: &Home) -> Result<Vec<Completion>, At> {
    let backups = match listed(home)? {
        List::Readable(listed) => listed,
        List::Missing | List::Unreadable(_) => found(home)?,
    };
    Ok(backups.iter().filter_map(|backup| own(home, backup)).filter(is_there).collect())
}

/// A backup with its paths as they are now, where it is this home's: made by it of its data, or copied along with it and of
/// nothing outside of it. A list that was copied names what is another home's.
pub(super) fn own(home: &Home, backup: &Completion) -> Option<Completion> {
    let (here, data) = (resolved(&home.path), resolved(&home.data()));
    let mut own = backup.clone();
    let before = &backup.home;
    if *before != here {
        // What lies apart is known by its old path.
        if backup.parts.iter().any(|part| part.at.starts_with(before)) {
            return None;
        }
        let lives = own.parts.iter_mut().map(|part| &mut part.live);
        for path in lives.chain([&mut own.path]).chain(own.mount.as_mut()) {
            if let Ok(inner) = path.strip_prefix(before) {
                *path = here.join(inner);
            }
        }
    }
    let is_within = |part: &Part| part.at.is_relative() && resolved(&part.live).starts_with(&here);
    let was_copied_along = || own.path.starts_with(&here) && own.parts.iter().all(is_within) && is_there(&own);
    let is_of_data = own.parts.first().is_some_and(|part| part.live == data);
    let is_own = is_of_data && (is_ours(home, &own.token) || was_copied_along());
    is_own.then_some(own)
}

/// What the list is to go on naming, with the paths of then: what is there, and what may be there again under its name.
pub(super) fn known(home: &Home) -> Result<Vec<Completion>, At> {
    match listed(home)? {
        List::Readable(mut listed) => {
            listed.retain(|backup| !is_gone(home, &own(home, backup).unwrap_or_else(|| backup.clone())));
            Ok(listed)
        }
        List::Missing | List::Unreadable(_) => found(home),
    }
}

/// Whether nothing is left of a backup. One that cannot be read, whose disk is not mounted, or that has another name now may
/// come back.
fn is_gone(home: &Home, backup: &Completion) -> bool {
    let place = backup.path.parent().unwrap_or(&backup.path);
    let is_away = || !place.is_dir() || place::not_mounted(backup).is_some();
    matches!(is(&backup.path, backup), Ok(false)) && !is_away() && matches!(moved(home, backup), Ok(None))
}

/// Where a backup is under another name, or where backups go now. There it is none: it may be what the node runs on.
pub(super) fn moved(home: &Home, backup: &Completion) -> Result<Option<PathBuf>, At> {
    let place = backup.path.parent().unwrap_or(&backup.path);
    let mut around = entries(place)?;
    if let Some(now) = place_now(home).filter(|now| now != place) {
        around.extend(entries(&now)?);
    }
    for path in around {
        match is(&path, backup) {
            Ok(true) if path != backup.path => return Ok(Some(path)),
            // What this user made he can read.
            Err(error) if error.source.kind() != io::ErrorKind::PermissionDenied => return Err(error),
            _ => {}
        }
    }
    Ok(None)
}

/// Whether a folder is this backup.
pub(super) fn is(folder: &Path, backup: &Completion) -> Result<bool, At> {
    Ok(read(folder)?.is_some_and(|found| found.token == backup.token))
}

/// What is in a folder, but for what is not complete.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, At> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(at(folder))?;
    Ok(entries.iter().map(fs::DirEntry::path).filter(|path| !file_name(path).starts_with(OURS)).collect())
}

/// What is wrong with the list of backups, if anything, and what is done about it: for people.
#[must_use]
pub fn flaw(home: &Home) -> Option<String> {
    let error = match listed(home) {
        Ok(List::Unreadable(error)) => error,
        Ok(List::Readable(listed)) => return listed.iter().find_map(|backup| strange(home, backup)),
        _ => return None,
    };
    Some(format!(
        "{} cannot be understood: {error}. What counts is what the backups in {} say of themselves, and the next backup \
         writes the list anew; backups in other places are not known",
        index(home).display(),
        home.backups.as_deref().unwrap_or(&home.path).display()
    ))
}

/// That a backup is not this home's, and what can be done, for people.
fn strange(home: &Home, backup: &Completion) -> Option<String> {
    if own(home, backup).is_some() || !is_there(backup) {
        return None;
    }
    let live = backup.parts.first().map_or(&backup.path, |part| &part.live);
    if *live == resolved(&home.data()) {
        return Some(format!(
            "the backup {} was made under this path by another home, on another disk or machine, and is left alone: what was \
             saved of this one is brought back by hand, with the node stopped",
            backup.path.display()
        ));
    }
    Some(format!(
        "the backup {} is of the data in {}, made by a home in another place, and is left alone: this home's data are in {}. \
         Where the home or its data were moved, move them back to have it brought back; where this home is a copy, it is the \
         other one's",
        backup.path.display(),
        live.display(),
        resolved(&home.data()).display()
    ))
}

/// What can be done about a backup that is [`away`], for people.
#[must_use]
pub fn whereabouts(home: &Home, backup: &Completion) -> String {
    let path = backup.path.display();
    // What the node runs on is not to be moved.
    let moved = moved(home, backup).ok().flatten().filter(|to| resolved(to) != resolved(&home.data()));
    if let Some(to) = moved.as_deref().map(Path::display) {
        return format!("the backup {path} lies in {to} now, and is none there: move it back (`mv {to} {path}`)");
    }
    format!(
        "the backup {path} is not there or cannot be read: mount its disk, give it its name again, or, where it is lost, have it \
         forgotten (`watcher backups prune {}`)",
        file_name(&backup.path)
    )
}

/// What the list names of this home's. One that cannot be read is told by whoever changes it.
pub(super) fn named(home: &Home) -> Vec<Completion> {
    match listed(home) {
        Ok(List::Readable(listed)) => listed.iter().filter_map(|backup| own(home, backup)).collect(),
        _ => Vec::new(),
    }
}

enum List {
    Missing,
    Unreadable(serde_json::Error),
    Readable(Vec<Completion>),
}

fn listed(home: &Home) -> Result<List, At> {
    let path = index(home);
    match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(List::Missing),
        text => Ok(serde_json::from_slice(&text.map_err(at(&path))?).map_or_else(List::Unreadable, List::Readable)),
    }
}

/// Where backups go now, where that is there.
fn place_now(home: &Home) -> Option<PathBuf> {
    let place = home.backups.as_ref().and_then(|chosen| place::of(home, chosen).ok());
    place.filter(|place| place.is_dir())
}

/// The backups of this home in the place where they go now, by what they say of themselves.
fn found(home: &Home) -> Result<Vec<Completion>, At> {
    let Some(place) = place_now(home) else { return Ok(Vec::new()) };
    let mut found: Vec<Completion> = Vec::new();
    for path in entries(&place)? {
        match read(&path) {
            Ok(note) => found.extend(note.filter(|note| own(home, note).is_some())),
            // What this user made he can read.
            Err(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {}
            Err(error) => return Err(error),
        }
    }
    // It ends with the time. A copy says the same as what was copied.
    found.sort_by(|one, other| one.token.cmp(&other.token));
    found.dedup_by(|one, other| one.token == other.token);
    Ok(found)
}

/// What a folder says of itself, if it is a backup.
fn read(backup: &Path) -> Result<Option<Completion>, At> {
    let path = backup.join(NOTE);
    match fs::read(&path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        text => text.map(|text| serde_json::from_slice(&text).ok()).map_err(at(&path)),
    }
}

/// Held by whoever reads the list to write it anew: health is noted beside the node's work, also while a backup is made, and
/// another process may prune. A folder is locked, which every user of the home may open; `hold` locks the one around it.
pub(super) fn listing(home: &Home) -> Result<fs::File, At> {
    let folder = home.own().join("aside");
    lock::alone(&folder).map_err(at(&folder))
}

fn index(home: &Home) -> PathBuf {
    home.own().join("backups.json")
}

pub(super) fn note(home: &Home, backups: &[Completion]) -> Result<(), At> {
    let index = index(home);
    if let List::Unreadable(_) = listed(home)? {
        carry::rename(&index, &index.with_extension("json.unreadable"))?;
    }
    let text = serde_json::to_vec_pretty(backups).map_err(io::Error::other);
    text.and_then(|text| write_whole(&index, &text, true)).map_err(at(&index))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::backup::{UNFINISHED, layout::ours, tests::*, verify};

    #[test]
    fn two_homes_that_keep_their_backups_in_one_place_leave_each_other_alone() {
        let place = tempfile::tempdir().unwrap();
        let [one, other] = [(); 2].map(|()| {
            let (keep, mut home) = home_with(&["genesis"]);
            home.backups = Some(place.path().to_owned());
            (keep, home)
        });
        let unfinished = place.path().join(ours(&other.1, UNFINISHED));
        fs::create_dir(&unfinished).unwrap();
        let first = taken(&one.1, 5);
        assert!(unfinished.exists());
        let second = taken(&other.1, 5);
        assert!(!unfinished.exists() && first.path != second.path);
        // Whoever noted a name that the other one has got by then has no backup.
        fs::remove_dir_all(&first.path).unwrap();
        note(&one.1, &[Completion { path: second.path, ..first }]).unwrap();
        assert_eq!(state(&one.1, Some(&plan(5))), Backup::Missing);
    }

    /// It restored the data of the home that it was, or of which it was a copy, and took that one's backups away.
    #[test]
    fn a_home_that_is_a_copy_leaves_the_others_backups_alone_and_a_renamed_one_finds_its_own_again() {
        for chosen in [false, true] {
            let (around, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            let at = |name: &str| {
                let mut home = Home::plain(around.path().join(name), "noded".into());
                home.backups = Some(if chosen { place.path().to_owned() } else { home.path.clone() });
                home.manner.place_chosen = chosen;
                home
            };
            let [home, copy, renamed] = ["home", "copy", "renamed"].map(at);
            fs::create_dir_all(home.data()).unwrap();
            fs::create_dir_all(home.path.join("config")).unwrap();
            home.prepare().unwrap();
            let files = |home: &Home| [home.data().join("state"), home.path.join("config/app.toml")];
            let write = |home: &Home, text: &str| files(home).map(|path| fs::write(path, text).unwrap());
            let read = |home: &Home| files(home).map(|path| fs::read_to_string(path).unwrap());
            write(&home, "before");
            let done = taken(&home, 5);
            write(&home, "after");
            let copied = std::process::Command::new("cp").arg("-a").args([&home.path, &copy.path]).status();
            assert!(copied.unwrap().success());
            copy.prepare().unwrap();
            let expected = if chosen { vec![] } else { vec![copy.path.join(file_name(&done.path))] };
            let paths = |home: &Home| all(home).into_iter().map(|backup| backup.path).collect::<Vec<_>>();
            assert_eq!((paths(&copy), flaw(&copy).is_some(), flaw(&home)), (expected, chosen, None));
            for own in all(&copy) {
                restored(&copy, &own);
                assert_eq!((read(&copy)[0].as_str(), read(&copy)[1].as_str()), ("before", "before"));
                keep::remove(&copy, &own).unwrap();
            }
            // Its list is lost, or written anew.
            taken(&copy, 9);
            fs::remove_file(index(&copy)).unwrap();
            assert_eq!(paths(&copy).len(), 1);
            assert_eq!((read(&home)[0].as_str(), verify::verify(&done)), ("after", Vec::new()));

            fs::rename(&home.path, &renamed.path).unwrap();
            for list_is_lost in [false, true] {
                if list_is_lost {
                    fs::remove_file(index(&renamed)).unwrap();
                }
                let [own] = &all(&renamed)[..] else { panic!("{chosen}") };
                write(&renamed, "after");
                restored(&renamed, own);
                assert_eq!((read(&renamed)[0].as_str(), read(&renamed)[1].as_str()), ("before", "before"));
            }
            assert!(!home.path.exists());
            keep::remove(&renamed, &all(&renamed)[0]).unwrap();
            assert_eq!((all(&renamed), away(&renamed)), (vec![], vec![]));
        }
    }

    #[test]
    fn a_backup_whose_note_is_damaged_keeps_its_data_on_other_filesystems() {
        let Some((_elsewhere, _keep, home)) = home_with_a_database_elsewhere() else { return };
        let first = taken(&home, 5);
        fs::write(first.path.join(NOTE), "{\"plan").unwrap();
        taken(&home, 9);
        assert_eq!(fs::read(first.path.join("application.db/000003.ldb")).unwrap(), b"000003.ldb");
    }

    #[test]
    fn a_backup_that_was_renamed_is_none_and_keeps_what_it_has_on_other_filesystems_until_it_has_its_name_again() {
        let Some((_elsewhere, _keep, home)) = home_with_a_database_elsewhere() else { return };
        let first = taken(&home, 5);
        let renamed = home.path.join("before-v2");
        fs::rename(&first.path, &renamed).unwrap();
        assert_eq!((all(&home), state(&home, Some(&plan(5)))), (Vec::new(), Backup::Missing));
        let second = taken(&home, 9);
        for list_is_lost in [false, true] {
            if list_is_lost {
                fs::remove_file(index(&home)).unwrap();
            }
            assert_eq!((all(&home), away(&home)), (vec![second.clone()], vec![first.clone()]));
        }
        let third = taken(&home, 13);
        fs::rename(&renamed, &first.path).unwrap();
        assert_eq!(
            (all(&home), verify::verify(&first)),
            (vec![first.clone(), second.clone(), third.clone()], Vec::new())
        );
        fs::remove_dir_all(&first.path).unwrap();
        assert_eq!((all(&home), away(&home)), (vec![second, third], Vec::new()));
    }

    /// It was forgotten, and the words told of no backup.
    #[test]
    fn a_backup_that_was_moved_to_where_backups_go_now_stays_listed_and_told_of_until_it_is_moved_back() {
        let (_keep, mut home) = home_with(&["genesis"]);
        let (before, now) = (home.path.clone(), tempfile::tempdir().unwrap());
        home.backups = Some(before.clone());
        let first = taken(&home, 5);
        let moved = now.path().join(file_name(&first.path));
        let copied = std::process::Command::new("cp").arg("-a").args([&first.path, &moved]).status();
        assert!(copied.unwrap().success());
        fs::remove_dir_all(&first.path).unwrap();
        (home.backups, home.manner.place_chosen) = (Some(now.path().to_owned()), true);
        let second = taken(&home, 9);
        assert_eq!((all(&home), away(&home)), (vec![second.clone()], vec![first.clone()]));
        let told = whereabouts(&home, &first);
        let remedy = format!("move it back (`mv {} {}`)", moved.display(), first.path.display());
        assert!(told.ends_with(&remedy), "{told}");
        assert_eq!(keep::remove(&home, &first).unwrap_err().path, moved);
        fs::rename(&moved, &first.path).unwrap();
        assert_eq!((all(&home), away(&home)), (vec![first, second], Vec::new()));
    }

    /// As one does it by hand: `mv data data.bad; mv data-backup-2026-11-1 data`.
    #[test]
    fn a_backup_that_the_node_runs_on_is_none_and_nobody_takes_it_away() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        database(&home.data().join("application.db"));
        let first = taken(&home, 5);
        fs::rename(home.data(), home.path.join("data.bad")).unwrap();
        fs::rename(&first.path, home.data()).unwrap();
        assert_eq!((all(&home), state(&home, Some(&plan(5)))), (Vec::new(), Backup::Missing));
        let again = taken(&home, 5);
        for list_is_lost in [false, true] {
            if list_is_lost {
                fs::remove_file(index(&home)).unwrap();
            }
            assert_eq!(all(&home), std::slice::from_ref(&again));
            // What it has elsewhere may be what the node runs on as well.
            let [lost] = &away(&home)[..] else { panic!("{:?}", away(&home)) };
            assert!(!whereabouts(&home, lost).contains("`mv "), "{}", whereabouts(&home, lost));
            assert_eq!(keep::remove(&home, lost).unwrap_err().path, home.data());
            let is_there = |path: &Path| path.join("application.db/000003.ldb").exists();
            assert!(is_there(&home.data()) && is_there(&again.path));
        }
    }

    /// Its operator was told to move the link to the data away.
    #[test]
    fn a_backup_that_the_node_runs_on_through_a_link_is_not_to_be_moved_either() {
        let (keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        let disk = keep.path().join("disk");
        fs::create_dir(&disk).unwrap();
        fs::rename(home.data(), disk.join("data")).unwrap();
        std::os::unix::fs::symlink(disk.join("data"), home.data()).unwrap();
        database(&home.data().join("application.db"));
        let first = taken(&home, 5);
        fs::rename(disk.join("data"), disk.join("data.bad")).unwrap();
        fs::rename(&first.path, disk.join("data")).unwrap();
        let [lost] = &away(&home)[..] else { panic!("{:?}", away(&home)) };
        assert!(!whereabouts(&home, lost).contains("`mv "), "{}", whereabouts(&home, lost));
    }

    #[test]
    fn a_backup_on_a_disk_that_is_not_mounted_for_a_while_is_listed_when_it_comes_back() {
        let (keep, mut home) = home_with(&["genesis"]);
        let (disk, away) = (keep.path().join("disk"), keep.path().join("away"));
        fs::create_dir_all(disk.join("place")).unwrap();
        home.backups = Some(disk.join("place"));
        let first = taken(&home, 5);
        fs::rename(&disk, &away).unwrap();
        home.backups = Some(home.path.clone());
        let second = taken(&home, 9);
        assert_eq!((all(&home), super::away(&home)), (vec![second.clone()], vec![first.clone()]));
        fs::rename(&away, &disk).unwrap();
        assert_eq!((all(&home), super::away(&home)), (vec![first, second], Vec::new()));
    }

    /// It is noted under a name that is not there yet, and whoever looked in between took it for gone.
    #[test]
    fn a_backup_that_becomes_complete_while_health_is_noted_stays_listed() {
        use crate::{
            decide::facts::{Record, Version},
            home::record,
        };

        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        taken(&home, 5);
        let mut passed = Record::new(plan(5), Version::Genesis);
        passed.settle();
        record::write(&home, &passed).unwrap();
        std::thread::scope(|scope| {
            let taking = || (0..10).map(|_| taken(&home, 9)).find(|done| !all(&home).contains(done));
            let taking = scope.spawn(taking);
            while !taking.is_finished() {
                keep::look(&home, 1_000_000, 5).unwrap();
            }
            assert_eq!(taking.join().unwrap(), None);
        });
    }

    /// It wrote back what it had read before the backup was there.
    #[test]
    fn the_list_is_not_written_while_another_process_writes_it() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        let first = taken(&home, 5);
        let other = fs::File::open(home.own().join("aside")).unwrap();
        other.lock().unwrap();
        std::thread::scope(|scope| {
            let works = [scope.spawn(|| drop(taken(&home, 9))), scope.spawn(|| keep::remove(&home, &first).unwrap())];
            std::thread::sleep(std::time::Duration::from_millis(300));
            let waited = works.iter().all(|work| !work.is_finished());
            drop(other);
            for work in works {
                work.join().unwrap();
            }
            assert!(waited);
        });
        assert_eq!(all(&home).iter().map(|backup| backup.plan.height).collect::<Vec<_>>(), [9]);
    }

    #[test]
    fn a_list_that_cannot_be_read_for_a_moment_drops_no_backup() {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        let first = taken(&home, 5);
        let aside = home.path.join("aside");
        fs::rename(index(&home), &aside).unwrap();
        fs::create_dir(index(&home)).unwrap();
        assert!(keep::prune(&home).is_err() && keep::remove(&home, &first).is_err() && tried(&home, 9).is_err());
        fs::remove_dir(index(&home)).unwrap();
        fs::rename(aside, index(&home)).unwrap();
        assert_eq!(all(&home), [first]);
    }

    #[test]
    fn a_list_that_cannot_be_understood_or_is_gone_drops_no_backup_and_is_made_anew_from_them() {
        let Some((_elsewhere, _keep, home)) = home_with_a_database_elsewhere() else { return };
        let mut backups = vec![taken(&home, 5)];
        let aside = index(&home).with_extension("json.unreadable");
        for (height, harm) in [(9, Some("[{\"plan\"")), (12, Some("{}")), (15, None)] {
            match harm {
                Some(text) => fs::write(index(&home), text).unwrap(),
                None => fs::remove_file(index(&home)).unwrap(),
            }
            assert_eq!(flaw(&home).is_some(), harm.is_some());
            assert_eq!((all(&home), keep::prune(&home).unwrap()), (backups.clone(), Vec::new()));
            backups.push(taken(&home, height));
            assert!(flaw(&home).is_none() && all(&home) == backups);
            assert!(harm.is_none_or(|text| fs::read_to_string(&aside).unwrap() == text));
        }
        // Also what they have on the other filesystem, which only the list names.
        assert!(backups.iter().all(|backup| verify::verify(backup).is_empty()));
        // Another home's are not its own.
        let (_keep, mut other) = home_with(&["genesis"]);
        other.backups = Some(home.path.clone());
        assert_eq!(all(&other), []);
    }

    /// The words told to move it back to where it was.
    #[test]
    fn a_backup_of_a_home_that_was_under_this_path_on_another_disk_is_left_alone_and_told_as_what_it_is() {
        let (_keep, mut home) = home_with(&["genesis"]);
        let [place, elsewhere] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        home.backups = Some(place.path().to_owned());
        taken(&home, 5);
        let before = elsewhere.path().join("before");
        fs::rename(&home.path, &before).unwrap();
        let copied = std::process::Command::new("cp").arg("-a").args([&before, &home.path]).status().unwrap();
        assert!(copied.success() && all(&home).is_empty());
        let told = flaw(&home).unwrap();
        assert!(told.contains("made under this path by another home, on another disk or machine"), "{told}");
    }
}
