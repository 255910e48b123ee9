//! Progress of long work: a bar on a terminal, elsewhere a log line for every tenth, or every minute.

use std::{
    io::{self, IsTerminal as _, Write},
    os::fd::AsFd,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    artifact::{self, FetchError, Request},
    decide::{facts::Receipt, plan::Upgrade},
    home::Home,
    http::Web,
};

/// The bar that is drawn now, if any: a log line must not run into it.
static DRAWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes log lines: the bar steps aside for each of them.
#[derive(Debug)]
pub struct Lines(
    /// Where they go.
    pub Stream,
);

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
        let write = || match self.0 {
            Stream::Stdout => offered(&mut io::stdout(), line),
            Stream::Stderr => offered(&mut io::stderr(), line),
        };
        // A terminal that is gone, a disk that is full or a reader that stalls takes the line, and nothing else.
        let _ = match drawn.as_ref() {
            Some(bar) => bar.suspend(write),
            None => write(),
        };
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0 {
            Stream::Stdout => io::stdout().flush(),
            Stream::Stderr => io::stderr().flush(),
        }
    }
}

/// Writes as long as somebody reads: whoever supervises a node must not wait for who reads the log.
fn offered(stream: &mut (impl Write + AsFd), line: &[u8]) -> io::Result<()> {
    /// What a pipe that can be written to takes without waiting (`PIPE_BUF`).
    const PIECE: usize = 4096;
    const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
    const NONE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    /// Nobody read lately, and nobody is waited for again until somebody does.
    static STALLS: AtomicBool = AtomicBool::new(false);
    for piece in line.chunks(PIECE) {
        let patience = if STALLS.load(Ordering::Relaxed) { NONE } else { PATIENCE };
        let stalls = poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&patience))? == 0;
        STALLS.store(stalls, Ordering::Relaxed);
        if stalls {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        stream.write_all(piece)?;
    }
    Ok(())
}

/// Shows how far files have come that are copied, where that takes seconds.
pub(crate) fn of_copying(what: &'static str) -> impl Fn(u64, u64) + Sync {
    const LONG: u64 = 1 << 30;
    let meter = OnceLock::new();
    move |done, total| {
        if total > LONG {
            meter.get_or_init(|| Meter::new(what.to_owned())).show(done, Some(total));
        }
    }
}

/// Fetches what an upgrade asks for, and shows how far that has come.
pub(crate) async fn of_fetching(
    home: &Home,
    web: &Web,
    upgrade: &Upgrade,
    endpoint: &str,
) -> Result<Receipt, FetchError> {
    let meter = Meter::new(format!("fetching upgrade {:?}", upgrade.plan.name));
    let store = home.store();
    let request = Request {
        web,
        upgrade,
        platform: &home.platform,
        daemon_name: &home.daemon,
        must_have_checksum: home.must_have_checksum,
        endpoint,
        store: &store,
    };
    artifact::fetch(request, &|progress| meter.show(progress.done, progress.total)).await
}

/// How long nothing is told at most.
const SELDOM: Duration = Duration::from_mins(1);

/// Shows how far something has come that counts bytes.
#[derive(Debug)]
struct Meter {
    what: String,
    bar: Option<ProgressBar>,
    /// The last tenth that was told, and when something was.
    told: Mutex<(u64, Instant)>,
}

impl Meter {
    /// A meter for one piece of work.
    fn new(what: String) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            let style = ProgressStyle::with_template(template).expect("the template is well-formed");
            ProgressBar::no_length().with_style(style.progress_chars("=> ")).with_message(what.clone())
        });
        DRAWN.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&bar);
        Self { what, bar, told: Mutex::new((0, Instant::now())) }
    }

    /// So much is done, of so much.
    fn show(&self, done: u64, total: Option<u64>) {
        if let Some(bar) = &self.bar {
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar.set_position(done);
            return;
        }
        let total = total.filter(|total| *total > 0);
        let percent = total.map_or(0, |total| done.saturating_mul(100) / total);
        if !self.is_due(percent) {
            return;
        }
        if let Some(total) = total {
            tracing::info!("{}: {percent} % ({done} of {total} bytes)", self.what);
        } else {
            tracing::info!("{}: {done} bytes", self.what);
        }
    }

    /// Whether a line is due. What hardly moves is told as well: at a halt somebody waits for it.
    fn is_due(&self, percent: u64) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let due = percent / 10 > told.0 || told.1.elapsed() >= SELDOM;
        if due {
            *told = (told.0.max(percent / 10), Instant::now());
        }
        due
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            *DRAWN.lock().unwrap_or_else(PoisonError::into_inner) = None;
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tenth_is_told_once_and_what_hardly_moves_every_minute() {
        let meter = Meter { what: String::new(), bar: None, told: Mutex::new((0, Instant::now())) };
        assert_eq!([3, 10, 19, 10, 25].map(|percent| meter.is_due(percent)), [false, true, false, false, true]);
        meter.told.lock().unwrap().1 -= SELDOM;
        assert_eq!([25, 25, 30].map(|percent| meter.is_due(percent)), [true, false, true]);
    }
}
