//! Four validators of one network go through three upgrades, and each of them meets with a fault in each: whatever befalls
//! whom, none signs twice, and all four sign in the end. And one `watcher` is killed at one step after the other.
//! `cargo test --test real_chain -- --ignored --nocapture fault`; `WATCHER_TESTS_SEED` deals the faults in another way,
//! `WATCHER_TESTS_NETWORKS` says how many networks there are.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, Permissions},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::ExitStatusExt as _,
    },
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{
    LIMIT, RECORD, VOTE, carried_through,
    chain::{Chain, Kind},
    network::{LONG, Network},
    nodes,
    own_name::own_name,
    ports::Ports,
    record,
    release_host::ReleaseHost,
    say::say,
    strace::{self, Harm, Moment},
    supervisor::{Supervisor, log_of},
    wait, wait_for_the_way_back,
};

const UPGRADES: [&str; 3] = ["v2", "v3", "v4"];
/// Enough for sixty upgrades.
const NETWORKS: usize = 5;
/// Blocks until an upgrade.
const BLOCKS: u64 = 30;
/// How long after its end `watcher` is started again: at once, as systemd does, or when the node is long gone.
const PAUSES: [Duration; 3] = [Duration::ZERO, Duration::from_millis(100), Duration::from_secs(3)];

/// The operator's script.
const SCRIPT: &str = "before-upgrade";
const LINK: &str = "cosmovisor/watcher/.current";
const STORE: &str = "cosmovisor/watcher/artifacts";
const PLACING: &str = "cosmovisor/upgrades/.watcher new";
/// Where a backup is until it has its name. What begins with `-` has the numbers of the home before it.
const UNFINISHED: &str = "-unfinished";
/// What is written behind everything that it saves.
const SAVED: &str = "-unfinished/.watcher/files";
const HALTS: &str = "NEEDED at height";
const SPAWNED: &str = "upgrade detected, relaunching";
const REPLAYS: &str = "ABCI Handshake App Info";
const COMMITTED: &str = "has passed: its height is committed";

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    /// Something befalls somebody.
    Hit(Blow, When),
    /// The binary is fetched, and `watcher` is killed meanwhile.
    Fetching(When),
    /// The binary comes after the halt.
    Late,
    /// The first binary fails. What follows is this policy, and another binary.
    Broken(&'static str),
    /// It is taken back, and `watcher` is killed meanwhile.
    TakenBack(When),
    /// The node answers nothing, so that the binary is fetched after the halt.
    Deaf,
}

