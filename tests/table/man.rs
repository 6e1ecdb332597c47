//! The man pages: what they say, and that roff has nothing to say against them.

use std::io::Write;
use std::process::{Command, Stdio};

use clusteros_init::unit::keys::KEYS;

use crate::ctl::said;
use crate::golden::assert_golden;

const PAGES: [&str; 6] = ["initctl", "clusteros-init", "logd", "units", "systemctl", "journalctl"];

#[test]
fn the_pages() {
    for page in PAGES {
        let (code, roff, err) = said(&["man", page]);
        assert_eq!((code, err.as_str()), (0, ""));
        // The keys are pinned by the help about units.
        if page == "units" {
            for key in KEYS {
                assert!(roff.contains(&format!(".TP\n\\fB{}\\fR\n", key.name.replace('-', "\\-"))), "{}", key.name);
            }
        } else {
            assert_golden(&format!("man/{page}.roff"), &roff);
        }
    }
    assert_eq!(said(&["man"]), said(&["man", "initctl"]));
}

#[test]
fn roff_takes_the_pages() {
    for page in PAGES {
        let (_, roff, _) = said(&["man", page]);
        let groff = Command::new("groff")
            .args(["-man", "-Tutf8", "-ww", "-rLL=80n"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut groff) = groff else {
            let text = "skipped: roff_takes_the_pages: there is no groff";
            assert!(std::env::var_os("NEED").is_none_or(|need| need != "all"), "{text}");
            eprintln!("{text}");
            return;
        };
        groff.stdin.take().expect("piped").write_all(roff.as_bytes()).expect("written");
        let output = groff.wait_with_output().expect("groff");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && err.is_empty(), "{page}: {err}");
        // Bold is a letter over itself.
        let mut plain = String::new();
        for letter in out.chars() {
            if letter == '\u{8}' {
                plain.pop();
            } else {
                plain.push(letter)
            }
        }
        for part in ["NAME", "SEE ALSO"] {
            assert!(plain.contains(part), "{page} has no {part}:\n{plain}");
        }
    }
}
