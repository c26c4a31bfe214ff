//! TLS against real servers: what works, and what each failure says.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use millpond_engine::{CallFailure, FailureKind, Reply};
use rcgen::KeyPair;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::version::{TLS12, TLS13};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::authority::{Authority, Pair, Wants, serve, write};
use super::server::{Server, ok};
use super::{EndpointTarget, call, invoker, nothing, once, target};
use crate::invoker::{ClientFiles, TlsTarget};

const NAMES: &[&str] = &["localhost", "127.0.0.1"];

fn testdata(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("credentials/testdata").join(name)
}

/// The key of `plain.pem`.
fn client_key() -> KeyPair {
    KeyPair::from_pem(&std::fs::read_to_string(testdata("plain.pem")).expect("a key")).expect("a key")
}

/// A server that answers every request.
async fn answering(config: Arc<ServerConfig>) -> Server {
    Server::start_tls(config, |mut peer| async move {
        while peer.request().await.is_some() {
            peer.write(&ok(b"")).await;
        }
    })
    .await
}

fn trusting(url: &str, trust_cacerts: &Path) -> EndpointTarget {
    let tls = TlsTarget { trust_cacerts: Some(trust_cacerts.to_owned()), ..TlsTarget::default() };
    EndpointTarget { tls, ..target(url) }
}

fn with_client(target: EndpointTarget, cert: PathBuf, key: PathBuf, key_password: Option<PathBuf>) -> EndpointTarget {
    let client = Some(ClientFiles { cert, key, key_password });
    EndpointTarget { tls: TlsTarget { client, ..target.tls }, ..target }
}

fn assert_failure(result: Result<Reply, CallFailure>, code: &str, words: &[&str]) {
    let failure = result.expect_err("a failure");
    assert_eq!((failure.kind, failure.code), (FailureKind::Unreachable, code), "{failure:?}");
    assert!(failure.error.starts_with("`greeter.fns/user` at `https://"), "it says where: {failure:?}");
    for word in words {
        assert!(failure.error.contains(word), "{word:?} in {failure:?}");
    }
}

/// Both versions of TLS, by name and by address, and the connection is used again.
#[tokio::test]
async fn a_trusted_server_is_called() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    for version in [&TLS12, &TLS13] {
        let wants = Wants { version: Some(version), ..Wants::default() };
        let server = answering(authority.server(NAMES).serve(wants)).await;
        for url in [server.url.clone(), server.url.replace("localhost", "127.0.0.1")] {
            let before = server.accepted();
            let invoker = invoker(trusting(&url, &authority.file(folder.path())));
            for _ in 0..10 {
                assert_eq!(invoker.call(&call()).await, Ok(nothing()), "{url}");
                // Idle for longer than a connection is trusted unseen: a look must not take session tickets for an end.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(server.accepted() - before, 1, "{url}");
        }
    }
}

/// A body that fills many records, both ways.
#[tokio::test]
async fn large_bodies() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let config = authority.server(NAMES).serve(Wants::default());
    let server = Server::start_tls(config, |mut peer| async move {
        while let Some(request) = peer.request().await {
            assert!(request.body.len() > 4 << 20);
            // An unknown field of four million bytes.
            let body = [b"\x0a\x80\x80\x80\x02".as_slice(), &vec![7; 4 << 20]].concat();
            peer.write(&ok(&body)).await;
        }
    })
    .await;
    let invoker = invoker(trusting(&server.url, &authority.file(folder.path())));
    let mut call = call();
    let argument = vec![b'x'; 4 << 20];
    call.invocations = vec![(None, millpond_protocol::request::typed_value("a/b", &argument))];
    for _ in 0..2 {
        assert!(invoker.call(&call).await.is_ok());
    }
    assert_eq!(server.accepted(), 1);
}

/// Mutual TLS with keys as tools encrypt them, also the way that upstream's instructions name.
#[tokio::test]
async fn mutual_tls_with_an_encrypted_key() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let key = std::fs::read_to_string(testdata("plain.pem")).expect("a key");
    let client = authority.client(KeyPair::from_pem(&key).expect("a key"));
    let cert = write(folder.path(), "client.pem", &client.certificate.pem());
    let password = write(folder.path(), "password.txt", "secret");
    for version in [&TLS12, &TLS13] {
        let wants = Wants { clients_of: Some(authority.der()), version: Some(version), ..Wants::default() };
        let server = answering(authority.server(NAMES).serve(wants)).await;
        let trusting = || trusting(&server.url, &authority.file(folder.path()));
        for name in ["pbkdf2-aes256.pem", "scrypt.pem", "pbe-sha1-rc4-128.pem"] {
            let target = with_client(trusting(), cert.clone(), testdata(name), Some(password.clone()));
            assert_eq!(once(target).await, Ok(nothing()), "{name}");
        }
        let words = ["the endpoint does not accept our certificate, or wants one: alert `"];
        // Nothing is shown, then something that another authority signed.
        assert_failure(once(trusting()).await, "MP4033", &words);
        let other = Authority::new("another").client(KeyPair::from_pem(&key).expect("a key"));
        let other = write(folder.path(), "other.pem", &other.certificate.pem());
        let target = with_client(trusting(), other, testdata("plain.pem"), None);
        assert_failure(once(target).await, "MP4033", &words);
    }
}

