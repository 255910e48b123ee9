//! What a supervisor took.

use std::fs;

use crate::supervisor::Supervisor;

/// The most memory that it used at a time, in kB: `VmHWM` of proc(5).
pub(crate) fn peak(supervisor: &Supervisor) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", supervisor.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says it");
    line.trim().trim_end_matches(" kB").parse().expect("it is a number")
}
