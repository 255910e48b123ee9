//! Rows 67 to 78: a plan that is known only at the halt. Its binary is fetched while the node stays up, or the log says what
//! is to be placed where; nothing that is not verified lies where it could be started.

use std::{
    fs,
    io::{Cursor, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::mpsc,
};

use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};
use tar::{Builder, EntryType, Header};
use zip::{ZipWriter, write::SimpleFileOptions};

use crate::{
    detection::INFO,
    home::{Home, LIMIT, each},
    server::{Answer, CERTIFICATE, Server, found},
    wait,
};

/// Downloads are on, and hosts with TLS are believed.
const ON: [(&str, &str); 2] = [("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true"), ("SSL_CERT_FILE", CERTIFICATE)];
const MUST: (&str, &str) = ("DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM", "true");

/// `fixtures/homes/halting` without its `v2`, and that binary.
fn unstaged() -> (Home, Vec<u8>) {
    let home = Home::halting();
    let binary = fs::read(home.at("cosmovisor/upgrades/v2/bin/noded")).expect("the fixture has a v2");
    home.remove("cosmovisor/upgrades");
    (home, binary)
}

/// Has the node halt for a plan with this info.
fn plan(home: &Home, info: &str) {
    home.write("plan.json", &json!({ "name": "v2", "height": 10, "info": info }).to_string());
}

/// What this platform is called in plans.
fn os_arch() -> &'static str {
    if cfg!(target_arch = "aarch64") { "linux/arm64" } else { "linux/amd64" }
}

