//! `watcher backups restore` comes to harm at every system call with which it changes something, each time on a fresh home: it
//! is killed, or the call fails as on a full, broken or read-only disk. Doing it again must bring back everything, and lose
//! nothing. Needs strace.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
};

use crate::{
    backups::{files, upgraded, validator},
    home::{NAME, output},
    say::say,
    strace::{self, Harm, Moment},
};

/// Homes at a time.
const WORKERS: usize = 6;
const SIGNED: &str = r#"{"height":"11","round":0,"step":3}"#;

#[test]
fn harm_at_some_changes_of_a_restore_is_made_good_by_doing_it_again() {
    harm_is_made_good(8);
}

#[test]
#[ignore = "takes minutes: `cargo test --test run -- --ignored --nocapture harm`"]
fn harm_at_any_change_of_a_restore_is_made_good_by_doing_it_again() {
    harm_is_made_good(1);
}

/// One in so many cases is tried.
fn harm_is_made_good(apart: usize) {
    if !strace::usable() {
        return;
    }
    let home = validator();
    upgraded(&home, &[]);
    home.write("data/priv_validator_state.json", SIGNED);
    home.write("data/new.db/CURRENT", "after");
    home.write("wasm/state/code", "after");
    let trial = |harm: Option<(&Moment, Harm)>, number: usize| Trial::of(&home.path, number).run(harm);
    let (_, moments) = trial(None, 0);
    assert!(moments.len() > 30, "a restore changes more than this: {moments:?}");
    let harms = moments.iter().flat_map(|moment| Harm::ALL.map(|harm| (moment, harm)));
    let harms: Vec<_> = harms.filter(|(moment, harm)| harm.befalls(moment)).step_by(apart).collect();
    let queue = Mutex::new(harms.iter().enumerate());
    let reached: BTreeMap<Harm, usize> = thread::scope(|scope| {
        let work = || {
            let next = || queue.lock().expect("no trial fails while it holds this").next();
            let trials = std::iter::from_fn(next);
            trials
                .filter(|(number, harm)| trial(Some(**harm), number + 1).0)
                .map(|(_, harm)| harm.1)
                .collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        let reached = workers.into_iter().flat_map(|worker| worker.join().expect("each failure is told above"));
        reached.fold(BTreeMap::new(), |mut counts, harm| {
            *counts.entry(harm).or_default() += 1;
            counts
        })
    });
    say(&format!(
        "{} moments, {} times to come to harm, reached and completed: {reached:?}",
        moments.len(),
        harms.len()
    ));
    assert!(reached.values().sum::<usize>() * 5 >= harms.len() * 4, "too many moments were not reached again");
}

/// A copy of a home.
struct Trial {
    home: PathBuf,
    log: PathBuf,
}

impl Trial {
    fn of(home: &Path, number: usize) -> Self {
        let copy = home.with_file_name(format!("trial-{number}"));
        let copied = Command::new("cp").arg("-a").arg(home).arg(&copy).status().expect("cp is there");
        assert!(copied.success());
        let index = copy.join("cosmovisor/watcher/backups.json");
        let text = fs::read_to_string(&index).expect("there is a backup");
        let here = |path: &Path| path.to_str().expect("it is text").to_owned();
        fs::write(index, text.replace(&here(home), &here(&copy))).expect("the copy can be written");
        Self { log: copy.with_extension("strace"), home: copy }
    }

    /// Restores, harmed at a moment, and again where that failed. Gives whether it came to harm, and the moments of the run.
    fn run(&self, harm: Option<(&Moment, Harm)>) -> (bool, BTreeSet<Moment>) {
        let restore = |command: &mut Command| {
            command.args(["backups", "restore", "--yes"]).env_clear().env("DAEMON_HOME", &self.home);
            command.env("DAEMON_NAME", NAME).envs(env::var_os("PATH").map(|path| ("PATH", path)));
            output(command)
        };
        let program = env!("CARGO_BIN_EXE_watcher");
        let mut command = strace::around(&self.log, harm);
        let first = restore(command.arg(program));
        let log = fs::read_to_string(&self.log).expect("strace wrote a log");
        let harmed = harm.is_some_and(|(_, harm)| harm.happened(&log));
        assert!(harmed || first.status.success(), "{first:?}\n{log}");
        assert_eq!(self.read("data/priv_validator_state.json"), SIGNED, "it is there at any time: {harm:?}");
        if !first.status.success() {
            let again = restore(&mut Command::new(program));
            assert!(again.status.success(), "{harm:?}: {again:?}\nafter {first:?}");
        }
        self.expect_restored(harm);
        fs::remove_dir_all(&self.home).expect("it is ours");
        (harmed, strace::moments(&log, &self.home))
    }

    fn expect_restored(&self, harm: Option<(&Moment, Harm)>) {
        assert_eq!((self.read("data/height").trim(), self.read("wasm/state/code").as_str()), ("10", "before"));
        assert_eq!(self.read("data/application.db/000001.ldb"), "application.db/000001.ldb");
        assert_eq!(self.read("data/priv_validator_state.json"), SIGNED);
        assert_eq!(self.read("config/node_key.json"), "secret");
        assert!(!self.home.join("data/new.db").exists(), "{harm:?}");
        let all = files(&self.home);
        let after = |path: &str| {
            let of = all.iter().filter(|file| file.ends_with(path));
            of.filter(|file| fs::read_to_string(file).is_ok_and(|text| text == "after")).count()
        };
        assert_eq!((after("new.db/CURRENT"), after("state/code")), (1, 1), "nothing is lost: {harm:?}");
        let parts = ["-restored-", "/.watcher-leaving", "restore.json"];
        let unfinished = |path: &PathBuf| parts.iter().any(|part| path.to_string_lossy().contains(part));
        assert!(!all.iter().any(unfinished), "nothing unfinished is left: {harm:?}");
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.home.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}
