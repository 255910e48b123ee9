//! Who may write here, and who is at it already.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, access};

use super::findings::Findings;
use crate::home::Home;

/// Whether the node's user may write where a run writes.
pub(super) fn look(home: &Home, user: Option<&str>, findings: &mut Findings) {
    let may_write: Box<dyn Fn(&Path) -> bool> = match user {
        None => Box::new(|path| access(path, AccessFlags::W_OK | AccessFlags::X_OK).is_ok()),
        Some(name) => {
            let Some(account) = Account::named(name) else {
                let message = format!("User={name} is not in /etc/passwd, so what it may write is not known");
                return findings.warning("user-unknown", message, "run this as that user, without --unit");
            };
            Box::new(move |path| account.may_write(path))
        }
    };
    let places = [Some(home.root()), Some(home.upgrades()), Some(home.own()), home.backups.clone()];
    let mut places: Vec<PathBuf> = places.into_iter().flatten().filter(|place| place.exists()).collect();
    places.dedup();
    for place in places.iter().filter(|place| !may_write(place)) {
        let who = user.map_or_else(|| "the user that runs this".to_owned(), |name| format!("the user {name}"));
        let message = format!("{who} cannot write to {}", place.display());
        findings.error(
            "not-writable",
            message,
            format!("`chown` it to the node's user: {}", super::text::word(&place.to_string_lossy())),
        );
    }
}

/// What runs on the home already, as far as this user may see.
pub(super) fn running(home: &Home, findings: &mut Findings) {
    let resolved = |path: &Path| fs::canonicalize(path).ok();
    let (root, path) = (resolved(&home.root()), resolved(&home.path));
    for process in fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path()) {
        let Some(pid) = process.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok()) else { continue };
        let Ok(command) = fs::read(process.join("cmdline")) else { continue };
        // This very look, or the `sudo` in front of it.
        if command.split(|byte| *byte == 0).any(|word| word == b"migrate-check") {
            continue;
        }
        // A script's name is the second word, behind its shell.
        let words = command.split(|byte| *byte == 0).take(2).map(String::from_utf8_lossy);
        let mut names = words.map(|word| word.rsplit('/').next().unwrap_or_default().to_owned());
        let Some(name) = names.find(|name| [home.daemon.as_str(), "cosmovisor", "watcher"].contains(&name.as_str()))
        else {
            continue;
        };
        let works_here = root.is_some() && fs::read_link(process.join("cwd")).ok() == root;
        let environment = fs::read(process.join("environ")).unwrap_or_default();
        let mut variables = environment.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let daemon_home = variables.find_map(|variable| resolved(Path::new(variable.strip_prefix("DAEMON_HOME=")?)));
        if works_here || (name != home.daemon && path.is_some() && daemon_home == path) {
            let message = format!("{name} runs on this home (pid {pid})");
            findings.note("running", message, "stop it before watcher is started; two nodes on one home destroy it");
        }
    }
}

/// A user of this machine, from the files: a static program asks no other directory.
struct Account {
    user: u32,
    groups: Vec<u32>,
}

impl Account {
    fn named(name: &str) -> Option<Self> {
        let field = |line: &str, nth: usize| line.split(':').nth(nth).map(str::to_owned);
        let users = fs::read_to_string("/etc/passwd").ok()?;
        let mut users = users.lines();
        let line =
            users.find(|line| field(line, 0).as_deref() == Some(name) || field(line, 2).as_deref() == Some(name))?;
        let (own, user, group) = (field(line, 0)?, field(line, 2)?.parse().ok()?, field(line, 3)?.parse().ok()?);
        let others = fs::read_to_string("/etc/group").unwrap_or_default();
        let member = |line: &&str| field(line, 3).is_some_and(|members| members.split(',').any(|member| member == own));
        let others = others.lines().filter(member).filter_map(|line| field(line, 2)?.parse().ok());
        Some(Self { user, groups: std::iter::once(group).chain(others).collect() })
    }

    fn may_write(&self, folder: &Path) -> bool {
        const WRITE_AND_ENTER: u32 = 0o3;
        let Ok(meta) = fs::metadata(folder) else { return false };
        let shift = match () {
            () if meta.uid() == self.user => 6,
            () if self.groups.contains(&meta.gid()) => 3,
            () => 0,
        };
        self.user == 0 || meta.mode() >> shift & WRITE_AND_ENTER == WRITE_AND_ENTER
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn who_may_write_is_told_by_owner_group_and_mode() {
        let folder = tempfile::tempdir().unwrap();
        let meta = fs::metadata(folder.path()).unwrap();
        let may = |user: u32, group: u32, mode: u32| {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            Account { user, groups: vec![7, group] }.may_write(folder.path())
        };
        let (owner, group) = (meta.uid(), meta.gid());
        assert!(may(0, 7, 0o700) && may(owner, 7, 0o700) && may(owner + 1, group, 0o770) && may(owner + 1, 7, 0o777));
        assert!(!may(owner + 1, 7, 0o775) && !may(owner + 1, group, 0o755) && !may(owner + 1, group, 0o707));
        assert!(Account::named("root").is_some_and(|root| root.user == 0) && Account::named("no such user").is_none());
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
}
