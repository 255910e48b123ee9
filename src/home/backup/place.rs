//! Where backups go, whether the disk is there that is to be there, and what the next one is called.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use jiff::Zoned;
use serde::{Deserialize, Serialize};

use super::{
    APART, At, BackupError, Completion, Means, NAME, at,
    layout::{OURS, beside, check_more, file_name, is_ours, ours},
    list, mount,
};
use crate::home::{Home, if_there, make_folders, unless_missing, write_whole};

/// Refuses a place for backups that lies within what is copied, is not there, or cannot be written, and paths that no backup
/// may have in it.
///
/// # Errors
/// [`BackupError`], also where one of the folders cannot be found.
pub fn check(home: &Home) -> Result<(), BackupError> {
    let Some(chosen) = &home.backups else { return Ok(()) };
    check_more(home)?;
    let place = of(home, chosen)?;
    written(there(&place))
}

/// A place, or what is there already of the way to it: the rest will be made within that.
pub(super) fn there(place: &Path) -> &Path {
    place.ancestors().find(|folder| folder.is_dir()).unwrap_or(place)
}

pub(super) fn written(place: &Path) -> Result<(), BackupError> {
    let refused = |why| BackupError::Refused { place: place.to_owned(), why };
    mount::writable(place).map_err(refused)
}

/// The place of backups. One that the operator chose is made by the operator: where it is missing, its disk is not mounted.
pub(super) fn made(home: &Home, chosen: &Path) -> Result<PathBuf, BackupError> {
    if !home.manner.place_chosen {
        make_folders(chosen).map_err(at(chosen))?;
    }
    let place = of(home, chosen)?;
    make_folders(&place).map_err(at(&place))?;
    Ok(place)
}

/// Where backups go: where the operator says; else in the home, or beside the data where those are on another mount.
///
/// # Errors
/// [`BackupError`] where there is none.
pub fn of(home: &Home, chosen: &Path) -> Result<PathBuf, BackupError> {
    if home.manner.place_chosen {
        match fs::metadata(chosen) {
            Ok(found) if found.is_dir() => {}
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(chosen)(error).into()),
            _ => return Err(BackupError::Gone { place: chosen.to_owned(), what: instead(chosen) }),
        }
    }
    let resolved = |path: &Path| fs::canonicalize(path).map_err(at(path));
    let (data, chosen) = (resolved(&home.data())?, resolved(chosen)?);
    if chosen.starts_with(&data) {
        return Err(BackupError::Inside(chosen));
    }
    if home.manner.place_chosen {
        // A list that cannot be read is told by whoever changes it.
        let listed = list::named(home);
        let mut of_earlier = listed.iter().filter(|backup| backup.path.parent() == Some(&chosen));
        if let Some(mount) = of_earlier.find_map(not_mounted).map(Path::to_owned) {
            let lost = "have the backups forgotten that are lost (`watcher backups prune NAME`)".to_owned();
            return Err(BackupError::NotMounted { place: chosen, mount, then: "where earlier backups are", lost });
        }
        if let Some(Seen { mount, .. }) = seen(home).filter(|seen| seen.place == chosen && !mount::is_disk(&seen.mount))
        {
            let lost = format!("remove {} where it is not to be mounted again", seen_path(home).display());
            return Err(BackupError::NotMounted {
                place: chosen,
                mount,
                then: "as it was at the last rehearsal",
                lost,
            });
        }
    }
    let near = || mount::near(&data, &chosen).map_err(at(&chosen));
    if home.manner.means == Means::Copy || home.manner.place_chosen || near()? {
        return Ok(chosen);
    }
    let beside = beside(&data);
    Ok(if beside == data { data.join(format!("{OURS}backups")) } else { beside })
}

/// What a place is that is no folder, and what is to be done: for people.
fn instead(place: &Path) -> String {
    match fs::read_link(place) {
        _ if place.exists() => "is no folder: name one, or move it away and make the folder".to_owned(),
        Ok(to) => format!("leads to {}, which is not there: mount its disk, or make the folder", to.display()),
        Err(_) => "is not there any more: mount its disk, or make the folder".to_owned(),
    }
}

