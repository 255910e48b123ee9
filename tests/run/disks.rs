//! A disk that is full or read-only for a while, one that shares blocks, and a clock that jumps back. Needs root for the
//! disks, and a C compiler for the clock.

use std::{
    env, fs,
    fs::File,
    io,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::statvfs::statvfs;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    backups::{backups, json_of, upgraded},
    home::{Home, LIMIT, output},
    orders::command,
    own_name::own_name,
    ports::Ports,
    release_host::ReleaseHost,
    supervisor::Supervisor,
    tools, wait,
};

/// A folder of a home on a filesystem of its own, in memory, hardly larger than the room that a download leaves to others; what
/// was in it is there again.
struct Disk(PathBuf);

impl Disk {
    /// None where this user may not mount one.
    fn over(home: &Home, folder: &str) -> Option<Self> {
        let (path, before) = (home.at(folder), home.at("before"));
        fs::rename(&path, &before).expect("the home can be written");
        fs::create_dir(&path).expect("the home can be written");
        let disk = Self(path);
        let mounted = disk.mount("size=272m");
        let copied = Command::new("cp").arg("-a").arg(before.join(".")).arg(&disk.0).status().expect("cp is there");
        assert!(copied.success());
        fs::remove_dir_all(before).expect("the home can be written");
        (mounted || tools::missing("mount", "may not be used here")).then_some(disk)
    }

    fn leave_inodes(&self, count: u64) {
        let system = statvfs(&self.0).expect("it is there");
        assert!(self.mount(&format!("remount,nr_inodes={}", system.files() - system.files_free() + count)));
    }

    fn mount(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "watcher-test"]).arg(&self.0);
        mount.output().is_ok_and(|ended| ended.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Where it was never mounted there is nothing to take away.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[test]
fn a_disk_that_is_full_in_the_middle_of_a_download_costs_a_pause() {
    let binary = format!("#!/bin/sh\nversion=v2\n. \"$DAEMON_HOME/node.sh\"\n{}", "#\n".repeat(600 << 10));
    let sum = hex::encode(Sha256::digest(&binary));
    let home = Home::halting();
    home.remove("cosmovisor/upgrades");
    let Some(disk) = Disk::over(&home, "cosmovisor") else { return };
    disk.leave_inodes(1);
    let refused = output(&mut home.watcher(&["start"]));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("inodes left") && said.contains("make room there") && home.nodes().is_empty(), "{said}");
    assert!(disk.mount("remount,nr_inodes=0"));
    home.write("shelf/noded", &binary);
    let ports = Ports::reserve();
    let host = ReleaseHost::open(ports.first, &home.at("shelf"), Some(300 << 10));
    let url = format!("http://127.0.0.1:{}/noded?checksum=sha256:{sum}", ports.first);
    let info = json!({ "binaries": { "any": url } }).to_string();
    home.write("plan.json", &json!({ "name": "v2", "height": 10, "info": info }).to_string());
    let mut watcher = home.start(&[("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true")]);
    home.halt();
    wait::until("the download is under way", LIMIT, || (!host.downloads().is_empty()).then_some(()));
    let mut ballast = File::create(home.at("cosmovisor/ballast")).expect("there is room for a while");
    let full = io::copy(&mut io::repeat(0), &mut ballast).expect_err("a disk has an end");
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    home.wait_for_log("make room there");
    assert_eq!((home.count("stop genesis"), home.nodes().len(), watcher.ended()), (0, 1, None));
    assert!(!home.at("cosmovisor/upgrades/v2/bin/noded").exists(), "nothing but the whole is placed");
    let left = fs::read_dir(home.at("cosmovisor/watcher/downloads")).expect("it is there").flatten();
    let left: u64 = left.map(|entry| entry.metadata().map_or(0, |meta| meta.len())).sum();
    assert_eq!(left, 0, "the node needs the room more");
    drop(ballast);
    home.remove("cosmovisor/ballast");
    home.expect_upgraded();
    assert!(watcher.stop().success());
}

/// A node whose backups go to a disk of its own at `place`, and runs. None where nothing can be mounted here.
fn with_a_disk_for_backups() -> Option<(Home, Disk, Supervisor)> {
    let home = Home::halting();
    fs::create_dir(home.at("place")).expect("the home can be written");
    let disk = Disk::over(&home, "place")?;
    let watcher = home.start(&[("DAEMON_DATA_BACKUP_DIR", home.at("place").to_str().expect("it is text"))]);
    home.wait_for_call("start genesis");
    Some((home, disk, watcher))
}

