//! A release host that answers as it is told to, byte by byte, and remembers what it was asked.

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use sha2::{Digest as _, Sha256};

/// One answer.
#[derive(Clone)]
pub(crate) enum Answer {
    /// The file, or the rest of it from where it is asked for.
    File(Vec<u8>),
    /// The same, and the connection is cut after so many bytes.
    Cut(Vec<u8>, usize),
    /// The same, and nothing more comes after so many bytes.
    Stall(Vec<u8>, usize),
    /// A status with header lines, each ended by CR LF.
    Status(u16, &'static str),
}

/// A download that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) path: String,
    /// The first byte that was asked for, where not the whole file was.
    pub(crate) from: Option<usize>,
    pub(crate) if_range: Option<String>,
}

#[derive(Default)]
struct Shelf {
    /// What each path answers next; the last answer is given again and again.
    answers: HashMap<String, Vec<Answer>>,
    requests: Vec<Request>,
    /// Connections on which nothing more comes.
    silent: Vec<TcpStream>,
    closed: bool,
}

/// The host. Dropping it closes it.
pub(crate) struct Host {
    address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
}

impl Host {
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let (address, shelf) = (listener.local_addr().expect("it listens"), Arc::default());
        let own = Arc::clone(&shelf);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if lock(&own).closed {
                    return;
                }
                // A client that hangs up early ends its own answer and nothing else.
                let _ = stream.and_then(|stream| answer(stream, &own));
            }
        });
        Self { address, shelf }
    }

    /// Decides what a path answers from now on.
    pub(crate) fn answer(&self, path: &str, answers: &[Answer]) {
        lock(&self.shelf).answers.insert(path.to_owned(), answers.to_vec());
    }

    /// Every download that was asked for, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        lock(&self.shelf).requests.clone()
    }

    /// The info of a plan whose binary is this file at a path of this host.
    pub(crate) fn offer(&self, path: &str, file: &[u8]) -> String {
        serde_json::json!({ "binaries": { "any": self.pinned(path, file) } }).to_string()
    }

    /// The URL of a path with the checksum of a file.
    pub(crate) fn pinned(&self, path: &str, file: &[u8]) -> String {
        format!("{}?checksum=sha256:{}", self.url(path), sha256(file))
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        lock(&self.shelf).closed = true;
        // Wakes the thread that listens.
        let _ = TcpStream::connect(self.address);
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn lock(shelf: &Mutex<Shelf>) -> MutexGuard<'_, Shelf> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(mut stream: TcpStream, shelf: &Mutex<Shelf>) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines();
    let head: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = head.first().and_then(|line| line.split_whitespace().nth(1)).unwrap_or_default().to_owned();
    let header = |name: &str| {
        let pairs = head.iter().filter_map(|line| line.split_once(": "));
        pairs.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
    };
    let from = header("range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let mut shelf = lock(shelf);
    shelf.requests.push(Request { path: path.clone(), from, if_range: header("if-range") });
    let answer = match shelf.answers.get_mut(&path) {
        Some(answers) if answers.len() > 1 => answers.remove(0),
        Some(answers) => answers[0].clone(),
        None => Answer::Status(404, ""),
    };
    let (file, most) = match &answer {
        Answer::Status(status, headers) => {
            let head = format!("HTTP/1.1 {status} Told\r\nconnection: close\r\ncontent-length: 0\r\n{headers}\r\n");
            return stream.write_all(head.as_bytes());
        }
        Answer::File(file) => (file, file.len()),
        Answer::Cut(file, most) | Answer::Stall(file, most) => (file, *most),
    };
    let (first, size, tag) = (from.unwrap_or(0), file.len(), &sha256(file)[..8]);
    let status = match from {
        Some(_) => format!("206 Partial Content\r\ncontent-range: bytes {first}-{}/{size}", size - 1),
        None => "200 OK".to_owned(),
    };
    let length = size - first;
    write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\netag: \"{tag}\"\r\ncontent-length: {length}\r\n\r\n")?;
    stream.write_all(&file[first..size.min(first + most)])?;
    if matches!(answer, Answer::Stall(..)) {
        shelf.silent.push(stream);
    }
    Ok(())
}