/// Where the disk of a backup that is not there is to be mounted, if it is not.
pub(super) fn not_mounted(backup: &Completion) -> Option<&Path> {
    backup.mount.as_deref().filter(|mount| !backup.path.is_dir() && !mount::is_disk(mount))
}

/// The chosen place, and where its disk was mounted when a backup was made ahead: before the first one nothing else tells.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    /// A name of this home's: one that is a copy has the note of another.
    by: String,
    place: PathBuf,
    mount: PathBuf,
}

fn seen_path(home: &Home) -> PathBuf {
    home.own().join("place.json")
}

fn seen(home: &Home) -> Option<Seen> {
    let seen: Seen = serde_json::from_slice(&fs::read(seen_path(home)).ok()?).ok()?;
    is_ours(home, &seen.by).then_some(seen)
}

/// Notes where the disk of the chosen place is mounted now.
pub(super) fn see(home: &Home, place: &Path) -> Result<(), At> {
    let Some(mount) = mount_of(place).filter(|_| home.manner.place_chosen) else { return Ok(()) };
    let now = Seen { by: ours(home, "place"), place: place.to_owned(), mount: mount.to_owned() };
    if seen(home).is_some_and(|seen| seen == now) {
        return Ok(());
    }
    let (path, text) = (seen_path(home), serde_json::to_vec_pretty(&now).map_err(io::Error::other));
    text.and_then(|text| write_whole(&path, &text, true)).map_err(at(&path))
}

/// Forgets it, as with a backup that is lost together with its disk.
pub(super) fn forget(home: &Home, place: &Path) -> Result<(), At> {
    let path = seen_path(home);
    if seen(home).is_none_or(|seen| seen.place != place) {
        return Ok(());
    }
    unless_missing(fs::remove_file(&path)).map(drop).map_err(at(&path))
}

/// Where the filesystem of a folder is mounted.
pub(super) fn mount_of(folder: &Path) -> Option<&Path> {
    folder.ancestors().find(|folder| mount::is_disk(folder))
}

/// The name that cosmovisor would use, without leading zeros, or the next that is free, also of parts of one that was renamed.
pub(super) fn free_name(home: &Home, place: &Path, now: &Zoned, known: &[Completion]) -> Result<PathBuf, At> {
    let parts = known.iter().flat_map(|backup| &backup.parts).map(|part| file_name(&part.at));
    let taken: Vec<_> = parts.filter_map(|part| Some(part.rsplit_once('-')?.0.to_owned())).collect();
    let is_free = |path: &Path| !taken.contains(&ours(home, &format!("{APART}{}", file_name(path))));
    free_of(place, &format!("{NAME}{}-{}-{}", now.year(), now.month(), now.day()), is_free)
}

/// This name, with a number behind it where it is taken.
pub(super) fn free(folder: &Path, name: &str) -> Result<PathBuf, At> {
    free_of(folder, name, |_| true)
}

