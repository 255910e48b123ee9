//! From a downloaded file to the executable in it. An archive can lie about everything, so each entry is looked at by hand:
//! only regular files are written, below a fresh folder, within bounds; every lie has its own error. Which file is the
//! binary is decided as cosmovisor decides it.

mod tar;
mod tree;
mod zip;

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use flate2::{bufread::GzDecoder, read::MultiGzDecoder};
use url::Url;

use self::tree::Tree;
use super::{
    disk::naming,
    source::{fit, parameter, redacted},
};

/// The most entries an archive may have.
const MOST_ENTRIES: usize = 10_000;
/// The most bytes that may come out of one download.
const LARGEST: u64 = 4 << 30;
/// Within this size, any ratio of compression is believed; above, this ratio.
const MODEST: u64 = 256 << 20;
const HIGHEST_RATIO: u64 = 100;

/// Why there is no executable to be had from a download.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The disk, not the archive.
    #[error("{0}")]
    Disk(#[from] io::Error),
    /// A format that is known, and not supported.
    #[error("it is packed with {0}, which is not supported (gz, tar, tar.gz and zip are)")]
    UnsupportedFormat(&'static str),
    /// Truncated, followed by something else, of a wrong checksum, or no archive at all.
    #[error("the archive is damaged: {}", fit(.0))]
    Damaged(String),
    /// An entry with an absolute path.
    #[error("entry with an absolute path: {0:?}")]
    AbsolutePath(String),
    /// An entry that would leave the folder.
    #[error("entry contains '..': {0:?}")]
    ParentPath(String),
    /// An entry whose name is no file name.
    #[error("entry with an impossible name: {0:?}")]
    BadName(String),
    /// A link, and the place outside of the archive that it leads to.
    #[error("entry {0:?} is a link to {1:?}, outside of the archive")]
    LinkLeaves(String, String),
    /// Neither file nor folder nor link; and what it is instead.
    #[error("entry {0:?} is a {1}")]
    Special(String, &'static str),
    /// Two entries of one name.
    #[error("there are two entries {0:?}")]
    Duplicate(String),
    /// More than 10,000 entries.
    #[error("more than {MOST_ENTRIES} entries")]
    TooManyEntries,
    /// More than 4 GiB, 100 times the size of the download, or what the disk has left.
    #[error("more than {0} bytes come out of it")]
    TooLarge(u64),
    /// An entry that is shorter or longer than it says: its name, what it says, what it has as far as it was read.
    #[error("entry {0:?} says it has {1} bytes and has {2}")]
    WrongSize(String, u64, u64),
    /// Nothing in what came from a URL is the binary of a name.
    #[error("url {0:?} result does not contain a bin/{1} or {1} file")]
    NoBinary(String, String),
}

/// Unpacks a download below `scratch`, which is on the same filesystem, and returns the folder in there that has
/// `bin/<daemon_name>` and what came with it. The download itself may be moved. `free` is how many bytes the disk can take.
///
/// # Errors
/// [`UnpackError`], one variant for each way in which a download can be unfit.
pub fn unpack(
    download: &Path,
    url: &Url,
    scratch: &Path,
    daemon_name: &str,
    free: u64,
) -> Result<PathBuf, UnpackError> {
    let (binary, unpacked, tree) = (scratch.join("binary"), scratch.join("unpacked"), scratch.join("tree"));
    let open = || File::open(download).map_err(naming("cannot read", download));
    let length = open()?.metadata()?.len();
    let limit = length.saturating_mul(HIGHEST_RATIO).clamp(MODEST, LARGEST).min(free);
    let mut into = Tree::new(&unpacked, limit);
    match Format::of(url, &mut open()?)? {
        Format::Raw => fs::rename(download, &binary)?,
        Format::Gzip => inflate(open()?, &binary, limit)?,
        Format::Tar => tar::read(BufReader::new(open()?), &mut into)?,
        Format::TarGz => tar::read(Members(Some(GzDecoder::new(BufReader::new(open()?)))), &mut into)?,
        Format::Zip => zip::read(open()?, &mut into)?,
    }
    if binary.exists() {
        fs::create_dir(&tree)?;
    } else {
        let no_binary = || UnpackError::NoBinary(redacted(url.as_str()), daemon_name.to_owned());
        into.take_binary(daemon_name, &binary)?.ok_or_else(no_binary)?;
        fs::rename(&unpacked, &tree)?;
    }
    let place = tree.join("bin").join(daemon_name);
    fs::create_dir_all(tree.join("bin")).map_err(naming("cannot create", &tree.join("bin")))?;
    fs::rename(&binary, &place).map_err(naming("cannot create", &place))?;
    fs::set_permissions(&place, fs::Permissions::from_mode(0o755))?;
    Ok(tree)
}

fn inflate(file: File, to: &Path, limit: u64) -> Result<(), UnpackError> {
    let mut reader = MultiGzDecoder::new(BufReader::new(file)).take(limit.saturating_add(1));
    let copied = io::copy(&mut reader, &mut File::create_new(to)?).map_err(damaged)?;
    if copied > limit { Err(UnpackError::TooLarge(limit)) } else { Ok(()) }
}

/// What is in a gzip file, member after member. Zeros behind one are padding: gzip(1) ignores them, and go-getter never
/// reads on behind the end of a tar.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let length = member.read(into)?;
            if length > 0 || into.is_empty() {
                return Ok(length);
            }
            let Some(mut rest) = self.0.take().map(GzDecoder::into_inner) else { break };
            while rest.fill_buf()?.first() == Some(&0) {
                rest.consume(1);
            }
            self.0 = (!rest.fill_buf()?.is_empty()).then(|| GzDecoder::new(rest));
        }
        Ok(0)
    }
}

