//! What a program wants of the machine that loads it: a dynamic loader, and shared libraries. A host that lacks one of them
//! refuses to start the program at the halt, and nothing tells before.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use object::{
    Endianness, elf,
    read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _},
};

use super::disk::naming;

/// As many entries of a dynamic section are read, bytes of a text, and bytes of any part of a file.
const MOST_ENTRIES: usize = 1000;
const LONGEST_TEXT: usize = 4096;
const LARGEST_PART: u64 = 16 << 20;

type Header = elf::FileHeader64<Endianness>;

/// What a program wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// The loader; none for a static program.
    pub loader: Option<String>,
    /// The libraries, by name.
    pub libraries: Vec<String>,
    /// The version of the GNU C library that it needs at least: the number behind `2.`.
    pub glibc: Option<u32>,
    /// Folders beside itself in which it looks for them first.
    pub places: Vec<PathBuf>,
}

impl Needs {
    /// The libraries that are neither part of every ordinary Linux nor where the program itself looks for them.
    pub fn foreign(&self) -> impl Iterator<Item = &str> {
        // The C library's, the compiler's and those of C++: package managers themselves need these.
        const ORDINARY: [&str; 13] = [
            "libc.so.",
            "libm.so.",
            "libpthread.so.",
            "libdl.so.",
            "librt.so.",
            "libresolv.so.",
            "libutil.so.",
            "libnsl.so.",
            "libanl.so.",
            "libgcc_s.so.",
            "libstdc++.so.",
            "ld-linux",
            "ld64.so.",
        ];
        let brought = |name: &str| self.places.iter().any(|place| place.join(name).is_file());
        let libraries = self.libraries.iter().map(String::as_str);
        libraries.filter(move |name| !ORDINARY.iter().any(|start| name.starts_with(start)) && !brought(name))
    }

    /// The loader, where it is not the one that ordinary Linux distributions have for some machine.
    #[must_use]
    pub fn foreign_loader(&self) -> Option<&str> {
        let loader = self.loader.as_deref()?;
        let file = loader.strip_prefix("/lib64/").or_else(|| loader.strip_prefix("/lib/"));
        let ordinary =
            file.is_some_and(|file| ["ld-linux", "ld64.so.", "ld.so."].iter().any(|start| file.starts_with(start)));
        (!ordinary).then_some(loader)
    }
}

/// Reads what a 64-bit ELF program wants; nothing for any other file.
///
/// # Errors
/// Where the file cannot be read, or its tables lead nowhere.
pub fn needs(path: &Path) -> io::Result<Needs> {
    let file = File::open(path).map_err(naming("cannot read", path))?;
    let origin = path.parent().unwrap_or(Path::new("/"));
    read(&file, origin).map_err(naming("cannot read the dynamic section of", path))
}

