//! `millpond address`: looks at one address of a running node, and does what the admin API can do about it.
//!
//! In: the arguments. Out: the page of the address on standard output, as the node sent it, or one line that says what was done; what the node
//! refuses is told as any other finding, with the node's own code. Who owns the state: the node.

use std::fmt::Write as _;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;

use super::admin_client::ask;
use super::args::{AddressArgs, AddressCommand, NodeArgs, TakeOutArgs};
use super::{Console, Exit};

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
    match ask(question.node, &question.method, &question.path(), Some(&question.query())) {
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

impl Question<'_> {
    fn path(&self) -> String {
        let function = &self.address.function;
        let [namespace, name] = [function.namespace(), function.name()].map(encoded);
        let action = self.action.map(|action| format!("/{action}")).unwrap_or_default();
        format!("/v1/addresses/{namespace}/{name}{action}")
    }

    /// The id goes into the query, which can carry every id.
    fn query(&self) -> String {
        let mut query = format!("id={}", encoded(&self.address.id));
        if let Some(sequence) = self.sequence {
            // Writing to a string does not fail.
            let _ = write!(query, "&sequence={sequence}");
        }
        query
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
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
        let view = AddressView { waiting: 1, first: Some(41), ..AddressView::default() };
        node.world().addresses.insert(Address::new(TypeName::new("a.b", "c"), "Ada"), view);
        let page = run(&["address", "show", "a.b/c", "Ada", "--admin", &admin]).await;
        assert!(page.exit == 0 && page.out.contains("\"waiting\":1,\"first\":41,\"mailbox\":[]"), "{}", page.out);
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
