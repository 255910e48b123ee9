//! A node that an earlier `watcher` left behind: behind a wrapper script that does not exec, the signal at the parent's
//! end reaches the script alone. Whoever still has the node's lock file open is that node.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::{ffi::OsStringExt as _, fs::MetadataExt as _},
    path::Path,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::requests::Requests;
use crate::{
    decide::facts::NodeLock,
    home::{Home, lock},
};

/// How long the signal at the parent's end may need before anything is sent again.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the lock is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until nobody holds the node's lock: first by itself, then after SIGTERM to its holders, and after `grace` or as
/// soon as it is requested after SIGKILL.
///
/// # Errors
/// Where the lock cannot be read, or is still held after SIGKILL.
pub async fn stop(home: &Home, grace: Duration, mut requests: Requests) -> io::Result<()> {
    let gently = async {
        if freed(home, PATIENCE).await? {
            return Ok(true);
        }
        send(home, Signal::SIGTERM)?;
        freed(home, grace).await
    };
    let gone = tokio::select! {
        gone = gently => gone?,
        () = requests.reach(1) => false,
    };
    if gone {
        return Ok(());
    }
    send(home, Signal::SIGKILL)?;
    if freed(home, PATIENCE).await? {
        return Ok(());
    }
    let text = format!("a process still holds {}; find it with `fuser` and end it", lock::node_path(home).display());
    Err(io::Error::new(io::ErrorKind::TimedOut, text))
}

/// The arguments of the node that runs on a home, as far as this user may see them; none where none runs.
#[must_use]
pub fn arguments(home: &Home) -> Vec<OsString> {
    let pids = holders(&lock::node_path(home)).unwrap_or_default();
    let line = pids.iter().find_map(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok()).unwrap_or_default();
    line.split(|byte| *byte == 0).skip(1).map(|word| OsString::from_vec(word.to_vec())).collect()
}

fn send(home: &Home, signal: Signal) -> io::Result<()> {
    let pids = holders(&lock::node_path(home))?;
    tracing::warn!(?pids, %signal, "stopping the node that was left");
    for pid in pids {
        // It may have ended by now.
        let _ = kill(Pid::from_raw(pid), signal);
    }
    Ok(())
}

async fn freed(home: &Home, patience: Duration) -> io::Result<bool> {
    let end = Instant::now() + patience;
    loop {
        if lock::node(home)? == NodeLock::Free {
            return Ok(true);
        }
        if Instant::now() >= end {
            return Ok(false);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Processes other than this one that have a file open.
fn holders(file: &Path) -> io::Result<Vec<i32>> {
    let wanted = fs::metadata(file)?;
    let us = i32::try_from(std::process::id()).unwrap_or_default();
    let pids = fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let holds = |pid: &i32| {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut open = descriptors.filter_map(|entry| fs::metadata(entry.path()).ok());
        open.any(|meta| meta.dev() == wanted.dev() && meta.ino() == wanted.ino())
    };
    Ok(pids.filter(|pid| *pid != us).filter(holds).collect())
}
