//! A release host that answers each request as its test tells it to.

use std::{
    io::{self, BufRead as _, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

/// Whom programs must trust to believe a host with TLS.
pub(crate) const CERTIFICATE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls/certificate.pem");
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls/key.pem");

/// The host; its address is of no use to anybody else after the test.
pub(crate) struct Server {
    /// Where it is: `https://127.0.0.1:<port>`.
    pub(crate) base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// What is asked: the how manieth request it is, from 0, and the path.
pub(crate) struct Request<'a> {
    pub(crate) number: usize,
    pub(crate) path: &'a str,
}

/// An answer: status, headers that matter, body.
pub(crate) type Answer = (u16, String, Vec<u8>);

/// The answer that gives the file.
pub(crate) fn found(body: &[u8]) -> Answer {
    (200, String::new(), body.to_vec())
}

impl Server {
    /// A host without TLS.
    pub(crate) fn plain(answer: impl Fn(&Request<'_>) -> Answer + Send + 'static) -> Self {
        Self::open("http", None, answer)
    }

    /// A host with TLS.
    pub(crate) fn secure(answer: impl Fn(&Request<'_>) -> Answer + Send + 'static) -> Self {
        let chain = CertificateDer::pem_file_iter(CERTIFICATE)
            .expect("the fixture is there")
            .map(|der| der.expect("it is PEM"));
        let key = PrivateKeyDer::from_pem_file(KEY).expect("the fixture is there");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring supports the default protocol versions")
            .with_no_client_auth()
            .with_single_cert(chain.collect(), key)
            .expect("they belong to each other");
        Self::open("https", Some(Arc::new(config)), answer)
    }

    fn open(
        scheme: &str,
        tls: Option<Arc<ServerConfig>>,
        answer: impl Fn(&Request<'_>) -> Answer + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it listens").to_string();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                // Whoever asks may go away at any time.
                let _ = match &tls {
                    None => serve(connection, &seen, &answer),
                    Some(config) => secured(connection, config).and_then(|stream| serve(stream, &seen, &answer)),
                };
            }
        });
        Self { base: format!("{scheme}://{address}"), requests }
    }

    /// The first lines of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("nobody panics with the list").clone()
    }
}

fn secured(connection: TcpStream, config: &Arc<ServerConfig>) -> io::Result<StreamOwned<ServerConnection, TcpStream>> {
    let session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    Ok(StreamOwned::new(session, connection))
}

fn serve(
    mut connection: impl Read + Write,
    seen: &Mutex<Vec<String>>,
    answer: &impl Fn(&Request<'_>) -> Answer,
) -> io::Result<()> {
    let line = first_line(&mut connection)?;
    let number = {
        let mut seen = seen.lock().expect("nobody panics with the list");
        seen.push(line.clone());
        seen.len() - 1
    };
    let path = line.split(' ').nth(1).unwrap_or_default();
    let (status, headers, body) = answer(&Request { number, path });
    let length = format!("Content-Length: {}\r\n", body.len());
    let length = if headers.contains("Content-Length") { "" } else { &length };
    write!(connection, "HTTP/1.1 {status} So\r\n{headers}{length}Connection: close\r\n\r\n")?;
    connection.write_all(&body)?;
    connection.flush()
}

/// The first line of a request, which is read to its end.
fn first_line(connection: impl Read) -> io::Result<String> {
    let lines = BufReader::new(connection).lines().take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()));
    let lines = lines.collect::<Result<Vec<_>, _>>()?;
    lines.into_iter().next().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}
