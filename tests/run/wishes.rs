//! What the operator wants for one version alone: `watcher.toml` and `lib/` beside its `bin/`.

use std::fs;

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::{
    home::{Home, LIMIT, each, output, text},
    server::{Server, found},
    wait,
};

/// A node of `fixtures/homes/halting` that notes what it is given, whatever it is asked.
fn noting(version: &str) -> String {
    format!(
        "version={version}\necho \"{version} gets $*, MARK=$MARK, OLD=${{OLD-gone}}, LD_LIBRARY_PATH=$LD_LIBRARY_PATH\" >> \
         \"$DAEMON_HOME/given\"\n. \"$DAEMON_HOME/node.sh\"\n"
    )
}

/// `fixtures/homes/halting` with such nodes.
fn noting_home() -> Home {
    let home = Home::halting();
    home.script("cosmovisor/genesis/bin/noded", &noting("genesis"));
    home.script("cosmovisor/upgrades/v2/bin/noded", &noting("v2"));
    home
}

/// What a version was given when it was asked this; the home's path left out.
fn given(home: &Home, version: &str, command: &str) -> Vec<String> {
    let begins = format!("{version} gets {command}");
    let notes = fs::read_to_string(home.at("given")).unwrap_or_default();
    let notes = notes.lines().filter(|note| note.starts_with(&begins));
    let mut notes: Vec<String> = notes.map(|note| note.replace(home.path.to_str().expect("text"), "HOME")).collect();
    notes.dedup();
    notes
}

#[test]
fn each_version_gets_its_arguments_variables_and_libraries_and_so_does_what_is_asked_of_it() {
    let home = noting_home();
    home.write("cosmovisor/genesis/watcher.toml", "extra_args = [\"--only-genesis\", \"two words\"]\n");
    let wanted = "extra_args = [\"--log\", \"debug\"]\nremoved_args = [\"--old-db VALUE\", \"--fast\"]\n\n[env]\nMARK = \
                  \"v2's own\"\nOLD = \"\"\n";
    home.write("cosmovisor/upgrades/v2/watcher.toml", wanted);
    home.write("cosmovisor/upgrades/v2/lib/libwasmvm.so", "");
    let settings = [("OLD", "1"), ("LD_LIBRARY_PATH", "/opt/lib")];
    let mut watcher = home.start_with(&["start", "--old-db", "goleveldb", "--fast=true"], &settings);
    home.halt();
    home.expect_upgraded();
    let start = "genesis gets start --old-db goleveldb --fast=true start --home HOME --only-genesis two words";
    let before = "MARK=, OLD=1, LD_LIBRARY_PATH=/opt/lib";
    assert_eq!(given(&home, "genesis", "start"), [format!("{start}, {before}")]);
    assert_eq!(given(&home, "genesis", "status"), [format!("genesis gets status --home HOME, {before}")]);
    let after = "MARK=v2's own, OLD=gone, LD_LIBRARY_PATH=HOME/cosmovisor/upgrades/v2/lib:/opt/lib";
    assert_eq!(given(&home, "v2", "start"), [format!("v2 gets start start --home HOME --log debug, {after}")]);
    assert_eq!(given(&home, "v2", "pre-upgrade"), [format!("v2 gets pre-upgrade, {after}")]);
    assert!(watcher.stop().success());
    let running = home.log_lines("running app");
    assert!(running.iter().any(|line| line.contains("--log") && !line.contains("--fast")), "{running:?}");
}

#[test]
fn a_file_that_cannot_be_understood_holds_the_upgrade_up_and_not_the_node() {
    let cases = [
        ("an unknown key", ("arguments = []", "unknown field `arguments`")),
        ("a wrong kind", ("[env]\nMARK = 1", "line 2 (\"MARK\")")),
        ("what is watcher's", ("extra_args = [\"--home\", \"/x\"]", "extra_args: watcher itself goes by --home")),
    ];
    each(&cases, |(content, says)| {
        let home = noting_home();
        let mut watcher = home.start(&[]);
        home.wait_for_call("start genesis");
        home.write("cosmovisor/upgrades/v2/watcher.toml", content);
        home.halt();
        let told = home.wait_for_log(says);
        let file = home.at("cosmovisor/upgrades/v2/watcher.toml");
        for part in ["ERROR", file.to_str().expect("it is text"), "correct it or move it away"] {
            assert!(told.contains(part), "{part} is missing: {told}");
        }
        wait::until("the halt is seen", LIMIT, || (!given(&home, "genesis", "status").is_empty()).then_some(()));
        assert_eq!((home.count("stop genesis"), home.nodes().len(), home.current().as_str()), (0, 1, "genesis"));
        home.write("cosmovisor/upgrades/v2/watcher.toml", "env.MARK = \"right\"");
        home.expect_upgraded();
        assert!(given(&home, "v2", "start")[0].contains("MARK=right"));
        assert_eq!(home.log_lines(says).len(), 1, "{}", home.log());
        assert!(watcher.stop().success());
    });
}

