//! Links the programs statically, at a fixed address, whatever the environment asks for.
//!
//! There is one supervise for each service, so the pages that it writes to count. A static program at
//! a fixed address has no loader, no relocations and no libraries whose data is written to at every
//! start: 52 KiB of private memory where the dynamic, position-independent program has 124. Flags in a
//! `.cargo/config.toml` would not reach `cargo install`, and `RUSTFLAGS` replaces them; the arguments
//! of a build script reach every build, and only the programs of this package (no procedural macro).
//!
//! `SERVICEDIR_LINK=dynamic` in the environment leaves the linking to Rust's defaults.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The shared libraries that Rust's standard library names for glibc, and the archives to take instead.
/// A text file under a library's name is a linker script, to GNU ld, gold, LLD and mold alike.
const ARCHIVES: [(&str, &str); 7] = [
    ("libc.so", "-l:libc.a -l:libgcc_eh.a -l:libgcc.a"),
    ("libgcc_s.so", "-l:libgcc_eh.a -l:libgcc.a -l:libc.a"),
    ("libm.so", "-l:libm.a"),
    ("librt.so", "-l:librt.a"),
    ("libpthread.so", "-l:libpthread.a"),
    ("libdl.so", "-l:libdl.a"),
    ("libutil.so", "-l:libutil.a"),
];

/// What the C compiler is told, as the driver of the linker. Without a loader, the segment that is
/// read-only after relocation protects little, and its borders cost a page more; so does data that
/// begins within a page of code.
const ARGUMENTS: [&str; 4] = [
    "-static",
    "-no-pie",
    "-Wl,-z,norelro",
    "-Wl,-z,separate-loadable-segments",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SERVICEDIR_LINK");
    if env::var_os("SERVICEDIR_LINK").is_some_and(|how| how == "dynamic") {
        return;
    }
    match variable("CARGO_CFG_TARGET_ENV").as_str() {
        "gnu" => link_statically(),
        // Rust links musl's archives by itself.
        "musl" => ARGUMENTS.into_iter().for_each(pass),
        _ => println!("cargo::error=servicedir runs on Linux, with glibc (gnu) or musl"),
    }
}

fn link_statically() {
    if !has_static_library() {
        println!(
            "cargo::error=the static C library, libc.a, is missing: install it (Fedora: glibc-static; \
             Debian: libc6-dev), or set SERVICEDIR_LINK=dynamic: each supervise then takes about \
             124 KiB of memory instead of 52"
        );
        return;
    }
    let folder = PathBuf::from(variable("OUT_DIR"));
    for (name, archives) in ARCHIVES {
        write_script(&folder.join(name), archives);
    }
    pass(&format!("-L{}", folder.display()));
    ARGUMENTS.into_iter().for_each(pass);
}

/// Whether the linker's driver finds `libc.a`: where it does not, it prints the bare name.
/// A linker that cannot be asked so is left to speak for itself.
fn has_static_library() -> bool {
    let driver = env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_owned());
    match Command::new(driver).arg("-print-file-name=libc.a").output() {
        Ok(output) if output.status.success() => {
            let answer = String::from_utf8_lossy(&output.stdout);
            answer.trim() != "libc.a"
        }
        Ok(_) | Err(_) => true,
    }
}

fn write_script(path: &Path, archives: &str) {
    if let Err(error) = fs::write(path, format!("GROUP ( {archives} )\n")) {
        println!("cargo::error=unable to write {}: {error}", path.display());
    }
}

fn pass(argument: &str) {
    println!("cargo::rustc-link-arg-bins={argument}");
}

/// A variable that cargo sets for every build script.
fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}
