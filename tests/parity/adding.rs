//! Rows 79 to 81: executables that an operator places.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    home::Home,
    link::{Told, cosmovisor, path},
};

const INFO: &str = "data/upgrade-info.json";

/// A home, and an executable beside it.
fn world() -> (Home, PathBuf) {
    let home = Home::with_node("exit 0");
    let executable = home.path.with_file_name("v2-build");
    fs::write(&executable, "#!/bin/sh\necho v2\n").expect("the folder can be written");
    (home, executable)
}

fn add(home: &Home, args: &[&str]) -> Told {
    let mut command = cosmovisor(home, &[&["add-upgrade"], args].concat());
    Told::of(command.env("COSMOVISOR_TIMEFORMAT_LOGS", ""))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o7777
}

#[test]
fn row_79_a_binary_is_placed_and_replaced_only_by_force() {
    let (home, executable) = world();
    let (placed, build) = (home.at("cosmovisor/upgrades/my%20upgrade/bin/noded"), path(&executable));
    let lines = format!(
        "INF Using {build} for my upgrade upgrade module=cosmovisor\n\
         INF Upgrade binary located at {} module=cosmovisor\n",
        placed.display()
    );
    assert_eq!(add(&home, &["My Upgrade", build]).fine(), lines);
    assert_eq!(fs::read(&placed).expect("it is placed"), fs::read(&executable).expect("it is there"));
    for folder in ["", "/my%20upgrade", "/my%20upgrade/bin", "/my%20upgrade/bin/noded"] {
        assert_eq!(mode(&home.at(&format!("cosmovisor/upgrades{folder}"))), 0o755, "{folder}");
    }
    fs::write(&executable, "#!/bin/sh\necho better\n").expect("the folder can be written");
    let there = format!("file already exists at {}", placed.display());
    add(&home, &["my upgrade", build]).refused(&[&there]);
    add(&home, &["my upgrade", build, "--force=false"]).refused(&[&there]);
    assert!(!fs::read_to_string(&placed).expect("it is there").contains("better"));
    add(&home, &["--force", "my upgrade", build]).fine();
    assert!(fs::read_to_string(&placed).expect("it is there").contains("better"));
    assert!(!home.at(INFO).exists(), "without a height there is no plan");
}