/// An info that names this URL for this platform, and another one for the rest.
fn info(url: &str) -> String {
    json!({ "binaries": { os_arch(): url, "any": "https://example.org/other" } }).to_string()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Checks that the node stands at the halt as if nobody was there.
fn expect_up(home: &Home) {
    assert_eq!((home.calls(), home.nodes().len(), home.backups().len()), (vec!["start genesis".to_owned()], 1, 0));
    assert_eq!(home.current(), "genesis");
}

/// Checks that there is nothing that could be started but genesis.
fn expect_nothing_left(home: &Home) {
    let left = executables(&home.at("cosmovisor"));
    let allowed = |path: &String| path.ends_with("genesis/bin/noded") || path.ends_with("before-upgrade");
    assert_eq!(left.into_iter().filter(|path| !allowed(path)).collect::<Vec<_>>(), [""; 0]);
    assert!(!home.at("cosmovisor/upgrades/v2").exists(), "not even an empty folder is left");
}

/// Everything below a folder that could be started.
fn executables(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = entries.flat_map(|path| {
        let meta = fs::symlink_metadata(&path).expect("it was just listed");
        match (meta.is_file(), meta.permissions().mode() & 0o111 != 0) {
            (false, _) if meta.is_dir() => executables(&path),
            (true, true) => vec![path.display().to_string()],
            _ => Vec::new(),
        }
    });
    found.collect()
}

/// Lets the node halt for a plan with this info and checks that it is carried through it.
fn expect_fetched(home: &Home, info: &str, settings: &[(&str, &str)]) {
    plan(home, info);
    let mut watcher = home.start(&[&ON, settings].concat());
    home.halt();
    home.expect_upgraded();
    assert_eq!(home.read(INFO), home.read("plan.json"));
    assert!(watcher.stop().success());
}

/// Lets the node halt for a plan with this info, and checks that this is said of it, that nothing else happens, and that a
/// binary that is then placed by hand is used.
fn expect_told(home: &Home, binary: &[u8], info: &str, settings: &[(&str, &str)], said: &str) {
    plan(home, info);
    let mut watcher = home.start(&[&ON, settings].concat());
    home.halt();
    let told = home.wait_for_log(said);
    assert!(told.contains(" ERR ") || told.contains("tried again"), "{told}");
    assert!(told.contains("cosmovisor/upgrades/v2/bin/"), "the place for it is named: {told}");
    expect_up(home);
    expect_nothing_left(home);
    home.write("v2/bin/noded", str::from_utf8(binary).expect("it is a script"));
    fs::rename(home.at("v2"), home.at("cosmovisor/upgrades/v2")).expect("the home can be written");
    home.expect_upgraded();
    assert!(watcher.stop().success());
}

#[test]
fn row_67_every_form_of_a_checksum_is_held_against_the_file() {
    let (_, binary) = unstaged();
    let (sha256, sha512) = (sha256(&binary), hex::encode(Sha512::digest(&binary)));
    let md5 = hex::encode(<md5::Md5 as md5::Digest>::digest(&binary));
    let cases = [
        ("sha256", (format!("sha256:{sha256}"), None)),
        ("sha512", (format!("sha512:{sha512}"), None)),
        ("md5", (format!("md5:{md5}"), None)),
        ("hex alone", (sha256.clone(), None)),
        ("upper case", (format!("SHA256:{}", sha256.to_uppercase()), None)),
        ("a file of sums", (String::new(), Some(format!("{}  other\n{sha256}  noded\n", "0".repeat(64))))),
        ("a file of sums as BSD writes it", (String::new(), Some(format!("SHA256 (noded) = {sha256}\n")))),
        ("a sum alone in a file", (String::new(), Some(format!("{sha256}\n")))),
    ];
    each(&cases, |(checksum, sums)| {
        let (home, binary) = unstaged();
        let sums = sums.clone();
        let body = binary.clone();
        let server = Server::secure(move |request| match (&sums, request.path) {
            (Some(sums), "/sums") => found(sums.as_bytes()),
            (_, "/noded") => found(&body),
            _ => (404, String::new(), Vec::new()),
        });
        let file = format!("file:{}/sums", server.base);
        let checksum = if checksum.is_empty() { &file } else { checksum };
        expect_fetched(&home, &info(&format!("{}/noded?checksum={checksum}", server.base)), &[MUST]);
        assert_eq!(fs::read(home.at("cosmovisor/upgrades/v2/bin/noded")).expect("it is placed"), binary);
    });
}

#[test]
fn row_67_a_binary_is_fetched_at_the_halt_while_the_node_is_up_and_placed_with_a_receipt() {
    let (home, binary) = unstaged();
    let (release, released) = mpsc::channel::<()>();
    let body = binary.clone();
    let server = Server::plain(move |_| {
        released.recv().expect("the test lets it go");
        found(&body)
    });
    plan(&home, &info(&format!("{}/noded?checksum=sha256:{}", server.base, sha256(&binary))));
    let mut watcher = home.start(&ON);
    home.halt();
    wait::until("the binary is asked for", LIMIT, || (server.requests().len() == 1).then_some(()));
    expect_up(&home);
    release.send(()).expect("the host waits");
    home.expect_upgraded();

    assert_eq!(server.requests(), ["GET /noded HTTP/1.1"], "it is asked for once, without the checksum");
    assert_eq!(fs::read(home.at("cosmovisor/upgrades/v2/bin/noded")).expect("it is placed"), binary);
    let receipt: Value =
        serde_json::from_str(&home.read("cosmovisor/upgrades/v2/watcher-receipt.json")).expect("it is JSON");
    assert_eq!((&receipt["plan"]["name"], &receipt["plan"]["height"]), (&json!("v2"), &json!(10)));
    assert!(receipt.to_string().contains(&sha256(&binary)), "{receipt}");
    assert!(receipt.to_string().contains(&format!("{}/noded", server.base)), "{receipt}");
    for said in ["no upgrade binary found, beginning to download it", "downloading binary complete"] {
        assert_eq!(home.log_lines(said).len(), 1, "{said:?} is said once: {}", home.log());
    }
    assert!(watcher.stop().success());
}

/// What is served in the place of the right binary.
const WRONG: &[u8] = b"#!/bin/sh\necho wrong >> \"$DAEMON_HOME/calls\"\n";

#[test]
fn row_68_a_file_with_another_checksum_is_told_with_both_and_nothing_is_left() {
    let (home, binary) = unstaged();
    let (release, released) = mpsc::channel::<()>();
    let right = binary.clone();
    let server = Server::plain(move |request| {
        if request.number == 0 {
            return found(WRONG);
        }
        released.recv().expect("the test lets it go");
        found(&right)
    });
    plan(&home, &info(&format!("{}/noded?checksum=sha256:{}", server.base, sha256(&binary))));
    let mut watcher = home.start(&ON);
    home.halt();
    let told = home.wait_for_log("wrong checksum");
    assert!(told.contains(&sha256(&binary)) && told.contains(&sha256(WRONG)), "{told}");
    expect_nothing_left(&home);
    expect_up(&home);

    release.send(()).expect("the host waits");
    home.expect_upgraded();
    assert_eq!((home.count("wrong"), server.requests().len()), (0, 2));
    assert!(watcher.stop().success());
}

#[test]
fn row_69_what_was_not_verified_is_not_started_by_a_later_run_either() {
    let (home, binary) = unstaged();
    let server = Server::plain(|_| found(WRONG));
    plan(&home, &info(&format!("{}/noded?checksum=sha256:{}", server.base, sha256(&binary))));
    let mut watcher = home.start(&ON);
    home.halt();
    home.wait_for_log("wrong checksum");
    assert!(watcher.stop().success());

    // Now the node ends at once at each start, and downloads are off.
    let mut watcher = home.start(&[]);
    home.wait_for_log("downloading disabled");
    assert_eq!(home.calls(), ["start genesis", "stop genesis"]);
    expect_nothing_left(&home);
    home.script("v2/bin/noded", str::from_utf8(&binary).expect("it is a script").trim_start_matches("#!/bin/sh\n"));
    fs::rename(home.at("v2"), home.at("cosmovisor/upgrades/v2")).expect("the home can be written");
    home.expect_upgraded();
    assert_eq!(home.count("wrong"), 0);
    assert!(watcher.stop().success());
}

#[test]
fn row_70_a_host_that_refuses_is_told_as_it_is_leaves_nothing_and_is_asked_again() {
    let refusals: [(&str, Answer); 3] = [
        ("missing", (404, String::new(), Vec::new())),
        ("broken", (500, String::new(), Vec::new())),
        ("busy", (429, "Retry-After: 1\r\n".to_owned(), Vec::new())),
    ];
    let cases: Vec<_> =
        refusals.iter().flat_map(|(name, answer)| [true, false].map(|sum| (*name, (answer.clone(), sum)))).collect();
    each(&cases, |(refusal, sum)| {
        let (home, binary) = unstaged();
        let (body, refusal, status) = (binary.clone(), refusal.clone(), refusal.0);
        let server = Server::secure(move |request| if request.number == 0 { refusal.clone() } else { found(&body) });
        let sum = if *sum { format!("?checksum=sha256:{}", sha256(&binary)) } else { String::new() };
        plan(&home, &info(&format!("{}/noded{sum}", server.base)));
        let mut watcher = home.start(&ON);
        home.halt();
        let told = home.wait_for_log("tried again");
        assert!(told.contains(&format!("answered {status}")) && told.contains(&server.base), "{told}");
        home.expect_upgraded();
        assert_eq!(server.requests().len(), 2);
        assert!(watcher.stop().success());
    });
}

#[test]
fn row_70_a_host_that_is_not_there_is_told_as_it_is_and_leaves_nothing_for_a_later_run() {
    each(&[("with a checksum", true), ("without one", false)], |sum| {
        let (home, binary) = unstaged();
        // Nobody listens at a port that was given back a moment ago.
        let nobody =
            TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port is free");
        let sum = if *sum { format!("?checksum=sha256:{}", sha256(&binary)) } else { String::new() };
        plan(&home, &info(&format!("https://{nobody}/noded{sum}")));
        let mut watcher = home.start(&ON);
        home.halt();
        let told = home.wait_for_log("tried again");
        assert!(told.contains("Connection refused") && told.contains(&nobody.to_string()), "{told}");
        expect_up(&home);
        expect_nothing_left(&home);
        assert!(watcher.stop().success());

        let mut watcher = home.start(&[]);
        home.wait_for_log("downloading disabled");
        assert_eq!((home.current().as_str(), home.nodes().len()), ("genesis", 0));
        expect_nothing_left(&home);
        assert!(watcher.stop().success());
    });
}

#[test]
fn row_71_a_checksum_that_must_be_there_is_demanded_of_the_info_and_of_what_it_points_to() {
    let cases =
        [("in the info", "/noded"), ("of the document", "/info.json"), ("in the document", "/info.json?checksum=")];
    each(&cases, |path| {
        let (home, binary) = unstaged();
        let (release, address) = mpsc::channel::<String>();
        let address = std::sync::Mutex::new(address);
        let document = std::sync::OnceLock::new();
        let server = Server::secure(move |_| {
            let text = document.get_or_init(|| address.lock().expect("nobody panics").recv().expect("it is sent"));
            found(text.as_bytes())
        });
        let document = info(&format!("{}/noded", server.base));
        release.send(document.clone()).expect("the host waits");
        let url = format!("{}{path}", server.base);
        let (info, requests) = match *path {
            "/noded" => (info(&url), 0),
            "/info.json" => (url, 0),
            _ => (format!("{url}sha256:{}", sha256(document.as_bytes())), 1),
        };
        expect_told(&home, &binary, &info, &[MUST], "DAEMON_DOWNLOAD_MUST_HAVE_CHECKSUM");
        assert_eq!(server.requests().len(), requests);
    });
}

/// An entry of a tar: type, name, content or target of a link.
type Entry<'a> = (EntryType, &'a str, &'a [u8]);
use EntryType::{Directory, Regular, Symlink};

fn tar_gz(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut archive = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (kind, name, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        if *kind == Symlink {
            header.set_size(0);
            let target = str::from_utf8(content).expect("it is a path");
            archive.append_link(&mut header, name, target).expect("it can be packed");
        } else {
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, name, *content).expect("it can be packed");
        }
    }
    archive.into_inner().and_then(GzEncoder::finish).expect("it can be packed")
}

fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in entries {
        archive.start_file(*name, SimpleFileOptions::default()).expect("it can be packed");
        archive.write_all(content).expect("it can be packed");
    }
    archive.finish().expect("it can be packed").into_inner()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("it can be packed")
}

/// Serves an archive, and checks that its binary is the one that is started.
fn expect_unpacked(name: &str, archive: &[u8]) {
    let (home, binary) = unstaged();
    let body = archive.to_vec();
    let server = Server::plain(move |_| found(&body));
    expect_fetched(&home, &info(&format!("{}/{name}?checksum=sha256:{}", server.base, sha256(archive))), &[]);
    let placed = home.at("cosmovisor/upgrades/v2/bin/noded");
    assert_eq!(fs::read(&placed).expect("it is placed"), binary);
    assert_eq!(fs::symlink_metadata(&placed).expect("it is there").permissions().mode() & 0o777, 0o755);
}

/// Serves an archive, and checks that this is said of it.
fn expect_unfit(name: &str, archive: &[u8], said: &str) {
    let (home, binary) = unstaged();
    let body = archive.to_vec();
    let server = Server::plain(move |_| found(&body));
    let url = format!("{}/{name}", server.base);
    let said = said.replace("URL", &url);
    expect_told(&home, &binary, &info(&format!("{url}?checksum=sha256:{}", sha256(archive))), &[], &said);
}

