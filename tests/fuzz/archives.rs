//! Archives that are made to do harm, fetched and unpacked as a plan's are, with somebody else's files around.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State};
use flate2::{Compression, write::GzEncoder};
use proptest::{prelude::*, sample::select, test_runner::TestRunner};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use url::Url;
use watcher::{
    artifact::{Platform, Request, Store, fetch, unpack::unpack},
    decide::plan::{Artifact, Asks, Folder, Plan, Upgrade},
    http,
};

use crate::{bent, cases, in_company, in_time, is_fit, say::say, servers::Server};

const PROGRAM: &[u8] = b"#!/bin/sh\nexit 0\n";
/// What the disk of these tests can take, bytes.
const FREE: u64 = 3 << 20;

/// A home among files that belong to others.
struct Place {
    root: TempDir,
    before: BTreeMap<PathBuf, String>,
}

impl Place {
    /// In memory, where there is such a place: thousands of files come and go.
    fn in_memory() -> Self {
        Self::of(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a folder can be made"))
    }

    fn of(root: TempDir) -> Self {
        for name in
            ["outside/keep", "home/config/config.toml", "home/cosmovisor/genesis/bin/noded", "noded", "bin/noded"]
        {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("it has a folder")).expect("the folder can be written");
            fs::write(path, "not yours").expect("the folder can be written");
        }
        let mut place = Self { root, before: BTreeMap::new() };
        fs::create_dir_all(place.watcher()).expect("the folder can be written");
        place.before = place.around();
        place
    }

    fn watcher(&self) -> PathBuf {
        self.root.path().join("home/cosmovisor/watcher")
    }

    fn outside(&self) -> PathBuf {
        self.root.path().join("outside")
    }

    /// Everything but what is in the folder of `watcher`.
    fn around(&self) -> BTreeMap<PathBuf, String> {
        let mut found = listed(self.root.path());
        found.retain(|path, _| !path.starts_with(self.watcher()));
        found
    }
}

/// What is below a folder: type, mode, links and content of each.
fn listed(folder: &Path) -> BTreeMap<PathBuf, String> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            let metadata = fs::symlink_metadata(&path).expect("it was just listed");
            let (kind, links) = (metadata.file_type(), if metadata.is_file() { metadata.nlink() } else { 0 });
            let content = if kind.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
            let words = format!("{kind:?} {:o} {links} {}", metadata.mode(), hex::encode(Sha256::digest(content)));
            if kind.is_dir() {
                folders.push(path.clone());
            }
            found.insert(path, words);
        }
    }
    found
}

/// Names that lead out, that nobody can write, or that mean something else than they say.
fn names(outside: &Path) -> Vec<Vec<u8>> {
    let mut names: Vec<Vec<u8>> = [
        "../evil",
        "../../evil",
        "../../../../outside/evil",
        "a/../../evil",
        "a/../../../evil",
        "./../evil",
        "bin/../../evil",
        "/etc/evil",
        "//etc/evil",
        "/",
        "..",
        ".",
        "",
        "./",
        "../",
        "a/..",
        "a//../..//evil",
        "..\\evil",
        "C:\\evil",
        "~/evil",
        "$HOME/evil",
        "bin/noded/../../../evil",
        "noded/",
        "noded\0/../evil",
        "nod\u{202e}ed",
        "noded\n",
        "NODED",
        "bin",
        "lib",
        "watcher.toml",
        "receipt.json",
        "watcher-receipt.json",
        "upgrade-info.json",
        "bin/noded/x",
        ".from-archive",
        "lib/libc.so.6",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push([outside.as_os_str().as_encoded_bytes(), b"/evil"].concat());
    names.push(b"\xff\xfe/\xc0\xae\xc0\xae/evil".to_vec());
    names.push(b"x".repeat(300));
    names.push(b"d/".repeat(3_000));
    names.push([b"d/".repeat(1_500).as_slice(), b"noded"].concat());
    names
}

/// A member of a tar, its header as it stands on the tape.
struct Member<'a> {
    name: &'a [u8],
    kind: u8,
    target: &'a [u8],
    content: &'a [u8],
    mode: &'a [u8],
    size: Option<&'a [u8]>,
}

impl Default for Member<'_> {
    fn default() -> Self {
        Self { name: b"noded", kind: b'0', target: b"", content: b"", mode: b"0000755\0", size: None }
    }
}

