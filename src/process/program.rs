//! A program that runs beside `watcher` and cannot outlive it.

use std::{
    collections::BTreeMap,
    ffi::{CString, OsStr, OsString},
    fs::File,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStringExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use nix::{
    fcntl::OFlag,
    sys::{
        signal::{Signal, kill, killpg},
        wait::waitpid,
    },
    unistd::{Pid, pipe2},
};
use tokio::{io::AsyncReadExt as _, net::unix::pipe::Receiver};

use super::{birth, descriptor::Readable, orphans, requests::Requests};
use crate::{
    decide::event::NodeExit,
    home::{Home, version::Wishes},
};

/// What a program prints beyond this is not kept.
const MOST_OUTPUT: u64 = 1 << 20;
/// How long a program that was asked to stop may take.
const STOPS_WITHIN: Duration = Duration::from_secs(5);
/// Within this time of each other a program and we are stopped by the same hand.
const SAME_MOMENT: Duration = Duration::from_millis(200);
/// How long is waited for what a program printed once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A program with its arguments, environment and streams, ready to be started.
#[derive(Debug)]
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
    environment: BTreeMap<OsString, OsString>,
    folder: PathBuf,
    streams: [Option<OwnedFd>; 3],
    kept: Vec<OwnedFd>,
    at_our_end: Signal,
    own_group: bool,
}

/// What a program printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub exit: NodeExit,
    /// Its standard output, up to a mebibyte.
    pub stdout: Vec<u8>,
    /// Its standard error, up to a mebibyte.
    pub stderr: Vec<u8>,
}

impl Output {
    /// The last of what it printed, for a message about its failure.
    #[must_use]
    pub fn last_words(&self) -> String {
        const KEPT: usize = 2_000;
        let said = if self.stderr.is_empty() { &self.stdout } else { &self.stderr };
        String::from_utf8_lossy(&said[said.len().saturating_sub(KEPT)..]).trim().to_string()
    }
}

/// A child that runs, or has ended.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    end: Readable,
    exit: Option<NodeExit>,
    /// Whether it is killed and reaped when nobody waits for it any more.
    killed_on_drop: bool,
}

impl Program {
    /// A program in the node's working directory and environment, with our streams. It is sent `at_our_end` when the
    /// thread that starts it ends, which must be the one that `watcher` lives on.
    ///
    /// What is meant for `watcher` alone (`WATCHER_…`, the service manager's socket) is not passed on.
    #[must_use]
    pub fn new(home: &Home, path: &Path, at_our_end: Signal) -> Self {
        Self {
            path: path.to_owned(),
            arguments: Vec::new(),
            environment: std::env::vars_os().filter(|(name, _)| !is_ours(name)).collect(),
            folder: home.root(),
            streams: [None, None, None],
            kept: Vec::new(),
            at_our_end,
            own_group: false,
        }
    }

    /// With these arguments behind those it has.
    #[must_use]
    pub fn arguments(mut self, arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// With the environment that the operator wants for its version.
    #[must_use]
    pub fn wished(mut self, wishes: &Wishes) -> Self {
        wishes.change(&mut self.environment);
        self
    }

    /// With this variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// With these variables, where none of them is there already.
    #[must_use]
    pub fn or_variables<const N: usize>(mut self, variables: [(&str, &str); N]) -> Self {
        if variables.iter().all(|(name, _)| !self.environment.contains_key(OsStr::new(name))) {
            self.environment.extend(variables.map(|(name, value)| (name.into(), value.into())));
        }
        self
    }

    /// Without the variables of which `unwanted` says so.
    #[must_use]
    pub fn without(mut self, unwanted: impl Fn(&OsStr) -> bool) -> Self {
        self.environment.retain(|name, _| !unwanted(name));
        self
    }

    /// In another working directory.
    #[must_use]
    pub fn folder(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.folder);
        self
    }

    /// Holding this descriptor, which lives as long as the program and whatever it starts.
    #[must_use]
    pub fn keeping(mut self, descriptor: OwnedFd) -> Self {
        self.kept.push(descriptor);
        self
    }

    /// With this file as its standard output.
    #[must_use]
    pub fn printing_to(mut self, file: File) -> Self {
        self.streams[1] = Some(file.into());
        self
    }

    /// With these as its standard output and standard error.
    #[must_use]
    pub fn printing_into(mut self, [out, err]: [OwnedFd; 2]) -> Self {
        (self.streams[1], self.streams[2]) = (Some(out), Some(err));
        self
    }

    /// As the leader of a process group of its own: what a terminal sends to ours does not reach it.
    #[must_use]
    pub const fn in_its_own_group(mut self) -> Self {
        self.own_group = true;
        self
    }

    /// With nothing to read.
    ///
    /// # Errors
    /// Where there is no `/dev/null`.
    pub fn without_input(mut self) -> io::Result<Self> {
        self.streams[0] = Some(File::open("/dev/null")?.into());
        Ok(self)
    }

