//! What a home leaves beside the backups of others bears its own name.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

/// How everything begins that a home leaves there. One that has no name yet gets one.
pub(crate) fn own_name(home: &Path) -> String {
    let id = home.join("cosmovisor/watcher/id");
    let text = fs::read_to_string(&id).unwrap_or_else(|_| {
        let text = format!("own-{:x}", fs::metadata(home).expect("it is there").ino());
        fs::create_dir_all(home.join("cosmovisor/watcher")).expect("the home can be written");
        fs::write(id, &text).expect("the home can be written");
        text
    });
    let (name, _inode) = text.rsplit_once('-').expect("it ends with an inode");
    format!(".watcher-{name}-")
}
