//! A home of a test's own, and what can be seen of it from outside.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    thread,
    time::Duration,
};

use nix::sys::signal::{Signal, kill};

use crate::{
    nodes::{self, Node},
    supervisor::{Supervisor, log_of},
    wait,
};

/// The name of every node here.
pub(crate) const NAME: &str = "noded";
/// How long anything may take; what is waited for is there long before on an idle machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// A home; it is removed when the value is dropped.
pub(crate) struct Home {
    /// Where it is.
    pub(crate) path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Home {
    /// One with empty `data` and `cosmovisor`, no node, and nothing at its RPC address.
    pub(crate) fn empty() -> Self {
        Self::empty_in(Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    fn empty_in(folder: &Path) -> Self {
        let folder = tempfile::tempdir_in(folder).expect("the folder can be written");
        let path = folder.path().canonicalize().expect("it was just made").join("home");
        let home = Self { path, _folder: folder };
        fs::create_dir_all(home.at("data")).expect("the home can be written");
        fs::create_dir_all(home.at("cosmovisor")).expect("the home can be written");
        home.write("config/config.toml", "[rpc]\nladdr = \"tcp://127.0.0.1:1\"\n");
        home
    }

    /// One whose genesis node is a shell script with this content.
    pub(crate) fn with_node(script: &str) -> Self {
        let home = Self::empty();
        home.script("cosmovisor/genesis/bin/noded", script);
        home
    }

    /// `fixtures/homes/halting`: a node that halts at height 10 once somebody creates `data/halt`, and its `v2`.
    pub(crate) fn halting() -> Self {
        Self::halting_in(Path::new(env!("CARGO_TARGET_TMPDIR")))
    }

    /// The same within this folder.
    pub(crate) fn halting_in(folder: &Path) -> Self {
        Self::like("halting", Self::empty_in(folder))
    }

    /// `fixtures/homes/steady`: a node that runs, whatever version it is, at the height that is written in `data/height`.
    pub(crate) fn steady() -> Self {
        Self::like("steady", Self::empty())
    }

    fn like(fixture: &str, home: Self) -> Self {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/homes/{fixture}/."));
        let copied = Command::new("cp").arg("-rp").arg(fixture).arg(&home.path).status().expect("cp is there");
        assert!(copied.success());
        home
    }

    /// A path in it.
    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// The text of a file in it.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Writes a file in it, and the folders above.
    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().expect("it lies in the home")).expect("the home can be written");
        fs::write(path, content).expect("the home can be written");
    }

    /// Writes an executable shell script in it, by a rename.
    pub(crate) fn script(&self, path: &str, content: &str) {
        let beside = format!("{path}.new");
        self.write(&beside, &format!("#!/bin/sh\n{content}"));
        self.mode(&beside, 0o755);
        fs::rename(self.at(&beside), self.at(path)).expect("the home can be written");
    }

    /// Sets the permissions of a file in it.
    pub(crate) fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.at(path), fs::Permissions::from_mode(mode)).expect("the home can be written");
    }

    /// Takes a file or folder away.
    pub(crate) fn remove(&self, path: &str) {
        let path = self.at(path);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.expect("the home can be written");
    }

    /// The program's `run`, not started yet, with nothing in its environment but what it needs.
    pub(crate) fn watcher(&self, args: &[&str]) -> Command {
        let mut command = Command::new(crate::program());
        command.arg("run").args(args).env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
        command.env("DAEMON_HOME", &self.path).env("DAEMON_NAME", NAME).envs(crate::SETTINGS).stdin(Stdio::null());
        command
    }

    /// Starts the program's `run start --home HOME`; it looks at its home often.
    pub(crate) fn start(&self, settings: &[(&str, &str)]) -> Supervisor {
        self.start_with(&[], settings)
    }

    /// Starts the program's `run` with these arguments before `start --home HOME`.
    pub(crate) fn start_with(&self, args: &[&str], settings: &[(&str, &str)]) -> Supervisor {
        let mut command = Command::new(crate::program());
        command.arg("run").args(args);
        let settings = [&crate::SETTINGS, [("DAEMON_POLL_INTERVAL", "50ms")].as_slice(), settings].concat();
        Supervisor::spawn(command, &self.path, NAME, &settings)
    }

    /// Lets the node of `fixtures/homes/halting` halt.
    pub(crate) fn halt(&self) {
        self.wait_for_call("start genesis");
        self.write("data/halt", "");
    }

    /// Waits until the node of `fixtures/homes/halting` has set its trap for SIGTERM (`SigCgt` in proc(5)).
    pub(crate) fn wait_until_ready(&self) {
        let caught = || {
            let pid = fs::read_to_string(self.at("data/LOCK")).ok()?;
            let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).ok()?;
            let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?.trim();
            let mask = u64::from_str_radix(mask, 16).expect("it is hexadecimal");
            (mask >> (Signal::SIGTERM as i32 - 1) & 1 == 1).then_some(())
        };
        wait::until("the node can be told to stop", LIMIT, caught);
    }

    /// What the nodes and hooks were asked, a line each.
    pub(crate) fn calls(&self) -> Vec<String> {
        fs::read_to_string(self.at("calls")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// How often exactly this was called.
    pub(crate) fn count(&self, call: &str) -> usize {
        self.calls().iter().filter(|line| *line == call).count()
    }

    /// Waits until this was called.
    pub(crate) fn wait_for_call(&self, call: &str) {
        wait::until(&format!("the call {call:?}"), LIMIT, || (self.count(call) > 0).then_some(()));
    }

    /// Which versions of `fixtures/homes/steady` were asked for their height, in this order.
    pub(crate) fn questions(&self) -> Vec<String> {
        fs::read_to_string(self.at("questions")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Waits until the node was asked three times more, so that every answer up to now was thought about.
    pub(crate) fn wait_for_three_questions(&self) {
        let before = self.questions().len();
        wait::until("the node is asked for its height", LIMIT, || (self.questions().len() >= before + 3).then_some(()));
    }

    /// What `watcher` and the node wrote.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(log_of(&self.path)).unwrap_or_default()
    }

    /// The lines of the log with this in them.
    pub(crate) fn log_lines(&self, part: &str) -> Vec<String> {
        self.log().lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }

    /// Waits until the log has a line with this in it, and gives the first one.
    pub(crate) fn wait_for_log(&self, part: &str) -> String {
        wait::until(&format!("the log line {part:?}"), LIMIT, || self.log_lines(part).into_iter().next())
    }

    /// Where `current` points.
    pub(crate) fn current(&self) -> String {
        let link = fs::read_link(self.at("cosmovisor/current")).expect("current is a link");
        link.to_str().expect("it is text").to_owned()
    }

    /// The nodes that run on it.
    pub(crate) fn nodes(&self) -> Vec<Node> {
        nodes::alive(&self.path, NAME)
    }

    /// The backups in it.
    pub(crate) fn backups(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.path).expect("it is there").flatten().map(|entry| entry.path());
        entries.filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains("backup"))).collect()
    }

    /// Carries `fixtures/homes/halting` through its upgrade and stops it.
    pub(crate) fn is_upgraded(&self) {
        let mut watcher = self.start(&[]);
        self.halt();
        self.expect_upgraded();
        self.wait_for_log("has passed");
        assert!(watcher.stop().success());
    }

    /// Waits until `v2` of `fixtures/homes/halting` made a block, and checks what must hold then.
    pub(crate) fn expect_upgraded(&self) {
        wait::until("v2 makes blocks", LIMIT, || (self.read("data/height").trim() == "11").then_some(()));
        assert_eq!(self.current(), "upgrades/v2");
        assert_eq!(self.nodes().len(), 1);
        let calls = self.calls();
        let after = calls.iter().skip_while(|call| *call != "start v2").filter(|call| *call != "stop v2");
        assert!(after.eq(["start v2"].iter()), "nothing follows the new binary's start: {calls:?}");
    }
}

