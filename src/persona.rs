//! The name under which the program was started. A link or copy called `cosmovisor` takes that program's place: its command
//! lines, streams, log lines and exit codes.

use std::{
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

impl Persona {
    /// By the last component of a command line's first word.
    #[must_use]
    pub fn of(arguments: &[OsString]) -> Self {
        let name = arguments.first().and_then(|program| Path::new(program).file_name());
        if name == Some(OsStr::new("cosmovisor")) { Self::Cosmovisor } else { Self::Watcher }
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