#[test]
fn a_place_for_backups_that_becomes_read_only_costs_a_pause() {
    let Some((home, disk, mut watcher)) = with_a_disk_for_backups() else { return };
    let place = home.at("place");
    assert!(disk.mount("remount,ro"));
    home.halt();
    let line = home.wait_for_log("the node is not stopped before it can");
    assert!(line.contains("Read-only file system"), "{line}");
    assert_eq!((home.count("stop genesis"), home.nodes().len(), watcher.ended()), (0, 1, None));
    assert!(disk.mount("remount,rw"));
    home.expect_upgraded();
    let saved =
        fs::read_dir(&place).expect("it is there").flatten().filter(|entry| entry.path().join("height").exists());
    assert_eq!(saved.count(), 1);
    assert!(watcher.stop().success());
    let next = || output(command(&home, &["backups", "list", "--next"]).env("DAEMON_DATA_BACKUP_DIR", &place));
    disk.leave_inodes(2);
    let refused = next();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("inodes and") && said.contains("has 2: make room"), "{said}");
    // As btrfs has it: a number that is none.
    assert!(disk.mount("remount,nr_inodes=0"));
    assert!(next().status.success());
    // What is there without the disk is an empty folder of the disk below.
    drop(disk);
    let refused = next();
    let (said, mount) = (String::from_utf8_lossy(&refused.stderr), format!("{} is not mounted", place.display()));
    assert!(!refused.status.success() && said.contains(&mount), "{said}");
    assert_eq!(fs::read_dir(&place).expect("it is there").count(), 0);
}

#[test]
fn a_place_whose_disk_goes_away_before_the_first_backup_is_waited_for() {
    let Some((home, disk, mut watcher)) = with_a_disk_for_backups() else { return };
    let place = home.at("place");
    // As it is noted once a backup is made ahead there.
    let seen = json!({ "by": format!("{}place", own_name(&home.path)), "place": place, "mount": place });
    home.write("cosmovisor/watcher/place.json", &seen.to_string());
    drop(disk);
    home.halt();
    home.wait_for_log("place is not mounted, as it was at the last rehearsal");
    assert_eq!((home.count("stop genesis"), home.nodes().len(), watcher.ended()), (0, 1, None));
    let disk = Disk(place);
    assert!(disk.mount("size=272m"));
    home.expect_upgraded();
    assert!(fs::read_dir(&disk.0).expect("it is there").next().is_some());
    assert!(watcher.stop().success());
}

/// A new filesystem that shares blocks between files, in a file; or the folder on one that `WATCHER_TESTS_REFLINK` names.
struct Sharing {
    folder: PathBuf,
    _disk: Option<(Disk, tempfile::TempDir)>,
}

impl Sharing {
    /// None where nothing makes one here, or this user may not mount it.
    fn new() -> Option<Self> {
        if let Some(folder) = env::var_os("WATCHER_TESTS_REFLINK") {
            return Some(Self { folder: folder.into(), _disk: None });
        }
        let beside = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        let (image, folder) = (beside.path().join("image"), beside.path().join("mounted"));
        File::create(&image).and_then(|image| image.set_len(1 << 30)).expect("the target folder can be written");
        fs::create_dir(&folder).expect("the target folder can be written");
        let done = |command: &mut Command| command.output().is_ok_and(|ended| ended.status.success());
        let made = ["mkfs.xfs", "mkfs.btrfs"].iter().any(|mkfs| done(Command::new(mkfs).arg("-q").arg(&image)));
        let disk = Disk(folder.clone());
        let mounted = made && done(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&folder));
        let why =
            "cannot be made and mounted here (mkfs.xfs or mkfs.btrfs, and root), and WATCHER_TESTS_REFLINK names none";
        (mounted || tools::missing("reflink", why)).then_some(Self { folder, _disk: Some((disk, beside)) })
    }
}

/// Bytes that are used on the filesystem of a folder.
fn used(folder: &Path) -> u64 {
    assert!(Command::new("sync").arg("--file-system").arg(folder).status().expect("sync is there").success());
    let system = statvfs(folder).expect("it is there");
    (system.blocks() - system.blocks_free()) * system.fragment_size()
}

