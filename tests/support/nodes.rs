//! The node processes of a home, counted from outside: what `/proc` shows, never what a supervisor believes.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// A running node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Node {
    /// Its process.
    pub(crate) pid: i32,
    /// Who started it, or looks after it since.
    pub(crate) parent: i32,
    /// What it runs: the node's binary, or the shell where the node is a script.
    pub(crate) executable: PathBuf,
}

/// The nodes that run on a home now: processes called `name`, told to `start`, with this home in `DAEMON_HOME`.
pub(crate) fn alive(home: &Path, name: &str) -> Vec<Node> {
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let found: Vec<Node> = processes
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            is_node(&entry.path(), home, name).then_some(())?;
            let executable = fs::read_link(entry.path().join("exe")).ok()?;
            Some(Node { pid, parent: parent(&entry.path())?, executable })
        })
        .collect();
    // A shell that is about to run a command is, for a moment, two processes of the same name.
    let pids: BTreeSet<i32> = found.iter().map(|node| node.pid).collect();
    found.into_iter().filter(|node| !pids.contains(&node.parent)).collect()
}

fn is_node(process: &Path, home: &Path, name: &str) -> bool {
    let read = |file: &str| fs::read(process.join(file)).unwrap_or_default();
    let has = |file: &str, wanted: &[u8]| read(file).split(|byte| *byte == 0).any(|part| part == wanted);
    let home = [b"DAEMON_HOME=", home.as_os_str().as_bytes()].concat();
    read("comm").trim_ascii_end() == name.as_bytes() && has("cmdline", b"start") && has("environ", &home)
}

/// The parent, from the fourth field of `stat`; the second, the name in brackets, is skipped from its end (proc(5)).
fn parent(process: &Path) -> Option<i32> {
    let stat = fs::read_to_string(process.join("stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}