/// Waits until it ends, and says how.
pub(crate) fn ended(watcher: &mut Supervisor) -> ExitStatus {
    wait::until("watcher ends", LIMIT, || watcher.ended())
}

/// Sends a signal to it.
pub(crate) fn signal(watcher: &Supervisor, signal: Signal) {
    kill(watcher.pid(), signal).expect("it is still there");
}

/// Runs it to its end.
pub(crate) fn output(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started");
    // What is written here fits into a pipe, so nobody waits for a reader.
    wait::until("watcher ends", LIMIT, || child.try_wait().expect("a child can be asked"));
    child.wait_with_output().expect("its output can be read")
}

/// What it wrote, as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Tells a story for each case, all at the same time, in threads that bear the cases' names.
pub(crate) fn each<T: Sync>(cases: &[(&str, T)], story: impl Fn(&T) + Sync) {
    let story = &story;
    thread::scope(|scope| {
        let tell = |(name, case)| {
            let thread = thread::Builder::new().name(String::from(name));
            thread.spawn_scoped(scope, move || story(case)).expect("a thread can be started")
        };
        let stories: Vec<_> = cases.iter().map(|(name, case)| (*name, case)).map(tell).collect();
        let failed = stories.into_iter().filter_map(|story| story.join().err()).count();
        assert_eq!(failed, 0, "each failure is told above");
    });
}
