//! `watcher run` comes to harm at every system call with which it changes something, each time on a fresh home: it is killed
//! there, or the call fails as on a full, broken or read-only disk. The next start must bring the home to where a run without
//! harm brings it: upgraded, or back before an upgrade that failed. The suite takes a sample; all of it:
//! `cargo test --test kill -- --ignored --nocapture`. Needs strace.

#[path = "support/nodes.rs"]
mod nodes;
#[path = "support/ports.rs"]
mod ports;
#[path = "support/release_host.rs"]
mod release_host;
#[path = "support/say.rs"]
mod say;
#[path = "support/servers.rs"]
#[expect(dead_code, reason = "other tests open servers at any address")]
mod servers;
#[path = "support/sim_network.rs"]
#[expect(dead_code, reason = "what is asked is counted in other tests")]
mod sim_network;
#[path = "support/strace.rs"]
#[expect(dead_code, reason = "what is killed here runs already")]
mod strace;
#[path = "support/supervisor.rs"]
mod supervisor;
#[path = "support/tools.rs"]
mod tools;
#[path = "support/wait.rs"]
mod wait;

#[path = "kill/trial.rs"]
mod trial;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use ports::Ports;
use release_host::ReleaseHost;
use say::say;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use strace::{Harm, Moment};
use trial::{LIMIT, NAME, Stage, Story, Trial, fixture};

/// How long `watcher` is watched after the end of a story, for what it still has to write then.
const AFTERMATH: Duration = Duration::from_millis(1500);
/// How long it may try again by itself, after a call that failed.
const PATIENCE: Duration = Duration::from_secs(12);
/// Homes at a time: a run waits most of its time.
const WORKERS: usize = 8;
/// How much of a story's harm belongs to the suite.
const SAMPLE: usize = 20;

#[test]
fn harm_at_some_changes_of_a_swap_is_made_good_by_the_next_start() {
    harm_is_made_good(&swap(), SAMPLE);
}

#[test]
fn harm_at_some_changes_of_a_swap_that_fetches_its_binary_is_made_good_by_the_next_start() {
    fetching(SAMPLE);
}

#[test]
fn harm_at_some_changes_of_a_swap_that_is_known_beforehand_is_made_good_by_the_next_start() {
    harm_is_made_good(&known(), SAMPLE);
}

#[test]
fn harm_at_some_changes_of_a_rollback_is_made_good_by_the_next_start() {
    harm_is_made_good(&rollback(), SAMPLE);
}

#[test]
#[ignore = "takes minutes: `cargo test --test kill -- --ignored --nocapture`"]
fn harm_at_any_change_of_a_swap_is_made_good_by_the_next_start() {
    harm_is_made_good(&swap(), usize::MAX);
}

#[test]
#[ignore = "takes minutes: `cargo test --test kill -- --ignored --nocapture`"]
fn harm_at_any_change_of_a_swap_that_fetches_its_binary_is_made_good_by_the_next_start() {
    fetching(usize::MAX);
}

#[test]
#[ignore = "takes minutes: `cargo test --test kill -- --ignored --nocapture`"]
fn harm_at_any_change_of_a_swap_that_is_known_beforehand_is_made_good_by_the_next_start() {
    harm_is_made_good(&known(), usize::MAX);
}

#[test]
#[ignore = "takes minutes: `cargo test --test kill -- --ignored --nocapture`"]
fn harm_at_any_change_of_a_rollback_is_made_good_by_the_next_start() {
    harm_is_made_good(&rollback(), usize::MAX);
}

/// The binary is there; saved, switched, started.
fn swap() -> Story {
    Story {
        settings: &[("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade")],
        plan: fs::read_to_string(fixture().join("plan.json")).expect("the fixture has a plan"),
        staged: true,
        known: false,
        fails: false,
    }
}

/// The chain has told of it, so that the backup is made ahead.
fn known() -> Story {
    Story { known: true, ..swap() }
}

