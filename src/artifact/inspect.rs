//! A look at the first bytes of a file: is it something that this machine can run? A binary for another architecture, or
//! the HTML of a login page, is found out when it is fetched and not at the halt.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use object::{
    Endianness, elf, macho,
    read::elf::{FileHeader as _, ProgramHeader as _},
};

use super::{disk::naming, info::Platform};

/// What an executable is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An ELF program of the platform.
    Elf,
    /// A Mach-O program of the platform, or one that has it among its architectures.
    MachO,
    /// A script with a `#!` line.
    Script,
}

/// A file that the platform cannot run.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// For which platform it is no executable, and what it is instead.
    #[error("no executable for {0}: it is {1}")]
    NotRunnable(String, String),
}

/// Tells what kind of executable a file is, from its first 4 KiB.
///
/// # Errors
/// [`InspectError`] where it cannot be read, or is nothing that `platform` can run.
pub fn inspect(path: &Path, platform: &Platform) -> Result<Kind, InspectError> {
    let (head, size) = head(path).map_err(naming("cannot read", path))?;
    let found = kind(&head, &platform.os_arch).and_then(|kind| cut(&head, size).map_or(Ok(kind), Err));
    found.map_err(|found| InspectError::NotRunnable(platform.os_arch.clone(), found))
}

/// What is wrong with a program whose copy broke off, or goes on: the kernel may start it, and it dies of what is missing.
/// None also where it cannot be read.
#[must_use]
pub fn shortfall(path: &Path) -> Option<String> {
    // A pipe would be waited for.
    let (head, size) = path.is_file().then(|| head(path).ok())??;
    cut(&head, size)
}

/// The beginning of a file, and its size.
fn head(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    const HEAD: u64 = 4096;
    let (mut head, file) = (Vec::new(), File::open(path)?);
    let size = file.metadata()?.len();
    file.take(HEAD).read_to_end(&mut head)?;
    Ok((head, size))
}

fn cut(head: &[u8], size: u64) -> Option<String> {
    let header = elf::FileHeader64::<Endianness>::parse(head).ok()?;
    let endian = header.endian().ok()?;
    let loaded = header
        .program_headers(endian, head)
        .ok()?
        .iter()
        .filter(|it| it.p_type(endian) == elf::PT_LOAD && it.p_filesz(endian) > 0);
    let end = loaded.map(|it| it.p_offset(endian).saturating_add(it.p_filesz(endian))).max()?;
    (end > size).then(|| format!("an ELF that is cut off, and has {end} bytes at least"))
}

fn kind(head: &[u8], os_arch: &str) -> Result<Kind, String> {
    let (os, arch) = os_arch.split_once('/').unwrap_or((os_arch, ""));
    match head {
        [b'#', b'!', rest @ ..] => {
            let interpreter = rest.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
            if interpreter.starts_with(b"/") { Ok(Kind::Script) } else { Err("a script without an interpreter".into()) }
        }
        [0x7f, b'E', b'L', b'F', ..] => elf_machine(head).and_then(|found| {
            if os == "darwin" || found != arch { Err(format!("an ELF for {found}")) } else { Ok(Kind::Elf) }
        }),
        _ => match macho_machines(head) {
            Some(found) if os == "darwin" && found.contains(&arch) => Ok(Kind::MachO),
            Some(found) => Err(format!("a Mach-O for {}", found.join(" and "))),
            None => Err(something_else(head)),
        },
    }
}

/// Go's word for the machine of an ELF program; or what it is instead of a program.
fn elf_machine(head: &[u8]) -> Result<String, String> {
    const SYSTEM_V_OR_LINUX: [u8; 2] = [elf::ELFOSABI_SYSV, elf::ELFOSABI_LINUX];
    if head.get(4) == Some(&elf::ELFCLASS32) {
        return Err("a 32-bit ELF".into());
    }
    let header =
        elf::FileHeader64::<Endianness>::parse(head).map_err(|error| format!("an ELF with a bad header ({error})"))?;
    let endian = header.endian().map_err(|error| format!("an ELF with a bad header ({error})"))?;
    match header.e_type(endian) {
        elf::ET_EXEC => {}
        elf::ET_DYN if header.e_entry(endian) != 0 => {}
        elf::ET_DYN => return Err("an ELF shared library".into()),
        elf::ET_REL => return Err("an ELF object file".into()),
        elf::ET_CORE => return Err("a core dump".into()),
        other => return Err(format!("an ELF of type {other}")),
    }
    if !SYSTEM_V_OR_LINUX.contains(&header.e_ident().os_abi) {
        return Err(format!("an ELF for another operating system (ABI {})", header.e_ident().os_abi));
    }
    Ok(match (header.e_machine(endian), endian) {
        (elf::EM_X86_64, _) => "amd64".into(),
        (elf::EM_AARCH64, Endianness::Little) => "arm64".into(),
        (elf::EM_RISCV, Endianness::Little) => "riscv64".into(),
        (elf::EM_PPC64, Endianness::Little) => "ppc64le".into(),
        (elf::EM_S390, Endianness::Big) => "s390x".into(),
        (elf::EM_LOONGARCH, Endianness::Little) => "loong64".into(),
        (other, _) => format!("machine {other}"),
    })
}

