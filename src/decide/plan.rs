//! What the chain asks for: a plan, and what this machine makes of it.

use alloc::{
    format,
    string::{String, ToString},
};
use serde::{Deserialize, Serialize};

/// A software upgrade plan of x/upgrade. Two plans are the same only if name, height and info are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Plan {
    /// The upgrade's name, in the casing the chain uses.
    pub name: String,
    /// The height at which every node halts.
    pub height: u64,
    /// Free text by the proposer; by convention where to find the binaries.
    #[serde(default)]
    pub info: String,
}

impl Plan {
    /// Whether both are for the same name and height, whatever their info.
    #[must_use]
    pub fn is_alike(&self, other: &Self) -> bool {
        self.name == other.name && self.height == other.height
    }
}

/// A plan together with what this machine needs to carry it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upgrade {
    /// The plan as the chain or the file states it.
    pub plan: Plan,
    /// The folder under `cosmovisor/upgrades/` that holds its binary.
    pub folder: Folder,
    /// What the plan's info names for this machine.
    pub asks: Asks,
}

/// What a plan's info asks this machine to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Asks {
    /// The info names no binaries at all (blank, prose, other JSON): whatever is staged will do.
    Nothing {
        /// Why nothing could be read from it, for people.
        reason: String,
    },
    /// The info is the URL of a document that lists the binaries.
    Document {
        /// The URL as written, checksum parameter included.
        url: String,
    },
    /// The binary for this machine.
    Artifact(Artifact),
    /// Binaries are listed, but none that this machine may use.
    Unusable {
        /// What is wrong, for people: no entry for the platform, a malformed checksum, a refused scheme.
        reason: String,
    },
}

/// One downloadable binary of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// The key that was chosen: `linux/amd64`, or `any`.
    pub os_arch: String,
    /// Where to fetch it, without the `checksum` parameter.
    pub url: String,
    /// `<type>:<lower-case hex>` or `file:<url>`; none where the plan gives none (`unpinned`).
    pub checksum: Option<String>,
}

/// The name of a folder under `cosmovisor/upgrades/`: an upgrade's name, lower-cased unless recasing is off, escaped
/// as Go's `url.PathEscape` does. It is never empty, `.`, `..`, and holds no separator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Folder(String);

/// A plan name that cannot be a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadName(
    /// The name as it was given.
    pub String,
);

impl ::core::fmt::Display for BadName {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        write!(f, "the upgrade name {:?} cannot be used as a folder", self.0)
    }
}

impl Folder {
    /// The folder for an upgrade's name. `keep_case` is `COSMOVISOR_DISABLE_RECASE`.
    ///
    /// # Errors
    /// [`BadName`] for an empty name, for `.` and for `..`, which would leave the `upgrades` folder, and for a name
    /// whose escaped form is longer than a file name may be.
    pub fn of(name: &str, keep_case: bool) -> Result<Self, BadName> {
        const LONGEST_FILE_NAME: usize = 255;
        let name = if keep_case { String::from(name) } else { name.to_lowercase() };
        let escaped = path_escape(&name);
        if matches!(escaped.as_str(), "" | "." | "..") || escaped.len() > LONGEST_FILE_NAME {
            return Err(BadName(name));
        }
        Ok(Self(escaped))
    }

    /// The folder of this very name, found on disk; none for a name that [`Folder::of`] could never give.
    #[must_use]
    pub fn existing(name: &str) -> Option<Self> {
        let usable = !matches!(name, "" | "." | "..") && !name.contains('/');
        usable.then(|| Self(String::from(name)))
    }

    /// The folder's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ::core::fmt::Display for Folder {
    fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Go's `url.PathEscape`: unreserved characters and `$&+:=@` stay, every other byte becomes `%XX`.
fn path_escape(name: &str) -> String {
    let stays = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+:=@".contains(&byte);
    let escaped = |byte| if stays(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_the_folders_that_cosmovisor_would_use() {
        for (name, folder) in [
            ("v2", "v2"),
            ("Upgrade Two", "upgrade%20two"),
            ("a/b", "a%2Fb"),
            ("v2%20x", "v2%2520x"),
            ("héllo", "h%C3%A9llo"),
            ("v~1_2-3.4!*'()", "v~1_2-3.4%21%2A%27%28%29"),
            ("a+b&c=d:e@f", "a+b&c=d:e@f"),
        ] {
            assert_eq!(Folder::of(name, false).unwrap().as_str(), folder);
        }
        assert_eq!(Folder::of("V2", true).unwrap().as_str(), "V2");
    }

    #[test]
    fn a_name_that_would_leave_the_upgrades_folder_is_refused() {
        for name in ["", ".", ".."] {
            assert!(Folder::of(name, false).is_err(), "{name:?}");
        }
        let refused = Folder::of("..", false).unwrap_err().to_string();
        assert_eq!(refused, "the upgrade name \"..\" cannot be used as a folder");
        assert_eq!([255, 256].map(|length| Folder::of(&"x".repeat(length), false).is_ok()), [true, false]);
    }

    #[test]
    fn a_folder_that_is_there_keeps_its_name_and_none_leaves_the_upgrades_folder() {
        for name in ["V2", "v2%20x", "...", "with space"] {
            assert_eq!(Folder::existing(name).map(|folder| folder.to_string()).as_deref(), Some(name));
        }
        for name in ["", ".", "..", "a/b", "/"] {
            assert_eq!(Folder::existing(name), None, "{name:?}");
        }
    }
}