/// It died of that once the node before it was stopped.
#[test]
fn a_binary_whose_copy_broke_off_holds_the_upgrade_up_and_not_the_node() {
    let home = noting_home();
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    let program = fs::read(env!("CARGO_BIN_EXE_watcher")).expect("it is there");
    home.script("cosmovisor/upgrades/v2/bin/noded", "");
    fs::write(home.at("cosmovisor/upgrades/v2/bin/noded"), &program[..4096]).expect("the home can be written");
    home.halt();
    let told = home.wait_for_log("an ELF that is cut off");
    assert!(
        told.contains("ERROR") && told.contains("upgrades/v2/bin/noded") && told.contains("place it anew"),
        "{told}"
    );
    wait::until("the halt is seen", LIMIT, || (!given(&home, "genesis", "status").is_empty()).then_some(()));
    assert_eq!((home.count("stop genesis"), home.nodes().len(), home.current().as_str()), (0, 1, "genesis"));
    home.script("cosmovisor/upgrades/v2/bin/noded", &noting("v2"));
    home.expect_upgraded();
    assert!(watcher.stop().success());
}

#[test]
fn at_the_start_every_such_file_is_told_and_only_that_of_the_current_version_is_refused() {
    let home = Home::with_node("echo it runs");
    home.write("cosmovisor/upgrades/v2/watcher.toml", "env = 1");
    let ended = output(&mut home.watcher(&["start"]));
    assert_eq!((text(&ended.stdout).as_str(), ended.status.code()), ("it runs\n", Some(0)));
    assert!(text(&ended.stderr).contains("upgrades/v2/watcher.toml, line 1"), "{}", text(&ended.stderr));
    home.write("cosmovisor/genesis/watcher.toml", "extra_arguments = []");
    let ended = output(&mut home.watcher(&["start"]));
    assert_eq!((text(&ended.stdout).as_str(), ended.status.code()), ("", Some(64)));
    assert!(text(&ended.stderr).contains("genesis/watcher.toml, line 1"), "{}", text(&ended.stderr));
}

/// Has the node halt for a plan whose binary is in an archive that brings wishes of its own.
fn archived(home: &Home) -> Server {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in [
        ("bin/noded", home.read("cosmovisor/upgrades/v2/bin/noded").as_str()),
        ("watcher.toml", "env.MARK = \"the archive's\"\nextra_args = [\"--theirs\"]"),
        ("lib/libwasmvm.so", "theirs"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, name, content.as_bytes()).expect("a vector can be written to");
    }
    let archive = archive.into_inner().expect("a vector can be written to");
    let sum = hex::encode(Sha256::digest(&archive));
    let server = Server::plain(move |_| found(&archive));
    let url = format!("{}/noded.tar?checksum=sha256:{sum}", server.base);
    let info = json!({ "binaries": { "any": url } }).to_string();
    home.write("plan.json", &json!({ "name": "v2", "height": 10, "info": info }).to_string());
    home.remove("cosmovisor/upgrades");
    server
}

#[test]
fn what_comes_out_of_an_archive_is_not_the_operators_wish() {
    let home = noting_home();
    let _server = archived(&home);
    let mut watcher = home.start(&[("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true")]);
    home.halt();
    home.expect_upgraded();
    let start = "v2 gets start --home HOME, MARK=, OLD=gone, LD_LIBRARY_PATH=";
    assert_eq!(given(&home, "v2", "start"), [start]);
    assert!(!home.at("cosmovisor/upgrades/v2/watcher.toml").exists());
    assert_eq!(home.read("cosmovisor/upgrades/v2/lib/libwasmvm.so"), "theirs", "a binary may look for it itself");
    assert!(watcher.stop().success());

    // Once the operator says so, they count.
    home.remove("cosmovisor/upgrades/v2/lib/.from-archive");
    home.write("cosmovisor/upgrades/v2/watcher.toml", "env.MARK = \"mine\"");
    let mut watcher = home.start(&[]);
    let started = wait::until("the node starts again", LIMIT, || given(&home, "v2", "start").get(1).cloned());
    assert!(started.ends_with("MARK=mine, OLD=gone, LD_LIBRARY_PATH=HOME/cosmovisor/upgrades/v2/lib"), "{started}");
    assert!(watcher.stop().success());
}

#[test]
fn what_the_operator_put_there_before_a_download_counts_and_is_not_mixed_with_it() {
    let home = noting_home();
    let _server = archived(&home);
    home.write("cosmovisor/upgrades/v2/watcher.toml", "env.MARK = \"mine\"");
    home.write("cosmovisor/upgrades/v2/lib/libown.so", "mine");
    let mut watcher = home.start(&[("DAEMON_ALLOW_DOWNLOAD_BINARIES", "true")]);
    home.halt();
    home.expect_upgraded();
    let start = "v2 gets start --home HOME, MARK=mine, OLD=gone, LD_LIBRARY_PATH=HOME/cosmovisor/upgrades/v2/lib";
    assert_eq!(given(&home, "v2", "start"), [start]);
    let libraries: Vec<_> =
        fs::read_dir(home.at("cosmovisor/upgrades/v2/lib")).expect("it is there").flatten().collect();
    assert!(libraries.len() == 1 && libraries[0].file_name() == "libown.so", "{libraries:?}");
    assert!(watcher.stop().success());
}
