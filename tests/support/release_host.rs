//! A host that offers binaries for download over HTTP, on a thread of its own. It is dead until it is opened, counts what it
//! hands out, and can be slow.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{self, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use tokio::{
    io::{AsyncReadExt as _, AsyncSeekExt as _, SeekFrom},
    sync::oneshot,
    time::Instant,
};

const CHUNK: usize = 256 << 10;

/// The host. Dropping it closes it.
pub(crate) struct ReleaseHost {
    shelf: Arc<Shelf>,
    _open: oneshot::Sender<()>,
}

struct Shelf {
    folder: PathBuf,
    bytes_per_second: Option<u32>,
    /// The first byte of every download that was begun.
    downloads: Mutex<Vec<u64>>,
}

impl ReleaseHost {
    /// Offers the files of a folder at `http://127.0.0.1:<port>/<file>`.
    ///
    /// # Panics
    /// Where the port is taken.
    pub(crate) fn open(port: u16, folder: &Path, bytes_per_second: Option<u32>) -> Self {
        let shelf = Arc::new(Shelf { folder: folder.to_owned(), bytes_per_second, downloads: Mutex::default() });
        let app = Router::new().route("/{file}", get(hand_out)).with_state(Arc::clone(&shelf));
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).expect("the port is free");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let (open, closed) = oneshot::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("the socket is non-blocking");
                tokio::select! {
                    served = async { axum::serve(listener, app).await } => served.expect("the host serves"),
                    _ = closed => {}
                }
            });
        });
        Self { shelf, _open: open }
    }

    /// The first byte of each download so far: `[0]` is one download without interruption.
    pub(crate) fn downloads(&self) -> Vec<u64> {
        self.shelf.downloads.lock().expect("nobody panics with the list").clone()
    }
}

async fn hand_out(
    State(shelf): State<Arc<Shelf>>,
    extract::Path(name): extract::Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let Ok(mut file) = tokio::fs::File::open(shelf.folder.join(name)).await else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let size = file.metadata().await.expect("an open file has a size").len();
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok()).and_then(first_byte);
    let start = range.unwrap_or(0).min(size);
    if method == Method::GET {
        shelf.downloads.lock().expect("nobody panics with the list").push(start);
    }
    file.seek(SeekFrom::Start(start)).await.expect("an open file can be read from anywhere");
    let mut response = Response::builder()
        .header(header::CONTENT_LENGTH, size - start)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, format!("\"{size}\""));
    if range.is_some() {
        let last = size.saturating_sub(1);
        response = response
            .status(StatusCode::PARTIAL_CONTENT)
            .header(header::CONTENT_RANGE, format!("bytes {start}-{last}/{size}"));
    }
    response.body(paced(file, shelf.bytes_per_second)).expect("these headers are well formed")
}

/// The `N` of `bytes=N-`.
fn first_byte(range: &str) -> Option<u64> {
    range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

fn paced(file: tokio::fs::File, bytes_per_second: Option<u32>) -> Body {
    let begun = Instant::now();
    Body::from_stream(stream::unfold((file, 0.0), move |(mut file, sent)| async move {
        if let Some(rate) = bytes_per_second {
            tokio::time::sleep_until(begun + Duration::from_secs_f64(sent / f64::from(rate))).await;
        }
        let mut chunk = vec![0; CHUNK];
        match file.read(&mut chunk).await {
            Ok(0) => None,
            Ok(length) => {
                chunk.truncate(length);
                let length = f64::from(u32::try_from(length).expect("a chunk is small"));
                Some((Ok(chunk), (file, sent + length)))
            }
            Err(error) => Some((Err(error), (file, sent))),
        }
    }))
}
