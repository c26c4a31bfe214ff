//! `millpond run`: checks everything that can be checked before the first event, then hands over to the node.
//!
//! In: the arguments. Out: [`RunOptions`], whose values have passed every check that needs no network and no ledger.

use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::args::{LogFormat, RunArgs};
use super::{Console, Exit};
use crate::config::model::{Egress, Ingress, Module};
use crate::config::{self, Diagnostic, LoadOptions};
use crate::errors::{self, Code};
use crate::node::{self, NodeError};

/// What a node is started with.
#[derive(Debug)]
pub struct RunOptions {
    /// The application.
    pub module: Module,
    /// Its name, which names what it keeps in Kafka.
    pub app: String,
    /// Folder of the ledger; may not exist yet.
    pub data_dir: PathBuf,
    /// Where the admin API, metrics and health checks listen.
    pub admin: SocketAddr,
    /// IP address of the listeners that the module declares; their ports are in the module.
    pub listen: IpAddr,
    /// File with the token of the admin API; always there when `admin` is not on loopback.
    pub admin_token_file: Option<PathBuf>,
    /// Form of the log.
    pub log_format: LogFormat,
}

/// Runs the command.
pub fn execute(args: RunArgs, console: &mut Console<'_>) -> Exit {
    let options = match prepare(args, console) {
        Ok(options) => options,
        Err(findings) => {
            console.findings(&findings);
            return Exit::Input;
        }
    };
    start(&options, console)
}

/// Runs the node to its end; what stopped it is told as any other finding.
fn start(options: &RunOptions, console: &mut Console<'_>) -> Exit {
    super::logging::start(options.log_format);
    let Err(error) = node::run(options) else { return Exit::Done };
    let code = Code::find(error.code()).unwrap_or(errors::MP7031);
    let mut finding = Diagnostic::error(code, error.to_string()).maybe_hint(error.hint());
    let mut cause = error.source();
    while let Some(source) = cause {
        finding = finding.caused_by(source);
        cause = source.source();
    }
    console.findings(&[finding]);
    match error {
        NodeError::Endpoint(_) | NodeError::Token { .. } => Exit::Input,
        NodeError::EngineGone => Exit::Defect,
        _ => Exit::Environment,
    }
}

/// Loads the module and checks what stands around it. Warnings go to the console at once.
fn prepare(args: RunArgs, console: &mut Console<'_>) -> Result<RunOptions, Vec<Diagnostic>> {
    let mut problems = admin_problems(args.admin, args.admin_token_file.as_deref());
    let load_options = LoadOptions::run().interpolate(args.module.interpolate_env);
    let module = match config::load(&args.module.modules, &load_options) {
        Ok((module, warnings)) => {
            console.findings(&warnings);
            problems.extend(module.not_yet());
            let kafka = crate::kafka::findings(&module);
            let (refused, warnings): (Vec<_>, Vec<_>) = kafka.into_iter().partition(Diagnostic::is_error);
            console.findings(&warnings);
            problems.extend(refused);
            problems.extend(port_conflict(&module, args.admin, args.listen));
            Some(module)
        }
        Err(findings) => {
            problems.extend(findings);
            None
        }
    };
    match module {
        Some(module) if problems.is_empty() => Ok(RunOptions {
            module,
            app: args.app,
            data_dir: args.data_dir,
            admin: args.admin,
            listen: args.listen,
            admin_token_file: args.admin_token_file,
            log_format: args.log_format,
        }),
        _ => Err(problems),
    }
}

/// The admin API can read state and change what runs: off loopback it wants a token.
fn admin_problems(admin: SocketAddr, token_file: Option<&Path>) -> Vec<Diagnostic> {
    let Some(path) = token_file else {
        if admin.ip().is_loopback() {
            return Vec::new();
        }
        let fact = format!("admin API on `{admin}` would be open to the network without a token");
        let hint = "add `--admin-token-file FILE`, or listen on loopback with `--admin 127.0.0.1:8099`";
        return vec![Diagnostic::error(errors::MP7002, fact).hint(hint)];
    };
    read_admin_token(path).err().map(|problem| *problem).into_iter().collect()
}

/// The token of a file, without the white space around it.
pub(super) fn read_admin_token(path: &Path) -> Result<String, Box<Diagnostic>> {
    let finding = |fact: String| Diagnostic::error(errors::MP7004, fact);
    let problem = match std::fs::read_to_string(path) {
        Err(error) => finding(format!("admin token file `{}` cannot be read", path.display())).caused_by(error),
        Ok(token) if token.trim().is_empty() => finding(format!("admin token file `{}` is empty", path.display())),
        Ok(token) => return Ok(token.trim().to_owned()),
    };
    Err(Box::new(problem.hint("write a long random text into it: `openssl rand -hex 32 > FILE`")))
}

