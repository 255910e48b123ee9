//! The node: started, signalled, reaped.

use std::{ffi::OsString, io, os::fd::OwnedFd, path::Path};

use nix::sys::signal::Signal;

use super::program::{Child, Program};
use crate::{
    decide::{decision::RunId, event::NodeExit},
    home::{Home, version::Wishes},
};

/// A node that runs.
#[derive(Debug)]
pub struct Node {
    /// Which start this is.
    pub run: RunId,
    child: Child,
}

impl Node {
    /// Starts `binary` with `args` verbatim, in the environment that is wanted for its version, its streams the same as ours.
    ///
    /// # Errors
    /// Where the system cannot start it, for example because it is for another architecture.
    pub fn start(
        home: &Home,
        run: RunId,
        binary: &Path,
        args: &[OsString],
        wishes: &Wishes,
        lock: OwnedFd,
    ) -> io::Result<Self> {
        let node = Program::new(home, binary, Signal::SIGTERM).arguments(args).wished(wishes);
        Ok(Self { run, child: node.keeping(lock).start()? })
    }

    /// Its process number.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.child.pid()
    }

    /// Sends a signal. A node that has ended already is no error.
    pub fn signal(&self, signal: Signal) {
        self.child.signal(signal);
    }

    /// Waits until it has ended and is reaped. May be dropped and called again.
    ///
    /// # Errors
    /// Where the system cannot tell.
    pub async fn wait(&mut self) -> io::Result<NodeExit> {
        self.child.wait().await
    }
}
