//! A release host that answers each request as its test tells it to.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

/// The host; its address is of no use to anybody else after the test.
pub(crate) struct Server {
    /// Where it listens: `127.0.0.1:<port>`.
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// An answer: status, headers that matter, body.
pub(crate) type Answer = (u16, &'static str, Vec<u8>);

impl Server {
    /// A host that answers the nth request, counted from 0, with this.
    pub(crate) fn answering(answer: impl Fn(usize) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it listens").to_string();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // Whoever asks may go away at any time.
                let Ok(request) = request(&connection) else { continue };
                let number = {
                    let mut seen = seen.lock().expect("nobody panics with the list");
                    seen.push(request);
                    seen.len() - 1
                };
                let _ = respond(connection, answer(number));
            }
        });
        Self { address, requests }
    }

    /// The first lines of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("nobody panics with the list").clone()
    }
}

/// The first line of a request, read to its end.
fn request(connection: &TcpStream) -> std::io::Result<String> {
    let lines = BufReader::new(connection).lines().take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()));
    let lines = lines.collect::<Result<Vec<_>, _>>()?;
    lines.into_iter().next().ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
}

fn respond(mut connection: TcpStream, (status, headers, body): Answer) -> std::io::Result<()> {
    let length = body.len();
    write!(connection, "HTTP/1.1 {status} So\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n")?;
    connection.write_all(&body)
}
