//! A node is saved and comes back, on this filesystem and on another.

use std::{os::unix::fs::MetadataExt as _, process::Command};

use super::*;
use crate::decide::facts::Backup;
pub(super) use crate::home::tests::home_with;

pub(super) fn plan(height: u64) -> Plan {
    Plan { name: "v2".into(), height, info: String::new() }
}

/// A folder on another filesystem, where this machine has one.
pub(super) fn elsewhere() -> Option<tempfile::TempDir> {
    let device = |path: &Path| fs::metadata(path).map(|meta| meta.dev()).ok();
    let folder = tempfile::tempdir_in("/dev/shm").ok()?;
    (device(folder.path()) != device(&std::env::temp_dir())).then_some(folder)
}

/// A folder or file that is mounted at another place; it ends with this.
pub(super) struct Bound(PathBuf);

impl Bound {
    /// None where this user may mount nothing.
    pub(super) fn of(from: &Path, at: &Path, options: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        let mount = mount.args(["-o", &format!("bind,{options}")]).args([from, at]).output();
        mount.is_ok_and(|ended| ended.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

/// A home that keeps its backups, and beside it a folder on another filesystem with the database to which it links.
pub(super) fn home_with_a_database_elsewhere() -> Option<(tempfile::TempDir, tempfile::TempDir, Home)> {
    let elsewhere = elsewhere()?;
    let (keep, mut home) = home_with(&["genesis"]);
    home.backups = Some(home.path.clone());
    let far = elsewhere.path().join("deep/application.db");
    database(&far);
    std::os::unix::fs::symlink(&far, home.data().join("application.db")).unwrap();
    Some((elsewhere, keep, home))
}

/// Whether the filesystem of this folder can share blocks: then nothing is linked, and nothing copied.
pub(super) fn shares_blocks(folder: &Path) -> bool {
    let [from, to] = [(); 2].map(|()| tempfile::tempfile_in(folder).unwrap());
    rustix::fs::ioctl_ficlone(to, from).is_ok()
}

/// A database with a table that never changes again and one that may.
pub(super) fn database(folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for name in ["000001.ldb", "000002.log", "000003.ldb"] {
        fs::write(folder.join(name), name).unwrap();
    }
}

pub(super) fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}

/// Tries to save the node before this height.
pub(super) fn tried(home: &Home, height: u64) -> Result<Completion, BackupError> {
    take(home, &plan(height), None, &Zoned::now(), &AtomicBool::new(false), &|_, _| {})
}

pub(super) fn taken(home: &Home, height: u64) -> Completion {
    tried(home, height).unwrap()
}

pub(super) fn restored(home: &Home, done: &Completion) -> restore::Restored {
    restore::restore(home, done, &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap()
}

#[test]
fn two_backups_on_one_day_do_not_mix_and_each_is_of_its_plan() {
    let (_keep, mut home) = home_with(&["genesis"]);
    let place = tempfile::tempdir().unwrap();
    home.backups = Some(place.path().join("deep/down"));
    fs::create_dir(home.data().join("application.db")).unwrap();
    fs::write(home.data().join("application.db/1.ldb"), "one").unwrap();
    let now = jiff::civil::date(2026, 1, 5).at(10, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).unwrap();
    assert_eq!(state(&home, Some(&plan(5))), Backup::Missing);
    let first = take(&home, &plan(5), None, &now, &AtomicBool::new(false), &|_, _| {}).unwrap();
    assert!(first.path.ends_with("data-backup-2026-1-5"));
    assert_eq!(first.bytes, if shares_blocks(place.path()) { 0 } else { 3 });
    assert_eq!(state(&home, Some(&plan(5))), Backup::Complete);
    assert_eq!(state(&home, Some(&plan(9))), Backup::Missing);
    fs::write(home.data().join("application.db/1.ldb"), "two!").unwrap();
    let second = take(&home, &plan(9), None, &now, &AtomicBool::new(false), &|_, _| {}).unwrap();
    assert!(second.path.ends_with("data-backup-2026-1-5-2"));
    assert_eq!(fs::read(first.path.join("application.db/1.ldb")).unwrap(), b"one");
}

#[test]
fn linked_data_is_copied_sockets_are_left_out_and_a_place_inside_is_refused() {
    let (_keep, mut home) = home_with(&["genesis"]);
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("state"), "kept").unwrap();
    fs::remove_dir(home.data()).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), home.data()).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(elsewhere.path().join("socket")).unwrap();
    home.backups = Some(home.path.clone());
    let done = taken(&home, 5);
    assert_eq!(fs::read(done.path.join("state")).unwrap(), b"kept");
    assert!(!done.path.join("socket").exists());
    home.backups = Some(home.data().join("backups"));
    let refused = tried(&home, 5);
    assert!(matches!(refused, Err(BackupError::Inside(_))), "{refused:?}");
}