/// The new binary fails, and everything is brought back.
fn rollback() -> Story {
    let settings = &[
        ("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade"),
        ("WATCHER_ON_UPGRADE_FAILURE", "rollback"),
        ("WATCHER_UPGRADE_MAX_RESTARTS", "1"),
    ];
    Story { settings, fails: true, ..swap() }
}

/// The binary is fetched, hashed and placed first.
fn fetching(most: usize) {
    let bin = fixture().join("cosmovisor/upgrades/v2/bin");
    let ports = Ports::reserve();
    let host = ReleaseHost::open(ports.first, &bin, None);
    let sum = hex::encode(Sha256::digest(fs::read(bin.join(NAME)).expect("the fixture has a v2")));
    let url = format!("http://127.0.0.1:{}/{NAME}?checksum=sha256:{sum}", ports.first);
    let info = json!({ "binaries": { "any": url } }).to_string();
    let story = Story {
        settings: &[
            ("COSMOVISOR_CUSTOM_PREUPGRADE", "before-upgrade"),
            ("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true"),
            ("DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM", "true"),
        ],
        plan: json!({ "name": "v2", "height": 10, "info": info }).to_string(),
        staged: false,
        known: false,
        fails: false,
    };
    if harm_is_made_good(&story, most) {
        assert!(!host.downloads().is_empty(), "the binary came from the host");
    }
}

/// Whether anything could be tried.
fn harm_is_made_good(story: &Story, most: usize) -> bool {
    if !strace::usable() {
        return false;
    }
    // What is made ahead may be made twice, and not again in another run.
    let moments = [(); 2].map(|()| clean_run(story)).into_iter().min_by_key(BTreeSet::len).expect("there are two");
    let by_name = moments.iter().fold(BTreeMap::<&str, u32>::new(), |mut counts, moment| {
        *counts.entry(&moment.name).or_default() += 1;
        counts
    });
    say(&format!("{} moments to come to harm at: {by_name:?}", moments.len()));
    assert!(moments.len() >= 10, "this changes more: {moments:?}");

    let harms = sample(&moments, most);
    let total = harms.len();
    let queue = Mutex::new(harms.into_iter());
    let ends: Vec<(Harm, End)> = thread::scope(|scope| {
        let work = || {
            let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            std::iter::from_fn(next).map(|(moment, harm)| (harm, told_apart(story, &moment, harm))).collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("panics are caught below")).collect()
    });

    let count = |wanted: &dyn Fn(Harm, End) -> bool| ends.iter().filter(|(harm, end)| wanted(*harm, *end)).count();
    for harm in Harm::ALL {
        let reached = count(&|its, end| its == harm && end != End::NotReached);
        let completed = count(&|its, end| its == harm && matches!(end, End::Completed(..)));
        say(&format!("{harm:?} at {reached}, completed {completed}"));
    }
    let ways = ends.iter().fold(BTreeMap::<End, u32>::new(), |mut counts, (_, end)| {
        *counts.entry(*end).or_default() += 1;
        counts
    });
    say(&format!("{ways:?}"));
    assert_eq!(count(&|_, end| end == End::Failed), 0, "each failure is told above");
    let missed = count(&|_, end| end == End::NotReached);
    assert!(missed * 4 <= total, "too many moments were not reached again: {missed} of {total}");
    let stages = [Stage::BeforeTheSwitch, Stage::Switched, Stage::Started];
    for stage in stages.into_iter().filter(|_| most == usize::MAX) {
        let met = count(&|_, end| matches!(end, End::Completed(its, _) if its == stage));
        assert!(met > 0, "no harm came at the stage {stage:?}: {ways:?}");
    }
    true
}

