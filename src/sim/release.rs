//! A release host with one file: byte ranges as real hosts give them, and a limit on its speed, so that a download takes
//! as long as a download takes.

use std::{io::SeekFrom, path::PathBuf, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use futures_util::stream;
use tokio::{
    fs::File,
    io::{AsyncReadExt, AsyncSeekExt},
    time::Instant,
};

/// How much is sent at once.
const CHUNK: u64 = 16 * 1024;

/// A file and how fast it is given away.
#[derive(Debug, Clone)]
pub struct Release {
    /// The file.
    pub file: PathBuf,
    /// Bytes a second, to each client.
    pub rate: u64,
}

impl Release {
    /// The server: the file, under any name.
    pub fn router(self) -> Router {
        Router::new().route("/{name}", get(send)).with_state(self)
    }
}

async fn send(State(release): State<Release>, headers: HeaderMap) -> Response {
    match answer(&release, headers.get(header::RANGE)).await {
        Ok(response) => response,
        Err(problem) => (StatusCode::INTERNAL_SERVER_ERROR, problem.to_string()).into_response(),
    }
}

async fn answer(release: &Release, range: Option<&HeaderValue>) -> std::io::Result<Response> {
    let mut file = File::open(&release.file).await?;
    let size = file.metadata().await?.len();
    let asked = range.and_then(|value| asked_range(value.to_str().ok()?, size));
    let (status, start, end) = match asked {
        None => (StatusCode::OK, 0, size),
        Some((start, end)) if start < end => (StatusCode::PARTIAL_CONTENT, start, end),
        Some(_) => {
            let unsatisfied = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, unsatisfied).into_response());
        }
    };
    file.seek(SeekFrom::Start(start)).await?;
    let fixed = [
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, (end - start).to_string()),
    ];
    let mut response = (status, fixed, Body::from_stream(slowly(file, end - start, release.rate))).into_response();
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {start}-{}/{size}", end - 1);
        response.headers_mut().insert(header::CONTENT_RANGE, range.try_into().expect("digits make a header value"));
    }
    Ok(response)
}

/// Start and end (exclusive) of a request for one range (RFC 9110, 14.1.2); none where it is none of those, which a
/// server is free to ignore.
fn asked_range(value: &str, size: u64) -> Option<(u64, u64)> {
    let (start, end) = value.strip_prefix("bytes=")?.split_once('-')?;
    if start.is_empty() {
        return Some((size.saturating_sub(end.parse().ok()?), size));
    }
    let last: u64 = if end.is_empty() { u64::MAX } else { end.parse().ok()? };
    Some((start.parse().ok()?, last.saturating_add(1).min(size)))
}

fn slowly(file: File, length: u64, rate: u64) -> impl futures_util::Stream<Item = std::io::Result<Bytes>> {
    let began = Instant::now();
    stream::try_unfold((file, 0), move |(mut file, sent)| async move {
        let mut chunk = vec![0; usize::try_from(CHUNK.min(length - sent)).expect("a chunk fits into memory")];
        if chunk.is_empty() {
            return Ok(None);
        }
        file.read_exact(&mut chunk).await?;
        let sent = sent + chunk.len() as u64;
        tokio::time::sleep_until(began + Duration::from_millis(sent * 1000 / rate.max(1))).await;
        Ok(Some((chunk.into(), (file, sent))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_writes_them() {
        for (value, range) in [
            ("bytes=0-", Some((0, 100))),
            ("bytes=10-19", Some((10, 20))),
            ("bytes=90-1000", Some((90, 100))),
            ("bytes=-30", Some((70, 100))),
            ("bytes=100-", Some((100, 100))),
            ("bytes=0-1,5-6", None),
            ("lines=1-2", None),
        ] {
            assert_eq!(asked_range(value, 100), range, "{value}");
        }
    }
}