#[test]
fn row_72_archives_are_unpacked_as_in_the_reference() {
    let (_, binary) = unstaged();
    let v2 = binary.as_slice();
    let no_binary = "url \"URL\" result does not contain a bin/noded or noded file";
    let cases = [
        ("single zip", ("a.zip", zipped(&[("any-name", v2)]), None)),
        ("zip with bin", ("a.zip", zipped(&[("bin/noded", v2), ("README", b"read")]), None)),
        ("zip with it at the root", ("a.zip", zipped(&[("noded", v2), ("README", b"read")]), None)),
        ("zip without it", ("a.zip", zipped(&[("a", v2), ("b", v2)]), Some(no_binary))),
        (
            "zip that leaves",
            ("a.zip", zipped(&[("../evil", v2), ("noded", v2)]), Some("entry contains '..': \"../evil\"")),
        ),
        ("folder first", ("a.tar.gz", tar_gz(&[(Directory, "bin/", b""), (Regular, "bin/noded", v2)]), None)),
        (
            "nested",
            (
                "a.tar.gz",
                tar_gz(&[(Directory, "p-1.0/", b""), (Directory, "p-1.0/bin/", b""), (Regular, "p-1.0/bin/noded", v2)]),
                Some(no_binary),
            ),
        ),
        ("gz", ("a.gz", gz(v2), None)),
    ];
    each(&cases, |(name, archive, said)| match said {
        None => expect_unpacked(name, archive),
        Some(said) => expect_unfit(name, archive, said),
    });
}

