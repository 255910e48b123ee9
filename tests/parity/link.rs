//! The program under the name `cosmovisor`, and what it left on the terminal.

use std::{
    env,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::home::{Home, NAME, output, text};

/// What a program that has ended left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Told {
    /// Of a command that is run to its end.
    pub(crate) fn of(command: &mut Command) -> Self {
        let ended = output(command);
        Self { code: ended.status.code(), stdout: text(&ended.stdout), stderr: text(&ended.stderr) }
    }

    /// Checks that it was refused with exactly these lines, and that nothing was printed besides.
    #[track_caller]
    pub(crate) fn refused(&self, lines: &[&str]) {
        let stderr = format!("Error: {}\n", lines.join("\n"));
        assert_eq!(*self, Self { code: Some(1), stdout: String::new(), stderr });
    }

    /// Checks that it ended well, and gives stdout.
    #[track_caller]
    pub(crate) fn fine(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.stdout
    }

    /// Checks that it ended well and said nothing on stdout, and gives stderr.
    #[track_caller]
    pub(crate) fn fine_on_stderr(&self) -> &str {
        assert_eq!((self.code, self.stdout.as_str()), (Some(0), ""), "{self:?}");
        &self.stderr
    }
}

/// The link, beside the home.
pub(crate) fn link(home: &Home) -> PathBuf {
    let link = home.path.with_file_name("cosmovisor");
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_watcher"), &link).expect("the folder can be written");
    }
    link
}

/// A program with nothing in its environment, in the folder around the home.
pub(crate) fn bare(program: impl AsRef<Path>, home: &Home, args: &[&str]) -> Command {
    let mut command = Command::new(program.as_ref());
    command.args(args).env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path))).env("TZ", "UTC");
    command.current_dir(home.path.parent().expect("the home lies in a folder")).stdin(Stdio::null());
    command
}

/// `cosmovisor` with the home in its environment, and no colours.
pub(crate) fn cosmovisor(home: &Home, args: &[&str]) -> Command {
    let mut command = bare(link(home), home, args);
    command.env("DAEMON_HOME", &home.path).env("DAEMON_NAME", NAME).env("COSMOVISOR_COLOR_LOGS", "false");
    command
}

/// A path as text.
pub(crate) fn path(path: &Path) -> &str {
    path.to_str().expect("it is text")
}
