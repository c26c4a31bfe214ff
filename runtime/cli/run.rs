//! `millpond run`: checks everything that can be checked before the first event, then hands over to the node.
//!
//! In: the arguments. Out: [`RunOptions`], whose values have passed every check that needs no network and no ledger.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use millpond_protocol::TypeName;

use super::args::{LogFormat, RunArgs};
use super::{Console, Exit};
use crate::config::flink_conf::{self, FlinkConf};
use crate::config::model::{DeliverySemantic, Egress, Ingress, Module};
use crate::config::{self, Diagnostic, LoadOptions};
use crate::errors::{self, Code};
use crate::node::application::{AskedName, check_name, name_of};
use crate::node::{self, NodeError};

/// What a node is started with.
#[derive(Debug)]
pub struct RunOptions {
    /// The application.
    pub module: Module,
    /// Folder of the ledger; may not exist yet.
    pub data_dir: PathBuf,
    /// Whether a damaged ledger is opened with what is left of it.
    pub accept_data_loss: bool,
    /// Percent of the disk that must be free for events to be taken in.
    pub disk_free_intake: u8,
    /// Percent of the disk that must be free for functions to be called.
    pub disk_free_calls: u8,
    /// Where the admin API, metrics and health checks listen.
    pub admin: SocketAddr,
    /// IP address of the listeners that the module declares; their ports are in the module.
    pub listen: IpAddr,
    /// File with the token of the admin API; always there when `admin` is not on loopback.
    pub admin_token_file: Option<PathBuf>,
    /// File with the token of those who may only look.
    pub admin_read_token_file: Option<PathBuf>,
    /// Name of the application, if one was asked for.
    pub app: Option<AskedName>,
    /// Start though the ledger holds work for components that are gone.
    pub allow_removed: bool,
    /// By egress, the word that an operator says for its cursor.
    pub reset_cursors: BTreeMap<TypeName, String>,
    /// Calls in flight at most, if Flink's configuration says so.
    pub calls_in_flight: Option<usize>,
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
    finding.notes.extend(error.notes().iter().cloned());
    let mut cause = error.source();
    while let Some(source) = cause {
        finding = finding.caused_by(source);
        cause = source.source();
    }
    console.findings(&[finding]);
    match error {
        NodeError::Endpoint(_)
        | NodeError::Token { .. }
        | NodeError::OtherApplication { .. }
        | NodeError::Removed { .. } => Exit::Input,
        NodeError::EngineGone => Exit::Defect,
        _ => Exit::Environment,
    }
}

/// Loads the module and checks what stands around it. Warnings go to the console at once.
fn prepare(args: RunArgs, console: &mut Console<'_>) -> Result<RunOptions, Vec<Diagnostic>> {
    let mut problems =
        admin_problems(args.admin, args.admin_token_file.as_deref(), args.admin_read_token_file.as_deref());
    let flink = match flink_conf(&args) {
        Ok((flink, warnings)) => {
            console.findings(&warnings);
            flink
        }
        Err(findings) => {
            problems.extend(findings);
            return Err(problems);
        }
    };
    let app = match app(args.app, &flink) {
        Ok(app) => app,
        Err(finding) => {
            problems.push(*finding);
            None
        }
    };
    let load_options = LoadOptions::run().interpolate(args.module.interpolate_env);
    let modules = modules(args.module.modules, &flink).map_err(|finding| vec![*finding])?;
    let module = match config::load(&modules, &load_options) {
        Ok((module, warnings)) => {
            console.findings(&warnings);
            problems.extend(module.not_yet());
            let kafka = crate::kafka::findings(&module);
            let (refused, warnings): (Vec<_>, Vec<_>) = kafka.into_iter().partition(Diagnostic::is_error);
            console.findings(&warnings);
            problems.extend(refused);
            problems.extend(port_conflict(&module, args.admin, args.listen));
            problems.extend(args.reset_cursor.iter().filter_map(|(egress, _)| not_reset(&module, egress)));
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
            data_dir: args.data_dir,
            accept_data_loss: args.accept_data_loss,
            disk_free_intake: args.disk_free_intake,
            disk_free_calls: args.disk_free_calls,
            admin: args.admin,
            listen: args.listen,
            admin_token_file: args.admin_token_file,
            admin_read_token_file: args.admin_read_token_file,
            app,
            allow_removed: args.allow_removed,
            reset_cursors: args.reset_cursor.into_iter().collect(),
            calls_in_flight: flink.calls_in_flight,
            log_format: args.log_format,
        }),
        _ => Err(problems),
    }
}

/// Only what publishes exactly once has a cursor.
fn not_reset(module: &Module, egress: &TypeName) -> Option<Diagnostic> {
    let exactly_once = |egress: &Egress| match egress {
        Egress::Kafka(kafka) => matches!(kafka.delivery_semantic, DeliverySemantic::ExactlyOnce { .. }),
        Egress::Playground(_) | Egress::Kinesis(_) => false,
    };
    let declared = module.egress(egress);
    if declared.is_some_and(exactly_once) {
        return None;
    }
    let fact = match declared {
        Some(_) => format!("`--reset-cursor` names egress `{egress}`, which keeps no cursor"),
        None => format!("`--reset-cursor` names egress `{egress}`, which the module does not declare"),
    };
    Some(Diagnostic::error(errors::MP7036, fact).hint("leave the option out, or take it as the error printed it"))
}

