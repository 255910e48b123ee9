//! What a plan demands of a downloaded file. Plans write checksums in the words of go-getter: a type and hex digits,
//! or hex digits alone whose length tells the type, or the URL of a file of sums as `sha256sum` and BSD's `sha256` write it.

use core::{fmt, str::FromStr};

use sha2::digest::DynDigest;

/// The kinds of checksum that plans may use, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// MD5, 32 hex digits.
    Md5,
    /// SHA-1, 40 hex digits.
    Sha1,
    /// SHA-256, 64 hex digits.
    Sha256,
    /// SHA-512, 128 hex digits.
    Sha512,
}

impl Algorithm {
    const ALL: [Self; 4] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha512];

    const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    const fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha1 => 40,
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }

    fn hasher(self) -> Box<dyn DynDigest + Send + Sync> {
        match self {
            Self::Md5 => Box::<md5::Md5>::default(),
            Self::Sha1 => Box::<sha1::Sha1>::default(),
            Self::Sha256 => Box::<sha2::Sha256>::default(),
            Self::Sha512 => Box::<sha2::Sha512>::default(),
        }
    }
}

/// A digest of a known type. Shown as `<type>:<lower-case hex>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    /// Its type.
    pub algorithm: Algorithm,
    /// Lower-case hex digits, as many as the type has.
    pub hex: String,
}

/// A checksum that can match no file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChecksumError {
    /// Not one of the four types.
    #[error("unsupported checksum type {0:?} (known are md5, sha1, sha256 and sha512)")]
    UnknownType(String),
    /// Something else than hex digits.
    #[error("{0:?} is not a hexadecimal checksum")]
    NotHex(String),
    /// Too short or too long for its type: the type, how many digits it has, how many were given.
    #[error("a {0} checksum has {1} hex digits, this one has {2}")]
    WrongLength(&'static str, usize, usize),
    /// Without a type, and of a length that no type has.
    #[error("a checksum of {0} hex digits is of no known type (32, 40, 64 or 128 digits)")]
    UnknownLength(usize),
}

impl FromStr for Checksum {
    type Err = ChecksumError;

    /// Reads `<type>:<hex>` or `<hex>`, in any case.
    fn from_str(text: &str) -> Result<Self, ChecksumError> {
        let (named, hex) = match text.split_once(':') {
            Some((name, hex)) => (Some(name), hex),
            None => (None, text),
        };
        let algorithm = match named {
            Some(name) => Algorithm::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name)),
            None => Algorithm::ALL.into_iter().find(|known| known.digits() == hex.len()),
        };
        if let (Some(name), None) = (named, algorithm) {
            return Err(ChecksumError::UnknownType(shortened(name)));
        }
        if !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(ChecksumError::NotHex(shortened(hex)));
        }
        let Some(algorithm) = algorithm else { return Err(ChecksumError::UnknownLength(hex.len())) };
        if hex.len() != algorithm.digits() {
            return Err(ChecksumError::WrongLength(algorithm.name(), algorithm.digits(), hex.len()));
        }
        Ok(Self { algorithm, hex: hex.to_ascii_lowercase() })
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

/// Text from outside, short enough for a log line.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 200;
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Why a file of sums does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SumsError {
    /// No line for the file.
    #[error("it has no line for {0:?}")]
    Missing(String),
    /// Two lines of the same type for the same file, with different digests.
    #[error("it has contradicting lines for {0:?}")]
    Contradicting(String),
}

/// Finds the strongest digest for `file` in a file of sums. Lines may be GNU's (`<hex>  name`, `<hex> *name`), BSD's
/// (`SHA256 (name) = <hex>`), or a hash alone, which is meant for the file at hand. Other lines are skipped.
///
/// # Errors
/// [`SumsError`] where there is no such line, or two that contradict each other.
pub fn find_sum(sums: &str, file: &str) -> Result<Checksum, SumsError> {
    let mut best: Option<Checksum> = None;
    for checksum in sums.lines().filter_map(|line| sum_of(line, file)) {
        match &best {
            Some(known) if known.algorithm == checksum.algorithm && *known != checksum => {
                return Err(SumsError::Contradicting(shortened(file)));
            }
            Some(known) if known.algorithm >= checksum.algorithm => {}
            _ => best = Some(checksum),
        }
    }
    best.ok_or_else(|| SumsError::Missing(shortened(file)))
}