#[derive(Clone, Copy, PartialEq)]
enum Blow {
    KillsWatcher,
    KillsNode,
    KillsBoth,
    /// As with `systemctl restart`.
    Restarts,
    /// Both are killed, and of upgrade-info.json half is left.
    TearsInfo,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    /// Before `watcher` makes this call on this path of the home for the n-th time.
    Calls(&'static str, &'static str, u32),
    /// Once this is in the log.
    Says(&'static str),
}

use Blow::{KillsBoth, KillsNode, KillsWatcher, Restarts, TearsInfo};
use Fault::{Broken, Deaf, Fetching, Hit, Late, TakenBack};
use When::{Calls, Says};

const FAULTS: [(&str, Fault); 32] = [
    ("watcher killed once it has fetched the binary", Fetching(Calls("fsync", STORE, 1))),
    ("watcher killed as it places the binary", Fetching(Calls("rename", PLACING, 1))),
    ("watcher killed as it writes down what is due", Hit(KillsWatcher, Calls("pwrite64", RECORD, 1))),
    ("watcher killed as it stops the node", Hit(KillsWatcher, Calls("kill", "", 1))),
    ("watcher killed in the backup", Hit(KillsWatcher, Calls("openat", SAVED, 1))),
    ("watcher killed as it ends the backup", Hit(KillsWatcher, Calls("rename", UNFINISHED, 1))),
    ("watcher killed in the custom script", Hit(KillsWatcher, Says("looking for COSMOVISOR_CUSTOM_PREUPGRADE file"))),
    ("watcher killed between marker and link", Hit(KillsWatcher, Calls("unlink", LINK, 1))),
    ("watcher killed as it moves the link", Hit(KillsWatcher, Calls("rename", LINK, 1))),
    ("watcher killed as it counts the start", Hit(KillsWatcher, Calls("pwrite64", RECORD, 2))),
    ("watcher killed after the start", Hit(KillsWatcher, Calls("fsync", "cosmovisor", 1))),
    ("watcher killed while the node replays", Hit(KillsWatcher, Says(REPLAYS))),
    ("watcher killed once the height is committed", Hit(KillsWatcher, Says(COMMITTED))),
    ("node killed at the halt", Hit(KillsNode, Says(HALTS))),
    ("node killed after the start", Hit(KillsNode, Says(SPAWNED))),
    ("node killed while it replays", Hit(KillsNode, Says(REPLAYS))),
    ("node killed once the height is committed", Hit(KillsNode, Says(COMMITTED))),
    ("both killed at the halt", Hit(KillsBoth, Says(HALTS))),
    ("both killed in the backup", Hit(KillsBoth, Calls("openat", SAVED, 1))),
    ("both killed as the link moves", Hit(KillsBoth, Calls("rename", LINK, 1))),
    ("both killed after the start", Hit(KillsBoth, Calls("fsync", "cosmovisor", 1))),
    ("both killed while the node replays", Hit(KillsBoth, Says(REPLAYS))),
    ("both killed once the height is committed", Hit(KillsBoth, Says(COMMITTED))),
    ("restarted at the halt", Hit(Restarts, Says(HALTS))),
    ("restarted in the backup", Hit(Restarts, Says("starting to take backup"))),
    ("restarted while the node replays", Hit(Restarts, Says(REPLAYS))),
    ("both killed, upgrade-info.json half written", Hit(TearsInfo, Says(HALTS))),
    ("binary placed after the halt", Late),
    ("binary broken, held, replaced", Broken("hold")),
    ("binary broken, taken back, replaced", Broken("rollback")),
    ("watcher killed as it takes back a broken binary", TakenBack(Calls("rename", "data/application.db", 1))),
    ("node without RPC, binary fetched at the halt", Deaf),
];

/// What a validator gets.
#[derive(Clone, Copy)]
struct Drawn {
    name: &'static str,
    fault: Fault,
    /// How long after its end `watcher` is started again.
    pause: Duration,
}

#[test]
#[ignore = "takes a quarter of an hour: `cargo test --test real_chain -- --ignored --nocapture fault`"]
fn sixty_faulted_upgrades_leave_no_evidence() {
    let number = |name: &str| env::var(name).ok().map(|text| text.parse::<usize>().expect("a number"));
    let seed = number("WATCHER_TESTS_SEED").unwrap_or(0);
    let networks = number("WATCHER_TESTS_NETWORKS").unwrap_or(NETWORKS);
    if !strace::usable() {
        return;
    }
    let mut deck = dealt(seed);
    let (mut table, mut blocks, mut failed) = (BTreeMap::<&str, (u32, u32)>::new(), 0, 0);
    for round in 1..=networks {
        let Some(mut network) = Network::of_four() else { return };
        let faults = UPGRADES.map(|_| {
            let mut four = [(); 4].map(|()| deck.next().expect("it never ends"));
            // The first one speaks for the network.
            if four[0].fault == Deaf {
                four.rotate_left(1);
            }
            for drawn in &four {
                table.entry(drawn.name).or_default().0 += 1;
            }
            four
        });
        let mut completed = |name| table.get_mut(name).expect("it is in there").1 += 1;
        let made = catch_unwind(AssertUnwindSafe(|| goes_through(&mut network, &faults, &mut completed)));
        blocks += *made.as_ref().unwrap_or(&0);
        if made.is_err() {
            failed += 1;
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("faults-{seed}-{round}"));
            fs::create_dir_all(&kept).expect("the target folder can be written");
            for log in network.chains.iter().map(|chain| log_of(&chain.home)) {
                fs::copy(&log, kept.join(log.file_name().expect("it has one"))).expect("the log is there");
            }
            say(&format!("seed {seed}, network {round} failed: its logs are in {}", kept.display()));
        }
    }
    for (name, (times, completed)) in &table {
        say(&format!("{name:<50} {times:>3} times, completed {completed:>3}"));
    }
    let (times, completed) = table.values().fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    say(&format!("seed {seed}: {times} faulted upgrades, completed {completed}, no evidence in {blocks} blocks"));
    assert_eq!((failed, completed), (0, times), "each failure is told above");
}