#[test]
fn a_link_to_the_place_of_the_backups_or_to_a_folder_above_is_not_followed_into_itself() {
    let (_keep, mut home) = home_with(&["genesis"]);
    let place = tempfile::tempdir().unwrap();
    home.backups = Some(place.path().to_owned());
    fs::write(home.data().join("state"), "kept").unwrap();
    std::os::unix::fs::symlink(place.path(), home.data().join("backups")).unwrap();
    std::os::unix::fs::symlink(home.data(), home.data().join("itself")).unwrap();
    let done = taken(&home, 5);
    let copied = if shares_blocks(place.path()) { 0 } else { 4 };
    assert_eq!((done.bytes, fs::read(done.path.join("state")).unwrap()), (copied, b"kept".to_vec()));
}

#[test]
fn a_backup_that_was_stopped_is_not_complete_and_the_next_one_begins_anew() {
    let (_keep, mut home) = home_with(&["genesis"]);
    home.backups = Some(home.path.clone());
    fs::write(home.data().join("state"), "kept").unwrap();
    let stopped = take(&home, &plan(5), None, &Zoned::now(), &AtomicBool::new(true), &|_, _| {});
    assert!(matches!(stopped, Err(BackupError::Stopped)), "{stopped:?}");
    assert_eq!(state(&home, Some(&plan(5))), Backup::Missing);
    taken(&home, 5);
    assert_eq!(state(&home, Some(&plan(5))), Backup::Complete);
}

#[test]
fn what_lies_on_another_filesystem_is_saved_there_and_comes_back_with_the_rest() {
    let Some(elsewhere) = elsewhere() else { return };
    let (_keep, mut home) = home_with(&["genesis"]);
    home.backups = Some(home.path.clone());
    let far = elsewhere.path().join("deep/application.db");
    database(&far);
    database(&home.data().join("state.db"));
    std::os::unix::fs::symlink(&far, home.data().join("application.db")).unwrap();
    let done = taken(&home, 5);
    for (saved, live) in
        [(done.path.join("application.db"), &far), (done.path.join("state.db"), &home.data().join("state.db"))]
    {
        let linked = inode(&saved.join("000001.ldb")) == inode(&live.join("000001.ldb"));
        assert!(linked || shares_blocks(live));
        assert_ne!(inode(&saved.join("000003.ldb")), inode(&live.join("000003.ldb")));
    }
    assert_eq!(state(&home, Some(&plan(5))), Backup::Complete);
    fs::write(far.join("000003.ldb"), "after").unwrap();
    fs::write(home.data().join("state.db/000003.ldb"), "after").unwrap();
    let restored = restored(&home, &done);
    assert_eq!(fs::read_link(home.data().join("application.db")).unwrap(), far);
    for live in [&far, &home.data().join("state.db")] {
        assert_eq!(fs::read(live.join("000003.ldb")).unwrap(), b"000003.ldb");
    }
    let failed = elsewhere.path().join("deep").join(layout::file_name(&restored.failed[1]));
    assert_eq!(fs::read(failed.join("000003.ldb")).unwrap(), b"after");
    keep::remove(&home, &done).unwrap();
    let left: Vec<_> =
        fs::read_dir(elsewhere.path().join("deep")).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 2, "the database and what failed: {left:?}");
}

/// The folder to which a link leads, or that is mounted, stays, and what is in it changes places: older data were not known as such.
#[test]
fn data_that_come_back_are_others_also_where_their_database_lies_elsewhere() {
    use crate::home::orders::data_identity;

    let apart = tempfile::tempdir().unwrap();
    for is_link in [true, false] {
        let (_keep, mut home) = home_with(&["genesis"]);
        home.backups = Some(home.path.clone());
        let (path, far) = (home.data().join("application.db"), apart.path().join(is_link.to_string()));
        database(&far);
        fs::write(far.join("LOCK"), "").unwrap();
        let _mount = if is_link {
            std::os::unix::fs::symlink(&far, &path).unwrap();
            None
        } else {
            fs::create_dir(&path).unwrap();
            let Some(mount) = Bound::of(&far, &path, "rw") else { return };
            Some(mount)
        };
        let done = taken(&home, 5);
        let before = data_identity(&home).unwrap();
        // A node is started anew and works.
        fs::write(far.join("CURRENT.new"), "MANIFEST-000009").unwrap();
        fs::rename(far.join("CURRENT.new"), far.join("CURRENT")).unwrap();
        fs::remove_file(far.join("000001.ldb")).unwrap();
        fs::File::create(far.join("LOCK")).unwrap();
        assert_eq!(data_identity(&home), Some(before));
        restored(&home, &done);
        let after = data_identity(&home).unwrap();
        assert_ne!(after, before);
        assert_eq!((after.filesystem, after.folder), (before.filesystem, before.folder));
    }
}

