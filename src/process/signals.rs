//! Signals that reach `watcher` from outside.

use std::io;

use nix::sys::signal::Signal as System;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::decide::event::Signal;

/// The signals that end a program by default and that this one only outlives.
const OUTLIVED: [System; 6] =
    [System::SIGUSR1, System::SIGUSR2, System::SIGALRM, System::SIGIO, System::SIGPWR, System::SIGXFSZ];

/// The signals that ask for a stop. Once made, none of them ends this process by itself.
#[derive(Debug)]
pub struct Signals {
    terminate: Stream,
    interrupt: Option<Stream>,
    hangup: Option<Stream>,
    quit: Option<Stream>,
}

impl Signals {
    /// Begins to listen. What our parent had us ignore, as nohup(1) does with SIGHUP, stays ignored.
    ///
    /// # Errors
    /// Where the system refuses handlers.
    pub fn listen() -> io::Result<Self> {
        let ignored = ignored();
        let heeded =
            |number: System, kind| (ignored & (1 << (number as u32 - 1)) == 0).then(|| signal(kind)).transpose();
        // These ask for nothing, and cosmovisor outlives them: what rotates logs may send one, and the node would go with us.
        // They are heard, not ignored, because the node would inherit that.
        for number in OUTLIVED {
            heeded(number, SignalKind::from_raw(number as i32))?;
        }
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: heeded(System::SIGINT, SignalKind::interrupt())?,
            hangup: heeded(System::SIGHUP, SignalKind::hangup())?,
            quit: heeded(System::SIGQUIT, SignalKind::quit())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Terminate,
            () = heard(&mut self.interrupt) => Signal::Interrupt,
            () = heard(&mut self.hangup) => Signal::Hangup,
            () = heard(&mut self.quit) => Signal::Quit,
        }
    }
}

/// The signal that the node gets for one from outside. A CometBFT node ignores SIGHUP.
#[must_use]
pub const fn forwarded(signal: Signal) -> System {
    match signal {
        Signal::Terminate | Signal::Hangup => System::SIGTERM,
        Signal::Interrupt => System::SIGINT,
        Signal::Quit => System::SIGQUIT,
    }
}

async fn heard(stream: &mut Option<Stream>) {
    match stream {
        Some(stream) => {
            stream.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// The signals that are ignored, a bit each, the first for signal 1 (proc(5), `SigIgn`); none where the system does not say.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
