//! The promise: a function is reached where it is. Over mutual TLS with an encrypted key and a token, behind a Unix domain
//! socket, and by an endpoint of kind v1; its answers are packed; tokens and certificates are renewed without a restart.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

use crate::functions::python;
use crate::http::{self, Event};
use crate::runtime::{Installation, first_line};
use crate::wait::eventually;

/// The function server; its process ends with this value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it: the ports of TLS and of plain HTTP.
fn start(python: &Path, folder: &Path) -> (Server, String, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/reach/functions.py");
    let mut command = Command::new(python);
    command.arg(script).arg(folder).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut server = Server(command.spawn().expect("Python can be started"));
    let stdout = server.0.stdout.take().expect("stdout was asked for above");
    let line = first_line(stdout, |line| line.starts_with("ready ")).expect("the functions are served");
    let mut ports = line.split(' ').skip(1).map(str::to_owned);
    (server, ports.next().expect("a port"), ports.next().expect("a port"))
}

/// An authority, and what it signs: `ca.pem`, `server.*` and `client.pem` in the folder. The client has the key of
/// `credentials/testdata`, which is there in the encryption that upstream's instructions name.
fn make_certificates(folder: &Path, client_key: &Path) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "authority of a test");
    let key = KeyPair::generate().expect("a key");
    let write = |name: &str, content: String| std::fs::write(folder.join(name), content).expect("a file");
    write("ca.pem", params.self_signed(&key).expect("a certificate").pem());
    let authority = Issuer::new(params, key);
    let server = KeyPair::generate().expect("a key");
    let names = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    write("server.pem", names.signed_by(&server, &authority).expect("a certificate").pem());
    write("server.key", server.serialize_pem());
    let key = std::fs::read_to_string(client_key).expect("a key");
    let client = KeyPair::from_pem(&key).expect("a key");
    let names = CertificateParams::new(Vec::new()).expect("no names");
    write("client.pem", names.signed_by(&client, &authority).expect("a certificate").pem());
}

/// Says what is wrong with three ways to the same server: no certificate shown, TLS not spoken, TLS spoken to the wrong port.
/// MP4033, MP4014, MP4034.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_is_wrong_is_told() {
    let Some(python) = python("reach") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("credentials/testdata");
    make_certificates(folder.path(), &testdata.join("plain.pem"));
    std::fs::write(folder.path().join("token"), "any").expect("a file");
    let (_server, tls, plain) = tokio::task::block_in_place(|| start(&python, folder.path()));
    let ways = [
        ("bare/counter", "bare", format!("https://localhost:{tls}"), "MP4033", "there is no `client_cert` to show"),
        ("open/counter", "open", format!("http://localhost:{tls}"), "MP4014", "the endpoint speaks TLS"),
        ("shut/counter", "shut", format!("https://localhost:{plain}"), "MP4034", "the endpoint does not speak TLS"),
    ];
    let mut module = "kind: io.statefun.playground.v1/ingress\nspec:\n  port: 0\n".to_owned();
    for (_, namespace, url, ..) in &ways {
        let trust = match url.starts_with("https") {
            true => format!("  transport:\n    trust_cacerts: {}/ca.pem\n", folder.path().display()),
            false => String::new(),
        };
        module += &format!(
            "---\nkind: io.statefun.endpoints.v2/http\nspec:\n  functions: {namespace}/*\n  urlPathTemplate: {url}/statefun\n{trust}"
        );
    }
    let installation = Installation::new(&module);
    let client = http::client();
    let runtime = installation.start();
    for (function, _, _, code, words) in ways {
        http::accepted(&client, &runtime, &event(function, 1)).await;
        eventually(&format!("{code} in the log"), async || {
            let log = runtime.log();
            log.lines().any(|line| line.contains(function) && line.contains(code) && line.contains(words)).then_some(())
        })
        .await;
    }
    runtime.terminate();
}

fn event(function: &'static str, number: usize) -> Event {
    Event {
        function,
        id: "one".to_owned(),
        value_type: "io.statefun.types/string",
        value: "hello".to_owned(),
        key: format!("{function} {number}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn functions_over_tls_unix_sockets_and_kind_v1() {
    let Some(python) = python("reach") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path().display();
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("credentials/testdata");
    make_certificates(folder.path(), &testdata.join("plain.pem"));
    std::fs::write(folder.path().join("token"), "first\n").expect("a file");
    let (_server, tls, plain) = tokio::task::block_in_place(|| start(&python, folder.path()));
    let module = format!(
        "kind: io.statefun.endpoints.v2/http
spec:
  functions: tls/*
  urlPathTemplate: https://localhost:{tls}/statefun
  headers:
    authorization:
      prefix: 'Bearer '
      file: {at}/token
  transport:
    trust_cacerts: {at}/ca.pem
    client_cert: {at}/client.pem
    client_key: {key}
    client_key_password: {password}
---
kind: io.statefun.endpoints.v2/http
spec:
  functions: unix/*
  urlPathTemplate: http+unix://{at}/fn.sock/statefun
---
kind: io.statefun.endpoints.v1/http
spec:
  functions: plain/*
  urlPathTemplate: http://localhost:{plain}/statefun
---
kind: io.statefun.playground.v1/ingress
spec:
  port: 0
---
kind: io.statefun.playground.v1/egress
spec:
  port: 0
  topics: [counts]
",
        key = testdata.join("pbe-sha1-rc4-128.pem").display(),
        password = testdata.join("password.txt").display(),
    );
    let installation = Installation::new(&module);
    let client = http::client();
    let runtime = installation.start();
    let functions = ["tls/counter", "unix/counter", "plain/counter"];
    for number in 1..=4 {
        if number == 3 {
            // Renewed: the functions refuse the old one from now on.
            std::fs::write(folder.path().join("token"), "second").expect("a file");
        }
        for function in functions {
            http::accepted(&client, &runtime, &event(function, number)).await;
        }
    }
    let mut counts: Vec<String> =
        http::read_at_least(&client, &runtime, "counts", 12).await.into_iter().map(|record| record.payload).collect();
    counts.sort();
    let mut expected: Vec<String> =
        ["plain", "tls", "unix"].iter().flat_map(|it| (1..=4).map(move |n| format!("{it} one {n}"))).collect();
    expected.sort();
    assert_eq!(counts, expected);
    assert!(!runtime.log().contains("second"), "no secret is logged");
    runtime.terminate();
}
