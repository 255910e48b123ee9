//! A release: a host that offers files, and plans that name them.

use std::{collections::BTreeMap, io::Write as _};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use watcher::decide::plan::Plan;

use crate::{
    elf,
    file_host::{CERTIFICATE, Server, found},
    world::{Told, watcher},
};

/// The host, and the files on it by their paths.
pub(crate) struct Release {
    pub(crate) host: Server,
    files: BTreeMap<String, Vec<u8>>,
}

impl Release {
    /// A host over TLS; what is not there is answered with 404, what is empty with a redirect to itself, and `/endless` is
    /// announced as longer than any binary.
    pub(crate) fn of(files: &[(&str, Vec<u8>)]) -> Self {
        let files: BTreeMap<String, Vec<u8>> =
            files.iter().map(|(path, content)| ((*path).to_owned(), content.clone())).collect();
        let offered = files.clone();
        let host = Server::secure(move |request| match offered.get(request.path) {
            Some(content) if request.path == "/endless" => {
                (200, format!("Content-Length: {}\r\n", 3_u64 << 30), content.clone())
            }
            Some(content) if content.is_empty() => (302, format!("Location: {}\r\n", request.path), Vec::new()),
            Some(content) => found(content),
            None => (404, String::new(), b"Not Found".to_vec()),
        });
        Self { host, files }
    }

    /// Programs for both machines that need nothing.
    pub(crate) fn good() -> Self {
        Self::of(&[
            ("/amd64", elf::program(elf::AMD64, "", &[], "")),
            ("/arm64", elf::program(elf::ARM64, "", &[], "")),
        ])
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.host.base)
    }

    /// The URL of a file with its true checksum.
    pub(crate) fn pinned(&self, path: &str) -> String {
        format!("{}?checksum=sha256:{}", self.url(path), sha256(&self.files[path]))
    }

    /// An info with the files of [`Release::good`].
    pub(crate) fn info(&self) -> String {
        info(&[("linux/amd64", &self.pinned("/amd64")), ("linux/arm64", &self.pinned("/arm64"))])
    }

    pub(crate) fn plan(&self, name: &str, height: u64) -> Plan {
        Plan { name: name.into(), height, info: self.info() }
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// An info with these binaries.
pub(crate) fn info(binaries: &[(&str, &str)]) -> String {
    let map: serde_json::Map<String, Value> =
        binaries.iter().map(|(key, url)| ((*key).to_owned(), Value::from(*url))).collect();
    json!({ "binaries": map }).to_string()
}

/// An archive as releases have it.
pub(crate) fn tar_gz(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, name, *content).expect("memory can be written");
    }
    archive.into_inner().expect("memory can be written").finish().expect("memory can be written")
}

/// What `watcher check` with these arguments says; it trusts the host.
pub(crate) fn check(arguments: &[&str]) -> Told {
    watcher(&[&["check"], arguments].concat(), &[("SSL_CERT_FILE", CERTIFICATE)])
}

/// What it says of an info by itself, as JSON.
pub(crate) fn of_info(info: &str, arguments: &[&str]) -> Told {
    of_nameless(info, &[&["--daemon-name", "noded"], arguments].concat())
}

/// The same where nobody told what the executable is called.
pub(crate) fn of_nameless(info: &str, arguments: &[&str]) -> Told {
    let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
    file.write_all(info.as_bytes()).expect("it can be written");
    let path = file.path().to_str().expect("a plain path");
    check(&[&["--info-file", path, "--format", "json"], arguments].concat())
}

/// The report; its verdict goes with the exit code and with the severities.
pub(crate) fn report(told: &Told) -> Value {
    let report: Value = serde_json::from_str(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"));
    let errors = findings(&report).iter().filter(|finding| finding["severity"] == "error").count();
    let expected = match told.code {
        Some(0) => ("ready", true),
        Some(2) => ("not_ready", false),
        Some(3) => ("unknown", true),
        other => panic!("{other:?}: {told:?}"),
    };
    assert_eq!((report["verdict"].as_str(), errors == 0), (Some(expected.0), expected.1), "{told:?}");
    report
}

pub(crate) fn findings(report: &Value) -> &[Value] {
    report["findings"].as_array().expect("a list")
}

/// Whether exactly this was found, of this weight, saying this, with a remedy; other notes aside.
pub(crate) fn expect(told: &Told, severity: &str, check: &str, says: &str) {
    let report = report(told);
    let weighty: Vec<&Value> = findings(&report).iter().filter(|finding| finding["severity"] != "note").collect();
    let [finding] = weighty[..] else { panic!("{check}: {weighty:#?}") };
    assert_eq!((finding["severity"].as_str(), finding["check"].as_str()), (Some(severity), Some(check)), "{finding:#}");
    assert!(finding["message"].as_str().is_some_and(|text| text.contains(says)), "{says}: {finding:#}");
    assert!(finding["help"].as_str().is_some_and(|text| !text.is_empty()), "{finding:#}");
}