#[test]
#[ignore = "takes a minute: `cargo test --test real_chain -- --ignored --nocapture fault`"]
fn a_watcher_killed_at_one_step_after_the_other_completes_an_upgrade_and_a_rollback() {
    /// Each is counted from the start before.
    const UPGRADE: [When; 12] = [
        Calls("fsync", STORE, 1),
        Calls("rename", PLACING, 1),
        Calls("kill", "", 1),
        Calls("openat", SAVED, 1),
        Calls("rename", UNFINISHED, 1),
        // The operator's script, then behind it.
        Calls("clone", "", 1),
        Calls("unlink", LINK, 1),
        Calls("rename", LINK, 1),
        // `pre-upgrade`, behind it, and behind the start.
        Calls("clone", "", 2),
        Calls("pwrite64", RECORD, 1),
        Calls("fsync", "cosmovisor", 1),
        // Once the height is committed.
        Calls("fsync", "cosmovisor/watcher", 1),
    ];
    const ROLLBACK: [When; 4] = [
        Calls("pwrite64", RECORD, 1),
        Calls("rename", "data/application.db", 1),
        Calls("unlink", "cosmovisor/watcher/restore.json", 1),
        Calls("rename", LINK, 1),
    ];
    if !strace::usable() {
        return;
    }
    let Some(chain) = Chain::with(Kind::Today, VOTE) else { return };
    let _host = ReleaseHost::open(chain.port + 9, chain.versions, None);
    let under_strace = |fault: Fault, step: When| {
        let moment = step.moment(&chain.home).expect("it is a call");
        let mut strace = strace::around(&chain.home.with_extension("strace"), Some((&moment, Harm::Kill)));
        strace.args([env!("CARGO_BIN_EXE_watcher"), "run"]);
        Supervisor::spawn(strace, &chain.home, chain.kind.name(), &settings(fault))
    };
    let killed_at_each = |version: &str, fault: Fault, steps: &[When]| {
        let first = prepare(&chain, version, fault);
        let height = chain.propose(version, BLOCKS, &chain.offer(version, chain.port + 9));
        drop(first);
        for step in steps {
            let mut watcher = under_strace(fault, *step);
            let ended = wait::until(&format!("it is killed at {step:?}"), LONG, || watcher.ended());
            assert_eq!(ended.signal(), Some(Signal::SIGKILL as i32), "{step:?}");
            say(&format!("{version}: killed at {step:?}"));
        }
        (start(&chain, fault), height)
    };

    let (mut watcher, height) = killed_at_each("v2", Fetching(UPGRADE[0]), &UPGRADE);
    carried_through(&chain, "v2", height);
    assert!(watcher.stop().success());
    let (mut watcher, height) = killed_at_each("v3", Broken("rollback"), &ROLLBACK);
    wait_for_the_way_back(&chain.home, LIMIT);
    assert_eq!((chain.current().as_path(), watcher.ended()), (Path::new("upgrades/v2"), None));
    fs::remove_file(chain.binary("upgrades/v3")).expect("it is there");
    chain.place("v3", "upgrades/v3");
    carried_through(&chain, "v3", height);
    assert!(watcher.stop().success());
}

/// All faults in some order, again and again in another one.
fn dealt(seed: usize) -> impl Iterator<Item = Drawn> {
    (0_u64..).flat_map(move |round| {
        let chance = |name: &str| Sha256::digest(format!("{seed} {round} {name}"));
        let mut faults = FAULTS;
        faults.sort_by_cached_key(|(name, _)| chance(name));
        faults.map(|(name, fault)| {
            let pause = PAUSES[usize::from(chance(name)[31]) % PAUSES.len()];
            Drawn { name, fault, pause }
        })
    })
}