#[test]
fn a_filesystem_that_shares_blocks_saves_and_restores_without_copying_and_each_keeps_its_own() {
    const MEGABYTE: usize = 1_000_000;
    let Some(disk) = Sharing::new() else { return };
    let home = Home::halting_in(&disk.folder);
    // A table that never changes again, and what its database still writes.
    let files = ["data/application.db/000001.ldb", "data/application.db/000002.log"];
    for path in files {
        home.write(path, &"before".repeat(4 * MEGABYTE));
    }
    let before = used(&home.path);
    let saved = upgraded(&home, &[]);
    let taken = used(&home.path).saturating_sub(before);
    assert!(taken < 24 * MEGABYTE as u64, "{taken} bytes more are used");
    let listed = || json_of(&backups(&home, &["list", "--format", "json"]))["backups"][0].clone();
    let told = listed();
    let bytes = |told: &serde_json::Value, name: &str| told[name].as_u64().expect("it is told");
    assert_eq!(bytes(&told, "bytes_copied"), 0, "{told}");
    assert!(bytes(&told, "bytes_shared") >= 48 * MEGABYTE as u64, "{told}");
    assert!(bytes(&told, "bytes_pinned") < MEGABYTE as u64, "{told}");
    let inside = |path: &str| saved.join(path.strip_prefix("data/").expect("it is"));
    let is_as_before = || {
        for path in files {
            let saved = fs::read_to_string(inside(path)).expect("it is saved");
            assert!(saved == "before".repeat(4 * MEGABYTE), "{path}");
        }
        assert!(backups(&home, &["verify"]).status.success());
    };
    for _ in 0..2 {
        for path in files {
            assert_ne!(
                fs::metadata(home.at(path)).expect("it is").ino(),
                fs::metadata(inside(path)).expect("it is").ino()
            );
            let live = File::options().write(true).open(home.at(path)).expect("it can be written");
            live.write_all_at(b"after!", 6 * MEGABYTE as u64).expect("it can be written");
        }
        is_as_before();
        assert!(bytes(&listed(), "bytes_pinned") >= 48 * MEGABYTE as u64, "it may hold all of what was changed");
        let before = used(&home.path);
        let done = backups(&home, &["restore", "--yes"]);
        assert!(done.status.success(), "{done:?}");
        let taken = used(&home.path).saturating_sub(before);
        assert!(taken < 24 * MEGABYTE as u64, "{taken} bytes more are used");
        is_as_before();
        for path in files {
            assert!(home.read(path) == "before".repeat(4 * MEGABYTE), "{path}");
        }
    }
}

/// Puts the wall clock a day back as long as the file exists that `CLOCK_BACK` names.
const CLOCK: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
  int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, now);
  const char *back = getenv("CLOCK_BACK");
  if (clock == CLOCK_REALTIME && back && access(back, F_OK) == 0) now->tv_sec -= 24 * 60 * 60;
  return result;
}
"#;

#[test]
fn a_clock_that_jumps_back_a_day_and_forth_again_keeps_no_upgrade_and_no_rollback_up() {
    if !tools::found("cc", "--version") {
        return;
    }
    let home = Home::halting();
    home.write("data/application.db/CURRENT", "before");
    home.write("clock.c", CLOCK);
    let (back, library) = (home.at("back"), home.at("clock.so"));
    let built =
        output(Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(home.at("clock.c")).arg("-ldl"));
    assert!(built.status.success(), "{built:?}");
    let text = |path: &PathBuf| path.to_str().expect("it is text").to_owned();
    let mut watcher = home.start(&[("LD_PRELOAD", &text(&library)), ("CLOCK_BACK", &text(&back))]);
    home.wait_for_call("start genesis");
    home.write("back", "");
    home.halt();
    home.expect_upgraded();
    let day = |line: &str| line[..10].to_owned();
    let (first, last) = (day(&home.wait_for_log("INFO")), day(&home.wait_for_log("has passed")));
    assert!(last < first, "the clock has jumped: {last}, {first}");
    home.write("data/application.db/CURRENT", "after");
    home.remove("back");
    assert!(output(&mut command(&home, &["rollback", "--yes"])).status.success());
    wait::until("it is taken back", LIMIT, || (home.current() == "genesis").then_some(()));
    home.wait_for_log("no node is started");
    assert_eq!((home.read("data/application.db/CURRENT").as_str(), home.nodes().len()), ("before", 0));
    assert_eq!(watcher.stop().code(), Some(75));
}

/// The node would be stopped, and nothing could be brought back.
#[test]
fn an_upgrade_is_not_taken_back_to_a_backup_that_is_not_what_it_was() {
    let home = Home::halting();
    home.write("data/application.db/CURRENT", "before");
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    home.halt();
    home.expect_upgraded();
    let entries = fs::read_dir(&home.path).expect("the home can be read").flatten().map(|entry| entry.path());
    let is_backup = |path: &PathBuf| path.to_string_lossy().contains("data-backup-");
    let backup = { entries }.find(is_backup).expect("there is a backup");
    fs::remove_file(backup.join("application.db/CURRENT")).expect("it is there");
    let refused = output(&mut command(&home, &["rollback", "--yes"]));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("is not what it was") && said.contains("CURRENT"), "{said}");
    assert_eq!((home.nodes().len(), watcher.ended()), (1, None), "the node runs on");
    assert!(watcher.stop().success());
}
