//! Asks the admin API of a running node.
//!
//! In: a method, a path and a query. Out: the body of the answer, or a finding with the node's own code and the exit code that
//! goes with it.

use std::time::Duration;

use reqwest::{Client, Method, StatusCode, Url, redirect};
use serde_json::Value;

use super::Exit;
use super::args::NodeArgs;
use super::run::read_admin_token;
use crate::config::Diagnostic;
use crate::errors::{self, Code};

/// How long a node may take to accept the connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take: more than the node itself waits for a call that is under way.
const ANSWER: Duration = Duration::from_secs(90);

/// What was not done, and how the process ends.
pub(super) type Refused = (Box<Diagnostic>, Exit);

fn refused(finding: Diagnostic, exit: Exit) -> Refused {
    (Box::new(finding), exit)
}

/// Asks, and gives the body of an answer that says that it was done. Path and query are percent-encoded.
pub(super) fn ask(node: &NodeArgs, method: &Method, path: &str, query: Option<&str>) -> Result<String, Refused> {
    let (status, body) = answer(node, method, path, query)?;
    if status.is_success() {
        return Ok(body);
    }
    let exit = if status.is_server_error() { Exit::Environment } else { Exit::Input };
    Err(refused(problem(status, &body, &node.admin), exit))
}

/// Asks, and gives status and body.
pub(super) fn answer(
    node: &NodeArgs,
    method: &Method,
    path: &str,
    query: Option<&str>,
) -> Result<(StatusCode, String), Refused> {
    let token = match &node.admin_token_file {
        Some(path) => Some(read_admin_token(path).map_err(|finding| (finding, Exit::Input))?),
        None => None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        refused(Diagnostic::error(errors::MP7031, "the system refused a runtime").caused_by(error), Exit::Environment)
    })?;
    let mut url = node.admin.clone();
    url.set_path(&format!("{}{path}", node.admin.path().trim_end_matches('/')));
    url.set_query(query);
    runtime.block_on(send(method, url, token.as_deref())).map_err(|error| {
        let fact = format!("admin API did not answer at `{}`", node.admin);
        let mut finding = Diagnostic::error(errors::MP7001, fact);
        let mut cause = std::error::Error::source(&error);
        while let Some(source) = cause {
            finding = finding.caused_by(source);
            cause = source.source();
        }
        let hint = "is the node running? its address is `admin=` in the line `ready` of its log";
        refused(finding.hint(hint), Exit::Environment)
    })
}

async fn send(method: &Method, url: Url, token: Option<&str>) -> reqwest::Result<(StatusCode, String)> {
    let client = Client::builder()
        .connect_timeout(CONNECT)
        .timeout(ANSWER)
        .redirect(redirect::Policy::none())
        .no_proxy()
        .build()?;
    let mut request = client.request(method.clone(), url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await?;
    Ok((answer.status(), answer.text().await?))
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

/// The finding when the node answers something that this version does not understand.
pub(super) fn foreign(admin: &Url) -> Refused {
    let finding = Diagnostic::error(errors::MP7001, format!("no admin API of Millpond answered at `{admin}`"))
        .caused_by("the answer is not what this version understands");
    refused(finding.hint("is the node of another version than this program?"), Exit::Environment)
}