/// What a mount has for root alone, and backups: one that was saved with the data met the one that stays.
#[test]
fn what_a_restore_leaves_where_it_is_is_not_saved() {
    let (_keep, mut home) = home_with(&["genesis"]);
    home.backups = Some(home.path.clone());
    let stays = ["lost+found", "data-backup-2026-1-1/old"];
    for name in stays {
        fs::create_dir_all(home.data().join(name)).unwrap();
    }
    fs::write(home.data().join("state"), "before").unwrap();
    let done = taken(&home, 5);
    restored(&home, &done);
    for name in stays {
        assert!(!done.path.join(name).exists() && home.data().join(name).is_dir(), "{name}");
    }
}

#[test]
fn to_a_place_on_another_filesystem_everything_is_copied_and_it_stays() {
    let Some(elsewhere) = elsewhere() else { return };
    let (_keep, mut home) = home_with(&["genesis"]);
    home.backups = Some(elsewhere.path().to_owned());
    home.manner.place_chosen = true;
    database(&home.data().join("state.db"));
    let estimate = estimate::estimate(&home, false, &AtomicBool::new(false)).unwrap().unwrap();
    let done = taken(&home, 5);
    assert_eq!((done.means, done.bytes, done.shared), (Means::Copy, 30, 0));
    assert_eq!((estimate.bytes, estimate.shared, estimate.files), (30, 0, 3));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 1, "nothing is left of the estimate");
    restored(&home, &done);
    assert_eq!(verify::verify(&done), []);
}

/// The system refuses a second name across mounts, and everything was copied uncounted.
#[test]
fn another_mount_of_the_filesystem_is_as_another_filesystem() {
    let ((_keep, mut home), apart) = (home_with(&["genesis"]), tempfile::tempdir().unwrap());
    home.backups = Some(home.path.clone());
    let [far, place] = [home.data().join("application.db"), home.path.join("place")];
    for folder in [&far, &place] {
        fs::create_dir(folder).unwrap();
    }
    database(apart.path());
    database(&home.data().join("state.db"));
    let mounted = Bound::of(apart.path(), &far, "rw");
    // Where it shares blocks it does so between mounts as well.
    if mounted.is_none() || shares_blocks(apart.path()) {
        return;
    }
    let done = taken(&home, 5);
    let is_second_name =
        |folder: &str| inode(&done.path.join(folder).join("000001.ldb")) == inode(&far.join("000001.ldb"));
    assert_eq!((is_second_name("application.db"), done.bytes, done.shared), (true, 40, 20));
    let _place = Bound::of(&place, &place, "rw");
    (home.backups, home.manner.place_chosen) = (Some(place.clone()), true);
    let estimate = estimate::estimate(&home, false, &AtomicBool::new(false)).unwrap().unwrap();
    let done = taken(&home, 9);
    assert_eq!((estimate.bytes, done.means, done.bytes), (60, Means::Copy, 60));
    drop(mounted);
}

/// A configuration that is mounted read-only is saved with the rest.
#[test]
fn what_nothing_may_be_put_beside_is_copied_to_where_the_backups_are() {
    let (_keep, mut home) = home_with(&["genesis"]);
    home.backups = Some(home.path.clone());
    let config = home.path.join("config");
    fs::create_dir(&config).unwrap();
    fs::write(config.join("app.toml"), "").unwrap();
    let Some(_mount) = Bound::of(&config, &config, "ro") else { return };
    assert!(taken(&home, 5).path.join(".watcher/config/app.toml").is_file());
}

