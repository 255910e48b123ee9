//! Bytes from a server to a partial file, across cut connections and restarts. Hashing and writing happen on one blocking
//! thread that is fed by a short queue; whoever holds the file's lock is the only one who writes to it.

use core::time::Duration;
use std::{io, path::Path, time::Instant};

use hickory_resolver::net::NetError;
use reqwest::{RequestBuilder, Response, StatusCode, Url, Version, header};
use tokio::{sync::mpsc, task::spawn_blocking};

use super::{
    checksum::Checksum,
    disk::naming,
    fetch::{FetchError, Progress},
    source::redacted,
    store::Store,
};
use crate::http::{NotPublic, Web};

mod part;

pub(super) use part::Download;
use part::{Memory, Part};

/// The largest artifact.
const LARGEST: u64 = 2 << 30;
/// The largest document or file of sums.
const LARGEST_DOCUMENT: usize = 1 << 20;
/// What is left to the node on the same disk.
pub const RESERVE: u64 = 256 << 20;
/// After how many bytes the disk is measured again: a body need not say how long it is, and others write to the disk.
const MEASURED: u64 = 4 << 20;
/// How many pieces may wait for the disk.
const QUEUE: usize = 8;

/// Downloads a file into `store.downloads` under a name that `key` decides, going on with what is there. What comes back
/// has the digest that is demanded.
pub(super) async fn download(
    web: &Web,
    url: Url,
    key: &str,
    demanded: Option<Checksum>,
    store: &Store,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Download, FetchError> {
    measured(web, url, key, demanded, store, progress, free_space).await
}

async fn measured(
    web: &Web,
    url: Url,
    key: &str,
    demanded: Option<Checksum>,
    store: &Store,
    progress: &(dyn Fn(Progress) + Sync),
    free_space: fn(&Path) -> io::Result<u64>,
) -> Result<Download, FetchError> {
    let shown = redacted(url.as_str());
    let (folder, key, pinned) = (store.downloads.clone(), key.to_owned(), demanded.is_some());
    let mut part = spawn_blocking(move || Part::open(&folder, &key, demanded)).await.map_err(io::Error::other)??;
    let (mut done, mut resumed_from) = (part.length(), part.length());
    while !part.is_complete() {
        let request = request(web, &shown, url.clone())?;
        let mut response = ask(request, &part).await.map_err(|error| unreachable(web, &shown, error))?;
        resumed_from = if response.status() == StatusCode::PARTIAL_CONTENT { part.length() } else { 0 };
        let total = match response.status() {
            StatusCode::OK => length(&response),
            StatusCode::PARTIAL_CONTENT if resumes(&response, &part) => {
                length(&response).map(|rest| rest + resumed_from)
            }
            // What is here is of no use to this server.
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if part.length() > 0 => {
                part = spawn_blocking(move || part.emptied()).await.map_err(io::Error::other)??;
                continue;
            }
            _ => return Err(refused(&shown, &response)),
        };
        check(&shown, &response, total, resumed_from, pinned, store)?;
        done = resumed_from;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let memory = Memory::new(validator(&response), total);
        let writer = spawn_blocking(move || part.fill(resumed_from, memory, receiver));
        let (mut since, mut before, mut measured) = (Instant::now(), done, done);
        let end = loop {
            progress(Progress { done, total, resumed_from });
            match response.chunk().await {
                Ok(Some(piece)) => {
                    done += piece.len() as u64;
                    // A host that drips is left as one that stands still: the next attempt may find a better one.
                    if since.elapsed() >= web.patience() {
                        if u128::from(done - before) < since.elapsed().as_millis() {
                            break Err(too_slow(&shown, web.patience()));
                        }
                        (since, before) = (Instant::now(), done);
                    }
                    if done - measured >= MEASURED {
                        measured = done;
                        match free_space(&store.downloads) {
                            Ok(free) if free <= RESERVE => {
                                let left = total.map_or(MEASURED, |total| total.saturating_sub(done));
                                break Err(disk_full(store, left, free));
                            }
                            Ok(_) => {}
                            Err(error) => break Err(error.into()),
                        }
                    }
                    // The queue closes only where the disk failed, which the writer tells below.
                    if done > LARGEST || sender.send(piece).await.is_err() {
                        break Ok(());
                    }
                }
                Ok(None) => break Ok(()),
                Err(error) => break Err(unreachable(web, &shown, error)),
            }
        };
        drop(sender);
        part = writer.await.map_err(io::Error::other)??;
        if let Err(full @ FetchError::DiskFull { .. }) = end {
            part.remove()?;
            return Err(full);
        }
        end?;
        if done > LARGEST {
            part.remove()?;
            return Err(FetchError::Oversized(shown, LARGEST));
        }
        if let Some(total) = total.filter(|total| *total != done) {
            let reason = format!("{done} bytes came, {total} were announced");
            return Err(FetchError::Transfer(shown, reason));
        }
        break;
    }
    progress(Progress { done, total: Some(done), resumed_from });
    let finish = spawn_blocking(move || part.finish()).await.map_err(io::Error::other)??;
    finish.map_err(|(demanded, found)| FetchError::Mismatch { url: shown, demanded, found })
}

/// Fetches something small, whole.
pub(super) async fn small(web: &Web, url: Url) -> Result<Vec<u8>, FetchError> {
    const LONGEST: Duration = Duration::from_mins(1);
    let shown = redacted(url.as_str());
    let failed = |error| unreachable(web, &shown, error);
    let mut response = request(web, &shown, url)?.timeout(LONGEST).send().await.map_err(failed)?;
    if response.status() != StatusCode::OK {
        return Err(refused(&shown, &response));
    }
    let mut bytes = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        bytes.extend_from_slice(&piece);
        if bytes.len() > LARGEST_DOCUMENT {
            return Err(FetchError::Oversized(shown, LARGEST_DOCUMENT as u64));
        }
    }
    Ok(bytes)
}