/// A server that refuses our certificate, or the lack of one, without a word: that it had asked for one is what can be told.
#[tokio::test]
async fn a_client_that_is_refused_without_a_word() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let key = client_key();
    let other = Authority::new("another").client(key);
    let other = write(folder.path(), "other.pem", &other.certificate.pem());
    for version in [&TLS12, &TLS13] {
        let wants = Wants { clients_of: Some(authority.der()), version: Some(version), http2: true };
        let server = Server::start_tls_without_alerts(authority.server(NAMES).serve(wants)).await;
        for http2 in [false, true] {
            let bare = EndpointTarget { http2, ..trusting(&server.url, &authority.file(folder.path())) };
            let words = "asked for a client certificate and ended the connection without a word: ";
            assert_failure(once(bare.clone()).await, "MP4033", &[words, "there is no `client_cert` to show"]);
            let target = with_client(bare, other.clone(), testdata("plain.pem"), None);
            assert_failure(once(target).await, "MP4033", &[words, "it was shown the one of `client_cert`"]);
        }
    }
}

/// A server that does not ask for a certificate, or took it, and dies of the request: that is not about certificates.
#[tokio::test]
async fn a_server_that_dies_of_a_request() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let client = authority.client(client_key());
    let cert = write(folder.path(), "client.pem", &client.certificate.pem());
    for clients_of in [None, Some(authority.der())] {
        let config = authority.server(NAMES).serve(Wants { clients_of, ..Wants::default() });
        let server = Server::start_tls(config, |mut peer| async move { drop(peer.request().await) }).await;
        let target = trusting(&server.url, &authority.file(folder.path()));
        let target = with_client(target, cert.clone(), testdata("plain.pem"), None);
        assert_failure(once(target).await, "MP4004", &["the connection ended"]);
    }
}

/// A server whose authority is not ours: who signed it, and which file was asked.
#[tokio::test]
async fn another_authority() {
    let folder = tempfile::tempdir().expect("a folder");
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = answering(theirs.server(NAMES).serve(Wants::default())).await;
    let file = ours.file(folder.path());
    let named = format!("`trust_cacerts` (`{}`) has no such authority", file.display());
    let result = once(trusting(&server.url, &file)).await;
    assert_failure(result, "MP4030", &["`CN=the test`", "is signed by `CN=theirs`", &named]);
    assert_eq!(server.accepted(), 1, "nothing is tried a second time");
}

/// Certificates out of their time, with the time.
#[tokio::test]
async fn expired_and_not_yet_valid() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let file = authority.file(folder.path());
    for (from, to, words) in [
        (2001, 2002, "is valid no longer: it ended Tue, 01 Jan 2002 00:00:00 GMT"),
        (2998, 2999, "is not valid yet: it begins Mon, 01 Jan 2998 00:00:00 GMT"),
        (
            2998,
            2001,
            "is valid at no time: it ends Mon, 01 Jan 2001 00:00:00 GMT, before it begins Mon, 01 Jan 2998 00:00:00 GMT",
        ),
    ] {
        let server = answering(authority.server_between(NAMES, from, to).serve(Wants::default())).await;
        assert_failure(once(trusting(&server.url, &file)).await, "MP4031", &[words]);
    }
    // One that is trusted by itself is judged by the same clock.
    for (from, to, words) in [(2001, 2002, "ended Tue, 01 Jan 2002"), (2998, 2001, "is valid at no time")] {
        let pair = authority.server_between(NAMES, from, to);
        let server = answering(pair.serve(Wants::default())).await;
        let pinned = write(folder.path(), "pinned.pem", &pair.certificate.pem());
        assert_failure(once(trusting(&server.url, &pinned)).await, "MP4031", &[words]);
    }
}

