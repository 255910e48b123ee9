#!/bin/sh
# Would the tests notice if the core were wrong? This breaks `src/decide/` in one place at a time (`<` becomes `<=`, a function
# answers `true`, an arm of a match is gone) and runs its tests. A mutant that none of them fails on is *missed*: it stands for
# behaviour that nothing holds, or for code that nothing needs. At least 95 % are to be caught.
#
#     tests/mutants.sh                                      # all; an hour or two
#     tests/mutants.sh -f src/decide/ladder.rs              # one file
#     tests/mutants.sh --shard 0/8 --sharding round-robin   # a fair eighth
#     tests/mutants.sh --iterate                            # those that were not caught last time
#
# The whole program takes long to build and the core stands alone (`tests/purity`), so it gets a crate of its own here. The
# simulated world is a module of that crate: one thing is built for a mutant, which takes less time than its tests do, so
# nothing is optimised. The outcome is in `target/mutants.out/`. More `WATCHER_HISTORIES` catch more.
set -eu
cd "$(dirname "$0")/.."
version=27.0.0
cargo mutants --version 2>&1 | grep -qF " $version" || cargo install cargo-mutants --locked --version "$version"

crate=$(mktemp -d)
trap 'rm -rf "$crate"' EXIT
mkdir "$crate/src" "$crate/fixtures"
cp -R src/decide src/decide.rs "$crate/src"
cp -R fixtures/traces "$crate/fixtures"
cp -R tests/world tests/world.rs Cargo.lock rust-toolchain.toml "$crate"
cat >"$crate/src/lib.rs" <<LIB
extern crate alloc;
#[cfg(test)]
extern crate self as watcher;
pub mod decide;
#[cfg(test)]
#[path = "../world.rs"]
mod histories;
LIB
cat >"$crate/Cargo.toml" <<MANIFEST
[package]
name = "watcher"
edition = "2024"
[lib]
doctest = false
[dependencies]
$(grep -E '^serde ' Cargo.toml)
[dev-dependencies]
$(grep -E '^(proptest|serde_json) ' Cargo.toml)
[profile.dev]
debug = false
[workspace]
MANIFEST

# A history that fails has told enough: it is not shrunk.
export WATCHER_HISTORIES="${WATCHER_HISTORIES:-300}" PROPTEST_MAX_SHRINK_TIME=1
unset CARGO_TARGET_DIR
cargo mutants --dir "$crate" --output target --timeout 60 "$@"