/// Whoever finds out only once the node is stopped stands still.
#[test]
fn what_lies_ready_is_not_counted_once_more_unless_it_is_gone_or_room_is_short() {
    let (_keep, mut home) = home_with(&["genesis"]);
    home.backups = Some(home.path.clone());
    database(&home.data().join("state.db"));
    let never = AtomicBool::new(false);
    ahead::made(&home, 5, true, &never, std::time::Duration::ZERO).unwrap();
    let known = estimate::estimate(&home, true, &never).unwrap().unwrap().rooms;
    assert!(room(&home, &[]).is_ok() && room(&home, &known).is_ok());
    // As it is sparse, it is more than any disk has: whoever counts comes upon it.
    let great = fs::File::create(home.data().join("great")).unwrap();
    great.set_len(15 << 40).unwrap();
    let counted = |known: &[Room]| room(&home, known).is_ok() == shares_blocks(&home.data());
    assert!(room(&home, &known).is_ok() && counted(&[]));
    for short in 0..known.len() {
        let mut known = known.clone();
        known[short].needed = u64::MAX;
        assert!(counted(&known), "{known:?}");
    }
    let mut other = home.clone();
    other.manner.more = vec!["missing".into()];
    assert!(room(&other, &known).is_err());
    ahead::clear(&home).unwrap();
    assert!(counted(&known), "nothing lies ready");
}

