//! Puts the pages of `docs/errors` into the program.

use std::fmt::Write as _;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = Path::new("../../docs/errors").canonicalize()?;
    println!("cargo::rerun-if-changed={}", dir.display());
    let mut pages: Vec<_> = std::fs::read_dir(&dir)?.collect::<Result<_, _>>()?;
    pages.sort_by_key(std::fs::DirEntry::path);
    let mut out = String::from("const PAGES: &[(u16, &str)] = &[\n");
    for page in pages {
        let path = page.path();
        let Some(number) = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.strip_prefix("MQ-")) else { continue };
        writeln!(out, "({number}, include_str!({path:?})),")?;
    }
    out.push_str("];\n");
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("pages.rs"), out)?;
    Ok(())
}