impl Member<'_> {
    /// With a long name in a member of its own before it, as GNU's tar writes it.
    fn write(&self, tar: &mut Vec<u8>) {
        for (kind, long) in [(b'L', self.name), (b'K', self.target)] {
            if long.len() > 100 {
                Member { name: b"././@LongLink", kind, content: long, ..Member::default() }.write(tar);
            }
        }
        let mut header = [0; 512];
        let mut put = |at: usize, bytes: &[u8], most: usize| {
            let length = bytes.len().min(most);
            header[at..at + length].copy_from_slice(&bytes[..length]);
        };
        put(0, self.name, 100);
        put(100, self.mode, 8);
        put(124, self.size.unwrap_or(format!("{:011o}\0", self.content.len()).as_bytes()), 12);
        put(148, b"        ", 8);
        put(156, &[self.kind], 1);
        put(157, self.target, 100);
        put(257, b"ustar  \0", 8);
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        tar.extend(header);
        tar.extend(self.content);
        tar.resize(tar.len().next_multiple_of(512), 0);
    }
}

fn tar(members: &[Member<'_>]) -> Vec<u8> {
    let mut tar = Vec::new();
    for member in members {
        member.write(&mut tar);
    }
    tar.resize(tar.len() + 1024, 0);
    tar
}

fn program() -> Member<'static> {
    Member { content: PROGRAM, ..Member::default() }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory can be written")
}

/// A zip of stored files, each with what its two headers say of it.
#[derive(Clone)]
struct Zipped {
    name: Vec<u8>,
    name_in_directory: Vec<u8>,
    content: Vec<u8>,
    mode: u32,
    says: u32,
    flags: u16,
    method: u16,
}

impl Zipped {
    fn file(name: &[u8], content: &[u8]) -> Self {
        let says = u32::try_from(content.len()).expect("it is small");
        let (name, content) = (name.to_vec(), content.to_vec());
        Self { name_in_directory: name.clone(), name, content, mode: 0o100_755, says, flags: 0, method: 0 }
    }
}