    /// Starts it.
    ///
    /// # Errors
    /// Where the system cannot start it, for example because it is for another architecture, or where an argument has a
    /// zero byte in it.
    pub fn start(self) -> io::Result<Child> {
        let text = |text: OsString| CString::new(text.into_vec()).map_err(io::Error::other);
        let assigned = |(mut name, value): (OsString, OsString)| {
            name.push("=");
            name.push(value);
            text(name)
        };
        let program = text(self.path.into_os_string())?;
        let arguments = self.arguments.into_iter().map(text);
        let plan = birth::Plan {
            arguments: std::iter::once(Ok(program.clone())).chain(arguments).collect::<io::Result<_>>()?,
            program,
            environment: self.environment.into_iter().map(assigned).collect::<io::Result<_>>()?,
            folder: text(self.folder.into_os_string())?,
            streams: self.streams,
            kept: self.kept,
            at_our_end: self.at_our_end,
            own_group: self.own_group,
        };
        let (pid, end) = birth::start(&plan)?;
        orphans::awaited().insert(pid.as_raw());
        let end = Readable::new(end).inspect_err(|_| {
            // What cannot be waited for must not run.
            let _ = kill(pid, Signal::SIGKILL);
            reap(pid);
        })?;
        Ok(Child { pid, end, exit: None, killed_on_drop: false })
    }

    /// Starts it, and waits until it has ended, with what it printed. It is killed where nobody waits any more.
    ///
    /// # Errors
    /// As [`Program::start`].
    pub async fn output(self) -> io::Result<Output> {
        let (child, pipes) = self.heard()?;
        ended(child, pipes).await
    }

    /// As [`Program::output`], in a process group of its own that is asked to stop: the first request reaches the group as
    /// SIGTERM, and after five seconds or at the second one it is killed. None where it was asked. An exit that is not
    /// `fine` may come of the same request, sent to everybody at once, which is waited for a moment.
    ///
    /// # Errors
    /// As [`Program::start`].
    pub async fn output_unless(
        self,
        mut requests: Requests,
        fine: impl Fn(NodeExit) -> bool,
    ) -> io::Result<Option<Output>> {
        let (child, pipes) = self.in_its_own_group().heard()?;
        let group = Pid::from_raw(child.pid());
        let output = ended(child, pipes);
        tokio::pin!(output);
        tokio::select! {
            output = &mut output => {
                let output = output?;
                let asked = async { tokio::time::timeout(SAME_MOMENT, requests.reach(1)).await.is_ok() };
                return Ok(if fine(output.exit) || !asked.await { Some(output) } else { None });
            }
            () = requests.reach(1) => {}
        }
        // That there is nobody left in the group is no error.
        let _ = killpg(group, Signal::SIGTERM);
        let over = tokio::select! {
            _ = &mut output => true,
            () = requests.reach(2) => false,
            () = tokio::time::sleep(STOPS_WITHIN) => false,
        };
        let _ = killpg(group, Signal::SIGKILL);
        if !over {
            output.await?;
        }
        Ok(None)
    }

    /// Starts it with pipes for what it prints.
    fn heard(mut self) -> io::Result<(Child, [OwnedFd; 2])> {
        let (stdout, into_stdout) = pipe2(OFlag::O_CLOEXEC)?;
        let (stderr, into_stderr) = pipe2(OFlag::O_CLOEXEC)?;
        self.streams[1] = Some(into_stdout);
        self.streams[2] = Some(into_stderr);
        let mut child = self.without_input()?.start()?;
        child.killed_on_drop = true;
        Ok((child, [stdout, stderr]))
    }
}

/// Waits until it has ended, with what it printed.
async fn ended(mut child: Child, [stdout, stderr]: [OwnedFd; 2]) -> io::Result<Output> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = {
        let reading = async { tokio::try_join!(printed(stdout, &mut out), printed(stderr, &mut err)) };
        tokio::pin!(reading);
        tokio::select! {
            exit = child.wait() => {
                // What it started may hold the pipes open for ever.
                let _ = tokio::time::timeout(LAST_WORDS, &mut reading).await;
                exit
            }
            _ = &mut reading => child.wait().await,
        }
    }?;
    Ok(Output { exit, stdout: out, stderr: err })
}

impl Child {
    /// Its process number.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Sends a signal, unless it is known to have ended.
    pub fn signal(&self, signal: Signal) {
        if self.exit.is_none() {
            // It is not reaped yet, so the number is still its own; that it has just ended is no error.
            let _ = kill(self.pid, signal);
        }
    }

    /// Waits until it has ended and is reaped. May be dropped and called again.
    ///
    /// # Errors
    /// Where the system cannot tell.
    pub async fn wait(&mut self) -> io::Result<NodeExit> {
        if let Some(exit) = self.exit {
            return Ok(exit);
        }
        let pid = self.pid;
        let exit = self.end.read(|| birth::reap(pid)).await?;
        self.exit = Some(exit);
        orphans::awaited().remove(&pid.as_raw());
        Ok(exit)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.killed_on_drop && self.exit.is_none() {
            self.signal(Signal::SIGKILL);
            // It may take a while to die, on a disk that does not answer, and nothing waits for it.
            let pid = self.pid;
            if std::thread::Builder::new().spawn(move || reap(pid)).is_err() {
                reap(pid);
            }
        }
    }
}

/// Waits for a child of which nobody wants to know how it ended.
fn reap(pid: Pid) {
    let _ = waitpid(pid, None);
    orphans::awaited().remove(&pid.as_raw());
}

async fn printed(pipe: OwnedFd, kept: &mut Vec<u8>) -> io::Result<()> {
    let mut receiver = Receiver::from_owned_fd(pipe)?;
    (&mut receiver).take(MOST_OUTPUT).read_to_end(kept).await?;
    // A pipe that nobody empties would hold the program up.
    tokio::io::copy(&mut receiver, &mut tokio::io::sink()).await?;
    Ok(())
}

fn is_ours(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("WATCHER_") || ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"].contains(&name.as_ref())
}
