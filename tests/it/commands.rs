//! Every command as its own `--help` tells of it: an example, exit codes, completions.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::rig::doorward::Setup;
use crate::world::{said, setup};

/// Those that ask no server: they work on files, or ask elsewhere than in the admin API.
const LOCAL: &[&str] = &[
    "serve",
    "validate",
    "config",
    "test",
    "store",
    "health",
    "bench",
    "completions",
    "doctor",
    "version",
    "password hash",
];

/// A command that does something: its words, and what its help shows as an example.
struct Leaf {
    words: Vec<String>,
    example: String,
}

/// Reads what people read: the list of commands in the help of each.
fn leaves(setup: &Setup, words: &[&str]) -> Vec<Leaf> {
    let output = setup.run(&[words, &["--help"]].concat()).unwrap();
    assert!(output.status.success(), "{words:?}: {}", said(&output));
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(help.contains("Usage: doorward"), "{words:?}: {help}");
    let listed = help.split_once("Commands:\n").map(|(_, rest)| rest.split("\n\n").next().unwrap());
    let Some(listed) = listed else {
        let example =
            help.split_once("Example: ").unwrap_or_else(|| panic!("{words:?}: no example:\n{help}")).1;
        return vec![Leaf {
            words: words.iter().map(|it| (*it).to_owned()).collect(),
            example: example.to_owned(),
        }];
    };
    let mut all = Vec::new();
    for line in listed.lines() {
        // A name stands two blanks in; what goes on about it stands further in.
        if let Some(name) = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' ')) {
            let name = name.split(' ').next().unwrap();
            all.extend(leaves(setup, &[words, &[name]].concat()));
        }
    }
    all
}

fn in_shell(folder: &Path, line: &str) -> Output {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command.args(["-c", line]).current_dir(folder).env("PATH", format!("{}:{path}", folder.display()));
    command.env("DOORWARD_ADMIN_KEY", "dw_admin_nobodys").stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn every_command_keeps_to_the_exit_codes_and_is_completed_in_every_shell() {
    let folder = tempfile::tempdir().unwrap();
    // Wide enough that no line of help is broken.
    let setup = setup(folder.path()).with("COLUMNS", "1000");
    setup.write("{}").unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_doorward"), folder.path().join("doorward")).unwrap();
    // What the examples name.
    for (name, text) in [
        ("kong.yaml", "_format_version: \"3.0\"\nconsumers: [{username: carol}]\n"),
        ("key.header", "apikey: nobodys-key-0123456789"),
        ("policy.yaml", "policy: {authentication: none}\n"),
        ("password.txt", "four words of her own\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let all = leaves(&setup, &[]);
    assert!(all.len() >= 60, "{}", all.len());
    let scripts = ["bash", "zsh", "fish"].map(|shell| {
        let output = setup.run(&["completions", shell]).unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    });
    let bash = folder.path().join("completions.bash");
    std::fs::write(&bash, &scripts[0]).unwrap();
    let taken = in_shell(folder.path(), "source completions.bash && complete -p doorward");
    assert!(taken.status.success(), "bash takes its completions: {}", said(&taken));

    for Leaf { words, example } in &all {
        let name = words.join(" ");
        for (shell, script) in ["bash", "zsh", "fish"].iter().zip(&scripts) {
            assert!(script.contains(words.last().unwrap()), "{shell} does not complete `{name}`");
        }
        let wrong =
            setup.run(&[&words.iter().map(String::as_str).collect::<Vec<_>>()[..], &["--nonsense"]].concat());
        assert_eq!(wrong.unwrap().status.code(), Some(2), "`{name} --nonsense` is wrong usage");
        if LOCAL.contains(&&words[0][..]) || LOCAL.contains(&&name[..]) {
            continue;
        }
        let line = example.lines().next().unwrap();
        let asked = in_shell(folder.path(), &format!("{line} --url http://127.0.0.1:1"));
        assert_eq!(asked.status.code(), Some(3), "{line}: nobody to talk to: {}", said(&asked));
    }
    let help = setup.run(&["--help"]).unwrap();
    assert!(
        said(&help).contains("Exit codes: 0 done, 1 refused or not found, 2 wrong usage"),
        "{}",
        said(&help)
    );
}
