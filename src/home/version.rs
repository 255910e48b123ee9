//! What an operator wants for one version of the node alone: `watcher.toml` and `lib/` beside its `bin/`. Nobody else's
//! word counts: what comes out of an archive is neither (`artifact` sees to that), and a file that cannot be understood
//! holds its version up rather than being left out.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{Home, SMALL, current, not_ours, read_small};
use crate::artifact::{self, inspect};

/// The file's name.
pub const FILE: &str = "watcher.toml";
/// Flags that `watcher` itself goes by, for every version.
const SHARED_FLAGS: [&str; 2] = ["--home", "--unsafe-skip-upgrades"];
/// Variables that no version has of its own begin with these.
const SHARED_VARIABLES: [&str; 5] = ["DAEMON_", "COSMOVISOR_", "WATCHER_", "UNSAFE_SKIP_BACKUP", "NOTIFY_SOCKET"];
/// Stands for a flag's value in `removed_args`.
const VALUE: &str = " VALUE";
const LIBRARY_PATH: &str = "LD_LIBRARY_PATH";

/// What is wanted for a version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wishes {
    env: BTreeMap<String, String>,
    extra_args: Vec<String>,
    removed_args: Vec<String>,
    #[serde(skip)]
    lib: Option<PathBuf>,
}

/// A version whose wishes cannot be understood, or whose executable cannot be executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}: until then this version is neither switched to nor started")]
pub struct NotUnderstood(String);

impl From<NotUnderstood> for io::Error {
    fn from(error: NotUnderstood) -> Self {
        Self::new(io::ErrorKind::InvalidData, error)
    }
}

/// The wishes for the version in a folder: `cosmovisor/genesis` or `cosmovisor/upgrades/<name>`.
///
/// # Errors
/// [`NotUnderstood`] for a file that cannot be read or has anything unknown in it, and for a `lib/` whose path cannot be
/// part of `LD_LIBRARY_PATH`.
pub fn read(folder: &Path) -> Result<Wishes, NotUnderstood> {
    let path = folder.join(FILE);
    let refused = |path: &Path, problem: String| {
        NotUnderstood(format!("{}{problem}; correct it or move it away", path.display()))
    };
    let text = content(&path).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => NotUnderstood(format!("{error}: {}", not_ours(&path))),
        _ => refused(&path, format!(": {error}")),
    });
    let text = text?.unwrap_or_default();
    let mut wishes: Wishes = toml::from_str(&text).map_err(|error| refused(&path, located(&error, &text)))?;
    wishes.check().map_err(|problem| refused(&path, format!(": {problem}")))?;
    wishes.lib = Some(folder.join("lib")).filter(|lib| artifact::is_operators(lib));
    match &wishes.lib {
        Some(lib) if lib.to_string_lossy().contains([':', ';']) => {
            Err(refused(lib, format!(": a path with a colon or semicolon cannot be part of {LIBRARY_PATH}")))
        }
        _ => Ok(wishes),
    }
}

/// Whether we may start a version's executable, or make it so that we may.
///
/// # Errors
/// [`NotUnderstood`] where it belongs to somebody else who did not allow it, or the file system does not.
pub fn startable(executable: &Path) -> Result<(), NotUnderstood> {
    const PROBLEM: &str = "the user that watcher runs as may neither execute it nor make it executable";
    let refused = || NotUnderstood(format!("{PROBLEM}: {}", not_ours(executable)));
    current::can_be_executed(executable).then_some(()).ok_or_else(refused)
}

/// Whether a version's executable is there as a whole, as far as its own beginning tells.
///
/// # Errors
/// [`NotUnderstood`] where its copy broke off.
pub fn whole(executable: &Path) -> Result<(), NotUnderstood> {
    let cut = |found| NotUnderstood(format!("{} is {found}: place it anew", executable.display()));
    inspect::shortfall(executable).map_or(Ok(()), |found| Err(cut(found)))
}

/// The wishes for the version that an executable is of: `<version>/bin/<name>`.
///
/// # Errors
/// As [`read`].
pub fn of(executable: &Path) -> Result<Wishes, NotUnderstood> {
    executable.ancestors().nth(2).map_or_else(|| Ok(Wishes::default()), read)
}

/// The wishes for the version that would be started now.
///
/// # Errors
/// As [`read`].
pub fn current(home: &Home) -> Result<Wishes, NotUnderstood> {
    read(&fs::canonicalize(home.current()).unwrap_or_else(|_| home.root().join("genesis")))
}