#[test]
fn row_73_the_binary_is_found_behind_other_files() {
    let (_, binary) = unstaged();
    expect_unpacked("a.tar.gz", &tar_gz(&[(Regular, "LICENSE", b"free"), (Regular, "noded", &binary)]));
}

#[test]
fn row_74_a_link_within_an_archive_leads_to_its_file() {
    let (_, binary) = unstaged();
    expect_unpacked("a.tar.gz", &tar_gz(&[(Symlink, "bin/noded", b"real"), (Regular, "bin/real", &binary)]));
}

#[test]
fn row_75_the_platforms_own_entry_is_used_or_that_for_any() {
    let neither = format!("cannot find binary for os/arch: neither {}, nor any", os_arch());
    let cases = [
        ("any", ("any".to_owned(), None)),
        ("another platform", ("windows/386".to_owned(), Some(&neither))),
        ("upper case", (os_arch().to_uppercase(), Some(&neither))),
    ];
    each(&cases, |(key, said)| {
        let (home, binary) = unstaged();
        let body = binary.clone();
        let server = Server::plain(move |_| found(&body));
        let url = format!("{}/noded?checksum=sha256:{}", server.base, sha256(&binary));
        let info = json!({ "binaries": { key: url } }).to_string();
        match said {
            None => expect_fetched(&home, &info, &[]),
            Some(said) => expect_told(&home, &binary, &info, &[], said),
        }
    });
}

#[test]
fn row_76_an_info_that_is_the_address_of_a_document_is_followed() {
    let cases = [
        ("alone", (false, "", "")),
        ("with a checksum", (true, "", "")),
        ("with a checksum between spaces", (true, " \n", "\n ")),
    ];
    each(&cases, |(sum, before, behind)| {
        let (home, binary) = unstaged();
        let body = binary.clone();
        let host = Server::secure(move |_| found(&body));
        let document = format!(" {}\n", info(&format!("{}/noded", host.base)));
        let text = document.clone();
        let server = Server::secure(move |_| found(text.as_bytes()));
        let sum = if *sum { format!("?checksum=sha256:{}", sha256(document.as_bytes())) } else { String::new() };
        expect_fetched(&home, &format!("{before}{}/info.json{sum}{behind}", server.base), &[]);
        assert_eq!((server.requests().len(), host.requests().len()), (1, 1));
    });
}

