//! What is saved before a switch, where it goes, and how it comes back.

use std::{
    fs::{self, File},
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use serde_json::Value;

use crate::{
    home::{Home, LIMIT, NAME, each, output, text},
    orders::command,
    own_name::own_name,
    wait,
};

#[test]
fn a_backup_goes_where_it_is_told_or_nowhere() {
    let elsewhere = Home::empty();
    let place = elsewhere.path.to_str().expect("it is text");
    let cases = [("elsewhere", ("DAEMON_DATA_BACKUP_DIR", place)), ("nowhere", ("UNSAFE_SKIP_BACKUP", "true"))];
    each(&cases, |setting| {
        let home = Home::halting();
        let mut watcher = home.start(&[*setting]);
        home.halt();
        home.expect_upgraded();
        assert!(home.backups().is_empty());
        assert!(watcher.stop().success());
    });
    let backups = elsewhere.backups();
    assert!(backups.len() == 1 && backups[0].join("height").exists(), "{backups:?}");
}

#[test]
fn a_node_is_not_stopped_for_a_backup_that_has_no_room() {
    let home = Home::halting();
    let mut watcher = home.start(&[]);
    home.wait_for_call("start genesis");
    // Eight terabytes, none of which is there.
    let vast = File::create(home.at("data/vast")).expect("the home can be written");
    vast.set_len(8 << 40).expect("the filesystem knows sparse files");
    home.halt();
    let line = home.wait_for_log("the node is not stopped before it can");
    assert!(line.contains("the backup needs 8") && line.contains("make room"), "{line}");
    assert_eq!((home.count("stop genesis"), home.nodes().len()), (0, 1));
    home.remove("data/vast");
    home.expect_upgraded();
    assert_eq!(home.backups().len(), 1);
    assert!(watcher.stop().success());
}

/// As root has it who looked something up with the node's own binary.
#[test]
fn what_the_nodes_user_may_not_read_is_told_before_the_node_is_stopped() {
    const NOBODY: u32 = 65_534;
    if !geteuid().is_root() {
        return;
    }
    let home = Home::halting();
    let around = home.path.parent().expect("it lies in a folder");
    for (program, mode, path) in
        [("chmod", "755", around), ("chown", "nobody", &home.path), ("chown", "nobody", &home.at("data"))]
    {
        assert!(Command::new(program).arg(mode).arg(path).status().expect("it is there").success());
    }
    home.write("data/ours", "");
    home.mode("data/ours", 0o600);
    let told = output(command(&home, &["migrate-check"]).uid(NOBODY));
    assert!(text(&told.stdout).contains("data/ours: Permission denied"), "{told:?}");
}

/// Files that never change again, of a node at its halt.
const SETTLED: [&str; 4] = [
    "application.db/000001.ldb",
    "application.db/000004.sst",
    "memiavl.db/snapshot-7/leaves",
    "memiavl.db/snapshot-7/metadata",
];
/// Files that do, or of which that is not known: `config.toml` names another consensus log.
const MOVING: [&str; 10] = [
    "application.db/000005.log",
    "application.db/000007.log",
    "application.db/000006.ldb",
    "application.db/CURRENT",
    "application.db/MANIFEST-000002",
    "tx_index.db/000001.ldb",
    "cs.wal/wal",
    "cs.wal/wal.000",
    "memiavl.db/snapshot-8-tmp/leaves",
    "height",
];

/// `fixtures/homes/halting` with the data of a validator, and everything that belongs to them.
pub(crate) fn validator() -> Home {
    let home = Home::halting();
    for path in SETTLED.iter().chain(&MOVING) {
        if *path != "height" {
            home.write(&format!("data/{path}"), path);
        }
    }
    std::os::unix::fs::symlink("snapshot-7", home.at("data/memiavl.db/current")).expect("the home can be written");
    home.write("data/snapshots/5/3/0", "the node makes it again");
    home.write("data/priv_validator_state.json", r#"{"height":"10","round":0,"step":2}"#);
    home.write("config/node_key.json", "secret");
    home.write("config/priv_validator_key.json", "secret");
    home.write("config/app.toml", "before");
    home.write("wasm/state/code", "before");
    home.write("logs/consensus/wal", "head");
    home.write("logs/consensus/wal.001", "closed");
    home.write("logs/consensus/other", "not the node's");
    home.write("more/one", "before");
    home.write(
        "config/config.toml",
        "db_dir = \"data\"\n[rpc]\nladdr = \"tcp://127.0.0.1:1\"\n[consensus]\nwal_file = \"logs/consensus/wal\"\n",
    );
    home
}

const MORE: (&str, &str) = ("WATCHER_BACKUP_PATHS", "more");

/// Carries it through its upgrade, and stops it. Gives its backup.
pub(crate) fn upgraded(home: &Home, settings: &[(&str, &str)]) -> PathBuf {
    let mut watcher = home.start(settings);
    home.halt();
    home.expect_upgraded();
    assert!(watcher.stop().success());
    let mut backups = home.backups();
    assert_eq!(backups.len(), 1, "{backups:?}");
    backups.remove(0)
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("it is there").flatten() {
        if entry.file_type().expect("it has one").is_dir() {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).ino()
}

/// `watcher backups` with these arguments.
pub(crate) fn backups(home: &Home, args: &[&str]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_watcher"));
    command.arg("backups").args(args).env_clear().env("DAEMON_HOME", &home.path).env("DAEMON_NAME", NAME);
    output(&mut command)
}

fn json(home: &Home, args: &[&str]) -> Value {
    let told = backups(home, args);
    assert!(told.status.success(), "{told:?}");
    serde_json::from_slice(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"))
}

#[test]
fn a_checkpoint_links_what_never_changes_again_and_copies_the_rest_but_keys() {
    let home = validator();
    let saved = upgraded(&home, &[MORE]);
    for path in SETTLED {
        assert_eq!(inode(&saved.join(path)), inode(&home.at("data").join(path)), "{path}");
    }
    for path in MOVING {
        assert_ne!(inode(&saved.join(path)), inode(&home.at("data").join(path)), "{path}");
    }
    for path in ["config/app.toml", "wasm/state/code", "more-1/one", "wal/wal", "wal/wal.001"] {
        assert!(saved.join(".watcher").join(path).exists(), "{path}");
    }
    assert_eq!(inode(&saved.join(".watcher/wal/wal.001")), inode(&home.at("logs/consensus/wal.001")));
    assert_eq!(fs::read_link(saved.join("memiavl.db/current")).expect("a link"), Path::new("snapshot-7"));
    assert_eq!(fs::read_to_string(saved.join("height")).expect("it is saved").trim(), "10");
    let left_out =
        ["priv_validator_state.json", "priv_validator_key.json", "node_key.json", "snapshots/5/3/0", "wal/other"];
    for path in files(&saved) {
        assert!(left_out.iter().all(|name| !path.ends_with(name)), "{}", path.display());
    }
    let list = json(&home, &["list", "--next", "--format", "json"]);
    let entry = &list["backups"][0];
    let told = (entry["plan"]["name"].as_str(), entry["plan"]["height"].as_u64(), entry["means"].as_str());
    assert_eq!(told, (Some("v2"), Some(10), Some("checkpoint")), "{list}");
    assert!(entry["bytes_shared"].as_u64() > Some(0) && entry["bytes_copied"].as_u64() > Some(0), "{list}");
    assert!(list["next"]["seconds"].as_f64() > Some(0.0) && list["next"]["bytes_free"].as_u64() > Some(0), "{list}");
    let names = home.backups();
    assert_eq!(names.len(), 1, "the rehearsal is gone: {names:?}");
}

#[test]
fn a_copy_is_independent_of_the_data_in_every_file() {
    let home = validator();
    let saved = upgraded(&home, &[("WATCHER_BACKUP", "copy"), MORE]);
    for path in SETTLED.iter().chain(&MOVING) {
        assert_ne!(inode(&saved.join(path)), inode(&home.at("data").join(path)), "{path}");
    }
    let told = backups(&home, &["prune"]);
    assert_eq!(text(&told.stdout), "nothing is to be removed\n", "a copy stays");
    let name = saved.file_name().expect("it has one").to_str().expect("it is text");
    assert_eq!(json(&home, &["prune", name, "--force", "--format", "json"])["removed"][0], name);
    assert!(home.backups().is_empty());
}

#[test]
fn a_restore_brings_back_everything_but_keys_and_the_signing_state() {
    let home = validator();
    let saved = upgraded(&home, &[MORE]);
    let keys = ["config/node_key.json", "config/priv_validator_key.json"].map(|path| (path, inode(&home.at(path))));
    // The new binary went on, and signed.
    home.write("data/priv_validator_state.json", r#"{"height":"11","round":0,"step":3}"#);
    for path in ["config/app.toml", "wasm/state/code", "more/one"] {
        home.write(path, "after");
    }
    home.write("data/new.db/CURRENT", "after");
    home.remove("data/application.db/000001.ldb");

    let refused = backups(&home, &["restore"]);
    assert!(text(&refused.stderr).contains("--yes"), "{refused:?}");
    assert_eq!(home.read("data/height").trim(), "11", "nothing is changed");
    let done = json(&home, &["restore", "--yes", "--format", "json"]);
    assert_eq!(done["signed"]["height"], 11, "{done}");

    assert_eq!(home.read("data/height").trim(), "10");
    assert_eq!(home.read("data/application.db/000001.ldb"), "application.db/000001.ldb");
    for path in ["config/app.toml", "wasm/state/code", "more/one"] {
        assert_eq!(home.read(path), "before", "{path}");
    }
    assert!(!home.at("data/new.db").exists() && !home.at("data/.watcher").exists());
    assert_eq!(home.read("data/priv_validator_state.json"), r#"{"height":"11","round":0,"step":3}"#);
    for (path, was) in keys {
        assert_eq!(inode(&home.at(path)), was, "{path}");
    }
    assert_eq!(home.read("logs/consensus/other"), "not the node's");
    let failed: Vec<PathBuf> = serde_json::from_value(done["failed"].clone()).expect("paths");
    let kept = |name: &str, path: &str| {
        let folder = failed.iter().find(|folder| folder.to_string_lossy().contains(name)).expect("it is told");
        fs::read_to_string(folder.join(path)).expect("nothing is deleted")
    };
    assert_eq!((kept("data-failed", "height").trim(), kept("wasm-failed", "state/code").as_str()), ("11", "after"));
    assert_eq!(kept("data-failed", "new.db/CURRENT"), "after");
    // It stays what it was, and can be brought back again.
    assert!(saved.join("application.db/000001.ldb").exists());
    let looked = backups(&home, &["verify"]);
    assert!(looked.status.success() && text(&looked.stdout).contains("files are there as they were"), "{looked:?}");
    // The version is told where it is not that of the data.
    let told = text(&backups(&home, &["restore", "--yes"]).stdout);
    assert!(
        told.contains("cosmovisor/current stays upgrades/v2, and the data are of genesis: `watcher run`"),
        "{told}"
    );
    home.remove("cosmovisor/current");
    std::os::unix::fs::symlink("genesis", home.at("cosmovisor/current")).expect("the home can be written");
    let told = text(&backups(&home, &["restore", "--yes"]).stdout);
    assert!(told.contains("restored") && !told.contains("stays"), "{told}");
}

/// Its content may be a configuration management's, which a restore must not write to.
#[test]
fn a_link_that_a_restore_makes_a_file_is_named() {
    let home = validator();
    home.write("managed/app.toml", "managed");
    home.remove("config/app.toml");
    std::os::unix::fs::symlink(home.at("managed/app.toml"), home.at("config/app.toml"))
        .expect("the home can be written");
    upgraded(&home, &[MORE]);
    let told = text(&backups(&home, &["restore", "--yes"]).stderr);
    let (link, target) = (home.at("config/app.toml"), home.at("managed/app.toml"));
    assert!(told.contains(&format!("{} was a link to {},", link.display(), target.display())), "{told}");
    assert_eq!((link.is_symlink(), home.read("config/app.toml").as_str()), (false, "managed"));
    assert_eq!(told.matches("was a link").count(), 1, "{told}");
}

#[test]
fn nothing_is_restored_where_it_is_not_known_what_was_signed_or_the_backup_is_not_what_it_was() {
    let home = validator();
    let saved = upgraded(&home, &[MORE]);
    for (state, said) in [(Some("{\"height\":"), "EOF"), (Some("{}"), "it says no height"), (None, "it is gone")] {
        match state {
            Some(state) => home.write("data/priv_validator_state.json", state),
            None => home.remove("data/priv_validator_state.json"),
        }
        let refused = backups(&home, &["restore", "--yes"]);
        let told = text(&refused.stderr);
        assert!(refused.status.code() == Some(1) && told.contains(said), "{refused:?}");
        assert_eq!(home.read("data/height").trim(), "11", "nothing is changed");
    }
    home.write("data/priv_validator_state.json", r#"{"height":"9","round":0,"step":3}"#);
    fs::write(saved.join("application.db/CURRENT"), "somebody else").expect("it can be written");
    let looked = json_of(&backups(&home, &["verify", "--format", "json"]));
    assert_eq!(looked["backups"][0]["whole"], false, "{looked}");
    let told = text(&backups(&home, &["verify"]).stdout);
    let found = format!("before \"v2\" at height 10, is BROKEN, and no restore takes it:\n  {}/app", saved.display());
    assert!(told.contains(&found) && told.contains("CURRENT: has 13 bytes, and had 22\n"), "{told}");
    let refused = backups(&home, &["restore", "--yes"]);
    assert!(text(&refused.stderr).contains("application.db/CURRENT"), "{refused:?}");
    assert_eq!(home.read("data/height").trim(), "11", "nothing is changed");
}

pub(crate) fn json_of(told: &Output) -> Value {
    serde_json::from_slice(&told.stdout).unwrap_or_else(|error| panic!("{error}: {told:?}"))
}

#[test]
fn a_signing_state_that_fell_behind_the_backup_is_brought_forward() {
    let home = validator();
    upgraded(&home, &[MORE]);
    home.write("data/priv_validator_state.json", r#"{"height":"10","round":0,"step":1}"#);
    json(&home, &["restore", "--yes", "--format", "json"]);
    // As the node of the fixture wrote it at its halt.
    assert_eq!(home.read("data/priv_validator_state.json").trim(), r#"{"height":"10","round":0,"step":3}"#);
}

/// As `unsafe-reset-all` does it. What the backup keeps is no word on what was signed after it.
#[test]
fn a_signing_state_that_was_reset_is_told_before_and_after_with_both_heights() {
    let home = validator();
    upgraded(&home, &[MORE]);
    let reset = || home.write("data/priv_validator_state.json", r#"{"height":"0","round":0,"step":0}"#);
    let is_told = |told: &str| {
        let said = "it said height 0, round 0, step 0, and the one in the backup height 10, round 0, step 3";
        told.contains(said) && told.contains("put the last state that is known in its place, or wait")
    };
    reset();
    for asks in [&["backups", "restore"], &["rollback"][..]] {
        let asked = output(&mut command(&home, asks));
        assert!(asked.status.code() == Some(64) && is_told(&text(&asked.stdout)), "{asked:?}");
    }
    let done = backups(&home, &["restore", "--yes"]);
    let (stdout, stderr) = (text(&done.stdout), text(&done.stderr));
    assert!(done.status.success() && stdout.contains("the signing state is the backup's: height 10"), "{done:?}");
    assert!(stderr.lines().filter(|line| is_told(line)).count() == 2, "{stderr}");
    // It is no more known then.
    let again = backups(&home, &["restore", "--yes"]);
    let says = "the signing state is the backup's: height 10";
    assert!(is_told(&text(&again.stderr)) && text(&again.stdout).contains(says), "{again:?}");
    home.write("data/priv_validator_state.json", r#"{"height":"10","round":1,"step":1}"#);
    let later = backups(&home, &["restore", "--yes"]);
    assert!(!is_told(&text(&later.stderr)) && text(&later.stdout).contains("last signed height 10"), "{later:?}");
    reset();
    assert_eq!(json(&home, &["restore", "--yes", "--format", "json"])["signing_was_reset"], true);

    reset();
    assert!(output(&mut command(&home, &["rollback", "--yes"])).status.success());
    let mut watcher = home.start(&[]);
    assert!(is_told(&home.wait_for_log("the signing state was reset")));
    home.wait_for_log("are as before it");
    assert_eq!(watcher.stop().code(), Some(75));
}

#[test]
fn a_backup_is_meant_by_its_name_and_by_its_path_with_or_without_a_slash_behind() {
    let home = validator();
    let saved = upgraded(&home, &[("WATCHER_BACKUP", "copy"), MORE]);
    let (name, path) = (saved.file_name().expect("it has one").display(), saved.display());
    for wanted in [name.to_string(), format!("{name}/"), path.to_string(), format!("{path}/")] {
        let looked = json(&home, &["verify", &wanted, "--format", "json"]);
        assert_eq!(looked["backups"][0]["whole"], true, "{wanted}: {looked}");
    }
    for wanted in [format!("{path}-2"), format!("elsewhere/{name}"), String::new(), "/".to_owned()] {
        let refused = backups(&home, &["verify", &wanted]);
        assert!(text(&refused.stderr).contains("there is no backup"), "{wanted}: {refused:?}");
    }
    json(&home, &["restore", &format!("{name}/"), "--yes", "--format", "json"]);
    let pruned = || backups(&home, &["prune", &format!("{path}/"), "--force"]);
    // One that is not there, and one that is.
    fs::rename(&saved, home.at("elsewhere")).expect("the home can be written");
    let refused = pruned();
    assert!(text(&refused.stderr).contains("is that backup under another name"), "{refused:?}");
    fs::rename(home.at("elsewhere"), &saved).expect("the home can be written");
    assert!(pruned().status.success() && !saved.exists());
}

#[test]
fn a_list_that_cannot_be_understood_is_told_and_what_it_noted_is_still_there() {
    let home = validator();
    let saved = upgraded(&home, &[MORE]);
    let listed = "cosmovisor/watcher/backups.json";
    home.write(listed, "[{");
    let told = backups(&home, &["list"]);
    let name = saved.file_name().expect("it has one").to_str().expect("it is text");
    assert!(text(&told.stdout).contains(name), "{told:?}");
    let warning = text(&told.stderr);
    assert!(
        warning.contains(home.at(listed).to_str().expect("it is text")) && warning.contains("writes the list anew")
    );
    let list = json(&home, &["list", "--format", "json"]);
    assert!(list["problem"].as_str().expect("it is told").contains("cannot be understood"), "{list}");
    assert_eq!(text(&backups(&home, &["prune"]).stdout), "nothing is to be removed\n");
    assert!(json(&home, &["restore", "--yes", "--format", "json"])["restored"] == name);
}

/// Its v2 ends at once, and `watcher` is stopped once it holds the upgrade.
fn fails_to_upgrade(home: &Home, settings: &[(&str, &str)]) {
    home.script("cosmovisor/upgrades/v2/bin/noded", "[ $1 = start ] && exit 3\nexit 0\n");
    let mut watcher = home.start(&[&[("WATCHER_UPGRADE_MAX_RESTARTS", "0")], settings].concat());
    home.halt();
    home.wait_for_log("\"v2\" at height 10 failed");
    assert_eq!(watcher.stop().code(), Some(75));
}

#[test]
fn the_only_way_back_from_an_upgrade_that_has_not_passed_is_not_removed_unless_that_is_said() {
    let home = Home::halting();
    fails_to_upgrade(&home, &[]);
    let saved = home.backups().remove(0);
    let name = saved.file_name().expect("it has one").to_str().expect("it is text");
    let refused = backups(&home, &["prune", name]);
    let told = text(&refused.stderr);
    assert!(refused.status.code() == Some(1) && told.contains("way back from upgrade \"v2\""), "{refused:?}");
    assert!(told.contains("--force") && saved.exists(), "{told}");
    assert_eq!(json(&home, &["prune", name, "--force", "--format", "json"])["removed"][0], name);
    assert!(!saved.exists());
}

/// As it could be made before such paths were refused: what came back had neither the record nor the note of the restore.
#[test]
fn a_backup_with_what_watcher_works_with_is_not_brought_back_and_the_upgrade_stays_held() {
    let home = validator();
    fails_to_upgrade(&home, &[MORE]);
    let own = |path: &str| format!("{:?}", home.at(path));
    let listed = home.read("cosmovisor/watcher/backups.json").replace(&own("more"), &own("cosmovisor"));
    home.write("cosmovisor/watcher/backups.json", &listed);
    let refused = backups(&home, &["restore", "--yes"]);
    assert!(text(&refused.stderr).contains("cosmovisor cannot make room"), "{refused:?}");
    let mut watcher = home.start(&[("WATCHER_UPGRADE_MAX_RESTARTS", "0")]);
    output(&mut command(&home, &["rollback", "--yes"]));
    home.wait_for_log("bring back by hand");
    assert_eq!(watcher.stop().code(), Some(75));
    // A node that needs no backup now is not kept down for it: it is the verdict that keeps this one.
    let verdicts = || home.log_lines("\"v2\" at height 10 failed").len();
    let before = verdicts();
    let mut watcher = home.start(&[(MORE.0, "cosmovisor")]);
    let told = home.wait_for_log("WATCHER_BACKUP_PATHS names cosmovisor, which is /");
    assert!(told.contains("the next upgrade will wait for that"), "{told}");
    wait::until("the verdict is told", LIMIT, || (verdicts() > before).then_some(()));
    assert_eq!(watcher.stop().code(), Some(75));
    assert!(!files(&home.path).iter().any(|path| path.to_string_lossy().contains("-failed-")));
}

#[test]
fn a_restore_that_is_interrupted_before_it_changed_anything_says_so_and_nothing_is_left_of_it() {
    let home = Home::halting();
    for number in 0..3000 {
        home.write(&format!("data/application.db/{number:06}.ldb"), "state");
    }
    upgraded(&home, &[("WATCHER_BACKUP", "copy")]);
    let half = home.at(&format!("{}restored-0", own_name(&home.path)));
    let interrupted = |signals: &[Signal]| {
        let mut restore = command(&home, &["backups", "restore", "--yes"]);
        let restore = restore.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it can be started");
        wait::until("the restore begins", LIMIT, || half.join("application.db").exists().then_some(()));
        let send = |signal| kill(Pid::from_raw(restore.id().cast_signed()), signal).expect("it is still there");
        send(Signal::SIGSTOP);
        let beside = text(&backups(&home, &["prune"]).stdout);
        assert_eq!((beside.as_str(), half.exists()), ("nothing is to be removed\n", true), "it is under way");
        signals.iter().chain(&[Signal::SIGCONT]).copied().for_each(send);
        restore.wait_with_output().expect("its output can be read")
    };
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let ended = interrupted(&[signal]);
        assert!(ended.status.code() == Some(130) && text(&ended.stderr).contains("nothing is changed"), "{ended:?}");
        assert!(!half.exists());
    }
    // Twice is fast: what was half made is left where it is.
    let ended = interrupted(&[Signal::SIGINT, Signal::SIGTERM]);
    assert!(ended.status.code() == Some(130) && text(&ended.stderr).contains("`watcher backups prune`"), "{ended:?}");
    backups(&home, &["prune"]);
    interrupted(&[Signal::SIGKILL]);
    assert!(half.exists());
    assert_eq!(text(&backups(&home, &["prune"]).stdout), format!("removed: {}\n", half.display()));
    assert!(!half.exists());
    interrupted(&[Signal::SIGKILL]);
    assert_eq!((home.read("data/height").trim(), home.backups().len()), ("11", 1), "nothing is changed");
    let mut watcher = home.start(&[]);
    home.wait_for_log("removed what a restore left");
    home.wait_until_ready();
    assert!(!half.exists() && watcher.stop().success());
}

#[test]
fn a_backup_that_was_moved_to_where_backups_go_now_is_told_of_with_the_way_back() {
    let (home, elsewhere) = (Home::halting(), Home::empty());
    fails_to_upgrade(&home, &[]);
    let saved = home.backups().remove(0);
    let moved = elsewhere.at(saved.file_name().expect("it has one").to_str().expect("it is text"));
    fs::rename(&saved, &moved).expect("both are in one folder for what is temporary");
    for args in [&["backups", "list"][..], &["backups", "restore", "--yes"], &["rollback", "--yes"]] {
        let told = output(command(&home, args).env("DAEMON_DATA_BACKUP_DIR", &elsewhere.path));
        let way = format!("lies in {0} now, and is none there: move it back (`mv {0} ", moved.display());
        assert!(text(&told.stderr).contains(&way), "{told:?}");
    }
    fs::rename(&moved, &saved).expect("both are in one folder for what is temporary");
    assert!(text(&backups(&home, &["restore", "--yes"]).stdout).contains("restored"));
}
