//! What can be written on the command line, and the words of `--help`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
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
    /// Look at the Kafka ingresses of a running node, or pass over a record at which a partition stopped
    #[command(subcommand)]
    Ingress(IngressCommand),
    /// List the function types of a running node, and how they are
    Functions(FunctionsArgs),
    /// Look at the Kafka egresses of a running node, and at what their clusters refused
    #[command(subcommand)]
    Egress(EgressCommand),
    /// Print the metrics of a running node
    Metrics(NodeArgs),
    /// Say whether a running node takes events in; exit code 3 if not
    Ready(NodeArgs),
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
    #[arg(value_name = "MODULE")]
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
#[command(group = ArgGroup::new("what").args(["modules", "flink_conf", "settings"]).multiple(true).required(true))]
pub struct RunArgs {
    /// What to run.
    #[command(flatten)]
    pub module: ModuleArgs,

    /// Folder for the state of the application; created if it is not there
    ///
    /// One process at a time can have it open. It is all that a restart needs.
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,

    /// Go on with what is left of a damaged ledger; what is gone is given up for good
    ///
    /// Without damage it has no effect. Make a copy of the folder first: what is cut off does not come back.
    #[arg(long)]
    pub accept_data_loss: bool,

    /// Free part of the data folder's disk below which no event is taken in; 0 turns this off
    ///
    /// What is there goes on. Intake begins again by itself when there is room.
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u8).range(..=100))]
    pub disk_free_intake: u8,

    /// Free part of the data folder's disk below which no function is called either; 0 turns this off
    #[arg(long, value_name = "PERCENT", default_value_t = 3, value_parser = clap::value_parser!(u8).range(..=100))]
    pub disk_free_calls: u8,

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

    /// File with a token for those who may only look: metrics, function types, addresses with their values
    #[arg(long, value_name = "FILE", requires = "admin_token_file")]
    pub admin_read_token_file: Option<PathBuf>,

    /// Name of the application; kept in its data folder from the first start on
    ///
    /// Letters, digits, `-`, `_` and `.`: topics and transactional ids at Kafka are called after it. Without this option it
    /// is `statefun.flink-job-name`, or is made up.
    #[arg(long, value_name = "NAME")]
    pub app: Option<String>,

    /// Start though components are gone that the ledger holds work for; the work is kept
    #[arg(short = 'n', long, alias = "allowNonRestoredState")]
    pub allow_removed: bool,

    /// Go on publishing from this data folder, though the cursor of an egress in Kafka says otherwise
    ///
    /// The error that refuses it prints EGRESS and WORD. The word is good for what was found then, once: at later starts it has
    /// no effect. What was published without the knowledge of this folder comes twice. May be given for several egresses.
    #[arg(long, value_name = "EGRESS=WORD", value_parser = reset_cursor)]
    pub reset_cursor: Vec<(TypeName, String)>,

    /// Flink configuration to read, a file or the folder of `flink-conf.yaml`; `FLINK_CONF_DIR` if it is set
    ///
    /// What StateFun users set there and means something here: `statefun.remote.module-name`, `statefun.flink-job-name`,
    /// `statefun.async.max-per-task`. All else is listed and ignored.
    #[arg(long, value_name = "PATH")]
    pub flink_conf: Option<PathBuf>,

    /// A setting of Flink's configuration, before what its file says
    #[arg(short = 'D', value_name = "KEY=VALUE", value_parser = setting)]
    pub settings: Vec<(String, String)>,

    /// Form of the log on standard error
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Human)]
    pub log_format: LogFormat,
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
#[command(group = ArgGroup::new("what").args(["modules"]).required(true))]
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

/// `millpond ingress`
#[derive(Debug, Subcommand)]
pub enum IngressCommand {
    /// List the partitions of Kafka ingresses: how far each is, and which stand
    Show {
        /// Print everything that is known, as JSON
        #[arg(long)]
        json: bool,
        /// Which node.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Pass over the record at which a partition stopped; it goes on behind that
    Skip(PassOverArgs),
}

/// `millpond ingress skip`
#[derive(Debug, Args)]
pub struct PassOverArgs {
    /// Id of the ingress, `<namespace>/<name>`
    #[arg(value_name = "INGRESS", value_parser = function_type)]
    pub ingress: TypeName,

    /// Topic of the record
    #[arg(long, value_name = "TOPIC")]
    pub topic: String,

    /// Its partition
    #[arg(long, value_name = "N")]
    pub partition: u32,

    /// Its offset, at which the partition stands as `show` prints it; no other record is touched
    #[arg(long, value_name = "N")]
    pub offset: u64,

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

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected `key=value`".to_owned()),
    }
}

fn reset_cursor(text: &str) -> Result<(TypeName, String), String> {
    let parts = text.rsplit_once('=').filter(|(_, word)| !word.is_empty());
    let parts = parts.and_then(|(egress, word)| Some((TypeName::parse(egress).ok()?, word.to_owned())));
    parts.ok_or_else(|| "expected `<namespace>/<name>=<word>`, as the error prints it".to_owned())
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

/// `millpond functions`
#[derive(Debug, Args)]
pub struct FunctionsArgs {
    /// Print everything that is known, as JSON
    #[arg(long)]
    pub json: bool,

    /// Which node.
    #[command(flatten)]
    pub node: NodeArgs,
}

/// `millpond egress`
#[derive(Debug, Subcommand)]
pub enum EgressCommand {
    /// List the Kafka egresses, and how they stand
    Show {
        /// Print everything that is known, as JSON
        #[arg(long)]
        json: bool,
        /// Which node.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Print the records that the cluster of an egress refused for good, as JSON, one a line
    Refused {
        /// Egress, `<namespace>/<name>`
        #[arg(value_name = "EGRESS", value_parser = function_type)]
        egress: TypeName,
        /// Which node.
        #[command(flatten)]
        node: NodeArgs,
    },
    /// Remove one of these records from the ledger, for good
    Discard {
        /// Egress, `<namespace>/<name>`
        #[arg(value_name = "EGRESS", value_parser = function_type)]
        egress: TypeName,
        /// Number of the record, `sequence` in what `refused` prints
        #[arg(long, value_name = "N")]
        sequence: u64,
        /// Which node.
        #[command(flatten)]
        node: NodeArgs,
    },
}

/// `millpond explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The code, for example MP0051; without it, all codes are listed
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
}
