//! Tells when `upgrade-info.json` may have changed. A hint, never the truth: whoever hears it looks for himself, and polls
//! besides.

use std::{io, os::fd::AsFd as _, path::PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::upgrade_info;
use crate::process::descriptor::Readable;

/// Watches the folder, not the file: a rename replaces the file's inode.
#[derive(Debug)]
pub struct Changes {
    folder: PathBuf,
    inotify: Inotify,
    queue: Readable,
    watch: Option<WatchDescriptor>,
}

impl Changes {
    /// Begins to watch a folder.
    ///
    /// # Errors
    /// Where the system has no watches left (`fs.inotify.max_user_instances`), or the folder is not there.
    pub fn of(folder: PathBuf) -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let queue = Readable::new(inotify.as_fd().try_clone_to_owned()?)?;
        let mut changes = Self { folder, inotify, queue, watch: None };
        changes.watch = Some(changes.add()?);
        Ok(changes)
    }

    /// Waits until the file was written, renamed there, or may have been in a way that was not seen: the queue ran over,
    /// or the folder itself was moved away and is watched anew.
    pub async fn next(&mut self) {
        let moved = AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_DELETE_SELF | AddWatchFlags::IN_IGNORED;
        // The folder may be back by now.
        self.watch = self.watch.or_else(|| self.add().ok());
        loop {
            // Nothing is lost by taking an error for a change: whoever hears of it looks for himself.
            let Ok(events) = self.queue.read(|| Ok(self.inotify.read_events()?)).await else { return };
            // What is said of a watch that was taken back, that it is no more, is no news.
            let gone = events.iter().any(|event| Some(event.wd) == self.watch && event.mask.intersects(moved));
            let lost = events.iter().any(|event| event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW));
            if gone {
                if let Some(watch) = self.watch.take() {
                    let _ = self.inotify.rm_watch(watch);
                }
                self.watch = self.add().ok();
            }
            if gone
                || lost
                || events.iter().any(|event| event.name.as_deref().is_some_and(|name| name == upgrade_info::FILE))
            {
                return;
            }
        }
    }

    fn add(&self) -> nix::Result<WatchDescriptor> {
        let what = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_DELETE_SELF;
        self.inotify.add_watch(&self.folder, what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, time::Duration};

    async fn told(changes: &mut Changes) -> bool {
        tokio::time::timeout(Duration::from_secs(5), changes.next()).await.is_ok()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_write_a_rename_and_a_folder_that_moves_are_told() {
        let keep = tempfile::tempdir().unwrap();
        let data = keep.path().join("data");
        fs::create_dir(&data).unwrap();
        let mut changes = Changes::of(data.clone()).unwrap();
        fs::write(data.join("upgrade-info.json"), "{}").unwrap();
        assert!(told(&mut changes).await);
        fs::write(data.join("other"), "{}").unwrap();
        fs::rename(data.join("other"), data.join("upgrade-info.json")).unwrap();
        assert!(told(&mut changes).await);
        fs::rename(&data, keep.path().join("away")).unwrap();
        assert!(told(&mut changes).await);
    }
}
