//! `strace` on a running `watcher`: every thread of it, and none of the nodes and hooks it starts.

use std::{
    collections::{BTreeSet, HashMap},
    fs, iter,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use nix::unistd::Pid;

use crate::{tools, wait};

/// Calls that change what other processes or the next start can see.
const MUTATING: &[&str] = &[
    "openat",
    "creat",
    "write",
    "pwrite64",
    "writev",
    "copy_file_range",
    "sendfile",
    "ftruncate",
    "fallocate",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "rmdir",
    "chmod",
    "fchmod",
    "fchmodat",
    "utimensat",
    "fsync",
    "fdatasync",
    "kill",
    "pidfd_send_signal",
    "clone",
    "clone3",
    "vfork",
];
/// Calls that only matter on files of the home: elsewhere they are log lines and wake-ups.
const ON_FILES: &[&str] = &["openat", "write", "pwrite64", "writev", "copy_file_range", "sendfile"];

/// Calls that do not ask anything of a filesystem.
const ON_PROCESSES: &[&str] = &["kill", "pidfd_send_signal", "clone", "clone3", "vfork"];

/// What is done to a call: it never happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// SIGKILL is there first.
    Kill,
    /// It fails with this error, as on a full, broken or read-only disk.
    Error(&'static str),
}

impl Harm {
    /// Every one of them.
    pub(crate) const ALL: [Self; 4] = [Self::Kill, Self::Error("ENOSPC"), Self::Error("EIO"), Self::Error("EROFS")];

    /// Whether this can come to pass at a moment.
    pub(crate) fn befalls(self, moment: &Moment) -> bool {
        self == Self::Kill || !ON_PROCESSES.contains(&moment.name.as_str())
    }

    /// Whether it did, by the log.
    pub(crate) fn happened(self, log: &str) -> bool {
        log.contains(if self == Self::Kill { "killed by SIGKILL" } else { "(INJECTED)" })
    }

    fn at(self, Moment { name, number, path }: &Moment) -> impl Iterator<Item = String> {
        let harm = match self {
            Self::Kill => "signal=SIGKILL",
            Self::Error(error) => &format!("error={error}"),
        };
        let path = path.iter().map(|path| format!("--trace-path={}", path.display()));
        path.chain(iter::once(format!("--inject={name}:{harm}:when={number}")))
    }
}

/// The `number`th call of `name` that a thread makes after strace has come.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment {
    /// The system call.
    pub(crate) name: String,
    /// Counted from 1.
    pub(crate) number: u32,
    /// Where only those count whose first argument is this path, or a descriptor of it.
    pub(crate) path: Option<PathBuf>,
}

/// Whether strace is here and may attach to a process, as it may where nothing like Yama forbids it.
pub(crate) fn usable() -> bool {
    tools::found("strace", "--version") && {
        let mut sleeper = Command::new("sleep").arg("60").spawn().expect("sleep can be started");
        let mut strace =
            command(Path::new("/dev/null"), Pid::from_raw(sleeper.id().cast_signed())).spawn().expect("it is here");
        let attached = wait::until("strace attaches or gives up", Duration::from_secs(10), || {
            if strace.try_wait().expect("a child can be asked").is_some() {
                Some(false)
            } else {
                traced(sleeper.id()).then_some(true)
            }
        });
        sleeper.kill().expect("a child can be killed");
        sleeper.wait().expect("a child can be waited for");
        strace.wait().expect("a child can be waited for");
        attached
            || tools::missing("strace", "may not attach to a process here (kernel.yama.ptrace_scope, CAP_SYS_PTRACE)")
    }
}

/// Attaches to a process, which comes to harm at a moment.
///
/// # Panics
/// Where strace does not attach.
pub(crate) fn attach(process: Pid, log: &Path, harm: Option<(&Moment, Harm)>) -> Child {
    let mut command = command(log, process);
    command.args(harm.into_iter().flat_map(|(moment, harm)| harm.at(moment)));
    let mut strace = command.spawn().expect("strace is here");
    // Where harm comes at once, both may be gone again by now.
    wait::until("strace attaches", Duration::from_secs(10), || {
        let mut gone = || strace.try_wait().expect("a child can be asked").is_some();
        (traced(process.as_raw().cast_unsigned()) || gone()).then_some(())
    });
    strace
}

/// `strace`, to which a program with its arguments is to be added, which comes to harm at a moment.
pub(crate) fn around(log: &Path, harm: Option<(&Moment, Harm)>) -> Command {
    let mut command = tracing(log, "");
    command.args(harm.into_iter().flat_map(|(moment, harm)| harm.at(moment)));
    command
}

fn command(log: &Path, process: Pid) -> Command {
    let mut command = tracing(log, "execve,");
    command.arg("--detach-on=execve").arg(format!("--attach={process}"));
    command
}

fn tracing(log: &Path, more: &str) -> Command {
    let mut command = Command::new("strace");
    command
        .args(["--follow-forks", "--decode-fds=path", "--string-limit=400", "--quiet=all"])
        .arg(format!("--trace={more}{}", MUTATING.join(",")))
        .arg(format!("--output={}", log.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Whether every thread of a process has a tracer (proc(5)).
fn traced(process: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let mut statuses = threads.map(|thread| fs::read_to_string(thread.path().join("status")).unwrap_or_default());
    statuses.all(|status| status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0")))
}

/// The moments in a log at which a process changed something: its home, or other processes.
pub(crate) fn moments(log: &str, home: &Path) -> BTreeSet<Moment> {
    let inside = format!("{}/", home.display());
    // A child on its way to another program is not the process itself.
    let children: BTreeSet<&str> = log
        .lines()
        .filter_map(|line| line.split_once(' ').filter(|(_, call)| call.trim_start().starts_with("execve(")))
        .map(|(pid, _)| pid)
        .collect();
    let mut numbers: HashMap<(&str, &str), u32> = HashMap::new();
    let mut found = BTreeSet::new();
    for line in log.lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let Some((name, rest)) = call.trim_start().split_once('(') else { continue };
        if children.contains(pid) || !MUTATING.contains(&name) {
            continue;
        }
        let number = numbers.entry((pid, name)).or_default();
        *number += 1;
        let writes = name != "openat" || ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|flag| rest.contains(flag));
        if writes && (!ON_FILES.contains(&name) || rest.contains(&inside)) {
            found.insert(Moment { name: name.to_owned(), number: *number, path: None });
        }
    }
    found
}
