//! Texts that people read, kept word for word in `tests/golden`.

use std::path::PathBuf;

/// The golden file `name`.
pub fn golden(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("unable to read tests/golden/{name}: {e}"))
}

/// Fails unless `text` is what `tests/golden/NAME` holds. With `BLESS=1` in the environment it writes
/// the file instead.
pub fn assert_golden(name: &str, text: &str) {
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path(name), text).unwrap_or_else(|e| panic!("unable to write tests/golden/{name}: {e}"));
    }
    let kept = golden(name);
    assert!(kept == text, "tests/golden/{name} differs; it holds:\n{kept}\nand this came:\n{text}");
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}
