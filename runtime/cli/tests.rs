//! Tests of whole command lines.

use clap::Parser as _;

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
    let exit = match Cli::try_parse_from([&["millpond"], args].concat()) {
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
        (&["run", "module.yaml"], 2),
        (&["run", "module.yaml", "--data-dir", "d", "--listen", "0.0.0.0:80"], 2),
        (&["run", "module.yaml", "--data-dir", "d", "--admin", "8090"], 2),
        (&["run", "module.yaml", "--data-dir", "d", "--log-format", "xml"], 2),
    ] {
        assert_eq!(millpond(args).exit, exit, "{args:?}");
    }
}
