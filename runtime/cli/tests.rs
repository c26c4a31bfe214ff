//! Tests of whole command lines.

use clap::{CommandFactory as _, FromArgMatches as _};

use super::{Cli, Console, execute};

/// What a command line did.
pub(crate) struct Run {
    pub(crate) exit: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs a command line without a process.
pub(crate) fn millpond(args: &[&str]) -> Run {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    // A fixed width: the terminal of whoever runs the tests is not part of what is tested.
    let matches = Cli::command().term_width(100).try_get_matches_from([&["millpond"], args].concat());
    let exit = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => execute(cli, &mut Console::buffers(&mut out, &mut err)) as u8,
        Err(error) => {
            let text = error.render().to_string().into_bytes();
            if error.use_stderr() {
                err = text
            } else {
                out = text
            }
            u8::try_from(error.exit_code()).expect("a small exit code")
        }
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Run { exit, out: text(out), err: text(err) }
}

/// Wrong usage is 2 and help is 0, whatever the command.
#[test]
fn usage() {
    for (args, exit) in [
        (&["--help"][..], 0),
        (&["--version"], 0),
        (&["run", "--help"], 0),
        (&[], 2),
        (&["walk"], 2),
        (&["check"], 2),
        (&["address", "skip", "a/b", "c"], 2),
        (&["run", "module.yaml"], 2),
        (&["run", "--data-dir", "d"], 2),
        (&["run", "m", "--data-dir", "d", "-D", "x"], 2),
        (&["run", "m", "--data-dir", "d", "--admin-read-token-file", "f"], 2),
        (&["run", "module.yaml", "--data-dir", "d", "--listen", "0.0.0.0:80"], 2),
        (&["run", "module.yaml", "--data-dir", "d", "--admin", "8090"], 2),
        (&["run", "module.yaml", "--data-dir", "d", "--log-format", "xml"], 2),
    ] {
        assert_eq!(millpond(args).exit, exit, "{args:?}");
    }
}

/// The words of `--help` are read before they change.
#[test]
fn help() {
    for (name, args) in [
        ("millpond", &["--help"][..]),
        ("run", &["run", "--help"]),
        ("run-short", &["run", "-h"]),
        ("check", &["check", "--help"]),
        ("explain", &["explain", "--help"]),
        ("check-modules", &["check-modules", "--help"]),
        ("functions", &["functions", "--help"]),
        ("egress", &["egress", "--help"]),
        ("egress-discard", &["egress", "discard", "--help"]),
        ("address", &["address", "--help"]),
        ("address-show", &["address", "show", "--help"]),
        ("address-skip", &["address", "skip", "--help"]),
    ] {
        insta::with_settings!({
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, { insta::assert_snapshot!(format!("help-{name}"), millpond(args).out) });
    }
}

/// A typing error in an option or command names the one that was meant.
#[test]
fn usage_errors_suggest() {
    for (args, near) in [
        (&["chekc", "m.yaml"][..], "'check'"),
        (&["run", "m.yaml", "--data-dri", "d"], "'--data-dir'"),
        (&["check", "m.yaml", "--interpolate"], "'--interpolate-env'"),
    ] {
        let run = millpond(args);
        assert!(run.exit == 2 && run.err.contains(near), "{args:?}: {}", run.err);
    }
}

/// One bad file does not end the search, and decides the exit code only under `--strict`.
#[test]
fn check_modules_reports_every_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let endpoint = "kind: io.statefun.endpoints.v2/http\nspec:\n  functions: a/*\n  urlPathTemplate: http://f\n";
    std::fs::create_dir(folder.path().join("deep")).expect("a folder");
    for (name, text) in [
        ("good.yaml", endpoint),
        ("deep/bad.yml", "kind: a/b\nspec: {}\n"),
        ("compose.yaml", "services: {}\n"),
        ("kubernetes.yaml", "apiVersion: v1\nkind: Pod\n"),
        ("note.txt", "kind: x\n"),
    ] {
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    let path = folder.path().display().to_string();
    let run = millpond(&["check-modules", &path]);
    assert_eq!(run.exit, 0);
    let expected = "refused     deep/bad.yml  1 error  MP0021\nok, a part  good.yaml  1 error  MP0080\n1 accepted, 1 refused, 2 other YAML files left out\n";
    assert_eq!(run.out, expected);
    assert_eq!(millpond(&["check-modules", "--strict", &path]).exit, 1);
    assert_eq!(millpond(&["check-modules", &format!("{path}/nowhere")]).exit, 1);
}