/// Gives how many blocks it made.
fn goes_through(network: &mut Network, drawn: &[[Drawn; 4]; 3], completed: &mut dyn FnMut(&'static str)) -> u64 {
    let ports = Ports::reserve();
    let _host = ReleaseHost::open(ports.first, network.chains[0].versions, None);
    for (version, drawn) in UPGRADES.into_iter().zip(drawn) {
        network.watchers.iter_mut().for_each(|watcher| assert!(watcher.stop().success()));
        let prepared = |(chain, drawn): (&Chain, &Drawn)| prepare(chain, version, drawn.fault);
        network.watchers = network.chains.iter().zip(drawn).map(prepared).collect();
        network.missed(network.chains[0].height());
        let height = network.chains[0].propose(version, BLOCKS, &network.chains[0].offer(version, ports.first));
        let ends = thread::scope(|scope| {
            let places = network.chains.iter().zip(&mut network.watchers).zip(drawn).enumerate();
            let validators: Vec<_> = places
                .map(|(number, ((chain, watcher), drawn))| {
                    let thread = thread::Builder::new().name(format!("{version}, validator {number}"));
                    let validator = move || Validator::armed(chain, watcher, version, drawn).comes_through();
                    thread.spawn_scoped(scope, validator).expect("a thread can be started")
                })
                .collect();
            validators.into_iter().map(|validator| validator.join().is_ok()).collect::<Vec<_>>()
        });
        for (drawn, _) in drawn.iter().zip(&ends).filter(|(_, well)| **well) {
            completed(drawn.name);
        }
        assert!(ends.iter().all(|well| *well), "each failure is told above");
        network.missed(height);
    }
    network.nobody_signed_twice()
}

/// Puts the binary in its place, where it is to be there before, and starts `watcher`.
fn prepare(chain: &Chain, version: &str, fault: Fault) -> Supervisor {
    let folder = format!("upgrades/{version}");
    match fault {
        Hit(..) => chain.place(version, &folder),
        Broken(_) | TakenBack(_) => chain.place("broken", &folder),
        Fetching(_) | Late | Deaf => {}
    }
    let script = chain.home.join("cosmovisor").join(SCRIPT);
    fs::write(&script, "#!/bin/sh\nsleep 0.3\n").expect("the home can be written");
    fs::set_permissions(script, Permissions::from_mode(0o755)).expect("so can this");
    let config = chain.home.join("config/config.toml");
    let text = fs::read_to_string(&config).expect("localnet has written it");
    let (open, closed) = (format!("laddr = \"tcp://127.0.0.1:{}\"", chain.port), "laddr = \"\" # closed");
    let text = if fault == Deaf { text.replacen(&open, closed, 1) } else { text.replacen(closed, &open, 1) };
    fs::write(config, text).expect("the home can be written");
    start(chain, fault)
}

fn start(chain: &Chain, fault: Fault) -> Supervisor {
    Supervisor::start(&chain.home, chain.kind.name(), &settings(fault))
}

const fn settings(fault: Fault) -> [(&'static str, &'static str); 4] {
    [
        ("COSMOVISOR_CUSTOM_PREUPGRADE", SCRIPT),
        ("WATCHER_ON_UPGRADE_FAILURE", if let Broken(policy) = fault { policy } else { "rollback" }),
        ("WATCHER_UPGRADE_MAX_RESTARTS", "1"),
        ("DAEMON_ALLOW_DOWNLOAD_BINARIES", if matches!(fault, Fetching(_) | Deaf) { "true" } else { "false" }),
    ]
}

/// One of a network, and what it has before it.
struct Validator<'network> {
    chain: &'network Chain,
    watcher: &'network mut Supervisor,
    version: &'static str,
    drawn: &'network Drawn,
    /// When `watcher` ended, while it is not started again.
    ended: Option<Instant>,
    starts: u32,
    log: File,
    said: Vec<u8>,
}

impl<'network> Validator<'network> {
    fn armed(
        chain: &'network Chain,
        watcher: &'network mut Supervisor,
        version: &'static str,
        drawn: &'network Drawn,
    ) -> Self {
        if let Some(moment) = drawn.fault.blow().and_then(|(_, when)| when.moment(&chain.home)) {
            let log = chain.home.with_extension("strace");
            let mut strace = strace::attach(watcher.pid(), &log, Some((&moment, Harm::Kill)));
            // It ends with the process it is attached to.
            thread::spawn(move || strace.wait());
        }
        let mut log = File::open(log_of(&chain.home)).expect("the log is there");
        log.seek(SeekFrom::End(0)).expect("it is a file");
        Self { chain, watcher, version, drawn, ended: None, starts: 0, log, said: Vec::new() }
    }

    /// Waits until it is through, with a service manager that starts `watcher` whenever it ends.
    fn comes_through(&mut self) {
        let began = Instant::now();
        let mut blow = self.drawn.fault.blow();
        let mut looks = 0_u32;
        wait::until("it is through the upgrade", LONG, || {
            looks += 1;
            if looks.is_multiple_of(10) {
                assert!(self.nodes().len() <= 1, "one node at a time");
            }
            blow = blow.filter(|(blow, when)| !(self.comes(*when) && self.strike(*blow, *when)));
            self.place_what_is_missing();
            self.keep_running();
            (blow.is_none() && self.is_through()).then_some(())
        });
        let (Drawn { name, .. }, starts) = (self.drawn, self.starts);
        say(&format!("{name}: through after {:.1} s, {starts} more starts", began.elapsed().as_secs_f64()));
    }

