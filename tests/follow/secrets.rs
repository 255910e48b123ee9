//! Addresses hold passwords, tokens and keys. Whatever comes of asking there, nothing of them is told, and nothing is kept
//! but what the chain itself shows to everybody: a plan's info, and the URL that a receipt is held against.

use std::{
    fs,
    net::TcpListener,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::Command,
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode, Uri},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use crate::{
    host::{Answer, sha256},
    servers::Server,
    supervisor::log_of,
    world::{FAR, NAME, World, plan, program},
};

/// A part of everything that is the operator's own secret.
const OWN: &str = "hush";
/// A part of what is secret in a plan's URL, as far as a public text can be.
const PLANS: &str = "veiled";

#[test]
fn no_secret_is_told_or_kept_whatever_becomes_of_a_question() {
    let mut world = World::new();
    let file = program("v2");
    world.host.answer("/v2?token=veiled1", &[Answer::Status(500, ""), Answer::File(file.clone())]);
    let url = world.host.url("/v2?token=veiled1").replace("://", "://veiled2:veiled3@");
    let info = format!(r#"{{"binaries":{{"any":"{url}&checksum=sha256:{}"}}}}"#, sha256(&file));

    let (refusing, failing) = (echoing(StatusCode::UNAUTHORIZED), echoing(StatusCode::INTERNAL_SERVER_ERROR));
    let elsewhere = format!("{}/?token=hush-elsewhere", dead());
    let leading = Server::open(Router::new().fallback(move || {
        let location = [("location", elsewhere.clone())];
        async move { (StatusCode::TEMPORARY_REDIRECT, location) }
    }));
    let no_tls = failing.url().replace("http://", "https://");
    let bases = [dead(), refusing.url(), failing.url(), leading.url(), no_tls];
    let bad: Vec<_> = bases.iter().map(|base| with_secrets(base, "/v1/hush1/")).collect();
    let good = with_secrets(&world.network.rpc.url(), "/");
    let (rpc, rest) = ([std::slice::from_ref(&good), &bad].concat().join(","), bad.join(","));

    let socket = world.home.with_extension("notify");
    let manager = UnixDatagram::bind(&socket).expect("the folder can be written");
    manager.set_nonblocking(true).expect("a socket can be made non-blocking");
    let settings = [("WATCHER_RPC", rpc.as_str()), ("WATCHER_REST", &rest), ("WATCHER_LOG", "trace")];
    world.start(&[&settings[..], &[("NOTIFY_SOCKET", path(&socket))]].concat());
    world.schedule(plan("v2", FAR, info));
    world.staged("v2", FAR);
    for base in &bases {
        // The same place serves as RPC and as REST.
        world.until_told(1, &["WARN", &format!("{base}/… ")]);
        world.until_told(1, &["WARN", &format!("{base}/…#2 ")]);
    }
    let log = fs::read_to_string(log_of(&world.home)).expect("it logs");
    assert!(log.contains(r#" TRACE {"event":"#), "what is traced is looked at as well");
    shows_nothing("the log", &log, &[OWN]);
    // What is for debugging alone has events and receipts as they are, with the plan.
    let for_debugging = |line: &&str| line.contains(" TRACE ") || line.contains(" DEBUG ");
    let read = log.lines().filter(|line| !for_debugging(line)).collect::<Vec<_>>().join("\n");
    shows_nothing("the log", &read, &[PLANS]);
    let mut buffer = [0; 4096];
    while let Ok(length) = manager.recv(&mut buffer) {
        shows_nothing("the service manager", &String::from_utf8_lossy(&buffer[..length]), &[OWN, PLANS]);
    }

    let home = [("DAEMON_HOME", path(&world.home)), ("DAEMON_NAME", NAME)];
    let variables = [&settings[..], &home].concat();
    for arguments in [
        &["upcoming"][..],
        &["check", "--format", "text"],
        &["check", "--format", "json"],
        &["run", "--dry-run"],
        &["fetch-history", "--dry-run"],
        &["prepare-upgrade"],
        &["config"],
        &["migrate-check", "--format", "json"],
        &["version", "--cosmovisor-only"],
        &["show-upgrade-info"],
        &["help", "check"],
    ] {
        shows_nothing(&format!("{arguments:?}"), &told(arguments, &variables), &[OWN, PLANS]);
    }
    let list = told(&["upcoming", "--format", "json"], &variables);
    shows_nothing("the list for scripts", &list, &[OWN]);
    assert!(list.contains(&url), "a script fetches what the chain names: {list}");

    for file in files(&world.home) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let content = fs::read(&file).unwrap_or_default();
        let public = ["watcher-receipt.json", "receipt.json", "record.json"].contains(&name.as_str());
        let secrets = if public { &[OWN][..] } else { &[OWN, PLANS] };
        shows_nothing(path(&file), &String::from_utf8_lossy(&content), secrets);
    }
}

#[test]
fn addresses_that_cannot_be_asked_and_proxies_show_no_secret_either() {
    for address in [
        "https://hush1:hush2@ho st/hush3",
        "https://hush1:hush/2@host/",
        "https://host:99999/hush?hush=hush",
        "https://hush1:hu",
        "ftp://hush1:hush2@host/hush3",
    ] {
        for arguments in [["upcoming", "--rpc", address], ["check", "--rest", address]] {
            let told = told(&arguments, &[]);
            assert!(told.contains("is not the address of an endpoint"), "{told}");
            shows_nothing(address, &told, &[OWN]);
        }
    }
    let dead = dead();
    let (proxy, asked) = (with_secrets(&dead, "/"), "http://rpc.example.org/hush1");
    let told = told(&["upcoming", "--rpc", asked], &[("http_proxy", &proxy), ("WATCHER_LOG", "trace")]);
    let named = format!("http://rpc.example.org/…, by way of the proxy {dead} of http_proxy, cannot be reached");
    assert!(told.contains(&named), "{told}");
    shows_nothing("a proxy", &told, &[OWN]);

    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    let url = format!("https://releases.example.org/v2?checksum=sha256:{}", "ab".repeat(32));
    fs::write(file.path(), serde_json::json!({ "binaries": { "any": url } }).to_string()).expect("it can be written");
    let told = self::told(&["check", "--allow-private", "--info-file", path(file.path())], &[("ALL_PROXY", &proxy)]);
    assert!(told.contains(&format!("by way of the proxy {dead} of ALL_PROXY: ")), "{told}");
    shows_nothing("a proxy for files", &told, &[OWN]);
}

/// An address with a secret in each place.
fn with_secrets(base: &str, path: &str) -> String {
    base.replace("://", "://hush-user:hush%40word@") + path + "?token=hush-token&X-Amz-Signature=hush-signature"
}

/// An address at which nobody listens.
fn dead() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    format!("http://{}", listener.local_addr().expect("it listens"))
}

/// A server that says again what it was asked, as debugging proxies do.
fn echoing(status: StatusCode) -> Server {
    Server::open(Router::new().fallback(move |uri: Uri, headers: HeaderMap| async move {
        let authorization = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        (status, format!("{authorization} may not ask for {uri}"))
    }))
}

/// All that `watcher` says with these arguments, in an environment of nothing but `variables`.
fn told(arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watcher"));
    command.args(arguments).env_clear().envs(variables.iter().copied());
    let output = command.output().expect("watcher can be started");
    String::from_utf8([output.stdout, output.stderr].concat()).expect("watcher writes UTF-8")
}

fn shows_nothing(what: &str, said: &str, secrets: &[&str]) {
    let user = BASE64.encode("hush-user:hush@word");
    let shown = said.lines().find(|line| secrets.iter().any(|secret| line.contains(secret)) || line.contains(&user));
    assert_eq!(shown, None, "{what}");
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the home can be read").flatten().map(|entry| entry.path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir() && !path.is_symlink());
    folders.iter().flat_map(|folder| self::files(folder)).chain(files).collect()
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}