/// So much of all harm, spread evenly; `WATCHER_TESTS_SEED` chooses another part.
fn sample(moments: &BTreeSet<Moment>, most: usize) -> Vec<(Moment, Harm)> {
    let all: Vec<(Moment, Harm)> = moments
        .iter()
        .flat_map(|moment| Harm::ALL.map(|harm| (moment.clone(), harm)))
        .filter(|(moment, harm)| harm.befalls(moment))
        .collect();
    let seed = env::var("WATCHER_TESTS_SEED").map_or(0, |seed| seed.parse::<usize>().expect("a number"));
    let apart = all.len().div_ceil(most);
    all.into_iter().skip(seed % apart).step_by(apart).collect()
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// Well, after harm at this stage.
    Completed(Stage, By),
    /// The run differed from the clean one and made this call less often.
    NotReached,
    Failed,
}

/// What it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    /// It went on by itself.
    Itself,
    /// It had ended, and was started again.
    AnotherStart,
    /// It waited for something, and was stopped and started again.
    Hand,
}

/// The story with nobody interfering, and the moments at which `watcher` changed something.
fn clean_run(story: &Story) -> BTreeSet<Moment> {
    let trial = Trial::begin(story);
    let mut watcher = trial.up_to_the_halt(None);
    trial.wait_for_the_end(&watcher);
    thread::sleep(AFTERMATH);
    let log = trial.trace();
    trial.stop(&mut watcher);
    trial.expect_ended_well();
    trial.expect_nothing_left();
    strace::moments(&log, &trial.home)
}

/// A trial in a thread of its own, whose name appears in everything that is said about it.
fn told_apart(story: &Story, moment: &Moment, harm: Harm) -> End {
    let name = format!("{harm:?} at {} {}", moment.name, moment.number);
    thread::scope(|scope| {
        let trial = thread::Builder::new().name(name).spawn_scoped(scope, move || harmed_at(story, moment, harm));
        trial.expect("a thread can be started").join().unwrap_or(End::Failed)
    })
}

fn harmed_at(story: &Story, moment: &Moment, harm: Harm) -> End {
    let trial = Trial::begin(story);
    let mut watcher = trial.up_to_the_halt(Some((moment, harm)));
    let patience = Instant::now() + if harm == Harm::Kill { LIMIT } else { PATIENCE };
    let (mut stage, mut deadline, mut looks) = (None, None, 0_u32);
    let by = wait::until("watcher ends, or the story", LIMIT + AFTERMATH, || {
        trial.look();
        if watcher.ended().is_some() {
            return Some(By::AnotherStart);
        }
        if deadline.is_some_and(|deadline| deadline < Instant::now()) {
            return Some(By::Itself);
        }
        // This costs more than `watcher` does.
        looks += 1;
        if looks.is_multiple_of(10) {
            if stage.is_none() && harm.happened(&trial.trace()) {
                stage = Some(trial.stage());
            }
            if deadline.is_none() && trial.is_at_its_end(&watcher) {
                deadline = Some(Instant::now() + AFTERMATH);
            }
        }
        // A busy machine takes its time: without harm it is waited for.
        (deadline.is_none() && stage.is_some() && patience < Instant::now()).then_some(By::Hand)
    });
    // Who is killed is gone before strace has written that down.
    let killed = harm == Harm::Kill && by == By::AnotherStart;
    if !killed && !harm.happened(&trial.trace()) {
        assert!(by == By::Itself, "without harm, it comes to its end");
        return End::NotReached;
    }
    let stage = stage.unwrap_or_else(|| trial.stage());
    // It may have come between two looks.
    let by = if harm == Harm::Kill { By::AnotherStart } else { by };
    if by == By::Itself {
        trial.stop(&mut watcher);
        trial.expect_ended_well();
        return End::Completed(stage, by);
    }
    if by == By::Hand {
        watcher.stop();
    } else if moment.number.is_multiple_of(2) {
        // Half of the next starts come while the node is still on its way out.
        trial.wait_until_no_node_runs();
    }
    let mut watcher = trial.start();
    trial.wait_for_the_end(&watcher);
    trial.stop(&mut watcher);
    trial.expect_ended_well();
    End::Completed(stage, by)
}
