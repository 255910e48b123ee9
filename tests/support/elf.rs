//! The smallest ELF program that wants something of its host. It is looked at, never run.

/// Go's word for the machine of a program.
pub(crate) const AMD64: u16 = 62;
pub(crate) const ARM64: u16 = 183;

/// A program for a machine with these libraries, loaded by `loader` (static where it is empty), which looks for libraries
/// in `run_path`.
pub(crate) fn program(machine: u16, loader: &str, libraries: &[&str], run_path: &str) -> Vec<u8> {
    const HEADERS: u64 = 64 + 3 * 56;
    let interpreter = [loader.as_bytes(), b"\0"].concat();
    let mut strings = vec![0];
    let mut named = |text: &str| {
        let at = strings.len() as u64;
        strings.extend([text.as_bytes(), b"\0"].concat());
        at
    };
    let mut dynamic: Vec<(u64, u64)> = libraries.iter().map(|library| (1, named(library))).collect();
    if !run_path.is_empty() {
        dynamic.push((29, named(run_path)));
    }
    let tables = HEADERS + interpreter.len() as u64;
    let size = (dynamic.len() as u64 + 3) * 16;
    dynamic.extend([(5, tables + size), (10, strings.len() as u64), (0, 0)]);

    let mut file = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    file.extend([2_u16.to_le_bytes(), machine.to_le_bytes()].concat());
    file.extend([1_u32.to_le_bytes()].concat());
    file.extend([1_u64, 64, 0].map(u64::to_le_bytes).concat());
    file.extend(0_u32.to_le_bytes());
    file.extend([64_u16, 56, 3, 64, 0, 0].map(u16::to_le_bytes).concat());
    let whole = tables + size + strings.len() as u64;
    let nothing = 0x6474_e551_u32;
    for (kind, offset, length) in [
        (1, 0, whole),
        (if loader.is_empty() { nothing } else { 3 }, HEADERS, interpreter.len() as u64),
        (if loader.is_empty() { nothing } else { 2 }, tables, size),
    ] {
        file.extend([kind, 4_u32].map(u32::to_le_bytes).concat());
        file.extend([offset, offset, offset, length, length, 1].map(u64::to_le_bytes).concat());
    }
    file.extend(interpreter);
    file.extend(dynamic.into_iter().flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat()));
    file.extend(strings);
    file
}
