//! The node: started, signalled, reaped.

use std::io;

use nix::sys::signal::Signal;

use super::{
    ear::Ear,
    program::{Child, Program},
};
use crate::decide::{
    decision::RunId,
    event::{NodeExit, Words},
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
    /// Starts it. With `listening`, which says whether folders keep the case of names, what it prints goes through us, and its
    /// last words are heard.
    ///
    /// # Errors
    /// Where the system cannot start it, for example because it is for another architecture.
    pub fn start(run: RunId, program: Program, listening: Option<bool>) -> io::Result<Self> {
        let opened = listening.map(Ear::open).transpose()?;
        let (ear, program) = match opened {
            Some((ear, streams, held)) => {
                (Some(ear), held.into_iter().fold(program.printing_into(streams), Program::keeping))
            }
            None => (None, program),
        };
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
