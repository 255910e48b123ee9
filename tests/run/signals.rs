//! Requests to stop: the node gets them, is waited for, and nothing is started any more; the next start goes on where this
//! one was.

use std::fs;

use nix::sys::signal::Signal;

use crate::{
    home::{Home, LIMIT, ended, signal},
    own_name::own_name,
    wait,
};

#[test]
fn a_stop_in_the_middle_of_a_backup_starts_nothing_and_the_next_start_makes_it_whole() {
    const FILES: usize = 3000;
    let home = Home::halting();
    for number in 0..FILES {
        home.write(&format!("data/application.db/{number:06}.ldb"), "state");
    }
    let mut watcher = home.start(&[]);
    home.halt();
    let own = own_name(&home.path);
    let named = |what: &str| home.at(&format!("{own}{what}/application.db"));
    wait::until("the backup begins", LIMIT, || named("unfinished").exists().then_some(()));
    signal(&watcher, Signal::SIGTERM);
    assert_eq!(ended(&mut watcher).code(), Some(0));
    let copied = fs::read_dir(named("ahead/tree")).expect("the backup was stopped on its way").count();
    assert!(copied < FILES, "it was made to the end");
    assert_eq!((home.calls().len(), home.current().as_str()), (2, "genesis"), "{:?}", home.calls());

    home.remove("data/application.db");
    home.write("data/application.db/000000.ldb", "state");
    let mut watcher = home.start(&[]);
    home.expect_upgraded();
    assert_eq!(home.count("start genesis"), 1);
    let backups = home.backups();
    assert!(backups.len() == 1 && backups[0].join("application.db/000000.ldb").exists(), "{backups:?}");
    assert_eq!(fs::read_dir(backups[0].join("application.db")).expect("it is there").count(), 1);
    assert!(watcher.stop().success());
}