/// A certificate for somebody else, and the way to do without names.
#[tokio::test]
async fn another_host() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let file = authority.file(folder.path());
    for (names, words) in [
        (
            &["functions.example", "10.1.2.3"][..],
            "is not for host `localhost`, only for `functions.example`, `10.1.2.3`",
        ),
        (&[], "is not for host `localhost`, only for its subject: it has no alternative names"),
    ] {
        let server = answering(authority.server(names).serve(Wants::default())).await;
        assert_failure(once(trusting(&server.url, &file)).await, "MP4032", &[words]);
        let mut target = trusting(&server.url, &file);
        target.tls.verify_hostname = false;
        assert_eq!(once(target).await, Ok(nothing()), "upstream's behaviour");
    }
}

/// A certificate that is itself in `trust_cacerts` needs nobody's signature: by hand, also of version 1 without names.
#[tokio::test]
async fn certificates_made_by_hand() {
    let folder = tempfile::tempdir().expect("a folder");
    let pair = Pair::by_hand(&["localhost"]);
    let server = answering(pair.serve(Wants::default())).await;
    let file = write(folder.path(), "server.pem", &pair.certificate.pem());
    assert_eq!(once(trusting(&server.url, &file)).await, Ok(nothing()));
    let by_address = server.url.replace("localhost", "127.0.0.1");
    assert_failure(once(trusting(&by_address, &file)).await, "MP4032", &["only for `localhost`"]);

    for version in [&TLS12, &TLS13] {
        let wants = || Wants { version: Some(version), ..Wants::default() };
        let chain = crate::credentials::certificates(&std::fs::read(testdata("version1.pem")).expect("a file"));
        let key = PrivateKeyDer::from_pem_file(testdata("plain.pem")).expect("a key");
        let server = answering(serve(chain.clone().expect("a certificate"), key, wants())).await;
        assert_eq!(once(trusting(&server.url, &testdata("version1.pem"))).await, Ok(nothing()));
        let by_address = server.url.replace("localhost", "127.0.0.1");
        assert_failure(once(trusting(&by_address, &testdata("version1.pem"))).await, "MP4032", &["its subject"]);
        assert_failure(once(trusting(&server.url, &file)).await, "MP4030", &["`CN=localhost`", "not of version 3"]);

        // Whoever shows the certificate has to have its key.
        let thief = Pair::by_hand(&["localhost"]);
        let key = PrivateKeyDer::try_from(thief.key.serialize_der()).expect("a key");
        let server = answering(serve(chain.expect("a certificate"), key, wants())).await;
        let result = once(trusting(&server.url, &testdata("version1.pem"))).await;
        assert_failure(result, "MP4030", &["does not have the key of the certificate"]);
    }
}

/// A server that is trusted by itself is no authority: it cannot make certificates for others.
#[tokio::test]
async fn a_server_is_no_authority() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let trusted = authority.server(&["functions"]);
    let file = write(folder.path(), "server.pem", &trusted.certificate.pem());
    let server = answering(trusted.sign(&["localhost"]).serve(Wants::default())).await;
    assert_failure(once(trusting(&server.url, &file)).await, "MP4030", &["has no such authority"]);
}

/// Something that does not speak TLS.
#[tokio::test]
async fn a_plain_server() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let file = authority.file(folder.path());
    for answer in [b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(), b"SSH-2.0-OpenSSH_9.9\r\n", b"\0\0\0\0\0\0"] {
        let server = Server::start(move |mut peer| async move {
            peer.write(answer).await;
            peer.closed().await;
        })
        .await;
        let url = server.url.replace("http:", "https:");
        let words = "the endpoint does not speak TLS, and the URL begins with `https`";
        assert_failure(once(trusting(&url, &file)).await, "MP4034", &[words]);
    }
    let server = Server::start(|_| async {}).await;
    let url = server.url.replace("http:", "https:");
    assert_failure(once(trusting(&url, &file)).await, "MP4035", &["the TLS handshake failed"]);
}

