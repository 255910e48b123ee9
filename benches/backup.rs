//! What a checkpoint adds to a halt: homes of several sizes are made of real bytes, tables of 2 MB as goleveldb writes them,
//! and each is saved several times with a cold start between. Prints seconds, bytes copied and shared, and what the estimate
//! said beforehand. The snapshots alone are sparse: nothing may read them. Takes some minutes and 27 GB:
//!
//! ```sh
//! cargo bench --bench backup                # SIZES=1,3,10 in GB; TIMES=7 backups of each
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
    sync::atomic::AtomicBool,
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
        backup::{self, Manner, Means, ahead, estimate, keep},
    },
};

const TABLE: usize = 2_000_000;
const MEGABYTE: usize = 1_000_000;

fn main() {
    let number = |name: &str, default: &str| env::var(name).unwrap_or_else(|_| default.to_owned());
    let times: u32 = number("TIMES", "7").parse().expect("TIMES is a number");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    for size in number("SIZES", "1,3,10").split(',') {
        let size: usize = size.trim().parse().expect("SIZES are numbers");
        let home = home(&folder.path().join(format!("{size}-gb")), size);
        measure(&format!("{size} GB of tables"), &home, times);
        if size == 3 {
            let mut copied = home.clone();
            copied.manner.means = Means::Copy;
            measure("3 GB of tables, WATCHER_BACKUP=copy", &copied, 1);
        }
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
    measure("3 GB of tables, 1 GB of cs.wal, 5 GB of snapshots, 10 MB of wasm", &whole, times);
    for number in 20..1_000 {
        write(&whole.path.join(format!("wasm/wasm/state/wasm/{number:064}")), MEGABYTE / 2);
    }
    measure("the same with 500 MB of wasm", &whole, times);
}

/// Estimates and makes a backup, again and again: all of it at the halt, then with what can be copied ahead.
fn measure(what: &str, home: &Home, times: u32) {
    for copies_ahead in [false, true] {
        measured(what, home, times, copies_ahead);
        if home.manner.means == Means::Copy {
            break;
        }
    }
}

fn measured(what: &str, home: &Home, times: u32, copies_ahead: bool) {
    let (mut took, mut off) = (Vec::new(), Vec::new());
    let mut last = String::new();
    for number in 0..times {
        settle();
        if copies_ahead {
            ahead::copy(home, &AtomicBool::new(false)).expect("it fits");
        }
        let estimate = estimate::estimate(home, &AtomicBool::new(false)).expect("it fits").expect("one is wanted");
        settle();
        let plan = Plan { name: format!("v{number}"), height: 10, info: String::new() };
        let began = Instant::now();
        let backup = backup::take(home, &plan, &Zoned::now(), &AtomicBool::new(false), &|_, _| {}).expect("it fits");
        let seconds = began.elapsed().as_secs_f64();
        took.push(seconds * 1e3);
        off.push((estimate.time.as_secs_f64() / seconds - 1.0) * 100.0);
        assert_eq!((estimate.bytes, estimate.shared), (backup.bytes, backup.shared), "counted before and after");
        let [copied, ahead, shared] = [backup.bytes, backup.ahead, backup.shared].map(megabytes);
        last = format!("{copied:.1} MB copied, {ahead:.1} MB copied ahead, {shared:.1} MB shared");
        keep::remove(home, &backup).expect("it is ours");
        keep::prune(home).expect("it is ours");
    }
    let (took, off) = (Sample::of(took), Sample::of(off));
    say(&format!("{what}: {took} ms; {last}; estimate of the time off by {off} %"));
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
    let tables = gigabytes * 1_000 * MEGABYTE / TABLE;
    for (name, percent) in
        [("application.db", 70), ("blockstore.db", 15), ("state.db", 8), ("tx_index.db", 6), ("evidence.db", 1)]
    {
        database(&home.data().join(name), tables * percent / 100);
    }
    write(&home.data().join("cs.wal/wal"), 5 * MEGABYTE);
    let state = r#"{"height":"10","round":0,"step":3}"#;
    fs::write(home.data().join("priv_validator_state.json"), state).expect("the target folder can be written");
    for name in ["config.toml", "app.toml", "client.toml", "genesis.json", "addrbook.json"] {
        write(&path.join("config").join(name), 20_000);
    }
    home.prepare().expect("the target folder can be written");
    home
}

/// A goleveldb: tables that were there before its log, a few that came after, and what stands beside them.
fn database(folder: &Path, tables: usize) {
    const LATE: usize = 3;
    let log = 2 * tables.max(1);
    for number in 0..tables {
        let number = if number + LATE < tables { number + 1 } else { log + 1 + number };
        write(&folder.join(format!("{number:06}.ldb")), TABLE);
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