    fn nodes(&self) -> Vec<nodes::Node> {
        nodes::alive(&self.chain.home, self.chain.kind.name())
    }

    /// Whether the moment has come.
    fn comes(&mut self, when: When) -> bool {
        match when {
            Calls(..) => self.watcher.ended().is_some_and(|status| status.signal() == Some(Signal::SIGKILL as i32)),
            Says(text) => self.has_said(text),
        }
    }

    fn has_said(&mut self, text: &str) -> bool {
        self.log.read_to_end(&mut self.said).expect("the log can be read");
        String::from_utf8_lossy(&self.said).contains(text)
    }

    /// Whether there was somebody to strike.
    fn strike(&mut self, blow: Blow, when: When) -> bool {
        let by_strace = matches!(when, Calls(..));
        if !by_strace && blow != KillsNode {
            if self.watcher.ended().is_some() {
                return false;
            }
            if blow == Restarts {
                self.watcher.stop();
            } else {
                kill(self.watcher.pid(), Signal::SIGKILL).expect("it is not reaped");
            }
        }
        if matches!(blow, KillsWatcher | Restarts) {
            return true;
        }
        let nodes = self.nodes();
        for node in &nodes {
            // It may be on its way out.
            let _ = kill(Pid::from_raw(node.pid), Signal::SIGKILL);
        }
        if blow == TearsInfo {
            wait::until("both are gone", LIMIT, || {
                (self.watcher.ended().is_some() && self.nodes().is_empty()).then_some(())
            });
            let path = self.chain.home.join("data/upgrade-info.json");
            let text = fs::read(&path).expect("the node has written it");
            fs::write(path, &text[..text.len() / 2]).expect("the home can be written");
        }
        blow != KillsNode || !nodes.is_empty()
    }

    fn record(&self) -> Option<Value> {
        let record = record(&self.chain.home)?;
        (record["plan"]["name"] == self.version).then_some(record)
    }

    /// The operator comes with the right binary.
    fn place_what_is_missing(&mut self) {
        let folder = format!("upgrades/{}", self.version);
        let binary = self.chain.binary(&folder);
        let wanted = match self.drawn.fault {
            Late => !binary.exists() && self.has_said(" is due"),
            Broken(_) | TakenBack(_) => {
                let failure =
                    |record: &Value| matches!(record["failure"]["state"].as_str(), Some("held" | "rolled_back"));
                self.record().as_ref().is_some_and(failure)
            }
            _ => false,
        };
        let inode = |path: &Path| fs::metadata(path).ok().map(|meta| meta.ino());
        if wanted && inode(&binary) != inode(&self.chain.version(self.version)) {
            let _ = fs::remove_file(&binary);
            self.chain.place(self.version, &folder);
        }
    }

    fn keep_running(&mut self) {
        if self.watcher.ended().is_none() {
            return;
        }
        if self.ended.get_or_insert_with(Instant::now).elapsed() >= self.drawn.pause {
            *self.watcher = start(self.chain, self.drawn.fault);
            self.starts += 1;
            self.ended = None;
        }
    }

    fn is_through(&self) -> bool {
        // Who cannot ask its node does not hear of the network's state.
        let verdict = if self.drawn.fault == Deaf { "committed" } else { "signing" };
        let folder = Path::new("upgrades").join(self.version);
        self.record().is_some_and(|record| record["verdict"] == verdict && record["failure"].is_null())
            && self.chain.current() == folder
            && matches!(&self.nodes()[..], [node] if node.executable == self.chain.binary(&folder.to_string_lossy()))
    }
}

impl Fault {
    const fn blow(self) -> Option<(Blow, When)> {
        match self {
            Hit(blow, when) => Some((blow, when)),
            Fetching(when) | TakenBack(when) => Some((KillsWatcher, when)),
            Late | Broken(_) | Deaf => None,
        }
    }
}

impl When {
    /// The call, for a home.
    fn moment(self, home: &Path) -> Option<Moment> {
        let Calls(name, path, number) = self else { return None };
        let whole = match path {
            "" => None,
            _ => Some(path.strip_prefix('-').map_or_else(|| path.to_owned(), |own| own_name(home) + own)),
        };
        Some(Moment { name: name.to_owned(), number, path: whole.map(|path| home.join(path)) })
    }
}