#[test]
fn row_79_case_is_kept_where_it_is_wanted() {
    let (home, executable) = world();
    let mut command = cosmovisor(&home, &["add-upgrade", "V2", path(&executable), "--upgrade-height", "5"]);
    Told::of(command.env("COSMOVISOR_DISABLE_RECASE", "true")).fine();
    assert!(home.at("cosmovisor/upgrades/V2/bin/noded").exists());
    assert_eq!(home.read(INFO), r#"{"name":"V2","time":"0001-01-01T00:00:00Z","height":5}"#);
}

#[test]
fn row_79_a_height_makes_a_plan_that_an_operator_wrote() {
    let (home, executable) = world();
    let build = path(&executable);
    let told = add(&home, &["My Upgrade", build, "--upgrade-height", "77"]);
    let line = format!("INF {} created, my upgrade upgrade binary will switch at height 77 ", home.at(INFO).display());
    assert!(told.fine().contains(&line), "{told:?}");
    assert_eq!(home.read(INFO), r#"{"name":"my upgrade","time":"0001-01-01T00:00:00Z","height":77}"#);
    assert_eq!(mode(&home.at(INFO)), 0o755);
    home.remove(INFO);
    for height in ["0", "-5"] {
        add(&home, &["--force", "my upgrade", build, "--upgrade-height", height]).fine();
        assert!(!home.at(INFO).exists(), "{height} is no height");
    }
}

#[test]
fn row_79_what_is_no_executable_is_refused_and_leaves_nothing() {
    let (home, _) = world();
    let nowhere = home.at("nowhere");
    let told = format!("invalid executable path: stat {}: no such file or directory", nowhere.display());
    add(&home, &["v2", path(&nowhere)]).refused(&[&told]);
    let folder = path(&home.path);
    add(&home, &["v2", folder]).refused(&[&format!("failed to read binary: read {folder}: is a directory")]);
    let told = add(&home, &["..", path(&home.at("cosmovisor/genesis/bin/noded"))]);
    assert!(told.code == Some(1) && told.stderr.contains("\"..\""), "{told:?}");
    assert!(!home.at("cosmovisor/upgrades").exists() && !home.at("cosmovisor/bin").exists());
}

#[test]
fn row_79_a_binary_that_runs_is_replaced_by_a_rename() {
    let (home, executable) = world();
    let sleep =
        ["/bin/sleep", "/usr/bin/sleep"].into_iter().find(|path| Path::new(path).exists()).expect("sleep is there");
    fs::copy(sleep, home.path.with_file_name("sleep")).expect("the folder can be written");
    add(&home, &["v2", path(&home.path.with_file_name("sleep"))]).fine();
    let placed = home.at("cosmovisor/upgrades/v2/bin/noded");
    // Where sleep is one program of many, it goes by its name.
    let mut running = Command::new(&placed);
    std::os::unix::process::CommandExt::arg0(&mut running, "sleep");
    let mut running = running.arg("60").stdin(Stdio::null()).spawn().expect("it can be started");
    let told = add(&home, &["v2", path(&executable), "--force"]);
    let still = running.try_wait().expect("a child can be asked");
    running.kill().and_then(|()| running.wait()).expect("it is ours to end");
    told.fine();
    assert_eq!(still, None, "it was not disturbed");
    assert_eq!(fs::read(&placed).expect("it is there"), fs::read(&executable).expect("it is there"));
}

#[test]
fn row_80_a_plan_that_is_there_is_found_before_the_binary_is_copied() {
    let (home, executable) = world();
    home.write(INFO, "{}");
    let there = format!("file already exists at {}", home.at(INFO).display());
    add(&home, &["v2", path(&executable), "--upgrade-height", "9"]).refused(&[&there]);
    assert!(!home.at("cosmovisor/upgrades").exists());
    assert_eq!(home.read(INFO), "{}");
    add(&home, &["v2", path(&executable), "--upgrade-height", "9", "--force"]).fine();
    assert!(home.read(INFO).contains("\"height\":9"));
    assert!(home.at("cosmovisor/upgrades/v2/bin/noded").exists());
}

fn batch(home: &Home, args: &[&str]) -> Told {
    Told::of(&mut cosmovisor(home, &[&["add-batch-upgrade"], args].concat()))
}

/// Checks what a batch of v2 at 10 and V3 at 20 leaves.
#[track_caller]
fn expect_queue(home: &Home) {
    let queue = r#"[
  {
    "name": "v2",
    "time": "0001-01-01T00:00:00Z",
    "height": 10
  },
  {
    "name": "v3",
    "time": "0001-01-01T00:00:00Z",
    "height": 20
  }
]"#;
    assert_eq!(home.read("data/upgrade-info.json.batch"), queue);
    assert_eq!(mode(&home.at("data/upgrade-info.json.batch")), 0o600);
    assert_eq!(home.read("data/upgrade-info.json.V3"), r#"{"name":"v3","time":"0001-01-01T00:00:00Z","height":20}"#);
    assert_eq!(mode(&home.at("data/upgrade-info.json.V3")), 0o755);
    assert!(home.at("data/upgrade-info.json.v2").exists() && !home.at(INFO).exists());
    for version in ["v2", "v3"] {
        assert_eq!(mode(&home.at(&format!("cosmovisor/upgrades/{version}/bin/noded"))), 0o755);
    }
}

#[test]
fn row_81_a_list_and_a_file_make_the_same_queue() {
    let (home, executable) = world();
    let build = path(&executable);
    batch(&home, &["--upgrade-list", &format!("v2:{build}:10,V3:{build}:20")]).fine();
    expect_queue(&home);

    let (home, executable) = world();
    let build = path(&executable);
    home.write("batch.csv", &format!("v2,{build},10\n some/V3, \"{build}\", 20\n"));
    batch(&home, &["--upgrade-file", path(&home.at("batch.csv"))]).fine();
    expect_queue(&home);
    // Once more: an earlier queue is overwritten, and so are the binaries.
    batch(&home, &["--upgrade-list", &format!("v4:{build}:30")]).fine();
    assert!(!home.read("data/upgrade-info.json.batch").contains("v2"));
}

#[test]
fn row_81_an_entry_that_is_wrong_changes_nothing() {
    let (home, executable) = world();
    let build = path(&executable);
    let first = format!("v2:{build}:10");
    let second = |entry: &str| batch(&home, &["--upgrade-list", &format!("{first},{entry}")]);
    second("v3:/tmp/x").refused(&["argument at position 1 ([v3 /tmp/x]) is invalid"]);
    second(&format!("v3:{build}:x")).refused(&["upgrade height at position 1 (x) is invalid"]);
    let told = second(&format!("v3:{build}:0"));
    assert!(told.code == Some(1) && told.stderr.contains("height must be greater than 0"), "{told:?}");
    // The second would have taken the place of the first, or its turn, without a word.
    for (name, height, shared) in [("V2", 20, "the folder v2"), ("v3", 10, "the height 10")] {
        let entry = format!("{name}:{build}:{height}");
        let [one, two] = [&first, &entry].map(|entry| entry.replace(':', " "));
        let told = format!("upgrades at position 0 ([{one}]) and 1 ([{two}]) share {shared}: give each its own");
        second(&entry).refused(&[&told]);
    }
    second("v3:/nowhere:20").refused(&["invalid executable path: stat /nowhere: no such file or directory"]);
    batch(&home, &[]).refused(&["either --upgrade-file or --upgrade-list must be provided"]);
    home.write("empty.csv", "\n");
    let empty = home.at("empty.csv");
    let told = batch(&home, &["--upgrade-file", path(&empty)]);
    assert!(told.code == Some(1) && told.stderr.contains("there is no upgrade in the file"), "{told:?}");
    batch(&home, &["--upgrade-file", path(&empty), "--upgrade-list", &first]).refused(&[
        "if any flags in the group [upgrade-file upgrade-list] are set none of the others can be; [upgrade-file upgrade-list] \
         were all set",
    ]);
    assert!(!home.at("cosmovisor/upgrades").exists());
    assert_eq!(fs::read_dir(home.at("data")).expect("it is there").count(), 0);
}