fn read(file: &File, origin: &Path) -> io::Result<Needs> {
    let mut needs = Needs::default();
    let head = bytes(file, 0, size_of::<Header>() as u64).unwrap_or_default();
    let Ok(header) = Header::parse(&head[..]) else { return Ok(needs) };
    let endian = header.endian().map_err(io::Error::other)?;
    let size = u64::from(header.e_phentsize.get(endian)) * u64::from(header.e_phnum.get(endian));
    let table = bytes(file, header.e_phoff.get(endian), size)?;
    let (segments, _) = object::pod::slice_from_bytes::<elf::ProgramHeader64<Endianness>>(
        &table,
        usize::from(header.e_phnum.get(endian)),
    )
    .map_err(|()| bad("its program headers are cut"))?;
    let of_kind = |kind| segments.iter().find(move |segment| segment.p_type(endian) == kind);
    if let Some(segment) = of_kind(elf::PT_INTERP) {
        let (offset, size) = segment.file_range(endian);
        needs.loader = Some(text(&bytes(file, offset, size)?, 0));
    }
    let Some(segment) = of_kind(elf::PT_DYNAMIC) else { return Ok(needs) };
    let (offset, size) = segment.file_range(endian);
    if size == 0 {
        return Ok(needs);
    }
    let table = bytes(file, offset, size)?;
    let entries: &[elf::Dyn64<Endianness>] =
        object::pod::slice_from_all_bytes(&table).map_err(|()| bad("its dynamic section is cut"))?;
    let end = entries.iter().position(|entry| entry.d_tag.get(endian) == u64::from(elf::DT_NULL));
    let entries = &entries[..end.unwrap_or(entries.len())];
    let value = |tag: u32| entries.iter().find(|entry| entry.tag32(endian) == Some(tag)).map(|it| it.d_val.get(endian));
    let (Some(address), Some(size)) = (value(elf::DT_STRTAB), value(elf::DT_STRSZ)) else { return Ok(needs) };
    // The table is named by where it is loaded.
    let loaded = segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD).find_map(|segment| {
        let into = address.checked_sub(segment.p_vaddr(endian))?;
        (into < segment.p_filesz(endian)).then(|| segment.p_offset(endian).checked_add(into))?
    });
    let strings = bytes(file, loaded.ok_or_else(|| bad("its strings are nowhere"))?, size)?;
    // Versions of symbols are named among the other texts.
    let versions = strings.split(|byte| *byte == 0).filter_map(|text| text.strip_prefix(b"GLIBC_2."));
    let minor = |rest: &[u8]| core::str::from_utf8(rest).ok()?.split('.').next()?.parse().ok();
    needs.glibc = versions.filter_map(minor).max();
    for entry in entries.iter().take(MOST_ENTRIES) {
        let at = usize::try_from(entry.d_val.get(endian)).unwrap_or(usize::MAX);
        match entry.tag32(endian) {
            Some(elf::DT_NEEDED) => needs.libraries.push(text(&strings, at)),
            Some(elf::DT_RPATH | elf::DT_RUNPATH) => {
                let beside = |place: &str| {
                    let rest = place.strip_prefix("$ORIGIN").or_else(|| place.strip_prefix("${ORIGIN}"))?;
                    Some(origin.join(rest.trim_start_matches('/')))
                };
                needs.places.extend(text(&strings, at).split(':').filter_map(beside));
            }
            _ => {}
        }
    }
    Ok(needs)
}

/// A part of the file, of a size that these parts have.
fn bytes(file: &File, offset: u64, size: u64) -> io::Result<Vec<u8>> {
    let size = usize::try_from(size).ok().filter(|_| size <= LARGEST_PART).ok_or_else(|| bad("it is too large"))?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

/// The text that begins here and ends with a zero.
fn text(bytes: &[u8], at: usize) -> String {
    let rest = bytes.get(at..).unwrap_or_default();
    let rest = &rest[..rest.len().min(LONGEST_TEXT)];
    String::from_utf8_lossy(rest.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(bytes: &[u8]) -> io::Result<Needs> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        needs(file.path())
    }

    #[test]
    fn the_libraries_of_this_very_program_are_known() {
        let needs = needs(&std::env::current_exe().unwrap()).unwrap();
        assert_eq!(needs.loader.is_some(), cfg!(target_env = "gnu"), "{needs:?}");
        assert_eq!(needs.glibc.is_some(), cfg!(target_env = "gnu"), "{needs:?}");
        assert!(needs.foreign_loader().is_none() && needs.foreign().next().is_none(), "{needs:?}");
        assert_eq!(of(b"#!/bin/sh\n").unwrap(), Needs::default());
    }

    #[test]
    fn what_ordinary_hosts_lack_is_told() {
        for (loader, foreign) in [
            ("/lib64/ld-linux-x86-64.so.2", false),
            ("/lib/ld-linux-aarch64.so.1", false),
            ("/lib/ld-musl-x86_64.so.1", true),
            ("/nix/store/abc-glibc/lib/ld-linux-x86-64.so.2", true),
        ] {
            let needs = Needs { loader: Some(loader.into()), ..Needs::default() };
            assert_eq!(needs.foreign_loader().is_some(), foreign, "{loader}");
        }
        let libraries = ["libc.so.6", "libwasmvm.x86_64.so", "libstdc++.so.6", "libc.musl-x86_64.so.1"];
        let needs = Needs { libraries: libraries.map(String::from).into(), ..Needs::default() };
        assert_eq!(needs.foreign().collect::<Vec<_>>(), ["libwasmvm.x86_64.so", "libc.musl-x86_64.so.1"]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..64) {
            // A header that is right up to one place reaches further in.
            let mut head = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 62, 0, 1, 0, 0, 0];
            head.resize(32, 0);
            head.extend(64_u64.to_le_bytes());
            head.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 56, 0, 3, 0, 64, 0, 0, 0, 0, 0]);
            let _ = of(&bytes);
            let _ = of(&[&head[..], &bytes].concat());
            head[at] = head[at].wrapping_add(1);
            let _ = of(&[&head[..], &bytes].concat());
        }
    }
}
