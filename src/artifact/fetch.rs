//! One fetch, from what a plan asks for to a verified artifact in the store. It may be dropped and called again at any time:
//! what was downloaded is gone on with, and nothing that is not verified leaves the folders made for that.

use core::time::Duration;
use std::io;

use jiff::{Timestamp, Unit};
use reqwest::Url;
use tokio::task::spawn_blocking;

use super::{
    checksum::{Checksum, Digests, find_sum},
    download::{Download, RESERVE, download, free_space, small},
    info::{self, Platform},
    inspect::inspect,
    source::{Demand, Source, file_name, redacted, request_url, web_url},
    store::Store,
    unpack::{UnpackError, unpack},
};
use crate::{
    decide::{
        facts::{Fingerprint, Receipt},
        plan::{Artifact, Asks, Upgrade},
    },
    http::{NotPublic, Web},
};

/// What is to be fetched, for whom, and where it goes.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The way to release hosts.
    pub web: &'a Web,
    /// The upgrade whose artifact is wanted.
    pub upgrade: &'a Upgrade,
    /// The platform that it must run on.
    pub platform: &'a Platform,
    /// `DAEMON_NAME`.
    pub daemon_name: &'a str,
    /// `DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM`.
    pub must_have_checksum: bool,
    /// The endpoint that told of the plan, for the receipt.
    pub endpoint: &'a str,
    /// Where it goes.
    pub store: &'a Store,
}

impl Request<'_> {
    /// Where a binary may be put by hand.
    fn place(&self) -> String {
        format!("cosmovisor/upgrades/{}/bin/{}", self.upgrade.folder, self.daemon_name)
    }
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes on disk.
    pub done: u64,
    /// Bytes of the whole file, where the server says so.
    pub total: Option<u64>,
    /// Bytes that were there from an earlier attempt.
    pub resumed_from: u64,
}

/// Why there is no artifact yet. Every one may be tried again: plans, servers and disks change.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The plan, or the document it points at, names nothing that can be fetched for this platform.
    #[error("{0}")]
    Unusable(String),
    /// No connection, or it broke or stood still, or what it carried is too short.
    #[error("cannot fetch {0}: {1}")]
    Transfer(String, String),
    /// Nobody can have it: no such host, or what that offers is never taken.
    #[error("cannot fetch {0}: {1}")]
    Unobtainable(String, String),
    /// More bytes than are ever taken.
    #[error("cannot fetch {0}: it is larger than {1} bytes")]
    Oversized(String, u64),
    /// It leads to this machine or a private network, where it may not lead.
    #[error("{0} is not fetched: {1}")]
    NotPublic(String, NotPublic),
    /// The server answered with something else than the file.
    #[error("cannot fetch {url}: the server answered {status}")]
    Refused {
        /// From where.
        url: String,
        /// The HTTP status.
        status: u16,
        /// `Retry-After`, as a time from now.
        after: Option<Duration>,
    },
    /// The bytes are not those that the plan demands; they are gone.
    #[error("{url} has the wrong checksum: the plan demands {demanded}, it is {found}; what was fetched is removed")]
    Mismatch {
        /// From where.
        url: String,
        /// What the plan demands.
        demanded: Checksum,
        /// The digest of what came.
        found: String,
    },
    /// Too little space.
    #[error(
        "{path} has {free} bytes free, of which {RESERVE} stay free for the node; {needed} are needed; make room there"
    )]
    DiskFull {
        /// On which filesystem.
        path: String,
        /// How many bytes are needed.
        needed: u64,
        /// How many are free.
        free: u64,
    },
    /// The disk.
    #[error("{0}")]
    Disk(#[from] io::Error),
    /// What came cannot be unpacked, or does not run here.
    #[error("cannot use {url}: {reason}; a binary put at {place} by hand is used instead")]
    Unfit {
        /// From where.
        url: String,
        /// What of it.
        part: Part,
        /// What is wrong with it: an [`UnpackError`] or [`InspectError`](super::inspect::InspectError), or what a document
        /// lists.
        reason: String,
        /// Where a binary may be put by hand.
        place: String,
    },
}