/// Decoders report what is wrong with their input as I/O errors too; those have no number of the operating system.
fn damaged(error: io::Error) -> UnpackError {
    if error.raw_os_error().is_some() { error.into() } else { UnpackError::Damaged(error.to_string()) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Raw,
    Gzip,
    Tar,
    TarGz,
    Zip,
}

/// What a URL's path or its `archive` parameter may call a format, longer names before those they end with.
const NAMES: [(&str, Result<Format, &str>); 14] = [
    ("tar.gz", Ok(Format::TarGz)),
    ("tgz", Ok(Format::TarGz)),
    ("tar.bz2", Err("bzip2")),
    ("tbz2", Err("bzip2")),
    ("tar.xz", Err("xz")),
    ("txz", Err("xz")),
    ("tar.zst", Err("zstd")),
    ("tzst", Err("zstd")),
    ("tar", Ok(Format::Tar)),
    ("gz", Ok(Format::Gzip)),
    ("zip", Ok(Format::Zip)),
    ("bz2", Err("bzip2")),
    ("xz", Err("xz")),
    ("zst", Err("zstd")),
];

impl Format {
    /// By the `archive` parameter (`false` means none, as in go-getter), else by the URL's path, else by the first bytes.
    fn of(url: &Url, file: &mut File) -> Result<Self, UnpackError> {
        let named =
            |is_it: &dyn Fn(&str) -> bool| NAMES.iter().find(|(name, _)| is_it(name)).map(|(_, format)| *format);
        let path = url.path().to_ascii_lowercase();
        let format = match parameter(url, "archive").as_deref() {
            Some("false" | "FALSE" | "False" | "f" | "F" | "0") => Some(Ok(Self::Raw)),
            Some(wanted) => named(&|name| name == wanted),
            None => None,
        };
        let by_path = || named(&|name| path.strip_suffix(name).is_some_and(|stem| stem.ends_with('.')));
        match format.or_else(by_path) {
            Some(format) => format,
            None => Self::by_magic(file)?,
        }
        .map_err(UnpackError::UnsupportedFormat)
    }

    fn by_magic(file: &mut File) -> io::Result<Result<Self, &'static str>> {
        let is_tar = |head: &[u8]| head.get(257..262) == Some(b"ustar");
        let head = start_of(file)?;
        Ok(match &head[..] {
            [0x1f, 0x8b, ..] => {
                io::Seek::rewind(file)?;
                let inner = start_of(&mut MultiGzDecoder::new(file)).unwrap_or_default();
                Ok(if is_tar(&inner) { Self::TarGz } else { Self::Gzip })
            }
            [b'P', b'K', 3, 4, ..] => Ok(Self::Zip),
            [b'B', b'Z', b'h', ..] => Err("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err("xz"),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Err("zstd"),
            head if is_tar(head) => Ok(Self::Tar),
            _ => Ok(Self::Raw),
        })
    }
}

fn start_of(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    reader.take(512).read_to_end(&mut head)?;
    Ok(head)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use ::tar::{Builder, EntryType, Header};
    use ::zip::{ZipWriter, write::SimpleFileOptions};
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    const PROGRAM: &str = "#!/bin/sh\n";

    /// An entry of a tar: type, name, content or target of a link.
    type Entry<'a> = (EntryType, &'a str, &'a str);
    use EntryType::{Directory as Dir, Link as Hard, Regular as Reg, Symlink as Sym};

    fn tarball(entries: &[Entry<'_>]) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        for (kind, name, content) in entries {
            let mut header = Header::new_gnu();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            let content = if kind.is_file() {
                content.as_bytes()
            } else {
                header.set_link_name_literal(content).unwrap();
                b""
            };
            header.set_size(content.len() as u64);
            header.set_cksum();
            archive.append(&header, content).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zipped(entries: &[(&str, &str)]) -> Vec<u8> {
        let mut archive = ZipWriter::new(io::Cursor::new(Vec::new()));
        for (name, content) in entries {
            let options = SimpleFileOptions::default();
            match content.strip_prefix("-> ") {
                Some(target) => archive.add_symlink(*name, target, options).unwrap(),
                None if name.ends_with('/') => archive.add_directory(*name, options).unwrap(),
                None => {
                    archive.start_file(*name, options).unwrap();
                    archive.write_all(content.as_bytes()).unwrap();
                }
            }
        }
        archive.finish().unwrap().into_inner()
    }

    /// Unpacks, and lists what came out with its content.
    fn unpacked_within(bytes: &[u8], url: &str, free: u64) -> Result<Vec<(String, String)>, UnpackError> {
        let scratch = tempfile::tempdir().unwrap();
        let download = scratch.path().join("download");
        fs::write(&download, bytes).unwrap();
        let tree = unpack(&download, &Url::parse(url).unwrap(), scratch.path(), "noded", free)?;
        let mode = fs::metadata(tree.join("bin/noded")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        let content = |path: &PathBuf| fs::read_to_string(tree.join(path)).unwrap_or_default();
        let files = crate::artifact::disk::files_below(&tree).unwrap();
        let mut files: Vec<_> = files.iter().map(|path| (path.display().to_string(), content(path))).collect();
        files.sort();
        Ok(files)
    }

    fn unpacked(bytes: &[u8], url: &str) -> Result<Vec<(String, String)>, UnpackError> {
        unpacked_within(bytes, url, LARGEST)
    }

    /// What came out, or the error, in one line.
    fn outcome(bytes: &[u8], url: &str) -> String {
        match unpacked(bytes, url) {
            Ok(files) => files.iter().map(|(name, content)| format!("{name}={content}")).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_binary_is_found_where_cosmovisor_finds_it() {
        let nested: [Entry<'_>; 3] = [(Dir, "p-1.0/", ""), (Dir, "p-1.0/bin/", ""), (Reg, "p-1.0/bin/noded", "x")];
        let link: [Entry<'_>; 2] = [(Sym, "bin/noded", "../lib/real"), (Reg, "lib/real", "x")];
        let no_binary = "url \"https://h/a.tar\" result does not contain a bin/noded or noded file";
        for (entries, expected) in [
            (&[(Reg, "any/name", "x")][..], "bin/noded=x"),
            (&[(Dir, "./", ""), (Reg, "./any", "x")], "bin/noded=x"),
            (
                &[(Dir, "bin/", ""), (Reg, "bin/noded", "x"), (Reg, "lib/so", "y")],
                "bin/noded=x lib/.from-archive= lib/so=y",
            ),
            (&[(Reg, "LICENSE", "l"), (Reg, "noded", "x")], "LICENSE=l bin/noded=x"),
            (&[(Reg, "noded", "root"), (Reg, "bin/noded", "x")], "bin/noded=x noded=root"),
            (&[(Reg, "noded", "x"), (Reg, "upgrade-info.json", "y")], "bin/noded=x"),
            (&[(Reg, "noded", "x"), (Reg, "watcher.toml", "[env]")], "bin/noded=x"),
            (&[(Reg, "noded", "x"), (Reg, "y", ""), (Sym, "watcher.toml", "y")], "bin/noded=x y="),
            (&[(Reg, "noded", "x"), (Reg, "watcher.toml/y", "")], "bin/noded=x"),
            (&link, "bin/noded=x lib/.from-archive= lib/real=x"),
            (&[(Reg, "lib/real", "x"), (Hard, "bin/noded", "lib/real")], "bin/noded=x lib/.from-archive= lib/real=x"),
            (&[(Sym, "noded", "a"), (Sym, "a", "b"), (Reg, "b", "x")], "a=x b=x bin/noded=x"),
            (&nested, no_binary),
            (&[(Reg, "a", "x"), (Reg, "b", "y")], no_binary),
            (&[(Sym, "noded", "a"), (Sym, "a", "noded")], no_binary),
            (&[(Sym, "noded", "missing")], no_binary),
            (&[], no_binary),
        ] {
            assert_eq!(outcome(&tarball(entries), "https://h/a.tar"), expected, "{entries:?}");
        }
    }

    #[test]
    fn every_format_is_known_by_parameter_path_or_first_bytes() {
        let tar = tarball(&[(Reg, "noded", PROGRAM), (Reg, "x", "")]);
        let zip = zipped(&[("bin/", ""), ("bin/noded", PROGRAM), ("x", "")]);
        let mut streamed = ZipWriter::new_stream(Vec::new());
        streamed.start_file("any", SimpleFileOptions::default()).unwrap();
        streamed.write_all(PROGRAM.as_bytes()).unwrap();
        let streamed = streamed.finish().unwrap().into_inner();
        let linked = zipped(&[("noded", "-> x"), ("x", PROGRAM)]);
        let (program, both) = (format!("bin/noded={PROGRAM}"), format!("bin/noded={PROGRAM} x="));
        for (bytes, url, expected) in [
            (PROGRAM.as_bytes(), "https://h/a", &program),
            (&gz(PROGRAM.as_bytes()), "https://h/a.gz", &program),
            (&[gz(b"#!/bin"), gz(b"/sh\n")].concat(), "https://h/a.gz", &program),
            (&gz(PROGRAM.as_bytes()), "https://h/a", &program),
            (&tar, "https://h/a.tar", &both),
            (&tar, "https://h/a", &both),
            (&gz(&tar), "https://h/a.tar.gz", &both),
            (&gz(&tar), "https://h/a.TGZ?x=1", &both),
            (&[gz(&tar[..600]), gz(&tar[600..]), vec![0; 20_000]].concat(), "https://h/a.tgz", &both),
            (&gz(&tar), "https://h/a", &both),
            (&gz(&tar), "https://h/a.zip?archive=tar.gz", &both),
            (&zip, "https://h/a.zip", &both),
            (&zip, "https://h/a", &both),
            (&zipped(&[("any", PROGRAM)]), "https://h/a.zip", &program),
            (&streamed, "https://h/a.zip", &program),
            (&linked, "https://h/a.zip", &format!("{both}{PROGRAM}")),
            (PROGRAM.as_bytes(), "https://h/a.zip?archive=false", &program),
        ] {
            assert_eq!(outcome(bytes, url), *expected, "{url}");
        }
        for (bytes, url, part) in [
            (&b"x"[..], "https://h/a.tar.xz", "packed with xz"),
            (b"x", "https://h/a.tbz2", "packed with bzip2"),
            (b"\x28\xb5\x2f\xfd", "https://h/a", "packed with zstd"),
            (b"x", "https://h/a.zip", "damaged"),
            (b"x", "https://h/a.gz", "damaged"),
            (b"x", "https://h/a.tar", "damaged"),
        ] {
            assert!(outcome(bytes, url).contains(part), "{url}: {}", outcome(bytes, url));
        }
    }

    #[test]
    fn every_lie_of_an_archive_is_refused_and_named() {
        let (good, other) = ((Reg, "noded", "x"), (Reg, "other", "y"));
        let tar_lies: [(&[Entry<'_>], &str); 13] = [
            (&[good, (Reg, "../evil", "x")], "entry contains '..': \"../evil\""),
            (&[good, (Reg, "a/../../evil", "x")], "entry contains '..'"),
            (&[good, (Dir, "../evil/", "")], "entry contains '..'"),
            (&[good, (Reg, "/etc/evil", "x")], "absolute path: \"/etc/evil\""),
            (&[good, (Sym, "a", "/etc/passwd")], "outside of the archive"),
            (&[good, (Sym, "a", "../passwd")], "outside of the archive"),
            (&[good, (Hard, "a", "../passwd")], "outside of the archive"),
            (&[good, (EntryType::Char, "a", "")], "is a device"),
            (&[good, (EntryType::Fifo, "a", "")], "is a named pipe"),
            (&[good, other, good], "two entries \"noded\""),
            (&[good, (Reg, "noded/x", "x")], "two entries"),
            (&[(Reg, "a/b", "x"), (Reg, "a", "x")], "two entries"),
            (&[good, (Sym, "lib", "other"), (Reg, "lib/x", "x")], "two entries"),
        ];
        for (entries, part) in tar_lies {
            let outcome = outcome(&tarball(entries), "https://h/a.tar");
            assert!(outcome.contains(part), "{entries:?}: {outcome}");
        }
        let many: Vec<String> = (0..=MOST_ENTRIES).map(|number| number.to_string()).collect();
        let many: Vec<Entry<'_>> = many.iter().map(|name| (Reg, name.as_str(), "")).collect();
        assert_eq!(outcome(&tarball(&many), "https://h/a.tar"), "more than 10000 entries");
        let many: Vec<(&str, &str)> = many.iter().map(|(_, name, _)| (*name, "")).collect();
        assert_eq!(outcome(&zipped(&many), "https://h/a.zip"), "more than 10000 entries");
        assert!(outcome(&zipped(&[("noded", "x"), ("../evil", "x")]), "https://h/a.zip").contains("'..'"));
        assert!(outcome(&zipped(&[("noded", "x"), ("a", "-> /etc")]), "https://h/a.zip").contains("outside"));
    }

    #[test]
    fn damaged_archives_are_refused_wherever_they_are_cut_or_changed() {
        let tar = tarball(&[(Reg, "noded", "program"), (Reg, "other", "y")]);
        let (gz, zip) = (gz(&tar), zipped(&[("noded", "program"), ("other", "y")]));
        let cut = |bytes: &[u8], length: usize| bytes[..length].to_vec();
        let with = |bytes: &[u8], from: &[u8], to: &[u8], last: bool| {
            let mut bytes = bytes.to_vec();
            let mut places =
                bytes.windows(from.len()).enumerate().filter(|(_, found)| *found == from).map(|(at, _)| at);
            let at = if last { places.next_back() } else { places.next() }.unwrap();
            bytes[at..at + to.len()].copy_from_slice(to);
            bytes
        };
        let size = 7u32.to_le_bytes();
        for (bytes, url) in [
            (cut(&tar, 700), "https://h/a.tar"),
            (cut(&tar, 515), "https://h/a.tar"),
            (cut(&gz, gz.len() - 1), "https://h/a.tgz"),
            (cut(&gz, gz.len() / 2), "https://h/a.tgz"),
            ([&gz[..], b"garbage"].concat(), "https://h/a.tgz"),
            ([&gz[..gz.len() - 8], &[0; 8]].concat(), "https://h/a.tgz"),
            (cut(&zip, zip.len() - 30), "https://h/a.zip"),
            (with(&zip, &size, &[1, 0, 0, 0], true), "https://h/a.zip"),
            (with(&zip, b"other", b"noded", true), "https://h/a.zip"),
            (with(&with(&zip, b"other", b"noded", true), b"other", b"noded", true), "https://h/a.zip"),
            (with(&zip, b"other", b"evil!", false), "https://h/a.zip"),
        ] {
            let result = unpacked(&bytes, url);
            assert!(matches!(result, Err(UnpackError::Damaged(_) | UnpackError::WrongSize(..))), "{url}: {result:?}");
        }
    }

    #[test]
    fn what_would_fill_the_disk_or_the_memory_is_refused() {
        let zeros = "\0".repeat(5000);
        let tar = tarball(&[(Reg, "noded", &zeros), (Reg, "other", "y")]);
        for (bytes, url) in [
            (gz(zeros.as_bytes()), "https://h/a.gz"),
            (gz(&tar), "https://h/a.tgz"),
            (zipped(&[("noded", &zeros)]), "https://h/a.zip"),
        ] {
            assert!(matches!(unpacked_within(&bytes, url, 4999), Err(UnpackError::TooLarge(4999))), "{url}");
            assert!(unpacked_within(&bytes, url, 5001).is_ok(), "{url}");
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(64 << 20);
        header.set_cksum();
        let long_name = gz(&[header.as_bytes(), &vec![b'a'; 64 << 20][..]].concat());
        assert!(outcome(&long_name, "https://h/a.tgz").contains("more names and padding"));
    }

    proptest! {
        #[test]
        fn no_entry_gets_out_and_nothing_panics(names in proptest::collection::vec("[a./]{1,8}", 1..5), target in "[a./]{0,8}") {
            let outer = tempfile::tempdir().unwrap();
            let scratch = outer.path().join("x/y/scratch");
            fs::create_dir_all(&scratch).unwrap();
            let mut entries: Vec<Entry<'_>> = names.iter().map(|name| (Reg, name.as_str(), "content")).collect();
            entries.push((Sym, "noded", &target));
            fs::write(scratch.join("download"), tarball(&entries)).unwrap();
            let url = Url::parse("https://h/a.tar").unwrap();
            let _ = unpack(&scratch.join("download"), &url, &scratch, "noded", LARGEST);
            let outside = crate::artifact::disk::files_below(outer.path()).unwrap();
            prop_assert!(outside.iter().all(|path| path.starts_with("x/y/scratch")), "{outside:?}");
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), kind in 0usize..4) {
            let url = ["https://h/a", "https://h/a.zip", "https://h/a.tar", "https://h/a.tgz"][kind];
            let _ = unpacked(&bytes, url);
        }
    }
}
