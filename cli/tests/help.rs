//! What helps to use the command line: completions and manual pages.

mod common;

use std::process::Command;

use common::Kiln;

/// Commands that a user sees.
const COMMANDS: [&str; 6] = ["run", "exec", "bake", "restore", "logs", "doctor"];

#[test]
fn every_shell_gets_completions() {
    let kiln = Kiln::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = kiln.text(&["completions", shell]);
        for word in COMMANDS.iter().chain(&["stop-timeout", "init-timeout"]) {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    // bash itself takes it, and completes.
    let script = kiln.text(&["completions", "bash"]);
    let ask = "COMP_WORDS=(kiln sna); COMP_CWORD=1; _kiln kiln sna kiln; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", &format!("{script}\n{ask}")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "snapshot\n", "{output:?}");
    assert_eq!(kiln.output(&["completions", "none"]).status.code(), Some(2));
}

#[test]
fn every_command_has_a_manual_page() {
    let (kiln, place) = (Kiln::new(), tempfile::tempdir().unwrap());
    let pages = place.path().join("made/man1");
    kiln.text(&["man", pages.to_str().unwrap()]);
    let page = |name: &str| std::fs::read_to_string(pages.join(name)).unwrap();
    for command in COMMANDS {
        let page = page(&format!("kiln-{command}.1"));
        assert!(page.contains(".TH") && page.contains(".SH SYNOPSIS"), "{command}: {page}");
    }
    // A hyphen is written with a backslash, roff(7).
    assert!(page("kiln-run.1").contains("\\-\\-stop\\-timeout"));
    assert!(page("kiln.1").contains("kiln\\-exec(1)"));
    let file = place.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = kiln.output(&["man", file.join("below").to_str().unwrap()]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!((refused.status.code(), said.lines().count()), (Some(1), 1), "{said}");
}