#[test]
fn row_76_an_info_that_names_nothing_is_told_in_one_line_with_the_place_for_the_binary() {
    let neither = format!("cannot find binary for os/arch: neither {}, nor any", os_arch());
    let cases = [
        ("prose", ("see the forum", "could not parse plan info: invalid character 's' looking for beginning of value")),
        ("blank", (" ", "cannot parse upgrade info: plan info must not be blank")),
        ("an empty object", ("{}", &neither)),
        ("no binaries", (r#"{"binaries":{}}"#, &neither)),
        ("a list", ("[]", "could not parse plan info: json: cannot unmarshal array into Go value of type plan.Info")),
        (
            "a list of binaries",
            (
                r#"{"binaries":[]}"#,
                "json: cannot unmarshal array into Go struct field Info.binaries of type plan.BinaryDownloadURLMap",
            ),
        ),
        ("another scheme", (r#"{"binaries":{"any":"ftp://example.org/noded"}}"#, "only http and https are fetched")),
        ("nothing vouches", (r#"{"binaries":{"any":"http://example.org/noded"}}"#, "neither a checksum nor https")),
        ("a path", ("/etc/passwd", "not an absolute URL")),
    ];
    each(&cases, |(info, why)| {
        let (home, binary) = unstaged();
        expect_told(&home, &binary, info, &[], why);
        assert_eq!(home.log_lines("$DAEMON_HOME").len(), 1, "{}", home.log());
    });
}

#[test]
fn row_76_a_file_on_this_machine_is_read_where_the_operator_allows_it() {
    for by_url in [false, true] {
        let (home, binary) = unstaged();
        let body = binary.clone();
        let server = Server::plain(move |_| found(&body));
        home.write("info.json", &info(&format!("{}/noded?checksum=sha256:{}", server.base, sha256(&binary))));
        let path = home.at("info.json");
        let named = if by_url { format!("file://{}", path.display()) } else { path.display().to_string() };
        expect_fetched(&home, &named, &[("WATCHER_LOCAL_INFO", "true")]);
    }
}

#[test]
fn row_76_a_document_that_names_nothing_is_told_with_its_address() {
    let neither = format!("cannot find binary for os/arch: neither {}, nor any", os_arch());
    let cases = [
        ("blank", (" \n", "no content returned by \"URL\"")),
        ("prose", ("see the forum", "could not parse plan info: invalid character 's' looking for beginning of value")),
        ("another platform", (r#"{"binaries":{"windows/386":"https://h/a"}}"#, &neither)),
        ("another address", ("https://example.org/info.json", "could not parse plan info")),
    ];
    each(&cases, |(document, said)| {
        let (home, binary) = unstaged();
        let document = document.as_bytes();
        let server = Server::secure(move |_| found(document));
        let url = format!("{}/info.json", server.base);
        expect_told(&home, &binary, &url, &[], &said.replace("URL", &url));
    });
}

#[test]
fn row_77_a_folder_without_a_binary_is_filled_and_what_is_in_it_stays() {
    let (home, binary) = unstaged();
    home.write("cosmovisor/upgrades/v2/lib/libwasmvm.so", "the operator's");
    let archive = tar_gz(&[
        (Regular, "bin/noded", &binary),
        (Regular, "lib/libwasmvm.so", b"another"),
        (Regular, "lib/more.so", b"more"),
        (Regular, "share/more", b"more"),
    ]);
    let body = archive.clone();
    let server = Server::plain(move |_| found(&body));
    expect_fetched(&home, &info(&format!("{}/a.tar.gz?checksum=sha256:{}", server.base, sha256(&archive))), &[]);
    assert_eq!(home.read("cosmovisor/upgrades/v2/lib/libwasmvm.so"), "the operator's");
    assert!(!home.at("cosmovisor/upgrades/v2/lib/more.so").exists(), "libraries of two sources do not mix");
    assert_eq!(home.read("cosmovisor/upgrades/v2/share/more"), "more");
}

#[test]
fn row_78_a_body_that_is_shorter_than_announced_is_no_binary() {
    let (home, binary) = unstaged();
    let (release, released) = mpsc::channel::<()>();
    let body = binary.clone();
    let server = Server::secure(move |request| {
        if request.number == 0 {
            return (200, format!("Content-Length: {}\r\n", body.len()), body[..body.len() / 2].to_vec());
        }
        released.recv().expect("the test lets it go");
        found(&body)
    });
    plan(&home, &info(&format!("{}/noded", server.base)));
    let mut watcher = home.start(&ON);
    home.halt();
    let told = home.wait_for_log("tried again");
    assert!(told.contains(&server.base), "{told}");
    expect_up(&home);
    expect_nothing_left(&home);
    release.send(()).expect("the host waits");
    home.expect_upgraded();
    assert_eq!(fs::read(home.at("cosmovisor/upgrades/v2/bin/noded")).expect("it is placed"), binary);
    assert!(watcher.stop().success());
}
