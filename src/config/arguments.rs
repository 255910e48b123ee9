//! What the node's arguments say to `watcher` too.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::ConfigError;
use crate::home::Home;

const FLAG: &str = "cosmovisor-config";

/// Takes `--cosmovisor-config FILE` out of the arguments of `run`: the first one, anywhere, in any case, with one dash or
/// two. Every other spelling is the node's. An empty name is no file.
///
/// # Errors
/// Where no file follows.
pub fn take_config(args: &mut Vec<OsString>) -> Result<Option<PathBuf>, ConfigError> {
    let names = |arg: &OsString| {
        let name = arg.to_str().and_then(|arg| arg.strip_prefix('-'));
        name.map(|name| name.strip_prefix('-').unwrap_or(name)).is_some_and(|name| name.eq_ignore_ascii_case(FLAG))
    };
    let Some(place) = args.iter().position(names) else { return Ok(None) };
    if place + 1 == args.len() {
        let text = format!("failed to parse cosmovisor config: --{FLAG} requires an argument");
        return Err(ConfigError(vec![text]));
    }
    args.remove(place);
    let file = args.remove(place);
    Ok(Some(PathBuf::from(file)).filter(|file| !file.as_os_str().is_empty()))
}

/// `--home` among the node's arguments, where it is another folder than `DAEMON_HOME`.
#[must_use]
pub fn other_home(home: &Home, args: &[OsString]) -> Option<PathBuf> {
    let mut args = args.iter();
    let mut named = None;
    while let Some(arg) = args.next() {
        let text = arg.to_string_lossy();
        if text == "--home" {
            named = args.next().map(PathBuf::from);
        } else if let Some(path) = text.strip_prefix("--home=") {
            named = Some(PathBuf::from(path));
        }
    }
    let resolve = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    named.filter(|named| resolve(named) != resolve(&home.path))
}

/// Heights after `--unsafe-skip-upgrades`, in both spellings: `5 6` up to the next flag, and `=5,6`.
#[must_use]
pub fn skip_heights(args: &[OsString]) -> Vec<u64> {
    const FLAG: &str = "--unsafe-skip-upgrades";
    let mut heights = Vec::new();
    let mut listing = false;
    for arg in args {
        let text = arg.to_string_lossy();
        if let Some(list) = text.strip_prefix(FLAG) {
            listing = list.is_empty();
            heights.extend(list.trim_start_matches('=').split(',').filter_map(|height| height.parse::<u64>().ok()));
        } else if text.starts_with('-') {
            listing = false;
        } else if listing {
            heights.extend(text.split(',').filter_map(|height| height.parse::<u64>().ok()));
        }
    }
    heights
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_configuration_file_is_taken_out_where_it_is_spelt_so() {
        for (given, file, left) in [
            ("start --cosmovisor-config f --x", Some("f"), "start --x"),
            ("-Cosmovisor-CONFIG f start", Some("f"), "start"),
            ("--cosmovisor-config f --cosmovisor-config g", Some("f"), "--cosmovisor-config g"),
            ("start --cosmovisor-config=f", None, "start --cosmovisor-config=f"),
            ("-c f start", None, "-c f start"),
            ("--cosmovisor-config  start", None, "start"),
            ("start ---cosmovisor-config f", None, "start ---cosmovisor-config f"),
        ] {
            let mut args = arguments(given);
            assert_eq!(take_config(&mut args), Ok(file.map(PathBuf::from)), "{given}");
            assert_eq!(args, arguments(left), "{given}");
        }
        assert!(take_config(&mut arguments("start --cosmovisor-config")).is_err());
    }

    #[test]
    fn heights_to_skip_are_read_in_both_spellings() {
        assert_eq!(skip_heights(&arguments("start --unsafe-skip-upgrades 5 6 --x 7")), [5, 6]);
        assert_eq!(skip_heights(&arguments("start --unsafe-skip-upgrades 10 as 20")), [10, 20]);
        assert_eq!(skip_heights(&arguments("start --unsafe-skip-upgrades=5,6 7")), [5, 6]);
        assert!(skip_heights(&arguments("start")).is_empty());
    }

    #[test]
    fn another_home_among_the_arguments_is_found() {
        let (keep, home) = crate::home::tests::home_with(&[]);
        let same = keep.path().join("data/..");
        let args = |path: &Path| [OsString::from("start"), OsString::from("--home"), path.as_os_str().to_owned()];
        assert_eq!(other_home(&home, &args(&same)), None);
        assert_eq!(other_home(&home, &args(Path::new("/elsewhere"))), Some(PathBuf::from("/elsewhere")));
        assert_eq!(other_home(&home, &[OsString::from("--home=/x")]), Some(PathBuf::from("/x")));
    }
}
