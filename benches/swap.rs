//! What a swap costs without the node: from upgrade-info.json written to the first instruction of the next binary, with a
//! node that stops at once. `watcher run` and the least possible supervisor take turns, first on a quiet filesystem, then
//! beside a process that writes 80 MB/s to it. Prints milliseconds, and the ratio of the medians. Takes three minutes:
//!
//! ```sh
//! cargo bench --bench swap                # SWAPS=60 of each kind; WATCHER_UNDER_TEST=PATH for another program
//! ```

#[path = "support/floor.rs"]
mod floor;
#[path = "support/memory.rs"]
mod memory;
#[path = "../tests/support/nodes.rs"]
mod nodes;
#[path = "../tests/support/say.rs"]
mod say;
#[path = "support/statistics.rs"]
mod statistics;
#[path = "../tests/support/supervisor.rs"]
mod supervisor;
#[path = "../tests/support/wait.rs"]
mod wait;

use std::{
    env,
    fs::{self, File},
    io::{Seek as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant, SystemTime},
};

use floor::Floor;
use say::say;
use statistics::Sample;
use supervisor::Supervisor;

const NAME: &str = "noded";
const LIMIT: Duration = Duration::from_secs(10);
const SETTINGS: &[(&str, &str)] = &[("UNSAFE_SKIP_BACKUP", "true")];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [floor::WORD, name, home] => floor::run(name, Path::new(home)),
        ["writer", file] => write_without_end(Path::new(file)),
        _ => measure(),
    }
}

fn measure() {
    let swaps: u32 = env::var("SWAPS").map_or(60, |text| text.parse().expect("SWAPS is a number"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
    let folder_path = folder.path().canonicalize().expect("it was just made");
    let node = instant_node(&folder_path);
    say(&format!("{swaps} swaps of each"));
    for busy in [false, true] {
        let writer = busy.then(|| Writer::start(&folder_path.join("ballast")));
        let floor_home = Home::new(&folder_path.join(format!("floor-{busy}")), &node, swaps);
        let home = Home::new(&folder_path.join(format!("watcher-{busy}")), &node, swaps);
        let floor = Floor::start(&floor_home.path, NAME);
        let mut watcher = Supervisor::start(&home.path, NAME, SETTINGS);
        let (mut floors, mut watchers) = (Vec::new(), Vec::new());
        for number in 0..swaps {
            // Out of step with any polling.
            thread::sleep(Duration::from_millis(400 + u64::from(number) * 37 % 300));
            floors.push(floor_home.swap(number + 1));
            watchers.push(home.swap(number + 1));
        }
        let peak = memory::peak(&watcher);
        watcher.stop();
        drop((floor, writer));
        let (floors, watchers) = (Sample::of(floors), Sample::of(watchers));
        let kind = if busy { "80 MB/s written" } else { "quiet          " };
        for (who, sample) in [("floor  ", &floors), ("watcher", &watchers)] {
            say(&format!("{kind} {who} {sample} ms"));
        }
        say(&format!(
            "{kind} watcher / floor = {:.2}; peak memory of watcher {peak} kB",
            watchers.median() / floors.median()
        ));
    }
}

/// A home with upgrades `v1`, `v2` and so on in place.
struct Home {
    path: PathBuf,
}

impl Home {
    fn new(path: &Path, node: &Path, upgrades: u32) -> Self {
        let place = |folder: &str| {
            let folder = path.join("cosmovisor").join(folder).join("bin");
            fs::create_dir_all(&folder).expect("the target folder can be written");
            fs::copy(node, folder.join(NAME)).expect("the node can be copied");
        };
        place("genesis");
        (1..=upgrades).for_each(|number| place(&format!("upgrades/v{number}")));
        for folder in ["data", "config"] {
            fs::create_dir_all(path.join(folder)).expect("the target folder can be written");
        }
        // Nothing listens there: this node has no RPC.
        fs::write(path.join("config/config.toml"), "[rpc]\nladdr = \"tcp://127.0.0.1:1\"\n")
            .expect("it can be written");
        Self { path: path.to_owned() }
    }

    /// Milliseconds from the plan's file to the next binary.
    fn swap(&self, number: u32) -> f64 {
        let runs = number as usize;
        wait::until("the node before runs", LIMIT, || (self.starts().len() >= runs).then_some(()));
        let plan = format!(r#"{{"name":"v{number}","height":{},"info":""}}"#, 1000 + number);
        fs::write(self.path.join("data/upgrade-info.json"), plan).expect("the home can be written");
        let written = SystemTime::now();
        let started = wait::until("the next node runs", LIMIT, || self.starts().get(runs).copied());
        let waited = SystemTime::UNIX_EPOCH + Duration::from_nanos(started);
        waited.duration_since(written).unwrap_or_default().as_secs_f64() * 1e3
    }

    /// When the node began, each time, in nanoseconds since 1970.
    fn starts(&self) -> Vec<u64> {
        let lines = fs::read_to_string(self.path.join("starts")).unwrap_or_default();
        lines.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

/// Compiles the node of this benchmark.
fn instant_node(folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/swap/instant_node.rs");
    let node = folder.join("instant_node");
    let status = Command::new("rustc")
        .args(["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-Cstrip=symbols", "-o"])
        .args([&node, &source])
        .status();
    assert!(status.expect("rustc is there").success());
    node
}

/// A process that writes 80 MB/s. Dropping it ends it.
struct Writer(Child);

impl Writer {
    fn start(file: &Path) -> Self {
        let program = env::current_exe().expect("a program knows where it is");
        Self(Command::new(program).arg("writer").arg(file).spawn().expect("this very program can be started"))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.kill().expect("it runs until it is killed");
        self.0.wait().expect("it is a child");
    }
}

fn write_without_end(file: &Path) -> ! {
    const CHUNK: usize = 4_000_000;
    const CHUNKS_IN_FILE: u32 = 100;
    let chunk = vec![0x5a; CHUNK];
    let mut file = File::create(file).expect("the target folder can be written");
    let begun = Instant::now();
    for written in 0_u32.. {
        if written % CHUNKS_IN_FILE == 0 {
            file.rewind().expect("a file can be written from its beginning");
        }
        file.write_all(&chunk).expect("there is room for 400 MB");
        thread::sleep((Duration::from_millis(50) * (written + 1)).saturating_sub(begun.elapsed()));
    }
    unreachable!("that takes years")
}