/// What the Flink configuration says: the file that was named, or that of the folder that upstream's images name.
fn flink_conf(args: &RunArgs) -> Result<(FlinkConf, Vec<Diagnostic>), Vec<Diagnostic>> {
    let folder = std::env::var_os("FLINK_CONF_DIR").filter(|folder| !folder.is_empty());
    let file = args.flink_conf.clone().or(folder.map(PathBuf::from));
    flink_conf::load(file.as_deref(), &args.settings)
}

/// The name that was asked for. Upstream's may be any text, ours may not.
fn app(asked: Option<String>, flink: &FlinkConf) -> Result<Option<AskedName>, Box<Diagnostic>> {
    let Some(name) = asked else {
        let asked = |name: &String| AskedName { name: name_of(name), by: "`statefun.flink-job-name`" };
        return Ok(flink.job_name.as_ref().map(asked));
    };
    match check_name(&name) {
        Ok(()) => Ok(Some(AskedName { name, by: "`--app`" })),
        Err(why) => {
            let fact = format!("`{}` cannot be the name of an application: {why}", name.escape_debug());
            let hint = format!("for example `--app {}`", name_of(&name));
            Err(Box::new(Diagnostic::error(errors::MP7033, fact).hint(hint)))
        }
    }
}

/// The modules of the command line, or else the one that the Flink configuration names.
fn modules(named: Vec<String>, flink: &FlinkConf) -> Result<Vec<String>, Box<Diagnostic>> {
    if !named.is_empty() {
        return Ok(named);
    }
    match &flink.module {
        Some(module) if !module.starts_with("classpath:") => Ok(vec![module.clone()]),
        _ => {
            let fact = "no module is named, neither as an argument nor by `statefun.remote.module-name`";
            let hint =
                "name a file, or the folder of the modules: `/opt/statefun/modules` in StateFun's official image";
            Err(Box::new(Diagnostic::error(errors::MP7035, fact).hint(hint)))
        }
    }
}

/// The admin API can read state and change what runs: off loopback it wants a token.
fn admin_problems(admin: SocketAddr, token_file: Option<&Path>, read_token_file: Option<&Path>) -> Vec<Diagnostic> {
    let Some(path) = token_file else {
        if admin.ip().is_loopback() {
            return Vec::new();
        }
        let fact = format!("admin API on `{admin}` would be open to the network without a token");
        let hint = "add `--admin-token-file FILE`, or listen on loopback with `--admin 127.0.0.1:8099`";
        return vec![Diagnostic::error(errors::MP7002, fact).hint(hint)];
    };
    let token = read_admin_token(path);
    let read_token = read_token_file.map(read_admin_token);
    if let (Ok(token), Some(Ok(read_token))) = (&token, &read_token)
        && token == read_token
    {
        let fact = "the token for looking is the token for everything";
        return vec![Diagnostic::error(errors::MP7004, fact).hint("write another token into one of the two files")];
    }
    [token.err(), read_token.and_then(Result::err)].into_iter().flatten().map(|problem| *problem).collect()
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

    /// MP7033, MP7035: a name that Kafka would not take is refused, upstream's is made one; the module may be named by Flink's
    /// configuration.
    #[test]
    fn names_and_flink_configuration() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = |more: &[&str]| before_the_node(folder.path(), 0, more);
        let app = |more: &[&str]| run(more).expect("nothing is wrong").app;
        assert_eq!(app(&[]), None);
        assert_eq!(app(&["--app", "orders"]).map(|app| app.name), Some("orders".to_owned()));
        assert_eq!(codes(&run(&["--app", "my orders"])), ["MP7033"]);
        assert_eq!(codes(&run(&["--app", ""])), ["MP7033"]);
        let job_name = ["-Dstatefun.flink-job-name=My orders"];
        assert_eq!(app(&job_name).map(|app| app.name), Some("My-orders".to_owned()));
        assert_eq!(app(&[&job_name[..], &["--app", "orders"]].concat()).map(|app| app.name), Some("orders".to_owned()));
        let options = run(&["-n", "-D", "statefun.async.max-per-task=7"]).expect("nothing is wrong");
        assert_eq!((options.allow_removed, options.calls_in_flight), (true, Some(7)));

        let module = folder.path().join("module.yaml").display().to_string();
        let data = folder.path().join("data").display().to_string();
        for (settings, expected) in [
            (&["-D", "a=b"][..], &["MP7035"][..]),
            (&["-D", "statefun.remote.module-name=classpath:module.yaml"], &["MP7035"]),
            (&["-D", "statefun.async.max-per-task=x"], &["MP0102"]),
            (&["--flink-conf", "/nowhere"], &["MP0100"]),
            (&["-D", &format!("statefun.remote.module-name=file://{module}")], &[]),
        ] {
            let line = [&["millpond", "run", "--data-dir", &data], settings].concat();
            let Command::Run(args) = Cli::try_parse_from(line).expect("a command line").command else {
                panic!("it is `run`")
            };
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let prepared = prepare(args, &mut Console::buffers(&mut out, &mut err));
            assert_eq!(codes(&prepared), expected, "{settings:?}");
        }
    }

    /// MP7036: only an egress with a cursor can have it written anew.
    #[test]
    fn cursors_that_are_not_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = |more: &[&str]| before_the_node(folder.path(), 0, more);
        assert_eq!(codes(&run(&["--reset-cursor", "com.example/out=3f9c21d0a4be"])), ["MP7036"]);
        for wrong in ["com.example/out", "com.example/out=", "out=3f", "=3f"] {
            let line = ["millpond", "run", "m", "--data-dir", "d", "--reset-cursor", wrong];
            assert!(Cli::try_parse_from(line).is_err(), "{wrong}");
        }
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