/// Every version in a home whose wishes cannot be understood.
#[must_use]
pub fn not_understood(home: &Home) -> Vec<NotUnderstood> {
    let upgrades = fs::read_dir(home.upgrades()).into_iter().flatten().flatten().map(|entry| entry.path());
    let folders = std::iter::once(home.root().join("genesis")).chain(upgrades).filter(|folder| folder.is_dir());
    folders.filter_map(|folder| read(&folder).err()).collect()
}

impl Wishes {
    /// The node's arguments: those that were given, without the removed ones, then the extra ones.
    #[must_use]
    pub fn arguments(&self, given: &[OsString]) -> Vec<OsString> {
        let mut arguments = Vec::with_capacity(given.len() + self.extra_args.len());
        let mut given = given.iter().peekable();
        while let Some(word) = given.next() {
            let Some(removed) = self.removed_args.iter().find(|entry| names(flag(entry), word)) else {
                arguments.push(word.clone());
                continue;
            };
            // The value of `--flag=value` has gone with its word.
            if removed.ends_with(VALUE) && word == flag(removed) {
                given.next_if(|next| !next.to_string_lossy().starts_with('-'));
            }
        }
        arguments.extend(self.extra_args.iter().map(OsString::from));
        arguments
    }

    /// Changes an environment: an empty value takes its variable away, and `lib/` comes before all other libraries.
    pub fn change(&self, environment: &mut BTreeMap<OsString, OsString>) {
        for (name, value) in &self.env {
            if value.is_empty() {
                environment.remove(OsStr::new(name));
            } else {
                environment.insert(name.into(), value.into());
            }
        }
        if let Some(lib) = &self.lib {
            let mut path = lib.clone().into_os_string();
            if let Some(others) = environment.get(OsStr::new(LIBRARY_PATH)).filter(|others| !others.is_empty()) {
                path.push(":");
                path.push(others);
            }
            environment.insert(LIBRARY_PATH.into(), path);
        }
    }

    fn check(&self) -> Result<(), String> {
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(format!("env: {name:?} = {value:?} cannot be a variable"));
            }
            if SHARED_VARIABLES.iter().any(|prefix| name.starts_with(prefix)) {
                return Err(format!("env: {name} is read by watcher itself and belongs in its own environment"));
            }
        }
        let words = self.extra_args.iter().map(|word| ("extra_args", word));
        for (key, word) in words.chain(self.removed_args.iter().map(|word| ("removed_args", word))) {
            if word.contains('\0') {
                return Err(format!("{key}: {word:?} cannot be an argument"));
            }
            if let Some(shared) = SHARED_FLAGS.iter().find(|shared| names(shared, OsStr::new(flag(word)))) {
                return Err(format!("{key}: watcher itself goes by {shared}, which belongs behind `watcher run`"));
            }
        }
        match self.removed_args.iter().find(|entry| !flag(entry).starts_with('-') || flag(entry).contains([' ', '='])) {
            Some(entry) => Err(format!(
                "removed_args: {entry:?} is neither \"--flag\" nor, for a flag with a value, \"--flag VALUE\""
            )),
            None => Ok(()),
        }
    }
}

fn content(path: &Path) -> io::Result<Option<String>> {
    match read_small(path, SMALL) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => Ok(None),
        read => String::from_utf8(read?).map(Some).map_err(io::Error::other),
    }
}

/// The flag of an entry of `removed_args`.
fn flag(entry: &str) -> &str {
    entry.strip_suffix(VALUE).unwrap_or(entry)
}

