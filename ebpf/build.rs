//! Compiles the gate's programs with clang for the BPF target; `src/programs.rs` puts the object into the library.

use std::error::Error;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = "src/bpf/gate.bpf.c";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=src/bpf");
    let object = Path::new(&std::env::var_os("OUT_DIR").ok_or("no OUT_DIR")?).join("gate.bpf.o");
    let here = std::env::current_dir()?;
    let status = Command::new("clang")
        // -g for the types that CO-RE relocations are made of; -mcpu=v3 for 32-bit and fetching atomic instructions.
        .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g"])
        .args(["-Wall", "-Wextra", "-Werror", "-Wno-unused-function"])
        // Paths of this machine have no place in the object.
        .arg(format!("-fdebug-prefix-map={}=.", here.display()))
        .args(["-c", SOURCE, "-o"])
        .arg(&object)
        .status()
        .map_err(|error| format!("clang: cannot be started: {error}; run `make tools`"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("clang: {SOURCE}: {status}").into())
    }
}