fn sum_of(line: &str, file: &str) -> Option<Checksum> {
    let line = line.trim();
    let (name, checksum) = if let Some((head, hex)) = line.rsplit_once(") = ") {
        let (algorithm, name) = head.split_once(" (")?;
        (Some(name), format!("{algorithm}:{hex}"))
    } else if let Some((hex, name)) = line.split_once(char::is_whitespace) {
        (Some(name.trim_start()), hex.to_owned())
    } else {
        (None, line.to_owned())
    };
    let plain = |name: &str| name.trim_start_matches('*').trim_start_matches("./") == file;
    if name.is_none_or(plain) { checksum.parse().ok() } else { None }
}

/// The running digests of a stream: always SHA-256, and whatever else is demanded.
pub(super) struct Digests {
    sha256: Box<dyn DynDigest + Send + Sync>,
    demanded: Option<(Checksum, Box<dyn DynDigest + Send + Sync>)>,
}

impl Digests {
    pub(super) fn new(demanded: Option<Checksum>) -> Self {
        let demanded = demanded.map(|checksum| {
            let hasher = checksum.algorithm.hasher();
            (checksum, hasher)
        });
        Self { sha256: Algorithm::Sha256.hasher(), demanded }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some((_, hasher)) = &mut self.demanded {
            hasher.update(bytes);
        }
    }

    /// The SHA-256 of everything; or what was demanded and what was found instead.
    pub(super) fn finish(self) -> Result<String, (Checksum, String)> {
        if let Some((demanded, hasher)) = self.demanded {
            let found = hex::encode(hasher.finalize());
            if found != demanded.hex {
                return Err((demanded, found));
            }
        }
        Ok(hex::encode(self.sha256.finalize()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EMPTY: [&str; 4] = [
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha1:da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha512:cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
    ];

    #[test]
    fn every_type_is_read_named_or_bare_in_any_case_and_checks_what_it_says() {
        for text in EMPTY {
            let checksum: Checksum = text.parse().unwrap();
            assert_eq!(checksum.to_string(), text);
            assert_eq!(text.to_uppercase().parse::<Checksum>().unwrap(), checksum);
            assert_eq!(checksum.hex.parse::<Checksum>().unwrap(), checksum);
            assert!(Digests::new(Some(checksum.clone())).finish().is_ok());
            let mut other = Digests::new(Some(checksum));
            other.update(b"x");
            assert!(other.finish().is_err());
        }
    }

    #[test]
    fn what_can_match_no_file_is_refused() {
        for text in
            ["", "sha256:", "sha256:abcd", "sha256:PLACEHOLDER", "blake2:00", "sha256:sha256:00", "abcd", "sha256:$SUM"]
        {
            assert!(text.parse::<Checksum>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_line_of_the_file_is_found_in_every_form() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        for sums in [
            format!("{b}  other\n{a}  gaiad"),
            format!("{b}  other\r\n{a} *gaiad\r\n"),
            format!("{}  ./gaiad\n", a.to_uppercase()),
            format!("SHA256 (other) = {b}\nSHA256 (gaiad) = {a}"),
            format!("MD5 (gaiad) = {}\nSHA256 (gaiad) = {a}\n", "c".repeat(32)),
            format!("{a}\n"),
        ] {
            assert_eq!(find_sum(&sums, "gaiad").unwrap().to_string(), format!("sha256:{a}"), "{sums}");
        }
        assert_eq!(find_sum(&format!("{a}  gaiad2\n"), "gaiad"), Err(SumsError::Missing("gaiad".into())));
        assert!(matches!(find_sum(&format!("{a}  x\n{b}  x\n"), "x"), Err(SumsError::Contradicting(_))));
    }

    proptest! {
        #[test]
        fn nothing_makes_the_readers_panic(text in "\\PC*", line in "[a-zA-Z0-9 ()=:*./\n]*") {
            let _ = text.parse::<Checksum>();
            let _ = find_sum(&text, "x");
            let _ = find_sum(&line, "x");
        }
    }
}
