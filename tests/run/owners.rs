//! The service runs as another user than whoever gives it orders with `sudo`: what root makes in the home is the service's.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
};

use nix::unistd::geteuid;

use crate::{
    home::{Home, output, text},
    orders::command,
    say::say,
};

/// `nobody`, on every Linux.
const NOBODY: u32 = 65_534;

/// Gives a home to that user. None where that cannot be.
fn given_away(home: Home) -> Option<Home> {
    if !geteuid().is_root() {
        say("skipped: only root can give a home to another user");
        return None;
    }
    let around = home.path.parent().expect("it lies in a folder");
    assert!(Command::new("chmod").arg("755").arg(around).status().expect("chmod is there").success());
    for path in all(&home.path) {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may do that");
    }
    Some(home)
}

fn all(path: &Path) -> Vec<PathBuf> {
    let inner = fs::read_dir(path).into_iter().flatten().flatten().flat_map(|entry| all(&entry.path()));
    inner.chain([path.to_owned()]).collect()
}

/// Does it as root who shares nothing, and leaves nothing that is root's or that the service cannot read.
fn by_root(home: &Home, args: &[&str]) {
    let asked = command(home, args);
    let mut careful = Command::new("sh");
    careful.args(["-c", "umask 077; exec \"$0\" \"$@\""]).arg(asked.get_program()).args(asked.get_args());
    careful.envs(asked.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let told = output(&mut careful);
    assert!(told.status.success(), "{args:?}: {}", text(&told.stderr));
    for path in all(&home.path) {
        let meta = fs::symlink_metadata(&path).expect("it is there");
        assert!(meta.is_symlink() || meta.uid() == NOBODY, "{args:?} leaves {} to {}", path.display(), meta.uid());
        let needed = if meta.is_dir() || path.parent().is_some_and(|bin| bin.ends_with("bin")) { 0o755 } else { 0o644 };
        let is_own =
            meta.is_symlink() || path.ends_with("id") || path.to_string_lossy().contains("priv_validator_state");
        assert!(is_own || meta.mode() & needed == needed, "{args:?}: {} is {:o}", path.display(), meta.mode());
    }
}

#[test]
fn what_root_makes_is_the_services_to_read_and_to_write() {
    let Some(home) = given_away(Home::steady()) else { return };
    home.script("v9", "exit");
    chown(home.at("v9"), Some(NOBODY), Some(NOBODY)).expect("root may do that");
    let binary = home.at("v9").display().to_string();
    by_root(&home, &["hold", "v2"]);
    by_root(&home, &["release", "v2"]);
    by_root(&home, &["add-upgrade", "v9", &binary, "--upgrade-height", "12"]);
    by_root(&home, &["backups", "list", "--next"]);
    by_root(&home, &["replace", "v9", "/bin/true"]);
}

#[test]
fn what_root_brings_back_is_the_services() {
    let home = Home::halting();
    home.is_upgraded();
    let Some(home) = given_away(home) else { return };
    let backup = home.backups().pop().expect("the upgrade made it");
    let name = backup.file_name().and_then(|name| name.to_str()).expect("it is text");
    by_root(&home, &["backups", "restore", name, "--yes"]);
    assert_eq!(home.read("data/height").trim(), "10");
}

#[test]
fn what_only_root_may_use_is_named_with_its_owner_and_the_remedy() {
    for (path, mode) in [("cosmovisor/upgrades/v2", 0o700), ("cosmovisor", 0o755)] {
        let Some(home) = given_away(Home::with_node("echo it runs")) else { return };
        home.write("cosmovisor/upgrades/v2/bin/noded", "");
        chown(home.at(path), Some(0), Some(0)).expect("root may do that");
        home.mode(path, mode);
        let told = text(&output(home.watcher(&["start"]).uid(NOBODY).gid(NOBODY)).stderr);
        let says = format!("{} is user 0's, and user {NOBODY} may not use it: `chown`", home.at(path).display());
        assert!(told.contains(&says) && !told.contains("watcher.toml"), "{told}");
    }
}

/// It was told to be no plan, and to be moved away.
#[test]
fn a_plan_that_only_root_may_read_is_in_the_way_and_is_told_with_its_owner() {
    let Some(home) = given_away(Home::steady()) else { return };
    let info = "data/upgrade-info.json";
    home.write(info, r#"{"name": "v2", "height": 10}"#);
    chown(home.at(info), Some(0), Some(0)).expect("root may do that");
    home.mode(info, 0o600);
    let told = output(command(&home, &["migrate-check"]).uid(NOBODY).gid(NOBODY));
    let says = format!("{} is user 0's, and user {NOBODY} may not use it: `chown`", home.at(info).display());
    let text = text(&told.stdout);
    assert!(!told.status.success() && text.contains(&says) && !text.contains("move it away"), "{text}");
}
