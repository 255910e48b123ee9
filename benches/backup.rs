//! What a backup adds to a halt, and how far what was said of it beforehand is off: homes of several sizes are made of real
//! bytes, tables of 2 MB as goleveldb writes them, and each is saved several times with a cold start between. A table at the
//! end holds seconds and bytes, estimated and actual. The snapshots alone are sparse: nothing may read them. Takes some
//! minutes and 27 GB:
//!
//! ```sh
//! cargo bench --bench backup                # SIZES=1,3,10 in GB; TIMES=7 checkpoints of each, COPIES=3 copies
//! SIZES=1 TABLE=20000 cargo bench --bench backup # as many tables as 100 GB have, in little room
//! FOLDER=/mnt/xfs cargo bench --bench backup     # homes on another filesystem
//! PLACE=/mnt/far cargo bench --bench backup      # copies go there (DAEMON_DATA_BACKUP_DIR)
//! ```

#[path = "../tests/support/say.rs"]
mod say;
#[path = "support/statistics.rs"]
mod statistics;

use std::{
    env,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use jiff::Zoned;
use say::say;
use statistics::Sample;
use watcher::{
    artifact::Platform,
    decide::plan::Plan,
    home::{
        Home,
        backup::{self, Manner, Means, Watched, ahead, estimate, keep},
    },
};

const MEGABYTE: usize = 1_000_000;

fn main() {
    let (times, copies) = (number("TIMES", "7"), number("COPIES", "3"));
    let folder = said("FOLDER", env!("CARGO_TARGET_TMPDIR"));
    let folder = tempfile::tempdir_in(folder).expect("the folder can be written");
    let mut rows = Vec::new();
    for size in said("SIZES", "1,3,10").split(',') {
        let size: usize = size.trim().parse().expect("SIZES are numbers");
        let home = home(&folder.path().join(format!("{size}-gb")), size);
        checkpoints(&mut rows, &format!("{size} GB of tables"), &home, times);
        let mut whole = home.clone();
        whole.manner.means = Means::Copy;
        whole.backups = env::var_os("PLACE").map(PathBuf::from).or(whole.backups);
        rows.push(measured(&format!("{size} GB of tables"), "copy", &whole, copies));
        fs::remove_dir_all(&home.path).expect("it is ours");
    }
    let whole = home(&folder.path().join("whole"), 3);
    for number in 0..100 {
        write(&whole.data().join(format!("cs.wal/wal.{number:03}")), 10 * MEGABYTE);
    }
    for number in 0..500 {
        let chunk = whole.data().join(format!("snapshots/1000/3/{number}"));
        fs::create_dir_all(chunk.parent().expect("it has one")).expect("the target folder can be written");
        File::create(chunk).and_then(|file| file.set_len(10_000_000)).expect("there is room");
    }
    for number in 0..20 {
        write(&whole.path.join(format!("wasm/wasm/state/wasm/{number:064}")), MEGABYTE / 2);
    }
    checkpoints(&mut rows, "3 GB, cs.wal 1 GB, snapshots 5 GB, wasm 10 MB", &whole, times);
    for number in 20..1_000 {
        write(&whole.path.join(format!("wasm/wasm/state/wasm/{number:064}")), MEGABYTE / 2);
    }
    checkpoints(&mut rows, "the same with 500 MB of wasm", &whole, times);
    let head = "| home | way | times | added halt, ms | MB shared | ahead | to copy: estimated | copied | off by % | seconds: estimated | taken | off by % |\n| --- | --- |";
    say(&format!("\n{head}{}\n{}", " ---: |".repeat(10), rows.join("\n")));
}

fn said(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

fn number(name: &str, default: &str) -> usize {
    said(name, default).parse().expect("it is a number")
}

/// All of it at the halt, then with what can be made ahead.
fn checkpoints(rows: &mut Vec<String>, what: &str, home: &Home, times: usize) {
    // What was written within half a minute is expected to be written to again.
    thread::sleep(Duration::from_secs(31));
    rows.extend(["checkpoint", AHEAD].map(|way| measured(what, way, home, times)));
}

/// The way of which a part is done before the halt.
const AHEAD: &str = "checkpoint, made ahead";

/// Estimates and makes a backup, again and again. Gives a row of the table.
fn measured(what: &str, way: &str, home: &Home, times: usize) -> String {
    let never = AtomicBool::new(false);
    let [mut took, mut told, mut off] = [(); 3].map(|()| Vec::new());
    let mut bytes = String::new();
    for number in 0..times {
        settle();
        if way == AHEAD {
            ahead::make(home, 10, true, &never).expect("it fits");
        }
        let estimate = estimate::estimate(home, way == AHEAD, &never).expect("it fits").expect("one is wanted");
        let mut watched = (way == AHEAD).then(|| Watched::of(home).expect("it can be watched"));
        // As the node goes on.
        logs(&home.data(), &mut |log| {
            let log = File::options().append(true).open(log).and_then(|mut log| log.write_all(b"+"));
            log.expect("it is ours");
        });
        settle();
        let plan = Plan { name: format!("v{number}"), height: 10, info: String::new() };
        let shown = AtomicU64::new(0);
        // Whether there is room is looked at at the halt as well.
        let began = Instant::now();
        let known = if way == AHEAD { estimate.rooms.as_slice() } else { &[] };
        backup::room(home, known).expect("it fits");
        let progress = |done, total| {
            shown.fetch_max(done, Ordering::Relaxed);
            assert!(done <= total, "{done} of {total} bytes");
        };
        let backup = backup::take(home, &plan, watched.as_mut(), &Zoned::now(), &never, &progress).expect("it fits");
        let seconds = began.elapsed().as_secs_f64();
        assert_eq!(shown.into_inner(), backup.bytes, "what was shown at last");
        took.push(seconds);
        told.push(estimate.time.as_secs_f64());
        off.push(apart(estimate.time.as_secs_f64(), seconds));
        let [shared, ahead, expected, copied] =
            [backup.shared, backup.ahead, estimate.bytes, backup.bytes].map(megabytes);
        bytes = format!("{shared:.1} | {ahead:.1} | {expected:.1} | {copied:.1} | {:+.1}", apart(expected, copied));
        keep::remove(home, &backup).expect("it is ours");
        keep::prune(home).expect("it is ours");
    }
    let milliseconds = Sample::of(took.iter().map(|seconds| seconds * 1e3).collect());
    let [took, told, off] = [took, told, off].map(|values| Sample::of(values).median());
    let row = format!("| {what} | {way} | {times} | {milliseconds} | {bytes} | {told:.3} | {took:.3} | {off:+.1} |");
    say(&row);
    row
}

/// Finds what a node always writes to: the logs of its databases and of consensus.
fn logs(folder: &Path, each: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(folder).expect("it is there").flatten() {
        let path = entry.path();
        if path.is_dir() {
            logs(&path, each);
        } else if path.ends_with("wal") || path.extension().is_some_and(|extension| extension == "log") {
            each(&path);
        }
    }
}

/// How far an estimate is off, in percent.
fn apart(estimated: f64, actual: f64) -> f64 {
    if actual == 0.0 { (estimated - actual) * 100.0 } else { (estimated / actual - 1.0) * 100.0 }
}

fn megabytes(bytes: u64) -> f64 {
    Duration::from_micros(bytes).as_secs_f64()
}

/// Lets what was written before reach the disk, as long before a halt it has.
fn settle() {
    assert!(Command::new("sync").status().expect("sync is there").success());
}

/// A home with so many gigabytes of tables, in the databases of a node.
fn home(path: &Path, gigabytes: usize) -> Home {
    let home = Home {
        path: path.to_owned(),
        daemon: "noded".into(),
        keep_case: false,
        backups: Some(path.to_owned()),
        manner: Manner::default(),
        platform: Platform::host(),
        must_have_checksum: false,
        local_info: false,
    };
    let table = number("TABLE", "2000000");
    let tables = gigabytes * 1_000 * MEGABYTE / table;
    for (name, percent) in
        [("application.db", 70), ("blockstore.db", 15), ("state.db", 8), ("tx_index.db", 6), ("evidence.db", 1)]
    {
        database(&home.data().join(name), tables * percent / 100, table);
    }
    write(&home.data().join("cs.wal/wal"), 5 * MEGABYTE);
    let state = r#"{"height":"10","round":0,"step":3}"#;
    fs::write(home.data().join("priv_validator_state.json"), state).expect("the target folder can be written");
    for name in ["config.toml", "app.toml", "client.toml", "genesis.json", "addrbook.json"] {
        let file = path.join("config").join(name);
        write(&file, 20_000);
        // The node's settings are read for what belongs to a backup.
        if name == "config.toml" {
            fs::write(&file, format!("#{}\n", " ".repeat(20_000))).expect("there is room");
        }
    }
    home.prepare().expect("the target folder can be written");
    home
}

/// A goleveldb: tables that were there before its log, a few that came after, and what stands beside them.
fn database(folder: &Path, tables: usize, table: usize) {
    const LATE: usize = 3;
    let log = 2 * tables.max(1);
    for number in 0..tables {
        let number = if number + LATE < tables { number + 1 } else { log + 1 + number };
        write(&folder.join(format!("{number:06}.ldb")), table);
    }
    write(&folder.join(format!("{log:06}.log")), MEGABYTE);
    write(&folder.join("MANIFEST-000001"), 100_000);
    write(&folder.join("LOG"), 50_000);
    fs::write(folder.join("CURRENT"), "MANIFEST-000001\n").expect("the target folder can be written");
    fs::write(folder.join("LOCK"), "").expect("the target folder can be written");
}

/// Bytes that no filesystem leaves out.
fn write(path: &PathBuf, size: usize) {
    fs::create_dir_all(path.parent().expect("it has one")).expect("the target folder can be written");
    let block: Vec<u8> = (0..size).map(|place| u8::try_from(place * 31 % 251).expect("it is small")).collect();
    File::create(path).and_then(|mut file| file.write_all(&block)).expect("there is room");
}
