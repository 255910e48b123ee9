//! Requests to stop, as what is asked hears them: it decides by their number how gently it goes.

use tokio::sync::watch;

/// Asks.
#[derive(Debug)]
pub struct Asking(watch::Sender<u32>);

/// Is asked.
#[derive(Debug)]
pub struct Requests(watch::Receiver<u32>);

/// Both ends; nothing was asked yet.
#[must_use]
pub fn requests() -> (Asking, Requests) {
    let (asking, requests) = watch::channel(0);
    (Asking(asking), Requests(requests))
}

impl Asking {
    /// Asks once more.
    pub fn ask(&self) {
        self.0.send_modify(|times| *times += 1);
    }
}

impl Requests {
    /// Waits until it was asked so often. May be dropped and called again.
    pub async fn reach(&mut self, times: u32) {
        if self.0.wait_for(|asked| *asked >= times).await.is_err() {
            // Nobody is left to ask.
            std::future::pending::<()>().await;
        }
    }
}
