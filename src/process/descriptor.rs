//! A descriptor that can be waited for.

use std::{io, os::fd::OwnedFd};

use tokio::io::{Interest, unix::AsyncFd};

/// Waits until a descriptor (an inotify queue, a process) is readable.
#[derive(Debug)]
pub struct Readable(AsyncFd<OwnedFd>);

impl Readable {
    /// Registers the descriptor.
    ///
    /// # Errors
    /// Where the system has no room for it.
    pub fn new(descriptor: OwnedFd) -> io::Result<Self> {
        #[expect(unsafe_code, reason = "tokio cannot see that the descriptor stays open as long as it is registered")]
        // SAFETY: an `OwnedFd` keeps its descriptor open until it is dropped, which takes it out of the registry first.
        let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE)? };
        Ok(Self(registered))
    }

    /// Waits until it is readable, and then asks `read` for what there is; where that says `WouldBlock`, waits again.
    ///
    /// # Errors
    /// What `read` says.
    pub async fn read<T>(&self, mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            let mut ready = self.0.readable().await?;
            if let Ok(result) = ready.try_io(|_| read()) {
                return result;
            }
        }
    }
}
