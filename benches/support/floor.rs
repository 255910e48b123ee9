//! The least that any supervisor has to do, to hold `watcher` against: hear of the file, stop, point the link, start. It checks
//! nothing and survives nothing.

use std::{
    env, fs,
    os::unix::{fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use nix::{
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        signal::{Signal, kill, killpg},
    },
    unistd::Pid,
};
use serde_json::Value;

/// The word that makes a benchmark's own program a floor: `floor NAME HOME`.
pub(crate) const WORD: &str = "floor";

/// A floor at work, a process of its own. Dropping it ends it and its node.
pub(crate) struct Floor(Child);

impl Floor {
    /// Starts it on a home.
    pub(crate) fn start(home: &Path, name: &str) -> Self {
        let floor = Command::new(env::current_exe().expect("a program knows where it is"))
            .args([WORD, name])
            .arg(home)
            .env("DAEMON_HOME", home)
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(floor.expect("this very program can be started"))
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // Where they are gone already there is nothing to end.
        let _ = killpg(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}

/// Supervises until a signal ends it.
pub(crate) fn run(name: &str, home: &Path) -> ! {
    let folder = home.join("cosmovisor");
    let data = home.join("data");
    let changes = Inotify::init(InitFlags::empty()).expect("inotify is there");
    changes.add_watch(&data, AddWatchFlags::IN_CLOSE_WRITE).expect("the data folder is there");
    let spawn = |version: &str| {
        let binary: PathBuf = folder.join(version).join("bin").join(name);
        Command::new(binary).args(["start", "--home"]).arg(home).spawn().expect("the node's binary is in its place")
    };
    let mut node = spawn("genesis");
    loop {
        let written = changes.read_events().expect("inotify answers");
        if !written.iter().any(|event| event.name.as_deref() == Some("upgrade-info.json".as_ref())) {
            continue;
        }
        let info = fs::read(data.join("upgrade-info.json")).expect("it was just written");
        let plan: Value = serde_json::from_slice(&info).expect("it is complete when it is closed");
        kill(Pid::from_raw(node.id().cast_signed()), Signal::SIGTERM).expect("the node is there");
        node.wait().expect("the node is a child");
        let target = format!("upgrades/{}", plan["name"].as_str().expect("a plan has a name"));
        symlink(target, folder.join("next")).expect("the folder can be written");
        fs::rename(folder.join("next"), folder.join("current")).expect("the folder can be written");
        node = spawn("current");
    }
}
