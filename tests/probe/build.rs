//! Compiles somebody else's gate with clang for the BPF target; `src/neighbours.rs` puts the object into the program.

use std::error::Error;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = "src/foreign.bpf.c";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-changed=../../ebpf/src/bpf/kernel.h");
    let object = Path::new(&std::env::var_os("OUT_DIR").ok_or("no OUT_DIR")?).join("foreign.bpf.o");
    let here = std::env::current_dir()?;
    let status = Command::new("clang")
        .args(["-target", "bpf", "-mcpu=v3", "-O2", "-g"])
        .args(["-Wall", "-Wextra", "-Werror", "-Wno-unused-function"])
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
