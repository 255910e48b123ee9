//! Where backups go.

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