fn free_of(folder: &Path, name: &str, is_free: impl Fn(&Path) -> bool) -> Result<PathBuf, At> {
    let names = std::iter::once(name.to_owned()).chain((2_u64..).map(|number| format!("{name}-{number}")));
    for path in names.map(|name| folder.join(name)) {
        let there = if_there(fs::symlink_metadata(&path)).map_err(at(&path))?;
        if there.is_none() && is_free(&path) {
            return Ok(path);
        }
    }
    unreachable!("a folder cannot hold every number")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::home::backup::{ahead, all, fits, keep, list::note, room, tests::*};

    /// Nothing would be seen of it but that the folder is empty.
    #[test]
    fn a_chosen_place_whose_disk_is_not_mounted_is_not_filled_on_the_disk_below() {
        let (_keep, mut home) = home_with(&["genesis"]);
        let (place, data) = (tempfile::tempdir().unwrap(), home.data());
        home.backups = Some(place.path().to_owned());
        home.manner.place_chosen = true;
        let taken = || tried(&home, 5);
        let done = taken().unwrap();
        assert_eq!(done.mount.as_deref(), mount_of(&data));
        // As if the place had been a mount point.
        let done = Completion { mount: Some(place.path().to_owned()), ..done };
        note(&home, std::slice::from_ref(&done)).unwrap();
        let aside = home.path.join("aside");
        fs::rename(&done.path, &aside).unwrap();
        assert!(matches!(taken(), Err(BackupError::NotMounted { .. })));
        assert!(
            matches!(fits(&home), Err(BackupError::NotMounted { .. }))
                && ahead::make(&home, 5, true, &AtomicBool::new(false)).is_err()
        );
        assert_eq!((fs::read_dir(place.path()).unwrap().count(), all(&home)), (0, Vec::new()));
        fs::rename(&aside, &done.path).unwrap();
        assert_eq!(all(&home), std::slice::from_ref(&done));
        taken().unwrap();
        // It is lost for good.
        fs::remove_dir_all(&done.path).unwrap();
        assert!(matches!(taken(), Err(BackupError::NotMounted { .. })));
        keep::remove(&home, &done).unwrap();
        taken().unwrap();
    }

    /// The first backup went to the disk below, and was not found again.
    #[test]
    fn a_chosen_place_whose_disk_was_mounted_at_the_rehearsal_waits_for_it() {
        let (keep, mut home) = home_with(&["genesis"]);
        let [place, other] = ["place", "other"].map(|name| keep.path().join(name));
        for folder in [&place, &other, &home.own()] {
            make_folders(folder).unwrap();
        }
        (home.backups, home.manner.place_chosen) = (Some(place.clone()), true);
        let rehearse = |home: &Home| ahead::make(home, 5, false, &AtomicBool::new(false));
        rehearse(&home).unwrap();
        assert_eq!(seen(&home).unwrap().mount, mount_of(&place).unwrap());
        // As if the place had been a mount point.
        fs::write(
            seen_path(&home),
            serde_json::to_vec(&Seen { mount: place.clone(), ..seen(&home).unwrap() }).unwrap(),
        )
        .unwrap();
        fs::remove_dir_all(&place).unwrap();
        fs::create_dir(&place).unwrap();
        let refused = tried(&home, 5).unwrap_err().to_string();
        assert!(refused.contains("place is not mounted, as it was at the last rehearsal: mount it"), "{refused}");
        assert!(refused.ends_with("place.json where it is not to be mounted again"), "{refused}");
        assert!(matches!(rehearse(&home), Err(BackupError::NotMounted { .. })));
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
        // Both remedies.
        home.backups = Some(other);
        taken(&home, 5);
        home.backups = Some(place);
        forget(&home, home.backups.as_ref().unwrap()).unwrap();
        taken(&home, 9);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_told_beforehand() {
        let (keep, mut home) = home_with(&["genesis"]);
        let place = keep.path().join("place");
        fs::create_dir(&place).unwrap();
        (home.backups, home.manner.place_chosen) = (Some(place.clone()), true);
        let Some(_mount) = Bound::of(&place, &place, "ro") else { return };
        let refused = fits(&home);
        assert!(matches!(&refused, Err(BackupError::Refused { place: said, .. }) if *said == place), "{refused:?}");
    }

    #[test]
    fn a_chosen_place_that_is_gone_is_not_made_on_the_disk_below() {
        let (keep, mut home) = home_with(&["genesis"]);
        let gone = keep.path().join("not-mounted");
        home.backups = Some(gone.clone());
        home.manner.place_chosen = true;
        let taken = tried(&home, 5);
        assert!(matches!(taken, Err(BackupError::Gone { .. })) && !gone.exists());
        let said = || room(&home, &[]).unwrap_err().to_string();
        assert!(said().ends_with("not-mounted, which is not there any more: mount its disk, or make the folder"));
        std::os::unix::fs::symlink("elsewhere", &gone).unwrap();
        assert!(said().ends_with("which leads to elsewhere, which is not there: mount its disk, or make the folder"));
        fs::remove_file(&gone).unwrap();
        fs::write(&gone, "").unwrap();
        assert!(said().ends_with("which is no folder: name one, or move it away and make the folder"));
    }
}