/// What of a download is unfit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The document that was to list binaries.
    Document,
    /// The archive.
    Archive,
    /// The name of the executable: none of `DAEMON_NAME` is in the archive.
    Name,
    /// The executable: it does not run on the platform.
    Executable,
}

impl FetchError {
    /// Whether it may be had from elsewhere, or a little later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Transfer(..) => true,
            Self::Refused { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
            _ => false,
        }
    }

    /// Not before this time from now: what the server asked for, or a while where nothing changes by itself. None leaves it
    /// to the caller's own back-off.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        const SLOWLY: Duration = Duration::from_mins(5);
        match self {
            Self::Refused { after: Some(after), .. } => Some(*after),
            Self::Unusable(_) | Self::Unfit { .. } | Self::Oversized(..) => Some(SLOWLY),
            _ => None,
        }
    }
}

/// Fetches, verifies, unpacks and inspects what an upgrade asks for, and puts it into the store. `progress` is told of
/// every piece.
///
/// # Errors
/// [`FetchError`]; calling again goes on where this attempt ended.
pub async fn fetch(request: Request<'_>, progress: &(dyn Fn(Progress) + Sync)) -> Result<Receipt, FetchError> {
    let artifact = resolve(&request).await?;
    let url = request_url(&artifact.url).map_err(FetchError::Unusable)?;
    let demanded = match &artifact.checksum {
        Some(text) => Some(demanded(request.web, text, &artifact.url).await?),
        None => None,
    };
    let key = format!("{}\n{}", artifact.url, artifact.checksum.as_deref().unwrap_or_default());
    let done = download(request.web, url, &key, demanded, request.store, progress).await?;
    let receipt = Receipt {
        plan: request.upgrade.plan.clone(),
        artifact,
        download_sha256: done.sha256.clone(),
        sha256: String::new(),
        file: Fingerprint::default(),
        verified_at: Timestamp::now().round(Unit::Second).unwrap_or_default().to_string(),
        endpoint: request.endpoint.to_owned(),
        applied: false,
    };
    let (store, platform, name) = (request.store.clone(), request.platform.clone(), request.daemon_name.to_owned());
    let place = request.place();
    let keep = move || keep(&done, receipt, &store, &platform, &name, &place);
    spawn_blocking(keep).await.map_err(io::Error::other)?
}

/// From verified bytes to an artifact in the store.
fn keep(
    download: &Download,
    receipt: Receipt,
    store: &Store,
    platform: &Platform,
    daemon_name: &str,
    place: &str,
) -> Result<Receipt, FetchError> {
    let url = web_url(&receipt.artifact.url).map_err(FetchError::Unusable)?;
    let scratch = store.scratch()?;
    let file = scratch.path().join("download");
    download.move_to(&file)?;
    let free = free_space(&store.artifacts)?.saturating_sub(RESERVE);
    let unpacked = unpack(&file, &url, scratch.path(), daemon_name, free);
    let (part, reason, left) = match unpacked {
        Err(UnpackError::Disk(error)) => return Err(error.into()),
        Err(lie @ UnpackError::NoBinary(..)) => (Part::Name, lie.to_string(), file),
        Err(lie) => (Part::Archive, lie.to_string(), file),
        Ok(tree) => {
            let binary = tree.join("bin").join(daemon_name);
            match inspect(&binary, platform) {
                Ok(_) => return Ok(store.keep(&tree, receipt, daemon_name)?),
                // What is no archive was moved there.
                Err(error) => (Part::Executable, error.to_string(), if file.exists() { file } else { binary }),
            }
        }
    };
    // What has its checksum will be the same the next time, and at the halt that is a few seconds away.
    if receipt.artifact.checksum.is_some() {
        download.put_back(&left)?;
    }
    Err(FetchError::Unfit { url: redacted(&receipt.artifact.url), part, reason, place: place.to_owned() })
}