/// How many bytes may be written to a filesystem, [`RESERVE`] included.
///
/// # Errors
/// Where the filesystem cannot be asked.
pub fn free_space(folder: &Path) -> io::Result<u64> {
    let found =
        nix::sys::statvfs::statvfs(folder).map_err(io::Error::from).map_err(naming("cannot measure", folder))?;
    Ok(found.blocks_available().saturating_mul(found.fragment_size()))
}

fn request(web: &Web, shown: &str, url: Url) -> Result<RequestBuilder, FetchError> {
    web.get(url).map_err(|reason| FetchError::NotPublic(shown.to_owned(), reason))
}

async fn ask(mut request: RequestBuilder, part: &Part) -> reqwest::Result<Response> {
    if part.length() > 0 {
        request = request.header(header::RANGE, format!("bytes={}-", part.length()));
        if let Some(validator) = part.validator() {
            request = request.header(header::IF_RANGE, validator);
        }
    }
    request.send().await
}

/// Whether a partial answer goes on exactly where the partial file ends (RFC 9110, section 14.4).
fn resumes(response: &Response, part: &Part) -> bool {
    let parts = || {
        let range = text(response, header::CONTENT_RANGE)?.strip_prefix("bytes ")?;
        let (range, total) = range.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, total.parse::<u64>().ok()?))
    };
    parts().is_some_and(|(first, last, total)| {
        let length_agrees = length(response).is_none_or(|length| length == total - first.min(total));
        first == part.length() && last.checked_add(1) == Some(total) && length_agrees && part.total_agrees(total)
    })
}

fn check(
    shown: &str,
    response: &Response,
    total: Option<u64>,
    have: u64,
    pinned: bool,
    store: &Store,
) -> Result<(), FetchError> {
    if total.is_some_and(|total| total > LARGEST) {
        return Err(FetchError::Oversized(shown.to_owned(), LARGEST));
    }
    let ends_with_connection =
        response.version() <= Version::HTTP_11 && !response.headers().contains_key(header::TRANSFER_ENCODING);
    if total.is_none() && ends_with_connection && !pinned {
        let reason = "it has neither a length nor a checksum, so nobody can tell whether it is whole".to_owned();
        return Err(FetchError::Unobtainable(shown.to_owned(), reason));
    }
    let (needed, free) = (total.unwrap_or_default().saturating_sub(have), free_space(&store.downloads)?);
    if needed > free.saturating_sub(RESERVE) {
        return Err(disk_full(store, needed, free));
    }
    Ok(())
}

fn disk_full(store: &Store, needed: u64, free: u64) -> FetchError {
    FetchError::DiskFull { path: store.downloads.display().to_string(), needed, free }
}

