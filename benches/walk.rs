//! What an upgrade costs the users of a real chain: from upgrade-info.json to the next block, with a release of 118 MB that its
//! host hands out at 20 MB/s. `watcher run`, which has to learn of the plan and fetch the release, and the least possible
//! supervisor, which has it in its place from the beginning, take turns. Prints seconds, and the ratio of the medians; for
//! `watcher` also how long staging took beside curl, and its peak memory. Needs Go and curl, takes six minutes:
//!
//! ```sh
//! cargo bench --bench walk                # WALKS=5 of each kind; WATCHER_UNDER_TEST=PATH for another program
//! ```

#[path = "../tests/support/chain.rs"]
#[expect(dead_code, reason = "the generation before matters in tests")]
mod chain;
#[path = "support/floor.rs"]
mod floor;
#[path = "support/memory.rs"]
mod memory;
#[path = "../tests/support/nodes.rs"]
mod nodes;
#[path = "../tests/support/ports.rs"]
mod ports;
#[path = "../tests/support/release_host.rs"]
mod release_host;
#[path = "../tests/support/say.rs"]
mod say;
#[path = "support/statistics.rs"]
mod statistics;
#[path = "../tests/support/supervisor.rs"]
mod supervisor;
#[path = "../tests/support/tools.rs"]
mod tools;
#[path = "../tests/support/wait.rs"]
mod wait;

use std::{
    env,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use chain::{Chain, Kind};
use floor::Floor;
use release_host::ReleaseHost;
use say::say;
use statistics::Sample;
use supervisor::Supervisor;

const NAME: &str = Kind::Today.name();
const LIMIT: Duration = Duration::from_mins(2);
const VOTE: &str = "4s";
/// Blocks of half a second until the upgrade: the vote, and twice the time that the download takes.
const BLOCKS: u64 = 50;
const BYTES_PER_SECOND: u32 = 20_000_000;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [floor::WORD, name, home] => floor::run(name, Path::new(home)),
        _ => measure(),
    }
}

fn measure() {
    let walks: u32 = env::var("WALKS").map_or(5, |text| text.parse().expect("WALKS is a number"));
    let (mut floors, mut watchers) = (Vec::new(), Vec::new());
    for _ in 0..walks {
        let (Some(floor), Some(watcher)) = (with_floor(), with_watcher()) else { return };
        floors.push(floor);
        watchers.push(watcher);
    }
    let (floors, watchers) = (Sample::of(floors), Sample::of(watchers));
    for (who, sample) in [("floor  ", &floors), ("watcher", &watchers)] {
        say(&format!("{who} halt to next block: {sample} s"));
    }
    say(&format!("watcher / floor = {:.3}", watchers.median() / floors.median()));
}

fn with_floor() -> Option<f64> {
    let chain = Chain::with(Kind::Today, VOTE)?;
    chain.place("v2", "upgrades/v2");
    let floor = Floor::start(&chain.home, NAME);
    let height = chain.propose("v2", BLOCKS, "");
    let pause = pause(&chain, height);
    drop(floor);
    wait::until("the node ends", LIMIT, || nodes::alive(&chain.home, NAME).is_empty().then_some(()));
    say(&format!("floor    {pause:.3} s"));
    Some(pause)
}

fn with_watcher() -> Option<f64> {
    let chain = Chain::with(Kind::Today, VOTE)?;
    let port = chain.port + 9;
    let host = ReleaseHost::open(port, chain.versions, Some(BYTES_PER_SECOND));
    let settings =
        [("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true"), ("UNSAFE_SKIP_BACKUP", "true"), ("WATCHER_DOWNLOAD_JITTER", "0s")];
    let mut watcher = Supervisor::start(&chain.home, NAME, &settings);
    let height = chain.propose("v2", BLOCKS, &chain.offer("v2", port));
    wait::until("the vote has passed", LIMIT, || chain.scheduled());
    let scheduled = Instant::now();
    wait::until("v2 is staged", LIMIT, || chain.binary("upgrades/v2").exists().then_some(()));
    let staging = scheduled.elapsed().as_secs_f64();
    let pause = pause(&chain, height);
    let peak = memory::peak(&watcher);
    let stopped = watcher.stop();
    let downloads = host.downloads().len();
    let curl = curl(port);
    say(&format!(
        "watcher  {pause:.3} s; staged in {staging:.2} s, curl {curl:.2} s; downloads {downloads}; peak {peak} kB; {stopped}"
    ));
    Some(pause)
}

/// Seconds from the halt to the block after it.
fn pause(chain: &Chain, height: u64) -> f64 {
    wait::until("the chain halts", LIMIT, || chain.upgrade_info());
    let halted = Instant::now();
    chain.wait_for_blocks_by("v2", height, LIMIT);
    assert_eq!(chain.current(), Path::new("upgrades/v2"));
    halted.elapsed().as_secs_f64()
}

/// Seconds that curl needs for the same file.
fn curl(port: u16) -> f64 {
    let begun = Instant::now();
    let url = format!("http://127.0.0.1:{port}/{NAME}-v2");
    let status = Command::new("curl").args(["--silent", "--fail", "--output", "/dev/null", &url]).status();
    assert!(status.expect("curl is there").success());
    begun.elapsed().as_secs_f64()
}
