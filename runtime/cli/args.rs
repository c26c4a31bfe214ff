//! What can be written on the command line, and the words of `--help`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use millpond_protocol::TypeName;
use url::Url;

/// A Stateful Functions runtime in one binary.
///
/// Reads events, calls the function instance that each event is for, over HTTP and with its state in the request, and
/// makes what the function answers durable in one step. Takes the module.yaml files and SDKs of Apache Flink Stateful
/// Functions as they are.
#[derive(Debug, Parser)]
#[command(name = "millpond", version, disable_help_subcommand = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 the input has a problem, 2 wrong usage, 3 the environment failed.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run an application
    Run(RunArgs),
    /// Check module files and say what is wrong with them
    Check(CheckArgs),
    /// Look at one address of a running node, or do something about the message that holds it up
    #[command(subcommand)]
    Address(AddressCommand),
    /// Explain an error code, or list all of them
    Explain(ExplainArgs),
    /// Check every module file below a folder, each on its own
    #[command(hide = true)]
    CheckModules(CheckModulesArgs),
}

/// MODULE arguments, which several commands take.
#[derive(Debug, Args)]
pub struct ModuleArgs {
    /// Module to load; several are merged into one application
    ///
    /// A path or `file:` URL of a YAML file, or of a folder: then every `*/module.yaml` in it, and its own `module.yaml`.
    #[arg(value_name = "MODULE", required = true)]
    pub modules: Vec<String>,

    /// Replace `${NAME}` in values of module files from the environment
    ///
    /// Without this option `${NAME}` is literal text. With it, `${NAME:-text}` gives a default and `$${` a literal `${`. A
    /// value cannot change the structure of the file.
    #[arg(long)]
    pub interpolate_env: bool,
}

/// `millpond run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What to run.
    #[command(flatten)]
    pub module: ModuleArgs,

    /// Folder for the state of the application; created if it is not there
    ///
    /// One process at a time can have it open. It is all that a restart needs.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Name of the application, which names what it keeps in Kafka
    ///
    /// Part of transactional ids, and of the topic `NAME.outbox`. It stays the same for a data folder.
    #[arg(long, value_name = "NAME", default_value = "millpond", value_parser = app_name)]
    pub app: String,

    /// Address of the admin API, metrics and health checks
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8099))]
    pub admin: SocketAddr,

    /// IP address on which the HTTP ingress and egress of a module listen
    ///
    /// Only the address: ports are in the module. Use 0.0.0.0 to be reached from other machines.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub listen: IpAddr,

    /// File with the token that admin requests must bring; required unless the admin API is on loopback
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,

    /// Form of the log on standard error
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,
}

/// A name that can be part of the name of a topic.
fn app_name(text: &str) -> Result<String, String> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    match (1..=200).contains(&text.len()) && text.bytes().all(legal) {
        true => Ok(text.to_owned()),
        false => Err("a name has 1 to 200 letters, digits, `.`, `_` and `-`".to_owned()),
    }
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    Human,
    /// One JSON object a line
    Json,
}

/// `millpond check`
#[derive(Debug, Args)]
#[command(
    after_help = "Findings go to standard error, a summary to standard output. Nothing is started, no network is used."
)]
pub struct CheckArgs {
    /// What to check.
    #[command(flatten)]
    pub module: ModuleArgs,

    /// Print what the module means, every default filled in
    #[arg(long)]
    pub describe: bool,
}

/// `millpond check-modules`
#[derive(Debug, Args)]
pub struct CheckModulesArgs {
    /// Folder to search for `*.yaml` and `*.yml` files with components in them
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,

    /// Exit with 1 if a file has errors
    #[arg(long)]
    pub strict: bool,

    /// Print the findings of each file to standard error
    #[arg(long)]
    pub findings: bool,
}

/// `millpond address`
#[derive(Debug, Subcommand)]
pub enum AddressCommand {
    /// Print what an address holds, as JSON: its state, what waits, what fails
    Show {
        /// Which address.
        #[command(flatten)]
        address: AddressArgs,
        /// Which node.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Try a parked address now
    Resume {
        /// Which address.
        #[command(flatten)]
        address: AddressArgs,
        /// Which node.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Drop the message that is first in line
    Skip(TakeOutArgs),
    /// Make the message that is first in line a dead letter
    DeadLetter(TakeOutArgs),
}

/// `millpond address skip` and `dead-letter`
#[derive(Debug, Args)]
pub struct TakeOutArgs {
    /// Which address.
    #[command(flatten)]
    pub address: AddressArgs,

    /// Number of the message, `first` in what `show` prints; no other message is touched
    #[arg(long, value_name = "N")]
    pub sequence: u64,

    /// Which node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// One address.
#[derive(Debug, Args)]
pub struct AddressArgs {
    /// Function type, `<namespace>/<name>`
    #[arg(value_name = "FUNCTION", value_parser = function_type)]
    pub function: TypeName,

    /// Id of the instance
    #[arg(value_name = "ID")]
    pub id: String,
}

/// A running node.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Address or URL of the node's admin API
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8099", value_parser = admin_url)]
    pub admin: Url,

    /// File with the token of the admin API, if the node has one
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
}

fn function_type(text: &str) -> Result<TypeName, String> {
    TypeName::parse(text).map_err(|_| "expected `<namespace>/<name>`".to_owned())
}

fn admin_url(text: &str) -> Result<Url, String> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    match Url::parse(&text) {
        Ok(url) if url.scheme() == "http" => Ok(url),
        Ok(url) => Err(format!("`{}` is not spoken here, only `http`", url.scheme())),
        Err(error) => Err(error.to_string()),
    }
}

/// `millpond explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The code, for example MP0051; without it, all codes are listed
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}