/// A node may be told where they are by what nobody else sees, and its validator signed heights twice after a rollback.
#[test]
fn keys_and_signing_states_of_any_name_stay_where_they_are() {
    let (_keep, mut home) = home_with(&["genesis"]);
    home.backups = Some(home.path.clone());
    let state = |height: u64| format!(r#"{{"height": "{height}", "round": 0, "step": 3, "signature": "x"}}"#);
    let states = [home.path.join("config/pvs.json"), home.data().join("sign/state")];
    let key = home.path.join("config/val.json");
    for path in states.iter().chain([&key, &home.path.join("config/app.toml")]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, state(50)).unwrap();
    }
    fs::write(&key, r#"{"address": "A", "pub_key": {}, "priv_key": {"value": "secret"}}"#).unwrap();
    fs::write(home.path.join("config/app.toml"), "height = 1").unwrap();
    fs::write(home.path.join("config/addrbook.json"), r#"{"height": 1, "round": 2}"#).unwrap();
    let done = taken(&home, 5);
    let saved = |name: &str| done.path.join(name).exists();
    let names = ["sign/state", ".watcher/config/pvs.json", ".watcher/config/val.json", ".watcher/config/app.toml"];
    assert_eq!(names.map(saved), [false, false, false, true]);
    assert!(saved(".watcher/config/addrbook.json"));
    for path in &states {
        fs::write(path, state(64)).unwrap();
    }
    fs::write(home.path.join("config/app.toml"), "height = 2").unwrap();
    restored(&home, &done);
    assert!(states.iter().all(|path| fs::read_to_string(path).unwrap() == state(64)));
    assert!(fs::read_to_string(&key).unwrap().contains("secret"));
    assert_eq!(fs::read_to_string(home.path.join("config/app.toml")).unwrap(), "height = 1");
}

#[test]
fn databases_are_found_as_the_node_finds_them_and_a_configuration_that_nobody_understands_saves_nothing() {
    let (_keep, mut home) = home_with(&["genesis"]);
    home.backups = Some(home.path.clone());
    database(&home.path.join("far/state.db"));
    fs::create_dir_all(home.path.join("config")).unwrap();
    let config = home.path.join("config/config.toml");
    let is_saved = |home: &Home| taken(home, 5).path.join(".watcher/databases/state.db/000001.ldb").exists();
    assert!(!is_saved(&home), "nobody names them");
    fs::write(&config, "\u{feff}DB_DIR = \"far\"\r\n").unwrap();
    assert!(is_saved(&home), "keys are found in any case");
    fs::write(&config, "db_dir = \"elsewhere\"").unwrap();
    home.manner.node_arguments = ["start", "--db_dir", "far"].map(OsString::from).into();
    assert!(is_saved(&home), "arguments come first");
    for broken in ["garbage = = [", "[consensus"] {
        fs::write(&config, broken).unwrap();
        let error = tried(&home, 5).unwrap_err().to_string();
        assert!(error.contains("config.toml"), "{error}");
    }
}

/// The restore took its own notes away, began anew and filled the disk.
#[test]
fn what_watcher_works_with_is_in_no_backup_and_a_restore_that_would_move_it_is_refused() {
    let (keep, mut home) = home_with(&["genesis"]);
    let (place, more) = (tempfile::tempdir().unwrap(), home.path.join("more"));
    home.backups = Some(place.path().join("backups"));
    std::os::unix::fs::symlink(home.root(), home.path.join("link")).unwrap();
    for folder in [&more, home.backups.as_ref().unwrap()] {
        fs::create_dir(folder).unwrap();
    }
    fs::write(more.join("one"), "").unwrap();
    let [inside, around] =
        [home.backups.clone().unwrap(), place.path().to_owned()].map(|path| path.display().to_string());
    for (named, is) in [
        ("cosmovisor", "is"),
        ("cosmovisor/", "is"),
        ("link", "is"),
        ("link/genesis", "lies in"),
        ("cosmovisor/watcher/record.json", "lies in"),
        (".", "is"),
        ("..", "holds"),
        (&inside, "is"),
        (&around, "holds"),
    ] {
        home.manner.more = vec!["more".into(), named.into()];
        let said = format!("WATCHER_BACKUP_PATHS names {named}, which {is} /");
        for told in
            [place::check(&home), fits(&home), tried(&home, 5).map(drop)].map(|told| told.unwrap_err().to_string())
        {
            assert!(told.contains(&said) && told.contains("take it out"), "{told}");
        }
    }
    home.manner.more = vec!["more".into()];
    place::check(&home).unwrap();
    // As it could be made before.
    let mut done = taken(&home, 5);
    done.parts.last_mut().unwrap().live = layout::resolved(&home.root());
    list::note(&home, std::slice::from_ref(&done)).unwrap();
    let refused = restore::restore(&home, &done, &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).unwrap_err();
    assert!(refused.to_string().contains("bring back by hand"), "{refused}");
    assert_eq!(restore::obstacle(&home, &done.plan), Some(refused.to_string()));
    assert!(
        home.root().join("genesis").exists()
            && fs::read_dir(&home.path)
                .unwrap()
                .flatten()
                .all(|entry| { !entry.file_name().to_string_lossy().contains("-failed-") })
    );
    drop(keep);
}

/// They were put into the restored folders, whose entries then met those that had stayed: half a restore, for ever.
#[test]
fn a_restore_goes_around_what_stays_where_it_is() {
    let (_keep, mut home) = home_with(&["genesis"]);
    home.backups = Some(home.path.clone());
    let state = r#"{"height": "5", "round": 0, "step": 3}"#;
    let stay = [
        // As where the data are a mount point.
        home.data().join(".watcher-backups/data-backup-2026-1-1/.watcher/priv_validator_state.json.kept"),
        home.data().join(".watcher-failed-2026-1-1/sign/state"),
        home.path.join("config/priv_validator_key.json"),
        home.data().join("priv_validator_state.json"),
    ];
    for path in &stay {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, state).unwrap();
    }
    fs::write(home.path.join("one"), "before").unwrap();
    fs::write(home.data().join("state"), "before").unwrap();
    home.manner.more = vec!["one".into()];
    let done = taken(&home, 5);
    for _ in 0..2 {
        fs::write(home.path.join("one"), "after").unwrap();
        fs::write(home.data().join("state"), "after").unwrap();
        restored(&home, &done);
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        assert_eq!((read(home.path.join("one")), read(home.data().join("state"))), ("before".into(), "before".into()));
        assert!(stay.iter().all(|path| read(path.clone()) == state));
    }
}

/// The disk may hang on which it lies, and everything would hang with it.
#[test]
fn the_backup_of_an_upgrade_that_is_over_is_looked_at_only_where_it_may_be_taken_back() {
    use crate::{
        decide::{
            facts::{Backup, Record, Version},
            orders::Ruling,
        },
        home::{observe::Observer, orders, record, upgrade_info},
    };

    let (_keep, mut home) = home_with(&["genesis"]);
    home.backups = Some(home.path.clone());
    taken(&home, 5);
    std::fs::write(home.upgrade_info(), upgrade_info::render(&plan(5))).unwrap();
    let mut record = Record::new(plan(5), Version::Genesis);
    let seen = |record: &Record| {
        record::write(&home, record).unwrap();
        Observer::default().observe(&home, &[], true).backup
    };
    assert_eq!(seen(&record), Backup::Complete);
    record.settle();
    assert_eq!(seen(&record), Backup::Missing);
    orders::write_ruling(&home, Some(Ruling::Rollback)).unwrap();
    assert_eq!(seen(&record), Backup::Complete);
}

/// It was kept down for what no backup would have had in it.
#[test]
fn where_no_backup_is_wanted_nothing_is_said_of_what_would_be_in_it() {
    let (_keep, mut home) = home_with(&["genesis"]);
    home.manner.more = vec!["cosmovisor".into()];
    home.backups = None;
    place::check(&home).unwrap();
}