/// The artifact itself: a document is fetched, held against its own checksum, and read.
async fn resolve(request: &Request<'_>) -> Result<Artifact, FetchError> {
    let url = match &request.upgrade.asks {
        Asks::Artifact(artifact) => return Ok(artifact.clone()),
        Asks::Nothing { reason } | Asks::Unusable { reason } => return Err(FetchError::Unusable(reason.clone())),
        Asks::Document { url } => url,
    };
    let source = Source::parse(url, request.must_have_checksum).map_err(|error| FetchError::Unusable(error.reason))?;
    let bytes = small(request.web, request_url(&source.url).map_err(FetchError::Unusable)?).await?;
    if let Some(text) = &source.checksum {
        let mut digests = Digests::new(Some(demanded(request.web, text, &source.url).await?));
        digests.update(&bytes);
        let url = redacted(&source.url);
        digests.finish().map_err(|(demanded, found)| FetchError::Mismatch { url, demanded, found })?;
    }
    info::document(&bytes, request.platform, request.must_have_checksum).map_err(|refusal| {
        let empty = bytes.trim_ascii().is_empty();
        let url = redacted(&source.url);
        let reason = if empty { format!("no content returned by {url:?}") } else { refusal.reason };
        FetchError::Unfit { url, part: Part::Document, reason, place: request.place() }
    })
}

/// The digest that a checksum demands of a file: itself, or the line for the file in a file of sums.
async fn demanded(web: &Web, checksum: &str, of: &str) -> Result<Checksum, FetchError> {
    let sums = match Demand::parse(checksum).map_err(FetchError::Unusable)? {
        Demand::Digest(checksum) => return Ok(checksum),
        Demand::Sums(url) => url,
    };
    sum_at(web, sums, &file_name(&web_url(of).map_err(FetchError::Unusable)?)).await
}

async fn sum_at(web: &Web, sums: Url, file: &str) -> Result<Checksum, FetchError> {
    let shown = redacted(sums.as_str());
    let text = small(web, sums).await?;
    let found = find_sum(&String::from_utf8_lossy(&text), file);
    found.map_err(|error| FetchError::Unusable(format!("the file of sums {shown} does not help: {error}")))
}

#[cfg(test)]
mod tests {
    use std::{
        path::PathBuf,
        sync::{Arc, Mutex},
    };

