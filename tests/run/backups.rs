//! Where backups go.

use std::fs::File;

use crate::home::{Home, each};

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