/// Whether a word on the command line is this flag, alone or with `=value`.
fn names(flag: &str, word: &OsStr) -> bool {
    word.to_string_lossy().strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

/// What the parser says, with the key it says it of, which it does not name where a value is of a wrong kind. The value may
/// be a password.
pub(crate) fn located(error: &toml::de::Error, text: &str) -> String {
    let start = error.span().map(|span| span.start.min(text.len()));
    let line = start.and_then(|start| text.get(..start)).map_or(0, |before| before.matches('\n').count());
    let shown = text.lines().nth(line).and_then(|line| line.split('=').next()).unwrap_or_default().trim();
    format!(", line {} ({shown:?}): {}", line + 1, error.message().replace('\n', ", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Wishes, NotUnderstood> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), text).unwrap();
        read(folder.path())
    }

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn flags_are_removed_with_the_value_that_is_theirs_and_extra_ones_come_last() {
        let removing = |entries: &str, given: &str| {
            let wishes = of(&format!("removed_args = {entries}\nextra_args = [\"--new\", \"a b\"]")).unwrap();
            let mut arguments = wishes.arguments(&words(given));
            assert_eq!(arguments.split_off(arguments.len() - 2), ["--new", "a b"]);
            arguments.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        for (entries, given, left) in [
            ("[]", "start --x 1", "start --x 1"),
            (r#"["--x VALUE"]"#, "start --x 1 --y 2", "start --y 2"),
            (r#"["--x VALUE"]"#, "start --x=1 --y 2", "start --y 2"),
            (r#"["--x VALUE"]"#, "start --x=1 word --x 2 --x", "start word"),
            (r#"["--x VALUE"]"#, "start --x --y 2", "start --y 2"),
            (r#"["--x"]"#, "--x start --x=true --y", "start --y"),
            (r#"["--x"]"#, "start --xy 1 x -x", "start --xy 1 x -x"),
            (r#"["--x", "-y VALUE"]"#, "--x -y --x start", "start"),
        ] {
            assert_eq!(removing(entries, given), left, "{entries} {given}");
        }
    }

    #[test]
    fn variables_are_set_and_taken_away_and_libraries_come_first() {
        let folder = tempfile::tempdir().unwrap();
        let lib = folder.path().join("lib");
        fs::create_dir(&lib).unwrap();
        fs::write(folder.path().join(FILE), "[env]\nSET = \"two words\"\nGONE = \"\"\n").unwrap();
        let changed = |before: &[(&str, &str)]| {
            let mut environment = before.iter().map(|(name, value)| (name.into(), value.into())).collect();
            read(folder.path()).unwrap().change(&mut environment);
            environment.into_iter().map(|(name, value)| format!("{name:?}={value:?}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(changed(&[("GONE", "1")]), r#""SET"="two words""#, "an empty folder holds no libraries");
        fs::write(lib.join("libwasmvm.so"), "").unwrap();
        let first = format!("{:?}", lib.display().to_string());
        assert_eq!(changed(&[("LD_LIBRARY_PATH", "")]), format!(r#""LD_LIBRARY_PATH"={first} "SET"="two words""#));
        let before = [("LD_LIBRARY_PATH", "/a:/b")];
        assert!(changed(&before).starts_with(&format!(r#""LD_LIBRARY_PATH"="{}:/a:/b""#, lib.display())));
    }

    #[test]
    fn what_cannot_be_understood_is_told_with_file_key_and_remedy() {
        for (text, says) in [
            ("[env]\nA = \"1\"\n\nextra = []", "line 4 (\"extra\")"),
            ("extra = []", "unknown field `extra`, expected one of `env`, `extra_args`, `removed_args`"),
            ("[env]\nA = 5", "line 2 (\"A\"): invalid type: integer `5`, expected a string"),
            ("extra_args = \"--x\"", "expected a sequence"),
            ("extra_args = [", "line 1 (\"extra_args\"): invalid array, expected `]`"),
            ("[env]\n\"A=B\" = \"x\"", "env: \"A=B\""),
            ("[env]\nWATCHER_LOG = \"debug\"", "env: WATCHER_LOG is read by watcher itself"),
            ("extra_args = [\"--home=/x\"]", "extra_args: watcher itself goes by --home"),
            ("removed_args = [\"--home VALUE\"]", "removed_args: watcher itself goes by --home"),
            ("removed_args = [\"--unsafe-skip-upgrades VALUE\"]", "goes by --unsafe-skip-upgrades"),
            ("removed_args = [\"--log debug\"]", "removed_args: \"--log debug\" is neither"),
            ("removed_args = [\"--log=debug\"]", "\"--flag VALUE\""),
            ("removed_args = [\"start\"]", "is neither"),
        ] {
            let told = of(text).unwrap_err().to_string();
            assert!(told.contains(says) && told.contains(FILE) && told.contains("correct it or move it"), "{told}");
        }
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(FILE)).unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("not a file"));
        let folder = tempfile::Builder::new().prefix("a:b").tempdir().unwrap();
        assert_eq!(read(folder.path()), Ok(Wishes::default()));
        fs::create_dir(folder.path().join("lib")).unwrap();
        fs::write(folder.path().join("lib/libwasmvm.so"), "").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("colon"));
    }
}