fn zip(files: &[Zipped], claims: Option<u16>) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    let short = |number: usize| u16::try_from(number).expect("it is small").to_le_bytes();
    for file in files {
        let offset = u32::try_from(zip.len()).expect("it is small");
        let mut crc = flate2::Crc::new();
        crc.update(&file.content);
        let stored = u32::try_from(file.content.len()).expect("it is small");
        let mut common = Vec::new();
        common.extend(file.flags.to_le_bytes());
        common.extend(file.method.to_le_bytes());
        common.extend([0, 0, 0x21, 0x50]);
        common.extend(crc.sum().to_le_bytes());
        common.extend(stored.to_le_bytes());
        common.extend(file.says.to_le_bytes());
        zip.extend(b"PK\x03\x04\x14\0");
        zip.extend(&common);
        zip.extend(short(file.name.len()));
        zip.extend([0, 0]);
        zip.extend(&file.name);
        zip.extend(&file.content);
        directory.extend(b"PK\x01\x02\x14\x03\x14\0");
        directory.extend(&common);
        directory.extend(short(file.name_in_directory.len()));
        directory.extend([0; 8]);
        directory.extend((file.mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(&file.name_in_directory);
    }
    let (start, length) = (zip.len(), directory.len());
    zip.extend(directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    let count = claims.map_or(short(files.len()), u16::to_le_bytes);
    zip.extend([count, count].concat());
    zip.extend(u32::try_from(length).expect("it is small").to_le_bytes());
    zip.extend(u32::try_from(start).expect("it is small").to_le_bytes());
    zip.extend([0, 0]);
    zip
}

/// Everything: how it is called, its extension, its bytes.
fn hostile(outside: &Path) -> Vec<(String, &'static str, Vec<u8>)> {
    let mut all: Vec<(String, &'static str, Vec<u8>)> = Vec::new();
    let keep = outside.join("keep");
    let keep = keep.as_os_str().as_encoded_bytes();
    let folder = outside.as_os_str().as_encoded_bytes();
    for name in names(outside) {
        let shown = String::from_utf8_lossy(&name[..name.len().min(40)]).escape_debug().to_string();
        for kind in *b"0\x00123456 7DLKMNSVgxA\xff" {
            let content: &[u8] = if matches!(kind, b'0' | 0 | b'7' | b'S') { PROGRAM } else { b"" };
            let member = Member { name: &name, kind, target: b"../../outside/keep", content, ..Member::default() };
            all.push((format!("tar, {shown}, type {kind}"), "tar", tar(&[member, program()])));
        }
        for target in [keep, b"/etc/passwd", b"../../../../outside/keep", &name, b"noded", b""] {
            for kind in *b"12" {
                let link = Member { name: b"link", kind, target, ..Member::default() };
                let through = Member { name: b"link/evil", content: PROGRAM, ..Member::default() };
                let onto = Member { name: &name, content: PROGRAM, ..Member::default() };
                all.push((format!("tar, link then {shown}"), "tar.gz", gz(&tar(&[link, onto, through]))));
            }
        }
        for mode in
            [0o100_755, 0o120_777, 0o104_755, 0o040_755, 0o010_644, 0o020_644, 0o060_644, 0o140_644, 0o170_000, 0]
        {
            let file = Zipped { mode, ..Zipped::file(&name, PROGRAM) };
            all.push((
                format!("zip, {shown}, mode {mode:o}"),
                "zip",
                zip(&[file, Zipped::file(b"noded", PROGRAM)], None),
            ));
        }
        let hidden = Zipped { name_in_directory: name.clone(), ..Zipped::file(b"noded", PROGRAM) };
        let hides = Zipped { name_in_directory: b"noded".to_vec(), ..Zipped::file(&name, PROGRAM) };
        all.push((format!("zip, {shown} only in the directory"), "zip", zip(&[hidden], None)));
        all.push((format!("zip, {shown} only before the file"), "zip", zip(&[hides], None)));
        let pax = format!("{} path={}\n", name.len() + 9, String::from_utf8_lossy(&name));
        let pax = Member { name: b"pax", kind: b'x', content: pax.as_bytes(), ..Member::default() };
        all.push((format!("tar, PAX path {shown}"), "tar", tar(&[pax, program()])));
    }
    let two = |first: Member<'_>, second: Member<'_>| tar(&[first, second]);
    for (words, bytes) in [
        (
            "a folder that is a link",
            two(
                Member { name: b"bin", kind: b'2', target: folder, ..Member::default() },
                Member { name: b"bin/noded", content: PROGRAM, ..Member::default() },
            ),
        ),
        (
            "a folder that is a link up",
            two(
                Member { name: b"bin", kind: b'2', target: b"..", ..Member::default() },
                Member { name: b"bin/noded", content: PROGRAM, ..Member::default() },
            ),
        ),
        (
            "a link to itself",
            two(
                Member { kind: b'2', target: b"noded", ..Member::default() },
                Member { name: b"x", content: b"x", ..Member::default() },
            ),
        ),
        (
            "a hard link to another's file",
            two(Member { kind: b'1', target: keep, ..Member::default() }, Member { name: b"x", ..Member::default() }),
        ),
        ("two of one name", two(program(), program())),
        ("a file, then a folder", two(program(), Member { name: b"noded/x", content: b"x", ..Member::default() })),
        ("setuid", tar(&[Member { mode: b"0006755\0", ..program() }])),
        ("no mode", tar(&[Member { mode: b"zzzzzzzz", ..program() }])),
        ("a size of nothing", tar(&[Member { size: Some(b"            "), ..program() }])),
        ("a size that is no number", tar(&[Member { size: Some(b"99999999999\0"), ..program() }])),
        ("a size of 8 GiB", tar(&[Member { size: Some(b"77777777777\0"), ..program() }])),
        ("a size of 2^63", tar(&[Member { size: Some(b"\x80\0\0\0\x80\0\0\0\0\0\0\0"), ..program() }])),
        (
            "a size below nothing",
            tar(&[Member { size: Some(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), ..program() }]),
        ),
        (
            "a name without end",
            tar(&[Member { name: b"L", kind: b'L', size: Some(b"77777777777\0"), ..Member::default() }]),
        ),
        ("a long name of 3 MiB", tar(&[Member { name: &b"n".repeat(3 << 20), ..program() }])),
        (
            "a size in PAX",
            tar(&[
                Member { name: b"p", kind: b'x', content: b"22 size=9999999999999\n", ..Member::default() },
                program(),
            ]),
        ),
        (
            "PAX without end",
            tar(&[
                Member { name: b"p", kind: b'x', content: b"99999999999999999999 path=x\n", ..Member::default() },
                program(),
            ]),
        ),
        (
            "PAX link path",
            tar(&[
                Member { name: b"p", kind: b'x', content: b"28 linkpath=../../../../etc\n", ..Member::default() },
                Member { kind: b'2', ..Member::default() },
            ]),
        ),
        ("a checksum that a terminal would act on", vec![0x1b; 1024]),
        ("nothing", Vec::new()),
        ("zeros", vec![0; 10_240]),
        ("garbage behind it", [tar(&[program()]), b"x".repeat(70_000)].concat()),
        (
            "20,000 empty files",
            tar(&(0..20_000).map(|_| Member { name: b"e", ..Member::default() }).collect::<Vec<_>>()),
        ),
        ("4 MiB of zeros", tar(&[program(), Member { name: b"z", content: &vec![0; 4 << 20], ..Member::default() }])),
    ] {
        all.push((format!("tar, {words}"), "tar.gz", gz(&bytes)));
        all.push((format!("tar, {words}"), "tar", bytes));
    }
    let deep: Vec<Vec<u8>> =
        (0..200).map(|n| [format!("{n}/").as_bytes(), b"d/".repeat(60).as_slice(), b"f"].concat()).collect();
    let deep: Vec<_> = deep.iter().map(|name| Member { name, ..Member::default() }).collect();
    all.push(("tar, 12,000 folders in 200 names".into(), "tar", tar(&deep)));
    let file = |name: &[u8]| Zipped::file(name, PROGRAM);
    let long: u32 = 0xffff_fffe;
    for (words, files, claims) in [
        ("two of one name", vec![file(b"noded"), file(b"noded")], None),
        ("says it is longer", vec![Zipped { says: 900, ..file(b"noded") }], None),
        ("says it is shorter", vec![Zipped { says: 3, ..file(b"noded") }], None),
        ("says it has 4 GiB", vec![Zipped { says: long, ..file(b"noded") }], None),
        ("is encrypted", vec![Zipped { flags: 1, ..file(b"noded") }], None),
        ("has a method nobody knows", vec![Zipped { method: 77, ..file(b"noded") }], None),
        ("says it is deflated", vec![Zipped { method: 8, ..file(b"noded") }], None),
        ("says it has 65,534 files", vec![file(b"noded")], Some(65_534)),
        ("says it has none", vec![file(b"noded")], Some(0)),
        ("a link out", vec![Zipped { mode: 0o120_777, ..Zipped::file(b"bin", folder) }, file(b"bin/noded")], None),
        (
            "a link of 1 MiB",
            vec![Zipped { mode: 0o120_777, ..Zipped::file(b"bin", &b"a/".repeat(1 << 19)) }, file(b"noded")],
            None,
        ),
        ("12,000 files", (0..12_000).map(|n| Zipped::file(n.to_string().as_bytes(), b"")).collect(), None),
    ] {
        all.push((format!("zip, {words}"), "zip", zip(&files, claims)));
    }
    let zeros = vec![0; 64 << 20];
    for (words, extension, bytes) in [
        ("64 MiB in a gz", "gz", gz(&zeros)),
        ("64 MiB in a tar.gz", "tar.gz", gz(&tar(&[Member { content: &zeros, ..Member::default() }]))),
        (
            "64 MiB of headers",
            "tar.gz",
            gz(&tar(&[Member { name: b"L", kind: b'L', content: &zeros, ..Member::default() }])),
        ),
        ("64 MiB behind the end", "tar.gz", gz(&[tar(&[program()]), zeros.clone()].concat())),
        ("gz of nothing", "gz", gz(b"")),
        ("half a gz", "gz", gz(PROGRAM)[..12].to_vec()),
        ("gz and more", "gz", [gz(PROGRAM), b"more".to_vec()].concat()),
    ] {
        all.push((words.to_owned(), extension, bytes));
    }
    all
}

/// What was unpacked: files and folders within bounds, nothing that another may use to do harm.
fn check_unpacked(scratch: &Path) -> Result<(), TestCaseError> {
    let (mut bytes, mut folders) = (0, 0);
    for path in listed(scratch).keys() {
        let metadata = fs::symlink_metadata(path).expect("it was just listed");
        folders += usize::from(metadata.is_dir());
        prop_assert!(metadata.is_file() || metadata.is_dir(), "{}", path.display());
        prop_assert_eq!(metadata.permissions().mode() & 0o7_022, 0, "{}", path.display());
        bytes += if metadata.is_file() { metadata.len() / metadata.nlink() } else { 0 };
    }
    prop_assert!(bytes <= FREE + (1 << 20), "{bytes} bytes");
    prop_assert!(folders <= 10_100, "{folders} folders");
    Ok(())
}

/// Unpacks it as a fetch does, and looks at everything around.
fn check(place: &Place, extension: &str, bytes: &[u8]) -> Result<bool, TestCaseError> {
    let scratch = tempfile::tempdir_in(place.watcher()).expect("a folder can be made");
    let download = scratch.path().join("download");
    fs::write(&download, bytes).expect("the folder can be written");
    let url = Url::parse(&format!("https://h/noded.{extension}")).expect("it is an address");
    let unpacked = in_time(|| unpack(&download, &url, scratch.path(), "noded", FREE));
    let _ = fs::remove_file(&download);
    check_unpacked(scratch.path())?;
    prop_assert_eq!(&place.around(), &place.before);
    match &unpacked {
        Err(error) => prop_assert!(is_fit(&error.to_string()), "{:.300}", error.to_string()),
        Ok(tree) => prop_assert!(tree.starts_with(scratch.path()) && tree.join("bin/noded").is_file()),
    }
    let folder = scratch.path().to_owned();
    scratch.close().map_err(|error| TestCaseError::fail(format!("{} stays: {error}", folder.display())))?;
    Ok(unpacked.is_ok())
}

#[test]
fn no_hostile_archive_gets_out_of_its_folder() {
    let (_company, place) = (in_company(), Place::in_memory());
    let hostile = hostile(&place.outside());
    let mut escaped = Vec::new();
    for (words, extension, bytes) in &hostile {
        escaped.extend(check(&place, extension, bytes).err().map(|how| format!("{words}: {how}")));
    }
    say(&format!("hostile archives tried: {}, escaped: {}", hostile.len(), escaped.len()));
    assert!(escaped.is_empty(), "{escaped:#?}");
    assert!(hostile.len() > 1_000, "{}", hostile.len());
}

#[test]
fn archives_that_are_bent_do_not_get_out_either() {
    let (_company, place) = (in_company(), Place::in_memory());
    let link = Member { name: b"bin/noded", kind: b'2', target: b"../lib/real", ..Member::default() };
    let lib = Member { name: b"lib/real", content: PROGRAM, ..Member::default() };
    let plain = tar(&[link, lib, Member { name: &b"n/".repeat(60), kind: b'5', ..Member::default() }]);
    let zipped = zip(
        &[Zipped::file(b"bin/noded", PROGRAM), Zipped { mode: 0o120_777, ..Zipped::file(b"x", b"bin/noded") }],
        None,
    );
    let good = [
        ("tar.gz", plain.clone()),
        ("tar", plain.clone()),
        ("zip", zipped),
        ("gz", gz(PROGRAM)),
        ("tar.gz", gz(&plain)),
    ];
    let run = |((extension, good), cuts): ((&str, Vec<u8>), Vec<_>)| {
        let bent = bent::bytes(&good, &cuts);
        check(&place, extension, &bent)?;
        // What is bent within stays whole without.
        if extension == "tar.gz" { check(&place, extension, &gz(&bent)).map(drop) } else { Ok(()) }
    };
    TestRunner::new(cases(500)).run(&(select(good.to_vec()), bent::cuts()), run).unwrap();
}

#[test]
fn a_fetch_of_hostile_archives_leaves_nothing_but_what_is_verified() {
    let (_company, place) = (in_company(), Place::of(tempfile::tempdir().expect("a folder can be made")));
    let says = Arc::<Mutex<Bytes>>::default();
    let answer = async |State(says): State<Arc<Mutex<Bytes>>>| says.lock().expect("nobody panics with it").clone();
    let server = Server::open(Router::new().fallback(answer).with_state(Arc::clone(&says)));
    let web = http::web_client().expect("a client can be made");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio starts");
    let store = Store::below(&place.watcher());
    let (mut tried, mut kept) = (0, 0);
    // Every seventh of them is enough to see that a fetch unpacks as the test above does.
    for (words, extension, bytes) in hostile(&place.outside()).into_iter().step_by(7) {
        let checksum = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        *says.lock().expect("nobody panics with it") = bytes.into();
        let url = format!("{}/{tried}/noded.{extension}", server.url());
        let asks = Asks::Artifact(Artifact { os_arch: "any".into(), url, checksum: Some(checksum) });
        let plan = Plan { name: "v2".into(), height: 7, info: String::new() };
        let upgrade = Upgrade { plan, folder: Folder::of("v2", false).expect("it is a name"), asks };
        let request = Request {
            web: &web,
            upgrade: &upgrade,
            platform: &Platform { os_arch: "linux/amd64".into() },
            daemon_name: "noded",
            must_have_checksum: true,
            endpoint: "",
            store: &store,
        };
        let fetched = in_time(|| runtime.block_on(fetch(request, &|_| {})));
        if let Err(error) = &fetched {
            assert!(is_fit(&error.to_string()), "{words}: {:.300}", error.to_string());
        }
        assert_eq!(place.around(), place.before, "{words}");
        (tried, kept) = (tried + 1, kept + u32::from(fetched.is_ok()));
        for path in
            fs::read_dir(&store.artifacts).into_iter().flatten().map(|entry| entry.expect("it is listed").path())
        {
            assert!(path.join("receipt.json").is_file(), "{words}: {} is left", path.display());
        }
    }
    assert!(tried > 150 && kept > 0 && kept < tried, "{kept} of {tried}");
}
