//! The name under which the program was started. A link or copy called `cosmovisor` takes that program's place: its command
//! lines, streams, log lines and exit codes.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::Path,
};

use crate::exit::Ending;

/// Who the program is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persona {
    /// Itself, under any other name.
    Watcher,
    /// What it replaces.
    Cosmovisor,
}

/// The name of what it replaces.
const COSMOVISOR: &str = "cosmovisor";

impl Persona {
    /// By the last component of a command line's first word.
    #[must_use]
    pub fn of(arguments: &[OsString]) -> Self {
        let name = arguments.first().and_then(|program| Path::new(program).file_name());
        if name == Some(OsStr::new(COSMOVISOR)) { Self::Cosmovisor } else { Self::Watcher }
    }

    /// The name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Watcher => "watcher",
            Self::Cosmovisor => COSMOVISOR,
        }
    }

    /// What has the commands that `watcher` alone has: under the name `cosmovisor`, the file behind that link.
    #[must_use]
    pub fn program(self) -> String {
        let file = env::current_exe().ok().filter(|file| {
            self == Self::Cosmovisor && file.file_name().is_some_and(|name| name != OsStr::new(COSMOVISOR))
        });
        file.map_or_else(|| Self::Watcher.name().to_owned(), |file| file.display().to_string())
    }

    /// The exit code: under the name `cosmovisor` whatever is not fine is 1.
    #[must_use]
    pub const fn code(self, ending: Ending) -> u8 {
        match (self, ending) {
            (Self::Watcher, ending) | (Self::Cosmovisor, ending @ Ending::AsTheNode(_)) => ending.code(),
            (Self::Cosmovisor, Ending::Fine) => 0,
            (Self::Cosmovisor, _) => 1,
        }
    }
}

/// A text whose commands work as they stand: `program` has them, whatever name this one was started under.
#[must_use]
pub fn spoken(text: &str, program: &str) -> String {
    text.replace("`watcher ", &format!("`{program} "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_component_of_the_name_counts() {
        let of = |program: &str| Persona::of(&[OsString::from(program)]);
        assert_eq!(of("/usr/local/bin/cosmovisor"), Persona::Cosmovisor);
        assert_eq!(of("cosmovisor"), Persona::Cosmovisor);
        assert_eq!(of("/cosmovisor/watcher"), Persona::Watcher);
        assert_eq!(of("cosmovisor2"), Persona::Watcher);
        assert_eq!(Persona::of(&[]), Persona::Watcher);
    }
}
