//! `millpond address`: looks at one address of a running node, and does what the admin API can do about it.
//!
//! In: the arguments. Out: the page of the address on standard output, as the node sent it, or one line that says what was done; what the node
//! refuses is told as any other finding, with the node's own code. Who owns the state: the node.

use std::fmt::Write as _;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, Method, StatusCode, Url, redirect};
use serde_json::Value;

use super::args::{AddressArgs, AddressCommand, NodeArgs, TakeOutArgs};
use super::run::read_admin_token;
use super::{Console, Exit};
use crate::config::Diagnostic;
use crate::errors::{self, Code};

/// How long a node may take to accept the connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take: more than the node itself waits for a call that is under way.
const ANSWER: Duration = Duration::from_secs(90);

/// What is asked of the admin API.
struct Question<'a> {
    method: Method,
    address: &'a AddressArgs,
    /// The last part of the path.
    action: Option<&'static str>,
    sequence: Option<u64>,
    node: &'a NodeArgs,
    /// What to say when it was done; the body of the answer, if this is `None`.
    done: Option<String>,
}

/// Runs the command.
pub fn execute(command: &AddressCommand, console: &mut Console<'_>) -> Exit {
    let question = match command {
        AddressCommand::Show { address, node } => {
            Question { method: Method::GET, address, action: None, sequence: None, node, done: None }
        }
        AddressCommand::Resume { address, node } => {
            let done = Some("the address is tried now, if it was waiting to be".to_owned());
            Question { method: Method::POST, address, action: Some("resume"), sequence: None, node, done }
        }
        AddressCommand::Skip(args) => take_out(args, "skip", "was dropped"),
        AddressCommand::DeadLetter(args) => take_out(args, "dead-letter", "is a dead letter now"),
    };
    match ask(&question) {
        Ok(text) => {
            console.data(question.done.unwrap_or(text));
            Exit::Done
        }
        Err((finding, exit)) => {
            console.findings(&[*finding]);
            exit
        }
    }
}

fn take_out<'a>(args: &'a TakeOutArgs, action: &'static str, became: &str) -> Question<'a> {
    Question {
        method: Method::POST,
        address: &args.address,
        action: Some(action),
        sequence: Some(args.sequence),
        node: &args.node,
        done: Some(format!("message {} {became}", args.sequence)),
    }
}

type Refused = (Box<Diagnostic>, Exit);

fn refused(finding: Diagnostic, exit: Exit) -> Refused {
    (Box::new(finding), exit)
}

/// Asks, and gives the page of an answer that says that it was done.
fn ask(question: &Question<'_>) -> Result<String, Refused> {
    let token = match &question.node.admin_token_file {
        Some(path) => Some(read_admin_token(path).map_err(|finding| (finding, Exit::Input))?),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        refused(Diagnostic::error(errors::MP7031, "the system refused a runtime").caused_by(error), Exit::Environment)
    })?;
    let (status, body) = runtime.block_on(send(question, token.as_deref())).map_err(|error| {
        let fact = format!("admin API did not answer at `{}`", question.node.admin);
        let mut finding = Diagnostic::error(errors::MP7001, fact);
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            finding = finding.caused_by(source);
            cause = source.source();
        }
        let hint = "is the node running? its address is `admin=` in the line `ready` of its log";
        refused(finding.hint(hint), Exit::Environment)
    })?;
    if status.is_success() {
        return Ok(body);
    }
    let exit = if status.is_server_error() { Exit::Environment } else { Exit::Input };
    Err(refused(problem(status, &body, &question.node.admin), exit))
}

async fn send(question: &Question<'_>, token: Option<&str>) -> reqwest::Result<(StatusCode, String)> {
    let client = Client::builder()
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .build()?;
    let mut request = client.request(question.method.clone(), question.url());
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await?;
    Ok((answer.status(), answer.text().await?))
}

impl Question<'_> {
    /// The id goes into the query, which can carry every id.
    fn url(&self) -> Url {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let function = &self.address.function;
        let mut url = self.node.admin.clone();
        let before = url.path().trim_end_matches('/');
        let mut path = format!("{before}/v1/addresses/{}/{}", encoded(function.namespace()), encoded(function.name()));
        if let Some(action) = self.action {
            path.push('/');
            path.push_str(action);
        }
        let mut query = format!("id={}", encoded(&self.address.id));
        if let Some(sequence) = self.sequence {
            // Writing to a string does not fail.
            let _ = write!(query, "&sequence={sequence}");
        }
        url.set_path(&path);
        url.set_query(Some(&query));
        url
    }
}

/// What the node said, or that somebody else answered.
fn problem(status: StatusCode, body: &str, admin: &Url) -> Diagnostic {
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    match (body["code"].as_str().and_then(Code::find), body["error"].as_str()) {
        (Some(code), Some(error)) => {
            Diagnostic::error(code, error).maybe_hint(body["hint"].as_str().map(str::to_owned))
        }
        _ => Diagnostic::error(errors::MP7001, format!("no admin API of Millpond answered at `{admin}`"))
            .caused_by(format!("status {status}, without an error code"))
            .hint("see whether `--admin` is the address of the line `ready` of the node's log"),
    }
}

#[cfg(test)]
mod tests {
    use millpond_engine::{AddressView, Answer, Operation};
    use millpond_protocol::{Address, TypeName};

