//! What the service manager is told over its socket, `sd_notify(3)`: `Type=notify` in a unit file. Where there is no socket,
//! nothing.

use std::{
    env,
    ffi::OsString,
    fmt::Write as _,
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::{Duration, Instant},
};

/// How much longer a stop may take, each time that is said.
const EXTENSION: Duration = Duration::from_secs(15);
/// The status is not told more often: it is for people.
const STATUS_PAUSE: Duration = Duration::from_secs(1);

/// The service manager, where one listens.
#[derive(Debug)]
pub struct Manager {
    socket: Option<UnixDatagram>,
    /// How often it wants to hear that the loop turns: half of `WATCHDOG_USEC`.
    watchdog: Option<Duration>,
    /// Until when a stop that was asked for may be drawn out.
    stops_until: Option<Instant>,
    beat_at: Option<Instant>,
    status: (String, Option<Instant>),
}

impl Manager {
    /// The one that the environment names (`NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`).
    #[must_use]
    pub fn of_environment() -> Self {
        let socket = env::var_os("NOTIFY_SOCKET").and_then(|name| {
            let connected = connect(&name);
            connected.inspect_err(|error| tracing::warn!(%error, ?name, "NOTIFY_SOCKET cannot be used")).ok()
        });
        let ours = env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
        let limit = env::var("WATCHDOG_USEC").ok().filter(|_| ours).and_then(|limit| limit.parse().ok());
        let watchdog = limit.filter(|limit| *limit > 0).map(|limit| Duration::from_micros(limit) / 2);
        let beat_at = socket.as_ref().and(watchdog).map(|_| Instant::now());
        Self { socket, watchdog, stops_until: None, beat_at, status: (String::new(), None) }
    }

    /// The supervisor works: what is ordered behind the unit may start.
    pub fn ready(&self) {
        self.tell("READY=1");
    }

    /// A stop was asked for, and the node may take so long for it.
    pub fn stopping(&mut self, within: Duration) {
        if self.stops_until.is_none() {
            self.stops_until = Some(Instant::now() + within);
            self.tell("STOPPING=1");
            self.beat_at = self.socket.as_ref().map(|_| Instant::now());
        }
    }

    /// When [`beat`](Self::beat) is to be called next.
    #[must_use]
    pub const fn beat_at(&self) -> Option<Instant> {
        self.beat_at
    }

    /// Says that the loop turns, and during a stop that more time is needed.
    pub fn beat(&mut self) {
        let now = Instant::now();
        let mut said = String::new();
        if self.watchdog.is_some() {
            said.push_str("WATCHDOG=1\n");
        }
        let stops = self.stops_until.is_some_and(|until| now < until);
        if stops {
            let _ = writeln!(said, "EXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros());
        }
        self.tell(&said);
        let stop_pause = stops.then_some(EXTENSION / 3);
        self.beat_at = self.watchdog.into_iter().chain(stop_pause).min().map(|pause| now + pause);
    }

    /// What goes on, in one line for people; what is asked for it is only asked where somebody listens.
    pub fn status(&mut self, line: impl FnOnce() -> String) {
        let (told, at) = &self.status;
        if self.socket.is_none() || at.is_some_and(|at| at.elapsed() < STATUS_PAUSE) {
            return;
        }
        let line = line().replace('\n', " ");
        if *told != line {
            self.tell(&format!("STATUS={line}"));
            self.status = (line, Some(Instant::now()));
        }
    }

    fn tell(&self, what: &str) {
        if let Some(socket) = self.socket.as_ref().filter(|_| !what.is_empty())
            && let Err(error) = socket.send(what.as_bytes())
        {
            tracing::debug!(%error, what, "the service manager could not be told");
        }
    }
}

/// A path, or behind `@` a name in the abstract namespace.
fn connect(name: &OsString) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}
