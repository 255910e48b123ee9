//! HTTP servers on this machine, each on a thread of its own, for tests that are not asynchronous themselves.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    thread,
};

use axum::{Router, http::StatusCode};
use tokio::sync::oneshot;

/// A server. Dropping it closes it, connections included.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    _open: oneshot::Sender<()>,
}

/// A port that the system chose, held.
///
/// # Panics
/// Where there is none.
pub(crate) fn listener() -> TcpListener {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.set_nonblocking(true).expect("a socket can be made non-blocking");
    listener
}

impl Server {
    /// Opens a server at an address of its own.
    pub(crate) fn open(router: Router) -> Self {
        Self::at(listener(), router)
    }

    /// Opens a server where somebody listens already.
    ///
    /// # Panics
    /// Where the socket is closed.
    pub(crate) fn at(listener: TcpListener, router: Router) -> Self {
        let address = listener.local_addr().expect("it listens");
        let (open, closed) = oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("the socket is non-blocking");
                tokio::select! {
                    served = async { axum::serve(listener, router).await } => served.expect("it serves"),
                    _ = closed => {}
                }
            });
        });
        Self { address, _open: open }
    }

    /// A server that says the same to everybody.
    ///
    /// # Panics
    /// Where `status` is none of HTTP.
    pub(crate) fn saying(status: u16, said: &'static str) -> Self {
        let status = StatusCode::from_u16(status).expect("a status of HTTP");
        Self::open(Router::new().fallback(move || async move { (status, said) }))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}
