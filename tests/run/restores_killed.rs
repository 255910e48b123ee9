//! `watcher backups restore` is killed at every system call with which it changes something, each time on a fresh home; doing
//! it again must bring back everything, and lose nothing. Needs strace.

use std::{
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
    strace::{self, Moment},
};

/// Homes at a time.
const WORKERS: usize = 6;
const SIGNED: &str = r#"{"height":"11","round":0,"step":3}"#;

#[test]
fn a_kill_at_any_change_of_a_restore_is_made_good_by_doing_it_again() {
    if !strace::usable() {
        return;
    }
    let home = validator();
    upgraded(&home, &[]);
    home.write("data/priv_validator_state.json", SIGNED);
    home.write("data/new.db/CURRENT", "after");
    home.write("wasm/state/code", "after");
    let trial = |moment: Option<&Moment>, number: usize| Trial::of(&home.path, number).run(moment);
    let moments = trial(None, 0);
    assert!(moments.len() > 30, "a restore changes more than this: {moments:?}");
    let queue = Mutex::new(moments.iter().enumerate());
    let killed: usize = thread::scope(|scope| {
        let work = || {
            let next = || queue.lock().expect("no trial fails while it holds this").next();
            let trials = std::iter::from_fn(next).map(|(number, moment)| trial(Some(moment), number + 1).len());
            trials.sum::<usize>()
        };
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|worker| worker.join().expect("each failure is told above")).sum()
    });
    say(&format!("{} moments, killed at {killed}", moments.len()));
    assert!(killed * 5 >= moments.len() * 4, "too many moments were not reached again");
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

    /// Restores, killed at a moment, and again. Gives the moments of a clean run, or one where it was killed.
    fn run(&self, kill_at: Option<&Moment>) -> Vec<Moment> {
        let restore = |command: &mut Command| {
            command.args(["backups", "restore", "--yes"]).env_clear().env("DAEMON_HOME", &self.home);
            command.env("DAEMON_NAME", NAME).envs(env::var_os("PATH").map(|path| ("PATH", path)));
            output(command)
        };
        let program = env!("CARGO_BIN_EXE_watcher");
        let mut command = strace::around(&self.log, kill_at);
        let first = restore(command.arg(program));
        let log = fs::read_to_string(&self.log).expect("strace wrote a log");
        let killed = log.contains("killed by SIGKILL");
        assert!(killed || first.status.success(), "{first:?}\n{log}");
        assert_eq!(self.read("data/priv_validator_state.json"), SIGNED, "it is there at any time: {kill_at:?}");
        if killed {
            let again = restore(&mut Command::new(program));
            assert!(again.status.success(), "{kill_at:?}: {again:?}");
        }
        self.expect_restored(kill_at);
        let moments = strace::moments(&log, &self.home).into_iter();
        let moments = moments.filter(|_| kill_at.is_none()).chain(kill_at.filter(|_| killed).cloned()).collect();
        fs::remove_dir_all(&self.home).expect("it is ours");
        moments
    }

    fn expect_restored(&self, kill_at: Option<&Moment>) {
        assert_eq!((self.read("data/height").trim(), self.read("wasm/state/code").as_str()), ("10", "before"));
        assert_eq!(self.read("data/application.db/000001.ldb"), "application.db/000001.ldb");
        assert_eq!(self.read("data/priv_validator_state.json"), SIGNED);
        assert_eq!(self.read("config/node_key.json"), "secret");
        assert!(!self.home.join("data/new.db").exists(), "{kill_at:?}");
        let all = files(&self.home);
        let after = |path: &str| {
            let of = all.iter().filter(|file| file.ends_with(path));
            of.filter(|file| fs::read_to_string(file).is_ok_and(|text| text == "after")).count()
        };
        assert_eq!((after("new.db/CURRENT"), after("state/code")), (1, 1), "nothing is lost: {kill_at:?}");
        let parts = ["-restored-", "/.watcher-leaving", "restore.json"];
        let unfinished = |path: &PathBuf| parts.iter().any(|part| path.to_string_lossy().contains(part));
        assert!(!all.iter().any(unfinished), "nothing unfinished is left: {kill_at:?}");
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.home.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }
}
