//! The last step of staging: a verified artifact moves from the store to `upgrades/<folder>/`, from where the node will be
//! started. Whatever an operator put there stays as it is, and a crash leaves either no binary there or the whole one.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::Path,
    thread,
    time::Duration,
};

use super::{
    disk::{fingerprint, link_or_copy, move_new, naming, sync_folder, sync_names},
    libraries,
    staged::{Placed, binary_in, read_placed, read_staged, write_placed},
    store::{Store, contents},
};
use crate::{
    decide::{
        facts::{Receipt, Staged},
        plan::Upgrade,
    },
    home::make_folders,
};

/// The name of what is in the making. One places at a time, so one name will do and cleans up itself. No plan's folder has a
/// space in its name, so this is never an upgrade's.
const FRESH: &str = ".watcher new";

/// Places a stored artifact for an upgrade, with a receipt for its plan. A file that is already there is kept; another
/// binary that is already there is an error.
///
/// # Errors
/// `InvalidData` where the stored binary is not the one that was verified, `AlreadyExists` where there is another binary, and
/// whatever the filesystem says.
pub fn place(
    store: &Store,
    receipt: &Receipt,
    upgrade: &Upgrade,
    upgrades: &Path,
    daemon_name: &str,
) -> io::Result<()> {
    let tree = store.tree(&receipt.sha256);
    let binary = binary_in(&tree, daemon_name);
    let found = fs::metadata(&binary).map_err(naming("cannot read", &binary))?;
    if fingerprint(&found) != receipt.file {
        let message = format!("{} has changed since it was verified; it has to be fetched again", binary.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let _alone = alone(store);
    let target = upgrades.join(upgrade.folder.as_str());
    if target.exists() {
        // `run` places what it finds in the store, and so does `prepare-upgrade`, which has put it there.
        let placed = read_staged(upgrades, &upgrade.folder, daemon_name);
        if matches!(placed, Staged::Ours(placed) if placed.sha256 == receipt.sha256 && placed.plan == upgrade.plan) {
            return Ok(());
        }
        return fill(&target, &tree, receipt, upgrade, daemon_name);
    }
    let fresh = upgrades.join(FRESH);
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(naming("cannot remove", &fresh))?;
    }
    make_folders(&fresh).map_err(naming("cannot create", &fresh))?;
    fill(&fresh, &tree, receipt, upgrade, daemon_name)?;
    fs::rename(&fresh, &target).map_err(naming("cannot create", &target))?;
    sync_folder(upgrades)?;
    upgrades.parent().map_or(Ok(()), sync_folder)
}

/// Keeps other programs that place out of the way, as long as the file is open. One that does not come to its end, or a
/// filesystem without locks, must not hold an upgrade up: then it is done without, and what goes wrong is tried again.
fn alone(store: &Store) -> Option<File> {
    const LOOKS: u32 = 100;
    const BETWEEN: Duration = Duration::from_millis(10);
    let folder = File::open(&store.artifacts).ok()?;
    for _ in 0..LOOKS {
        match folder.try_lock() {
            Ok(()) => return Some(folder),
            Err(TryLockError::WouldBlock) => thread::sleep(BETWEEN),
            Err(TryLockError::Error(_)) => return None,
        }
    }
    None
}

/// Puts what a stored tree holds into a folder: other files first, then the receipt, the binary last.
fn fill(folder: &Path, tree: &Path, receipt: &Receipt, upgrade: &Upgrade, daemon_name: &str) -> io::Result<()> {
    let (source, target) = (binary_in(tree, daemon_name), binary_in(folder, daemon_name));
    if target.symlink_metadata().is_ok() {
        let message = format!("{} is already there and is not replaced", target.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    // What an earlier, interrupted attempt put here is ours as well.
    let mut files = read_placed(folder).map(|placed| placed.files).unwrap_or_default();
    let contents = libraries::to_place(contents(tree)?, folder);
    for file in contents.into_iter().filter(|file| tree.join(file) != source) {
        let to = folder.join(&file);
        let parent = to.parent().unwrap_or(folder);
        make_folders(parent).map_err(naming("cannot create", parent))?;
        if to.symlink_metadata().is_err() {
            link_or_copy(&tree.join(&file), &to)?;
            files.push(file.to_string_lossy().into_owned());
            sync_names(folder, &file)?;
        }
    }
    let bin = folder.join("bin");
    let fresh = bin.join(FRESH);
    make_folders(&bin).map_err(naming("cannot create", &bin))?;
    if fresh.exists() {
        fs::remove_file(&fresh).map_err(naming("cannot remove", &fresh))?;
    }
    link_or_copy(&source, &fresh)?;
    let file = fingerprint(&fs::metadata(&fresh)?);
    let receipt = Receipt { plan: upgrade.plan.clone(), file, ..receipt.clone() };
    write_placed(folder, &Placed { receipt, files })?;
    move_new(&fresh, &target)?;
    sync_folder(&bin)?;
    sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, path::PathBuf};

    use tempfile::TempDir;

    use super::*;
    use crate::{
        artifact::{Verified, is_operators, read_staged, receipt_flaw, renew, set_aside, stored, verify},
        decide::{
            facts::Staged,
            plan::{Artifact, Asks, Folder, Plan},
        },
    };

    struct Home {
        root: TempDir,
        store: Store,
        upgrade: Upgrade,
    }

    impl Home {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            let store = Store::below(&root.path().join("watcher"));
            let plan = Plan { name: "v2".into(), height: 10, info: String::new() };
            let asks = Asks::Nothing { reason: String::new() };
            Self { root, store, upgrade: Upgrade { plan, folder: Folder::of("v2", false).unwrap(), asks } }
        }

        fn upgrades(&self) -> PathBuf {
            self.root.path().join("upgrades")
        }

        fn aside(&self) -> PathBuf {
            self.root.path().join("watcher/aside")
        }

        fn at(&self, path: &str) -> PathBuf {
            self.upgrades().join("v2").join(path)
        }

        /// Puts an artifact into the store: a binary and a library.
        fn keep(&self, content: &str) -> Receipt {
            let scratch = self.store.scratch().unwrap();
            let tree = scratch.path().join("tree");
            for (file, content) in [("bin/noded", content), ("lib/deep/libwasmvm.so", &format!("library of {content}"))]
            {
                fs::create_dir_all(tree.join(file).parent().unwrap()).unwrap();
                fs::write(tree.join(file), content).unwrap();
                fs::set_permissions(tree.join(file), fs::Permissions::from_mode(0o755)).unwrap();
            }
            libraries::mark(&tree).unwrap();
            let artifact = Artifact { os_arch: "any".into(), url: "https://h/a".into(), checksum: None };
            self.store.keep(&tree, Receipt::of(self.upgrade.plan.clone(), artifact), "noded").unwrap()
        }

        fn place(&self, receipt: &Receipt) -> io::Result<()> {
            place(&self.store, receipt, &self.upgrade, &self.upgrades(), "noded")
        }

        fn staged(&self) -> Staged {
            read_staged(&self.upgrades(), &self.upgrade.folder, "noded")
        }

        fn verify(&self) -> io::Result<Verified> {
            verify(&self.store, &self.upgrades(), &self.upgrade.folder, "noded", &self.aside())
        }
    }

    #[test]
    fn an_artifact_is_kept_placed_told_apart_and_set_aside() {
        let mut home = Home::new();
        let receipt = home.keep("one");
        assert_eq!(stored(&home.store, "noded"), std::slice::from_ref(&receipt));
        assert_eq!(home.staged(), Staged::None);
        home.upgrade.plan.height = 20;
        home.place(&receipt).unwrap();
        let Staged::Ours(placed) = home.staged() else { panic!("{:?}", home.staged()) };
        assert_eq!((placed.plan.height, &placed.sha256), (20, &receipt.sha256));
        assert_eq!(fs::read_to_string(home.at("lib/deep/libwasmvm.so")).unwrap(), "library of one");
        assert_eq!(home.verify().unwrap(), Verified::Same(Box::new(placed)));
        assert!(!is_operators(&home.at("lib")), "libraries of an archive");

        let other = home.place(&home.keep("two")).unwrap_err();
        assert_eq!(other.kind(), io::ErrorKind::AlreadyExists);
        for expected in ["v2-7692c3ad", "v2-7692c3ad-2"] {
            let kept = set_aside(&home.upgrades(), &home.upgrade.folder, &home.aside(), "noded").unwrap();
            assert_eq!(kept, home.aside().join(expected));
            assert_eq!(fs::read_to_string(kept.join("bin/noded")).unwrap(), "one");
            assert!(kept.join("watcher-receipt.json").exists() && kept.join("lib/deep/libwasmvm.so").exists());
            assert_eq!(home.staged(), Staged::None);
            assert!(!home.at("lib").exists());
            home.place(&receipt).unwrap();
        }
        set_aside(&home.upgrades(), &home.upgrade.folder, &home.aside(), "noded").unwrap();
        home.place(&home.keep("two")).unwrap();
        assert_eq!(fs::read_to_string(home.at("lib/deep/libwasmvm.so")).unwrap(), "library of two");
    }

    /// As with `sudo watcher prepare-upgrade`. Anybody else than root has no second user.
    #[test]
    fn what_root_places_belongs_to_the_owner_of_the_home() {
        use std::os::unix::fs::{MetadataExt as _, chown};

        const NOBODY: u32 = 65_534;
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let home = Home::new();
        chown(home.root.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        home.place(&home.keep("ours")).unwrap();
        set_aside(&home.upgrades(), &home.upgrade.folder, &home.aside(), "noded").unwrap();
        for path in crate::artifact::disk::files_below(home.root.path()).unwrap() {
            for path in path.ancestors() {
                assert_eq!(fs::metadata(home.root.path().join(path)).unwrap().uid(), NOBODY, "{}", path.display());
            }
        }
    }

    #[test]
    fn what_an_operator_put_there_is_never_replaced_or_moved() {
        let home = Home::new();
        let receipt = home.keep("ours");
        fs::create_dir_all(home.at("lib/deep")).unwrap();
        fs::write(home.at("lib/deep/libwasmvm.so"), "operator's").unwrap();
        home.place(&receipt).unwrap();
        assert_eq!(fs::read_to_string(home.at("lib/deep/libwasmvm.so")).unwrap(), "operator's");
        assert!(is_operators(&home.at("lib")));

        fs::remove_file(home.at("bin/noded")).unwrap();
        fs::write(home.at("bin/noded"), "another binary").unwrap();
        assert!(matches!(home.staged(), Staged::Suspect(_)));
        set_aside(&home.upgrades(), &home.upgrade.folder, &home.aside(), "noded").unwrap_err();
        assert_eq!(home.verify().unwrap(), Verified::Operator);
        assert_eq!(home.staged(), Staged::Arriving, "it may still be being copied");
        let before = std::time::SystemTime::now() - std::time::Duration::from_secs(3);
        fs::File::options().write(true).open(home.at("bin/noded")).unwrap().set_modified(before).unwrap();
        assert_eq!(home.staged(), Staged::Operator);
        assert_eq!(home.verify().unwrap(), Verified::Operator);
        renew(&home.upgrades(), &home.upgrade.folder, &receipt).unwrap_err();
        assert_eq!(home.place(&receipt).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(home.at("bin/noded")).unwrap(), "another binary");
    }

    #[test]
    fn libraries_of_an_archive_do_not_become_an_operators_when_the_binary_does() {
        let home = Home::new();
        home.place(&home.keep("ours")).unwrap();
        fs::remove_file(home.at("bin/noded")).unwrap();
        fs::write(home.at("bin/noded"), "another binary").unwrap();
        assert_eq!(home.verify().unwrap(), Verified::Operator);
        assert!(home.at("lib/deep/libwasmvm.so").exists() && !is_operators(&home.at("lib")));
        fs::remove_file(home.at("lib/.from-archive")).unwrap();
        assert!(is_operators(&home.at("lib")), "an operator who wants them says so");
    }

    #[test]
    fn a_copy_of_the_same_binary_stays_ours_and_its_receipt_can_change_its_plan() {
        let home = Home::new();
        home.place(&home.keep("same")).unwrap();
        fs::remove_file(home.at("bin/noded")).unwrap();
        fs::write(home.at("bin/noded"), "same").unwrap();
        let Staged::Suspect(mut receipt) = home.staged() else { panic!("{:?}", home.staged()) };
        assert!(matches!(home.verify().unwrap(), Verified::Same(_)));
        assert!(matches!(home.staged(), Staged::Ours(_)));
        receipt.plan.height = 77;
        renew(&home.upgrades(), &home.upgrade.folder, &receipt).unwrap();
        assert!(matches!(home.staged(), Staged::Ours(receipt) if receipt.plan.height == 77));
    }

    #[test]
    fn content_that_changes_by_itself_is_moved_out_of_the_way() {
        let home = Home::new();
        home.place(&home.keep("good")).unwrap();
        let before = fs::metadata(home.at("bin/noded")).unwrap().modified().unwrap();
        fs::write(home.at("bin/noded"), "b@d!").unwrap();
        fs::File::options().write(true).open(home.at("bin/noded")).unwrap().set_modified(before).unwrap();
        let Verified::Rotten { kept } = home.verify().unwrap() else { panic!("not found out") };
        assert_eq!(fs::read_to_string(kept.join("bin/noded")).unwrap(), "b@d!");
        assert_eq!(home.staged(), Staged::None);
        // The store had the same file, and what was set aside was placed again without end.
        assert_eq!(stored(&home.store, "noded"), []);
        home.place(&home.keep("good")).unwrap();
        assert!(matches!(home.verify().unwrap(), Verified::Same(_)));
        // A copy of its own is left alone.
        let before = fs::metadata(home.at("bin/noded")).unwrap().modified().unwrap();
        fs::copy(home.at("bin/noded"), home.at("bin/copy")).unwrap();
        fs::rename(home.at("bin/copy"), home.at("bin/noded")).unwrap();
        fs::File::options().write(true).open(home.at("bin/noded")).unwrap().set_modified(before).unwrap();
        home.verify().unwrap();
        fs::write(home.at("bin/noded"), "b@d!").unwrap();
        fs::File::options().write(true).open(home.at("bin/noded")).unwrap().set_modified(before).unwrap();
        assert!(matches!(home.verify().unwrap(), Verified::Rotten { .. }));
        assert_eq!(stored(&home.store, "noded").len(), 1);
    }

    #[test]
    fn a_receipt_that_the_disk_spoilt_is_named() {
        let home = Home::new();
        home.place(&home.keep("ours")).unwrap();
        let flaw = || receipt_flaw(&home.upgrades(), &home.upgrade.folder);
        assert_eq!(flaw(), None);
        fs::write(home.at("watcher-receipt.json"), "").unwrap();
        assert!(!matches!(home.staged(), Staged::Ours(_)));
        assert!(flaw().is_some_and(|flaw| flaw.contains("watcher-receipt.json") && flaw.contains("remove both")));
    }

    #[test]
    fn several_that_place_the_same_at_once_all_find_it_in_its_place() {
        let home = Home::new();
        let receipt = home.keep("ours");
        thread::scope(|scope| {
            let placing: Vec<_> = (0..8).map(|_| scope.spawn(|| home.place(&receipt))).collect();
            for placed in placing {
                placed.join().unwrap().unwrap();
            }
        });
        assert!(matches!(home.staged(), Staged::Ours(_)));
        assert_eq!(fs::read_dir(home.upgrades()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_in_the_making_has_a_name_that_no_plan_can_have() {
        for keep_case in [false, true] {
            assert_ne!(Folder::of(FRESH, keep_case).unwrap().as_str(), FRESH);
        }
        let mut home = Home::new();
        let receipt = home.keep("ours");
        let other = home.upgrades().join(".watcher-new/bin");
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("noded"), "that of a plan with this name").unwrap();
        home.place(&receipt).unwrap();
        assert!(other.join("noded").exists());
        home.upgrade.folder = Folder::of(".watcher-new", false).unwrap();
        assert_eq!(home.place(&receipt).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn one_that_never_comes_to_its_end_holds_nothing_up() {
        let home = Home::new();
        let receipt = home.keep("ours");
        let _stopped = alone(&home.store).unwrap();
        home.place(&receipt).unwrap();
        assert!(matches!(home.staged(), Staged::Ours(_)));
    }

    #[test]
    fn a_stored_binary_that_has_changed_is_not_placed_and_is_kept_anew() {
        let home = Home::new();
        let receipt = home.keep("good");
        fs::write(home.store.tree(&receipt.sha256).join("bin/noded"), "bad").unwrap();
        assert_eq!(stored(&home.store, "noded"), []);
        assert_eq!(home.place(&receipt).unwrap_err().kind(), io::ErrorKind::InvalidData);
        home.place(&home.keep("good")).unwrap();
    }

    #[test]
    fn what_a_crash_leaves_behind_does_not_disturb() {
        let home = Home::new();
        let receipt = home.keep("good");
        fs::create_dir_all(home.upgrades().join(FRESH).join("bin")).unwrap();
        fs::write(home.upgrades().join(FRESH).join("bin/noded"), "half").unwrap();
        fs::create_dir_all(home.store.artifacts.join(".scratch-old/tree")).unwrap();
        fs::create_dir_all(&home.store.downloads).unwrap();
        for (file, days) in [("stale.part", 31), ("recent.part", 29)] {
            let age = core::time::Duration::from_hours(24 * days);
            let part = fs::File::create(home.store.downloads.join(file)).unwrap();
            part.set_modified(std::time::SystemTime::now() - age).unwrap();
        }
        home.store.sweep().unwrap();
        assert_eq!(fs::read_dir(&home.store.artifacts).unwrap().count(), 1);
        assert_eq!(fs::read_dir(&home.store.downloads).unwrap().count(), 1);
        home.place(&receipt).unwrap();
        fs::remove_file(home.at("bin/noded")).unwrap();
        fs::write(home.at("bin").join(FRESH), "half").unwrap();
        home.place(&receipt).unwrap();
        assert!(matches!(home.staged(), Staged::Ours(_)));
        assert_eq!(fs::read_dir(home.at("bin")).unwrap().count(), 1);
        assert_eq!(fs::read_dir(home.upgrades()).unwrap().count(), 1);
    }
}