    use sha2::{Digest, Sha256, Sha512};
    use tempfile::TempDir;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::Notify,
    };

    use super::*;
    use crate::{
        artifact::{disk::files_below, stored},
        decide::plan::{Folder, Plan},
        http::web_client,
    };

    /// A program that is long enough to be cut.
    fn program() -> Vec<u8> {
        let mut script = b"#!/bin/sh\n".to_vec();
        script.resize(300_000, b'#');
        script
    }

    /// A server that answers each request with the very bytes it is told to, and hangs up.
    struct Server {
        base: String,
        requests: Arc<Mutex<Vec<String>>>,
    }

    impl Server {
        async fn start(answers: Vec<Vec<u8>>) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let base = format!("http://{}", listener.local_addr().unwrap());
            let requests = Arc::new(Mutex::new(Vec::new()));
            let seen = Arc::clone(&requests);
            tokio::spawn(async move {
                let mut silent = Vec::new();
                for answer in answers {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut head = Vec::new();
                    while !head.ends_with(b"\r\n\r\n") {
                        head.push(stream.read_u8().await.unwrap());
                    }
                    seen.lock().unwrap().push(String::from_utf8(head).unwrap().to_ascii_lowercase());
                    // The client may have hung up already.
                    let _ = stream.write_all(&answer).await;
                    if answer.ends_with(DRIPS) {
                        while stream.write_all(b"#").await.is_ok() {
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    } else if answer.ends_with(STALLS) {
                        silent.push(stream);
                    }
                }
            });
            Self { base, requests }
        }

        fn request(&self, number: usize) -> String {
            self.requests.lock().unwrap()[number].clone()
        }
    }

    /// An answer that ends so stays open and says no more.
    const STALLS: &[u8] = b"## and then nothing";
    /// One that ends so goes on by a byte now and then.
    const DRIPS: &[u8] = b"## and then drops";

    fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
        let length = format!("content-length: {}\r\n", body.len());
        let length = if headers.contains("content-length") { "" } else { &length };
        let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\n{length}{headers}\r\n");
        [head.as_bytes(), body].concat()
    }

    fn ok(body: &[u8]) -> Vec<u8> {
        answer("200 OK", "", body)
    }

    /// The first bytes of a file, announced as all of them.
    fn cut(body: &[u8], at: usize, headers: &str) -> Vec<u8> {
        answer("200 OK", &format!("content-length: {}\r\n{headers}", body.len()), &body[..at])
    }

    fn rest(body: &[u8], from: usize, headers: &str) -> Vec<u8> {
        let range = format!("content-range: bytes {from}-{}/{}\r\n{headers}", body.len() - 1, body.len());
        answer("206 Partial Content", &range, &body[from..])
    }

    struct Home {
        root: TempDir,
        store: Store,
        web: Web,
        upgrade: Upgrade,
    }

    impl Home {
        fn new(asks: Asks) -> Self {
            let root = tempfile::tempdir().unwrap();
            let store = Store::below(root.path());
            let plan = Plan { name: "v2".into(), height: 10, info: String::new() };
            let upgrade = Upgrade { plan, folder: Folder::of("v2", false).unwrap(), asks };
            Self { root, store, web: web_client().unwrap(), upgrade }
        }

        fn wanting(url: &str, checksum: Option<String>) -> Self {
            Self::new(Asks::Artifact(Artifact { os_arch: "any".into(), url: url.into(), checksum }))
        }

        async fn fetch(&self) -> Result<Receipt, FetchError> {
            self.fetch_with(&|_| ()).await
        }

        async fn fetch_with(&self, progress: &(dyn Fn(Progress) + Sync)) -> Result<Receipt, FetchError> {
            let request = Request {
                web: &self.web,
                upgrade: &self.upgrade,
                platform: &Platform::host(),
                daemon_name: "noded",
                must_have_checksum: false,
                endpoint: "http://rpc",
                store: &self.store,
            };
            fetch(request, progress).await
        }

        fn files(&self) -> Vec<PathBuf> {
            let mut files = files_below(self.root.path()).unwrap();
            files.sort();
            files
        }
    }

    fn sha256(bytes: &[u8]) -> String {
        format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
    }

    #[tokio::test]
    async fn an_archive_becomes_a_verified_executable_in_the_store_and_nothing_else_is_left() {
        let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (name, content) in [("bin/noded", program()), ("lib/x.so", b"library".to_vec())] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o755);
            archive.append_data(&mut header, name, &content[..]).unwrap();
        }
        let archive = archive.into_inner().unwrap().finish().unwrap();
        let server = Server::start(vec![ok(&archive)]).await;
        let checksum = format!("sha512:{}", hex::encode(Sha512::digest(&archive)));
        let home = Home::wanting(&format!("{}/a.tar.gz?archive=tar.gz&x=1", server.base), Some(checksum));
        let told = Mutex::new(Vec::new());
        let receipt = home.fetch_with(&|progress| told.lock().unwrap().push(progress)).await.unwrap();
        assert!(server.request(0).starts_with("get /a.tar.gz?x=1 http"), "{}", server.request(0));
        assert_eq!(receipt.sha256, hex::encode(Sha256::digest(program())));
        assert_eq!(receipt.download_sha256, hex::encode(Sha256::digest(&archive)));
        assert_eq!((receipt.endpoint.as_str(), &receipt.plan), ("http://rpc", &home.upgrade.plan));
        assert_eq!(stored(&home.store, "noded"), std::slice::from_ref(&receipt));
        let tree = PathBuf::from("artifacts").join(receipt.sha256);
        assert_eq!(
            home.files(),
            ["bin/noded", "lib/.from-archive", "lib/x.so", "receipt.json"].map(|file| tree.join(file))
        );
        let length = archive.len() as u64;
        let whole = Progress { done: length, total: Some(length), resumed_from: 0 };
        assert_eq!(told.into_inner().unwrap().last(), Some(&whole));
    }

    #[tokio::test]
    async fn a_cut_download_goes_on_where_it_ended() {
        let body = program();
        for (headers, if_range, checksum) in [
            ("etag: \"one\"\r\n", "if-range: \"one\"", None),
            ("etag: W/\"one\"\r\nlast-modified: then\r\n", "if-range: then", None),
            ("", "range: bytes=100000-", Some(sha256(&body))),
        ] {
            let server = Server::start(vec![cut(&body, 100_000, headers), rest(&body, 100_000, headers)]).await;
            let home = Home::wanting(&format!("{}/a", server.base), checksum);
            let error = home.fetch().await.unwrap_err();
            assert!(matches!(error, FetchError::Transfer(..)) && error.retry_after().is_none(), "{error}");
            let first = Mutex::new(None);
            home.fetch_with(&|progress| _ = first.lock().unwrap().get_or_insert(progress)).await.unwrap();
            let expected = Progress { done: 100_000, total: Some(300_000), resumed_from: 100_000 };
            assert_eq!(first.into_inner().unwrap(), Some(expected));
            let request = server.request(1);
            assert!(request.contains("range: bytes=100000-") && request.contains(if_range), "{request}");
        }
    }

    #[tokio::test]
    async fn a_server_that_cannot_go_on_is_asked_for_the_whole_file() {
        let body = program();
        let tagged = "etag: \"one\"\r\n";
        let wrong_place = rest(&body, 50_000, tagged);
        let other_length = rest(&body[..200_000], 100_000, tagged);
        let not_satisfiable = answer("416 Range Not Satisfiable", "", b"");
        for answers in [
            vec![ok(&body)],
            vec![wrong_place, ok(&body)],
            vec![other_length, ok(&body)],
            vec![not_satisfiable, ok(&body)],
        ] {
            let server = Server::start([vec![cut(&body, 100_000, tagged)], answers].concat()).await;
            let home = Home::wanting(&format!("{}/a", server.base), None);
            home.fetch().await.unwrap_err();
            assert_eq!(home.fetch().await.unwrap().sha256, hex::encode(Sha256::digest(&body)));
        }
        // What nothing identifies cannot be gone on with.
        let server = Server::start(vec![cut(&body, 100_000, ""), ok(&body)]).await;
        let home = Home::wanting(&format!("{}/a", server.base), None);
        home.fetch().await.unwrap_err();
        home.fetch().await.unwrap();
        assert!(!server.request(1).contains("range"));
    }

    #[tokio::test]
    async fn bytes_with_the_wrong_checksum_are_gone_also_after_going_on() {
        let (body, mut other) = (program(), program());
        other[0] = b'!';
        let server = Server::start(vec![cut(&other, 100_000, ""), rest(&body, 100_000, ""), ok(&body)]).await;
        let home = Home::wanting(&format!("{}/a", server.base), Some(sha256(&body)));
        home.fetch().await.unwrap_err();
        let error = home.fetch().await.unwrap_err();
        assert!(matches!(error, FetchError::Mismatch { .. }), "{error}");
        assert_eq!(home.files(), Vec::<PathBuf>::new());
        home.fetch().await.unwrap();
    }

    #[tokio::test]
    async fn a_fetch_that_is_dropped_leaves_only_a_part_and_the_next_goes_on() {
        let mut body = program();
        body[100_000 - STALLS.len()..100_000].copy_from_slice(STALLS);
        let stalling = cut(&body, 100_000, "etag: \"one\"\r\n");
        let server = Server::start(vec![stalling, rest(&body, 100_000, "")]).await;
        let home = Home::wanting(&format!("{}/a", server.base), None);
        let enough = Notify::new();
        let told = |progress: Progress| {
            if progress.done == 100_000 {
                enough.notify_one();
            }
        };
        tokio::select! {
            result = home.fetch_with(&told) => panic!("{result:?}"),
            () = enough.notified() => {}
        }
        assert!(home.files().iter().all(|file| file.starts_with("downloads")), "{:?}", home.files());
        assert_eq!(home.fetch().await.unwrap().download_sha256, hex::encode(Sha256::digest(&body)));
    }

    #[tokio::test]
    async fn a_host_that_drips_is_left_and_what_came_is_gone_on_with() {
        let mut body = program();
        body[100_000 - DRIPS.len()..100_000].copy_from_slice(DRIPS);
        let server = Server::start(vec![cut(&body, 100_000, ""), ok(&body)]).await;
        let home = Home::wanting(&format!("{}/a", server.base), Some(sha256(&body)));
        let home = Home { web: home.web.clone().waiting(Duration::from_millis(100)), ..home };
        let error = home.fetch().await.unwrap_err();
        assert!(error.is_passing() && error.to_string().contains("less than 1 kB/s"), "{error}");
        assert_eq!(home.fetch().await.unwrap().download_sha256, hex::encode(Sha256::digest(&body)));
        assert!(server.request(1).contains("range: bytes=100"), "{}", server.request(1));
    }

    #[tokio::test]
    async fn what_is_the_hosts_own_fault_is_told_from_what_may_pass() {
        for (status, passes) in [("404 x", false), ("410 x", false), ("403 x", false), ("429 x", true), ("503 x", true)]
        {
            let server = Server::start(vec![answer(status, "", b"no")]).await;
            let error = Home::wanting(&format!("{}/a", server.base), None).fetch().await.unwrap_err();
            assert_eq!(error.is_passing(), passes, "{error}");
        }
        // No resolver is asked for a name below `invalid` (RFC 6761).
        let error = Home::wanting("https://releases.invalid/a", None).fetch().await.unwrap_err();
        assert!(!error.is_passing() && error.to_string().contains("releases.invalid"), "{error}");
    }

    #[tokio::test]
    async fn refusals_say_when_to_come_back_and_keep_passwords_to_themselves() {
        for (status, headers, seconds) in [
            ("429 Too Many Requests", "retry-after: 7\r\n", Some(7)),
            ("503 Service Unavailable", "retry-after: Sun, 22 Nov 2020 10:00:00 GMT\r\n", Some(0)),
            ("500 Internal Server Error", "", None),
            ("404 Not Found", "", None),
        ] {
            let server = Server::start(vec![answer(status, headers, b"no")]).await;
            let url = format!("{}/a", server.base).replace("http://", "http://me:secret@");
            let error = Home::wanting(&url, None).fetch().await.unwrap_err();
            assert_eq!(error.retry_after(), seconds.map(Duration::from_secs), "{error}");
            assert!(error.to_string().contains(&status[..3]) && !error.to_string().contains("secret"), "{error}");
            assert!(server.request(0).contains("authorization: basic"));
        }
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let error = Home::wanting(&format!("http://me:secret@{nobody}/a"), None).fetch().await.unwrap_err();
        assert!(!error.to_string().contains("secret") && !format!("{error:?}").contains("secret"), "{error:?}");
    }

    /// A disk with 307 MB free was said to have 53 left.
    #[test]
    fn too_little_room_is_told_with_what_stays_free() {
        let error = FetchError::DiskFull { path: "/d".into(), needed: 118_094_608, free: 321_404_928 };
        assert_eq!(
            error.to_string(),
            "/d has 321404928 bytes free, of which 268435456 stay free for the node; 118094608 are needed; make room there"
        );
    }

    #[tokio::test]
    async fn redirects_lead_to_the_file_but_not_to_other_schemes_or_round_and_round() {
        let body = program();
        let to = |url: &str| answer("302 Found", &format!("location: {url}\r\n"), b"");
        let server = Server::start(vec![to("/b"), ok(&body)]).await;
        Home::wanting(&format!("{}/a", server.base), Some(sha256(&body))).fetch().await.unwrap();
        assert!(server.request(1).starts_with("get /b "));
        for answers in [vec![to("ftp://h/a")], vec![to("file:///etc/passwd")], vec![to("/a"); 20]] {
            let server = Server::start(answers).await;
            let error = Home::wanting(&format!("{}/a", server.base), None).fetch().await.unwrap_err();
            assert!(matches!(error, FetchError::Unobtainable(..) | FetchError::Refused { status: 302, .. }), "{error}");
            assert!(server.requests.lock().unwrap().len() <= 11);
        }
    }

    #[tokio::test]
    async fn what_cannot_be_the_whole_executable_is_refused_and_nothing_is_kept() {
        let huge = answer("200 OK", "content-length: 3000000000\r\n", b"x");
        let endless = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n#!/bin/sh".to_vec();
        for (reply, part) in [
            (huge, "larger than 2147483648"),
            (endless, "neither a length nor a checksum"),
            (ok(b"<!DOCTYPE html>"), "it is HTML; a binary put at cosmovisor/upgrades/v2/bin/noded by hand"),
            (ok(b"PK\x03\x04"), "the archive is damaged"),
            (ok(b""), "it is empty"),
        ] {
            let server = Server::start(vec![reply]).await;
            let home = Home::wanting(&format!("{}/a", server.base), None);
            let error = home.fetch().await.unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
            // What may be cut is tried again at once.
            assert_eq!(error.retry_after().is_none(), part.starts_with("neither"), "{error}");
            assert!(home.files().iter().all(|file| file.starts_with("downloads")), "{:?}", home.files());
        }
    }

    /// At the halt it is tried again every few seconds, and the host had to send all of it each time.
    #[tokio::test]
    async fn what_has_its_checksum_and_is_unfit_is_fetched_once() {
        for body in [&b"PK\x03\x04"[..], b"<!DOCTYPE html>"] {
            let length = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n", body.len());
            let chunked = [length.as_bytes(), body, b"\r\n0\r\n\r\n"].concat();
            for reply in [ok(body), chunked] {
                let server = Server::start(vec![reply]).await;
                let home = Home::wanting(&format!("{}/a", server.base), Some(sha256(body)));
                let told = [home.fetch().await, home.fetch().await].map(|fetched| fetched.unwrap_err().to_string());
                assert!(told[0].contains("cannot use") && told[0] == told[1], "{told:?}");
                assert_eq!(server.requests.lock().unwrap().len(), 1);
            }
        }
    }

    #[tokio::test]
    async fn documents_and_files_of_sums_lead_to_the_binary() {
        let body = program();
        let binary = Server::start(vec![ok(&body), ok(&body)]).await;
        let list = format!(r#"{{"binaries":{{"any":"{}/a?checksum={}"}}}}"#, binary.base, sha256(&body));
        let documents =
            Server::start(vec![ok(list.as_bytes()), ok(b"changed"), ok(b"{}"), ok(&vec![b' '; 2 << 20])]).await;
        let document =
            |content: &[u8]| Asks::Document { url: format!("{}/d?checksum={}", documents.base, sha256(content)) };
        let receipt = Home::new(document(list.as_bytes())).fetch().await.unwrap();
        assert_eq!(receipt.artifact.checksum, Some(sha256(&body)));
        for (content, part) in
            [(list.as_bytes(), "wrong checksum"), (b"{}", "lists no binaries"), (b"", "larger than 1048576")]
        {
            let error = Home::new(document(content)).fetch().await.unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        let line = format!("{}  a\n", hex::encode(Sha256::digest(&body)));
        let sums = Server::start(vec![ok(line.as_bytes()), ok(line.as_bytes())]).await;
        let url = Url::parse(&format!("{}/sums", sums.base)).unwrap();
        let web = web_client().unwrap();
        assert_eq!(sum_at(&web, url.clone(), "a").await.unwrap().to_string(), sha256(&body));
        assert!(sum_at(&web, url, "b").await.unwrap_err().to_string().contains("no line for \"b\""));
    }
}