/// The other way round: TLS where HTTP is expected, with a server that answers with an alert and with one that says nothing.
#[tokio::test]
async fn a_server_that_speaks_tls_where_the_url_does_not() {
    let authority = Authority::new("ours");
    let speaking = answering(authority.server(NAMES).serve(Wants::default())).await;
    let acceptor = tokio_rustls::TlsAcceptor::from(authority.server(NAMES).serve(Wants::default()));
    let silent = Server::start(move |peer| {
        let acceptor = acceptor.clone();
        async move {
            // A hello is answered, anything else ends it.
            let mut first = [0; 1];
            if matches!(peer.stream.tcp().peek(&mut first).await, Ok(1)) && first == [0x16] {
                let _ = acceptor.accept(peer.stream).await;
            }
        }
    })
    .await;
    for (server, is_silent) in [(speaking, false), (silent, true)] {
        let url = server.url.replace("https:", "http:");
        for http2 in [false, true] {
            let invoker = invoker(EndpointTarget { http2, ..target(&url) });
            let before = server.accepted();
            for _ in 0..2 {
                let failure = invoker.call(&call()).await.expect_err("a failure");
                assert_eq!((failure.kind, failure.code), (FailureKind::Unreachable, "MP4014"), "{failure:?}");
                let words = "the endpoint speaks TLS, and the URL begins with `http`";
                assert!(failure.error.contains(words), "{http2} {failure:?}");
            }
            // Two calls, and one question.
            assert!(!is_silent || server.accepted() - before == 3, "{}", server.accepted() - before);
        }
    }
    // One that does not speak TLS either is not said to.
    let server = Server::start(|mut peer| async move { drop(peer.request().await) }).await;
    let failure = once(target(&server.url)).await.expect_err("a failure");
    assert_eq!(failure.code, "MP4004", "{failure:?}");
}

/// A handshake without an answer ends with `connect`, or with the call if that is sooner.
#[tokio::test]
async fn a_handshake_that_stands_still() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let server = Server::start(|mut peer| async move {
        // The beginning of a record that never comes.
        peer.write(b"\x16\x03\x03\x40\x00\x02").await;
        peer.closed().await;
    })
    .await;
    let url = server.url.replace("http:", "https:");
    let patient = trusting(&url, &authority.file(folder.path()));
    let target = EndpointTarget { connect: Duration::from_millis(100), ..patient.clone() };
    let words = "no connection within `connect`, 100 ms: still waiting for the TLS handshake";
    assert_failure(once(target).await, "MP4006", &[words]);
    let mut hasty = call();
    hasty.timeout_ms = 100;
    let invoker = invoker(patient);
    assert_failure(invoker.call(&hasty).await, "MP4005", &["no answer in time"]);
    assert_eq!(invoker.metrics()[0].connections_open, 0);
}

/// A server may end TLS while a connection is idle, politely or by closing only its half; no call fails of it.
#[tokio::test]
async fn a_connection_that_ended_while_idle_is_replaced() {
    let (folder, authority) = (tempfile::tempdir().expect("a folder"), Authority::new("ours"));
    let (ended, mut is_ended) = mpsc::unbounded_channel();
    let config = authority.server(NAMES).serve(Wants::default());
    let server = Server::start_tls(config, move |mut peer| {
        let ended = ended.clone();
        async move {
            peer.request().await;
            peer.write(&ok(b"")).await;
            // `close_notify`, and the socket stays open for what we might say.
            peer.stream.shutdown().await.expect("an open connection");
            ended.send(()).expect("the test waits");
            peer.closed().await;
        }
    })
    .await;
    let invoker = invoker(trusting(&server.url, &authority.file(folder.path())));
    for calls in 1..=5 {
        assert_eq!(invoker.call(&call()).await, Ok(nothing()));
        assert_eq!(server.accepted(), calls);
        is_ended.recv().await.expect("the server lives");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Certificates are renewed while the node runs: the new file is used, and one that cannot be used is not.
#[tokio::test]
async fn files_are_read_again_when_they_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let file = old.file(folder.path());
    let server = answering(new.server(NAMES).serve(Wants::default())).await;
    let invoker = invoker(trusting(&server.url, &file));
    assert_failure(invoker.call(&call()).await, "MP4030", &["`CN=new`"]);
    write(folder.path(), "ca.pem", "-----BEGIN CERTIFICATE-----");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_failure(invoker.call(&call()).await, "MP4030", &["`CN=new`"]);
    new.file(folder.path());
    while invoker.call(&call()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Files that cannot be used refuse the start, with their names.
#[tokio::test]
async fn files_that_cannot_be_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("ours").file(folder.path());
    let missing = folder.path().join("missing.pem");
    let trusting = |file: &Path| trusting("https://functions:8443", file);
    let key = testdata("plain.pem");
    for (target, file, words) in [
        (trusting(&missing), &missing, "No such file"),
        (trusting(&key), &key, "there is no certificate in it, only `PRIVATE KEY`"),
        (trusting(folder.path()), &folder.path().to_owned(), "it is not a regular file"),
        (with_client(trusting(&authority), authority.clone(), key.clone(), None), &key, "does not belong to"),
    ] {
        let made = crate::invoker::Invoker::new(vec![target], Default::default(), Arc::new(super::OneEgress));
        let why = made.err().expect("a refusal").why;
        assert!(why.contains(words) && why.contains(&file.display().to_string()), "{why}");
    }
}
