//! The node: started, signalled, reaped.

use std::{ffi::OsString, io, os::fd::OwnedFd, path::Path};

use nix::sys::signal::Signal;

use super::{
    ear::Ear,
    program::{Child, Program},
};
use crate::{
    decide::{
        decision::RunId,
        event::{NodeExit, Words},
    },
    home::Home,
};

/// A node that runs.
#[derive(Debug)]
pub struct Node {
    /// Which start this is.
    pub run: RunId,
    child: Child,
    ear: Option<Ear>,
}

impl Node {
    /// Starts `binary` with `args` verbatim, its streams the same as ours, or, where it is listened to, passed on by us.
    ///
    /// # Errors
    /// Where the system cannot start it, for example because it is for another architecture.
    pub fn start(
        home: &Home,
        run: RunId,
        binary: &Path,
        args: &[OsString],
        lock: OwnedFd,
        listen: bool,
    ) -> io::Result<Self> {
        let mut program = Program::new(home, binary, Signal::SIGTERM).arguments(args).keeping(lock);
        let mut ear = None;
        if listen {
            let (opened, streams) = Ear::open(home.keep_case)?;
            program = program.printing_into(streams);
            ear = Some(opened);
        }
        Ok(Self { run, child: program.start()?, ear })
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

    /// Waits until it has ended and is reaped, and gives what it said of it where it was listened to. May be dropped and
    /// called again.
    ///
    /// # Errors
    /// Where the system cannot tell.
    pub async fn wait(&mut self) -> io::Result<(NodeExit, Option<Words>)> {
        let exit = self.child.wait().await?;
        let words = match &mut self.ear {
            Some(ear) => ear.words().await,
            None => None,
        };
        Ok((exit, words))
    }
}