fn text(response: &Response, name: header::HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

fn length(response: &Response) -> Option<u64> {
    text(response, header::CONTENT_LENGTH)?.parse().ok()
}

/// What `If-Range` may name: a strong entity tag, else the date of the last change (RFC 9110, section 13.1.5).
fn validator(response: &Response) -> Option<String> {
    let tag = text(response, header::ETAG).filter(|tag| tag.starts_with('"'));
    tag.or_else(|| text(response, header::LAST_MODIFIED)).map(str::to_owned)
}

fn too_slow(shown: &str, patience: Duration) -> FetchError {
    FetchError::Transfer(shown.to_owned(), format!("less than 1 kB/s came for {} s", patience.as_secs()))
}

fn refused(shown: &str, response: &Response) -> FetchError {
    let after = text(response, header::RETRY_AFTER).and_then(|text| retry_after(text, jiff::Timestamp::now()));
    FetchError::Refused { url: shown.to_owned(), status: response.status().as_u16(), after }
}

/// `Retry-After` in both of its forms, seconds and a date (RFC 9110, section 10.2.3), an hour at most.
fn retry_after(text: &str, now: jiff::Timestamp) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_hours(1);
    let date = || jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok();
    let wait = match text.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => Duration::try_from(date()?.duration_since(now)).unwrap_or_default(),
    };
    Some(wait.min(LONGEST))
}

/// What went wrong with a connection, without the URL, which may hold a password.
fn unreachable(web: &Web, shown: &str, error: reqwest::Error) -> FetchError {
    let proxy = error.url().and_then(|url| web.proxy(url));
    let error = error.without_url();
    let causes = || core::iter::successors(Some(&error as &dyn core::error::Error), |error| error.source());
    if let Some(reason) = causes().find_map(|cause| cause.downcast_ref::<NotPublic>()) {
        return FetchError::NotPublic(shown.to_owned(), reason.clone());
    }
    let reason = proxy.into_iter().chain(causes().map(ToString::to_string)).collect::<Vec<_>>().join(": ");
    // A redirect to another scheme is one that cannot be built.
    if error.is_redirect() || error.is_builder() || causes().any(is_the_hosts) {
        return FetchError::Unobtainable(shown.to_owned(), reason);
    }
    FetchError::Transfer(shown.to_owned(), reason)
}

/// Whether it would go wrong from everywhere: there is no such host, or its certificate does not hold.
fn is_the_hosts(cause: &(dyn core::error::Error + 'static)) -> bool {
    let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let dns = cause.downcast_ref::<NetError>();
    matches!(tls, Some(rustls::Error::InvalidCertificate(_))) || dns.is_some_and(NetError::is_no_records_found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_wait_is_read_as_seconds_and_as_a_date_and_is_bounded() {
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        for (text, seconds) in [
            ("120", Some(120)),
            ("99999999", Some(3600)),
            ("Sun, 22 Nov 2026 10:00:30 GMT", Some(30)),
            ("Sun, 22 Nov 2026 09:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(text, now), seconds.map(Duration::from_secs), "{text}");
        }
    }

    /// It filled the disk to its end, and stayed there.
    #[tokio::test]
    async fn an_endless_file_of_no_length_ends_before_the_disk_does() {
        let endless = || async {
            let piece = vec![b' '; 1 << 16];
            let pieces = futures_util::stream::repeat_with(move || Ok::<_, io::Error>(piece.clone()));
            axum::body::Body::from_stream(pieces)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let router = axum::Router::new().route("/", axum::routing::get(endless));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let home = tempfile::tempdir().unwrap();
        let store = Store::below(home.path());
        let web = crate::http::web_client().unwrap();
        let ended = measured(&web, url, "key", None, &store, &|_| (), |_| Ok(0)).await.err().unwrap();
        assert!(matches!(ended, FetchError::DiskFull { free: 0, .. }), "{ended}");
        assert_eq!(std::fs::read_dir(&store.downloads).unwrap().count(), 0);
        server.abort();
    }

    #[tokio::test]
    async fn a_part_that_is_complete_is_not_asked_for_again() {
        let home = tempfile::tempdir().unwrap();
        let store = Store::below(home.path());
        let (sender, receiver) = mpsc::channel(1);
        sender.send(b"whole").await.unwrap();
        drop(sender);
        let part = Part::open(&store.downloads, "key", None).unwrap();
        spawn_blocking(move || part.fill(0, Memory::new(Some("\"tag\"".into()), Some(5)), receiver))
            .await
            .unwrap()
            .unwrap();
        let (web, nowhere) = (crate::http::web_client().unwrap(), Url::parse("http://127.0.0.1:1/a").unwrap());
        let done = download(&web, nowhere, "key", None, &store, &|_| ()).await.unwrap();
        assert_eq!(done.sha256, hex::encode(<sha2::Sha256 as sha2::Digest>::digest(b"whole")));
    }
}