/// Go's words for the machines of a 64-bit Mach-O program; one, or several in a universal file.
fn macho_machines(head: &[u8]) -> Option<Vec<&'static str>> {
    const MOST_MACHINES: usize = 16;
    let word = |at: usize| head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    let machine = |cpu: u32| match cpu {
        macho::CPU_TYPE_X86_64 => "amd64",
        macho::CPU_TYPE_ARM64 => "arm64",
        _ => "another machine",
    };
    if word(0).map(u32::from_le_bytes) == Some(macho::MH_MAGIC_64) {
        return Some(vec![machine(u32::from_le_bytes(word(4)?))]);
    }
    // A Java class starts with the same four bytes; the number after them is its version, never this small.
    let entry = match word(0).map(u32::from_be_bytes)? {
        macho::FAT_MAGIC => 20,
        macho::FAT_MAGIC_64 => 32,
        _ => return None,
    };
    let count = usize::try_from(u32::from_be_bytes(word(4)?)).ok().filter(|count| *count <= MOST_MACHINES)?;
    (0..count).map(|nth| word(8 + nth * entry).map(|cpu| machine(u32::from_be_bytes(cpu)))).collect()
}

fn something_else(head: &[u8]) -> String {
    let text = head.trim_ascii_start();
    let starts =
        |prefix: &str| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()));
    match head {
        [] => "empty".into(),
        [b'M', b'Z', ..] => "a Windows program".into(),
        [0x1f, 0x8b, ..] => "gzip data".into(),
        [b'P', b'K', 3, 4, ..] => "a zip archive".into(),
        _ if head.get(257..262) == Some(b"ustar") => "a tar archive".into(),
        _ if starts("<!doctype html") || starts("<html") => "HTML".into(),
        _ if starts("<?xml") || starts("<") => "XML or HTML".into(),
        _ if starts("{") || starts("[") => "JSON".into(),
        _ => match core::str::from_utf8(&text[..text.len().min(32)]) {
            Ok(start) if !start.contains('\0') => format!("text that starts with {start:?}"),
            _ => format!("unknown data that starts with {}", hex::encode(&head[..head.len().min(8)])),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of an ELF program: class, machine, type, entry.
    fn elf(class: u8, machine: u16, kind: u16, entry: u64) -> Vec<u8> {
        let mut bytes = vec![0x7f, b'E', b'L', b'F', class, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes.extend(kind.to_le_bytes());
        bytes.extend(machine.to_le_bytes());
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(entry.to_le_bytes());
        bytes.resize(64, 0);
        bytes
    }

    #[test]
    fn programs_of_the_platform_are_known_and_everything_else_is_called_by_its_name() {
        let x86 = elf(2, elf::EM_X86_64, 2, 1);
        let fat = [0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 1, 1, 0, 0, 12].to_vec();
        for (bytes, os_arch, expected) in [
            (x86.clone(), "linux/amd64", Ok(Kind::Elf)),
            (elf(2, elf::EM_AARCH64, 3, 1), "linux/arm64", Ok(Kind::Elf)),
            (b"#!/bin/sh\nexit 0\n".to_vec(), "linux/amd64", Ok(Kind::Script)),
            (vec![0xcf, 0xfa, 0xed, 0xfe, 7, 0, 0, 1], "darwin/amd64", Ok(Kind::MachO)),
            (fat.clone(), "darwin/arm64", Ok(Kind::MachO)),
            (x86.clone(), "linux/arm64", Err("an ELF for amd64")),
            (elf(2, elf::EM_AARCH64, 2, 1), "linux/amd64", Err("an ELF for arm64")),
            (elf(1, 3, 2, 1), "linux/amd64", Err("a 32-bit ELF")),
            (elf(2, elf::EM_X86_64, 3, 0), "linux/amd64", Err("an ELF shared library")),
            (x86[..40].to_vec(), "linux/amd64", Err("an ELF with a bad header")),
            (x86, "darwin/amd64", Err("an ELF for amd64")),
            (fat, "linux/arm64", Err("a Mach-O for arm64")),
            (b"#! \n".to_vec(), "linux/amd64", Err("a script without an interpreter")),
            (b"\n<!DOCTYPE html><p>".to_vec(), "linux/amd64", Err("HTML")),
            (b"Not Found".to_vec(), "linux/amd64", Err("text that starts with \"Not Found\"")),
            (vec![], "linux/amd64", Err("empty")),
            (vec![0xff; 9], "linux/amd64", Err("unknown data that starts with ffffffffffffffff")),
        ] {
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &bytes).unwrap();
            match (inspect(file.path(), &Platform { os_arch: os_arch.into() }), expected) {
                (Ok(found), Ok(kind)) => assert_eq!(found, kind),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{part}: {error}"),
                (found, expected) => panic!("{expected:?}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_program_whose_copy_broke_off_is_known() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        for length in [whole.len() / 4, 4096, 1000] {
            std::fs::write(file.path(), &whole[..length]).unwrap();
            let found = inspect(file.path(), &Platform::host()).unwrap_err().to_string();
            assert!(found.contains("an ELF that is cut off"), "{found}");
        }
        std::fs::write(file.path(), &whole).unwrap();
        assert_eq!(shortfall(file.path()), None);
    }

    #[test]
    fn this_very_test_program_runs_on_this_host() {
        assert!(inspect(&std::env::current_exe().unwrap(), &Platform::host()).is_ok());
    }
}