    use super::super::tests::{Run, millpond};
    use crate::admin::{Access, Admin, Token};
    use crate::edge::ConnectionLimits;
    use crate::edge::fake::{FakeNode, lanes, served};

    async fn run(args: &[&str]) -> Run {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let run = move || millpond(&args.iter().map(String::as_str).collect::<Vec<_>>());
        tokio::task::spawn_blocking(run).await.expect("no panic")
    }

    async fn start(node: &FakeNode, token: Option<&str>) -> String {
        let token = token.map(|token| Token::new(token).expect("a token"));
        let access = Access::new("127.0.0.1:1".parse().expect("an address"), token);
        let admin = Admin::new(node.handle.clone(), node.ledger(), &lanes(), access);
        served(admin.into_service(), ConnectionLimits::default()).await.to_string()
    }

    /// Every id reaches the node as it is, and what was done is said in a line.
    #[tokio::test]
    async fn operations() {
        let node = FakeNode::start();
        let admin = start(&node, None).await;
        let ids = ["Ada", "", "a/ü 1&id=2+%"];
        for id in ids {
            let skipped = run(&["address", "skip", "a.b/c", id, "--sequence", "41", "--admin", &admin]).await;
            assert_eq!((skipped.exit, skipped.out.as_str(), skipped.err.as_str()), (0, "message 41 was dropped\n", ""));
        }
        let url = format!("http://{admin}");
        let dead = run(&["address", "dead-letter", "a.b/c", "Ada", "--sequence", "42", "--admin", &url]).await;
        assert_eq!(dead.out, "message 42 is a dead letter now\n");
        assert_eq!(run(&["address", "resume", "a.b/c", "Ada", "--admin", &url]).await.exit, 0);
        let address = |id: &str| Address::new(TypeName::new("a.b", "c"), id);
        let mut expected = ids.map(|id| (address(id), Operation::Skip(41))).to_vec();
        expected.push((address("Ada"), Operation::DeadLetter(42)));
        expected.push((address("Ada"), Operation::Resume));
        assert_eq!(node.world().operated, expected);
    }

    /// The page goes to standard output as JSON; what the node refuses is told with the node's code and hint.
    #[tokio::test]
    async fn pages_and_refusals() {
        let node = FakeNode::start();
        let admin = start(&node, None).await;
        let view =
            AddressView { states: Vec::new(), waiting: 1, more: false, first: Some(41), call: None, failure: None };
        node.world().addresses.insert(Address::new(TypeName::new("a.b", "c"), "Ada"), view);
        let page = run(&["address", "show", "a.b/c", "Ada", "--admin", &admin]).await;
        assert!(page.exit == 0 && page.out.ends_with("\"waiting\":1,\"first\":41}\n"), "{}", page.out);
        let nobody = run(&["address", "show", "a.b/c", "Bob", "--admin", &admin]).await;
        assert_eq!(nobody.exit, 1);
        assert!(
            nobody.err.starts_with("error[MP7014]: nothing is known of address `a.b/c/Bob`\nhint: "),
            "{}",
            nobody.err
        );
        node.world().answer = Some(Answer::NotFirst);
        let late = run(&["address", "skip", "a.b/c", "Ada", "--sequence", "40", "--admin", &admin]).await;
        let expected = "error[MP7018]: message 40 is not first in line; nothing was done\n\
                        hint: first in line is `sequence=41`\n\n";
        assert_eq!((late.exit, late.err.as_str()), (1, expected));
    }

    /// The token of the node is shown from its file.
    #[tokio::test]
    async fn tokens() {
        let node = FakeNode::start();
        let admin = start(&node, Some("secret")).await;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("token").display().to_string();
        let args = ["address", "resume", "a.b/c", "Ada", "--admin", &admin];
        let with_token = [&args[..], &["--admin-token-file", &path]].concat();
        assert!(run(&args).await.err.starts_with("error[MP7010]"));
        assert!(run(&with_token).await.err.starts_with("error[MP7004]"));
        std::fs::write(&path, "secret\n").expect("a file");
        assert_eq!(run(&with_token).await.exit, 0);
    }

    /// MP7001: nobody there, and somebody else there, are told apart from a refusal.
    #[tokio::test]
    async fn nobody_answers() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let free = listener.local_addr().expect("it is bound").to_string();
        drop(listener);
        let gone = run(&["address", "show", "a/b", "c", "--admin", &free]).await;
        assert_eq!(gone.exit, 3);
        let fact = format!("error[MP7001]: admin API did not answer at `http://{free}/`\n  caused by: ");
        assert!(gone.err.starts_with(&fact) && gone.err.contains("hint: is the node running?"), "{}", gone.err);
        let other = served(axum::Router::new(), ConnectionLimits::default()).await.to_string();
        let other = run(&["address", "show", "a/b", "c", "--admin", &other]).await;
        assert!(other.exit == 1 && other.err.contains("no admin API of Millpond answered"), "{}", other.err);
        for wrong in ["https://localhost:8099", "http://", "localhost:99999", ""] {
            assert_eq!(run(&["address", "show", "a/b", "c", "--admin", wrong]).await.exit, 2, "{wrong}");
        }
        assert_eq!(run(&["address", "show", "a", "c"]).await.exit, 2, "a function type has two parts");
    }
}
