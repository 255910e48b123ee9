//! A plan that is known only at the halt: its binary is fetched while the node stays up, or the log says what is to be
//! placed where.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::mpsc};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{
    home::{Home, LIMIT, each},
    server::Server,
    wait,
};

/// Downloads are on.
const ON: [(&str, &str); 1] = [("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true")];

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

/// An info that names this host's file for this platform, and its sum.
fn info(server: &Server, binary: &[u8]) -> String {
    let url = format!("http://{}/noded?checksum=sha256:{}", server.address, sum(binary));
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    json!({ "binaries": { format!("linux/{arch}"): url, "any": "https://example.org/other" } }).to_string()
}

fn sum(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Checks that the node stands at the halt as if nobody was there.
fn expect_up(home: &Home) {
    assert_eq!((home.calls(), home.nodes().len(), home.backups().len()), (vec!["start genesis".to_owned()], 1, 0));
}

/// Everything below a folder that could be started.
fn executables(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let found = entries.flat_map(|path| {
        let meta = fs::symlink_metadata(&path).expect("it was just listed");
        match (meta.is_dir(), meta.permissions().mode() & 0o111 != 0) {
            (true, _) => executables(&path),
            (false, true) => vec![path.display().to_string()],
            (false, false) => Vec::new(),
        }
    });
    found.collect()
}

#[test]
fn a_binary_is_fetched_at_the_halt_while_the_node_is_up_and_placed_with_a_receipt() {
    let (home, binary) = unstaged();
    let (release, released) = mpsc::channel::<()>();
    let body = binary.clone();
    let server = Server::answering(move |_| {
        released.recv().expect("the test lets it go");
        (200, "", body.clone())
    });
    plan(&home, &info(&server, &binary));
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
    assert!(receipt.to_string().contains(&sum(&binary)), "{receipt}");
    assert!(receipt.to_string().contains(&format!("http://{}/noded", server.address)), "{receipt}");
    assert_eq!(home.read("data/upgrade-info.json"), home.read("plan.json"));
    assert!(watcher.stop().success());
}

#[test]
fn a_file_with_another_checksum_is_told_with_both_and_never_lies_where_it_could_be_started() {
    let (home, binary) = unstaged();
    let wrong = b"#!/bin/sh\necho wrong >> \"$DAEMON_HOME/calls\"\n".to_vec();
    let (release, released) = mpsc::channel::<()>();
    let (right, other) = (binary.clone(), wrong.clone());
    let server = Server::answering(move |number| {
        if number == 0 {
            return (200, "", other.clone());
        }
        released.recv().expect("the test lets it go");
        (200, "", right.clone())
    });
    plan(&home, &info(&server, &binary));
    let mut watcher = home.start(&ON);
    home.halt();
    let told = home.wait_for_log("wrong checksum");
    assert!(told.contains(&sum(&binary)) && told.contains(&sum(&wrong)), "{told}");
    assert_eq!(executables(&home.at("cosmovisor/upgrades")), [""; 0]);
    assert_eq!(executables(&home.at("cosmovisor/watcher")), [""; 0]);
    expect_up(&home);

    release.send(()).expect("the host waits");
    home.expect_upgraded();
    assert_eq!((home.count("wrong"), server.requests().len()), (0, 2));
    assert!(watcher.stop().success());
}

#[test]
fn a_host_that_refuses_is_asked_again() {
    let cases = [("missing", (404, "")), ("broken", (500, "")), ("busy", (429, "Retry-After: 1\r\n"))];
    each(&cases, |&(status, headers)| {
        let (home, binary) = unstaged();
        let body = binary.clone();
        let server =
            Server::answering(
                move |number| {
                    if number == 0 { (status, headers, Vec::new()) } else { (200, "", body.clone()) }
                },
            );
        plan(&home, &info(&server, &binary));
        let mut watcher = home.start(&ON);
        home.halt();
        let told = home.wait_for_log("tried again");
        assert!(told.contains(&status.to_string()) && told.contains(&server.address), "{told}");
        expect_up(&home);
        home.expect_upgraded();
        assert_eq!(server.requests().len(), 2);
        assert!(watcher.stop().success());
    });
}

#[test]
fn a_plan_that_names_nothing_for_this_machine_is_told_in_one_line_with_the_place_for_it() {
    let cases = [
        ("prose", ("Please upgrade to v2", "not JSON")),
        ("blank", (" ", "blank")),
        ("an empty object", ("{}", "no \"binaries\"")),
        ("a list", ("[]", "not an object")),
        ("a list of binaries", (r#"{"binaries":[]}"#, "not a map")),
        (
            "another platform",
            (r#"{"binaries":{"windows/386":"https://example.org/noded"}}"#, "cannot find binary for os/arch"),
        ),
        ("another scheme", (r#"{"binaries":{"any":"ftp://example.org/noded"}}"#, "only http and https are fetched")),
        ("nothing vouches", (r#"{"binaries":{"any":"http://example.org/noded"}}"#, "neither a checksum nor https")),
        ("a path", ("/etc/passwd", "not an absolute URL")),
    ];
    each(&cases, |(info, why)| {
        let (home, binary) = unstaged();
        plan(&home, info);
        let mut watcher = home.start(&ON);
        home.halt();
        let told = home.wait_for_log("$DAEMON_HOME/cosmovisor/upgrades/v2/bin/$DAEMON_NAME");
        assert!(told.contains("ERROR") && told.contains(why), "{told}");
        expect_up(&home);
        home.write("v2/bin/noded", &String::from_utf8(binary).expect("it is a script"));
        home.write("cosmovisor/upgrades/unrelated", "");
        fs::rename(home.at("v2"), home.at("cosmovisor/upgrades/v2")).expect("the home can be written");
        home.expect_upgraded();
        assert_eq!(home.log_lines("$DAEMON_HOME").len(), 1, "{}", home.log());
        assert!(watcher.stop().success());
    });
}