/// Whether a listener of the module would take the port of the admin API.
fn port_conflict(module: &Module, admin: SocketAddr, listen: IpAddr) -> Option<Diagnostic> {
    let overlap = listen == admin.ip() || listen.is_unspecified() || admin.ip().is_unspecified();
    let ingress = module.ingresses().iter().filter_map(|ingress| match ingress {
        Ingress::Playground(playground) => Some((playground.port, &playground.place)),
        _ => None,
    });
    let egress = module.egresses().iter().filter_map(|egress| match egress {
        Egress::Playground(playground) => Some((playground.port, &playground.place)),
        _ => None,
    });
    let (port, place) = ingress.chain(egress).find(|(port, _)| overlap && *port != 0 && *port == admin.port())?;
    let other = if port == 8099 { 8098 } else { 8099 };
    let fact = format!("admin API and module both want port {port}");
    let finding = Diagnostic::error(errors::MP7005, fact).at(place.clone(), "this listens on it too");
    Some(finding.hint(format!("move the admin API: `--admin {}`", SocketAddr::new(admin.ip(), other))))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use clap::Parser as _;

    use super::super::args::{Cli, Command};
    use super::super::tests::millpond;
    use super::super::{Console, Exit};
    use super::{RunOptions, prepare};
    use crate::config::Diagnostic;

    /// Everything that `run` does before the node is called.
    fn before_the_node(folder: &Path, port: u16, more: &[&str]) -> Result<RunOptions, Vec<Diagnostic>> {
        let module = folder.join("module.yaml");
        let text = format!(
            "kind: io.statefun.endpoints.v2/http\nspec:\n  functions: a/*\n  urlPathTemplate: http://localhost:8000\n---\n\
             kind: io.statefun.playground.v1/ingress\nspec:\n  port: {port}\n"
        );
        fs::write(&module, text).expect("a file");
        let (module, data) = (module.display().to_string(), folder.join("data").display().to_string());
        let line = [&["millpond", "run", &module, "--data-dir", &data], more].concat();
        let Command::Run(args) = Cli::try_parse_from(line).expect("a command line").command else {
            panic!("it is `run`")
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        prepare(args, &mut Console::buffers(&mut out, &mut err))
    }

    fn codes(result: &Result<RunOptions, Vec<Diagnostic>>) -> Vec<&str> {
        result.as_ref().err().into_iter().flatten().map(|finding| finding.code.name()).collect()
    }

    /// MP7002, MP7004: an admin API that others can reach has a token, and the token is there.
    #[test]
    fn admin_off_loopback_needs_a_token() {
        let folder = tempfile::tempdir().expect("a folder");
        let token = folder.path().join("token");
        let path = token.display().to_string();
        let open = ["--admin", "0.0.0.0:9000"];
        assert_eq!(codes(&before_the_node(folder.path(), 0, &open)), ["MP7002"]);
        let with_file = [&open[..], &["--admin-token-file", &path]].concat();
        assert_eq!(codes(&before_the_node(folder.path(), 0, &with_file)), ["MP7004"]);
        fs::write(&token, " \n").expect("a file");
        assert_eq!(codes(&before_the_node(folder.path(), 0, &with_file)), ["MP7004"]);
        fs::write(&token, "secret\n").expect("a file");
        let options = before_the_node(folder.path(), 0, &with_file).expect("nothing is wrong");
        assert_eq!(options.admin_token_file, Some(token));
        assert_eq!(options.data_dir, folder.path().join("data"));
    }

    /// What cannot run yet is refused with its place, all of it at once, before anything is opened.
    #[test]
    fn not_yet_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let args = ["run", "tests/modules/kinesis-in-defaults.yaml", "--data-dir"];
        let run = millpond(&[&args[..], &[&data.display().to_string()]].concat());
        assert_eq!(run.exit, Exit::Input as u8);
        let fact = "error[MP0090]: running `io.statefun.kinesis.v1/ingress` is not there yet\n";
        assert!(run.err.starts_with(fact), "{}", run.err);
        assert!(!data.exists(), "nothing was opened");
    }

    /// MP7005: the port of the admin API is not one of the module, on the same address.
    #[test]
    fn admin_port_is_not_one_of_the_module() {
        let folder = tempfile::tempdir().expect("a folder");
        for (more, expected) in [
            (&["--admin", "127.0.0.1:8095"][..], &["MP7005"][..]),
            (&["--admin", "127.0.0.1:8095", "--listen", "0.0.0.0"], &["MP7005"]),
            (&["--admin", "127.0.0.1:8095", "--listen", "127.0.0.2"], &[]),
            (&["--admin", "127.0.0.1:8096"], &[]),
            (&["--admin", "127.0.0.1:0"], &[]),
        ] {
            assert_eq!(codes(&before_the_node(folder.path(), 8095, more)), expected, "{more:?}");
        }
    }
}
