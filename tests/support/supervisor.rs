//! `watcher run` as a process of its own, with nothing in its environment but what the test gives it.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{nodes, say::say, wait};

/// A supervisor at work on a home. Whatever it leaves behind is killed when the value is dropped.
pub(crate) struct Supervisor {
    child: Child,
    home: PathBuf,
    name: &'static str,
}

impl Supervisor {
    /// Starts `watcher run start --home HOME`, or what `WATCHER_UNDER_TEST` names instead of `watcher`.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub(crate) fn start(home: &Path, name: &'static str, settings: &[(&str, &str)]) -> Self {
        let program =
            env::var_os("WATCHER_UNDER_TEST").unwrap_or_else(|| OsString::from(env!("CARGO_BIN_EXE_watcher")));
        let mut command = Command::new(program);
        command.arg("run");
        Self::spawn(command, home, name, settings)
    }

    /// Starts another program in the place of `watcher run`: the node itself, say.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub(crate) fn spawn(mut command: Command, home: &Path, name: &'static str, settings: &[(&str, &str)]) -> Self {
        let log = File::options().create(true).append(true).open(log_of(home)).expect("the log can be written");
        let child = command
            .args(["start", "--home"])
            .arg(home)
            .env_clear()
            .envs(env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", home)
            .env("DAEMON_HOME", home)
            .env("DAEMON_NAME", name)
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a descriptor can be duplicated"))
            .stderr(log)
            .spawn()
            .expect("the program can be started");
        Self { child, home: home.to_owned(), name }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// How it ended, where it did.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked")
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        kill(self.pid(), Signal::SIGTERM).expect("it is still there to be asked");
        wait::until("it stops when it is asked to", Duration::from_secs(30), || self.ended())
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = fs::read(log_of(&self.home)).unwrap_or_default();
            let end = String::from_utf8_lossy(&log[log.len().saturating_sub(6000)..]).into_owned();
            say(&format!("the end of the log of {}:\n{end}", self.home.display()));
        }
        // Both may be gone already, and that is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            for node in nodes::alive(&self.home, self.name) {
                let _ = kill(Pid::from_raw(node.pid), Signal::SIGKILL);
            }
        }
    }
}

/// Where a home's supervisor and node write: beside the home, so that it is not in anybody's way.
pub(crate) fn log_of(home: &Path) -> PathBuf {
    home.with_extension("log")
}
