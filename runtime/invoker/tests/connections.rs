//! Which connections carry the calls, and how long they live.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use millpond_engine::FailureKind;
use tokio::sync::{Barrier, mpsc};

use super::server::{Server, answer, ok};
use super::{EndpointTarget, Invoker, call, invoker, target};

/// Makes idle connections older than any `pool_ttl` of a test with its random part.
fn grow_old(invoker: &Invoker) {
    for function in invoker.shared.functions() {
        function.pool.age(Duration::from_secs(60));
    }
}

/// One connection carries call after call, also after an answer that was no success.
#[tokio::test]
async fn a_connection_is_used_again() {
    let server = Server::start(|mut peer| async move {
        while peer.request().await.is_some() {
            peer.write(&ok(b"")).await;
            peer.request().await;
            peer.write(&answer("500 Oh", "content-type: text/plain\r\n", b"no")).await;
        }
    })
    .await;
    let invoker = invoker(target(&server.url));
    for _ in 0..20 {
        assert!(invoker.call(&call()).await.is_ok());
        assert!(invoker.call(&call()).await.is_err());
    }
    assert_eq!(server.accepted(), 1);
    let metrics = &invoker.metrics()[0];
    assert_eq!((metrics.attempts, metrics.latency.count()), (40, 40));
    assert_eq!(metrics.failures, [("MP4008", 20)]);
    assert_eq!((metrics.connections_open, metrics.connections_idle), (1, 1));
}

/// A server that says so gets a new connection for the next call.
#[tokio::test]
async fn a_connection_that_the_server_ends_is_not_used_again() {
    let answer = answer("200 OK", "content-type: application/octet-stream\r\nconnection: close\r\n", b"");
    let server = Server::answering(answer).await;
    let invoker = invoker(target(&server.url));
    for calls in 1..=3 {
        invoker.call(&call()).await.expect("an answer");
        assert_eq!(server.accepted(), calls);
        assert_eq!(invoker.metrics()[0].connections_open, 0);
    }
}

/// A server may close an idle connection without a word; that is no failure, and no second request either.
#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced() {
    let (closed, mut is_closed) = mpsc::unbounded_channel();
    let server = Server::start(move |mut peer| {
        let closed = closed.clone();
        async move {
            peer.request().await;
            peer.write(&ok(b"")).await;
            drop(peer);
            closed.send(()).expect("the test waits");
        }
    })
    .await;
    let invoker = invoker(target(&server.url));
    for calls in 1..=5 {
        invoker.call(&call()).await.expect("an answer");
        assert_eq!(server.accepted(), calls);
        is_closed.recv().await.expect("the server lives");
        // Idle for longer than a connection is trusted unseen.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A server that talks out of turn: what it says must not become the answer to the next request.
#[tokio::test]
async fn bytes_that_nobody_asked_for_are_no_answer() {
    let (said, mut is_said) = mpsc::unbounded_channel();
    let server = Server::start(move |mut peer| {
        let said = said.clone();
        async move {
            peer.request().await;
            peer.write(&ok(b"")).await;
            peer.write(&answer("408 Request Timeout", "", b"")).await;
            said.send(()).expect("the test waits");
            peer.closed().await;
        }
    })
    .await;
    let invoker = invoker(target(&server.url));
    for calls in 1..=3 {
        invoker.call(&call()).await.expect("an answer");
        assert_eq!(server.accepted(), calls);
        is_said.recv().await.expect("the server lives");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Once a byte of a request has left, the function may have seen it: the invoker does not send it again.
#[tokio::test]
async fn a_request_that_was_sent_is_not_sent_again() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let server = Server::start(move |mut peer| {
        let count = Arc::clone(&count);
        async move {
            peer.request().await;
            count.fetch_add(1, Ordering::SeqCst);
            peer.write(&ok(b"")).await;
            peer.request().await;
            count.fetch_add(1, Ordering::SeqCst);
        }
    })
    .await;
    let invoker = invoker(target(&server.url));
    invoker.call(&call()).await.expect("an answer");
    let failure = invoker.call(&call()).await.expect_err("a failure");
    assert_eq!((failure.kind, failure.code), (FailureKind::Unreachable, "MP4004"));
    assert_eq!((server.accepted(), requests.load(Ordering::SeqCst)), (1, 2));
}

/// Many calls share few connections, in turn; nobody is refused.
#[tokio::test]
async fn the_pool_is_a_limit() {
    const SIZE: usize = 3;
    // Each round is answered only when all connections that there may be are busy.
    let busy = Arc::new(Barrier::new(SIZE));
    let server = Server::start(move |mut peer| {
        let busy = Arc::clone(&busy);
        async move {
            while peer.request().await.is_some() {
                busy.wait().await;
                peer.write(&ok(b"")).await;
            }
        }
    })
    .await;
    let invoker = invoker(EndpointTarget { pool_size: SIZE, ..target(&server.url) });
    let calls: Vec<_> = (0..10 * SIZE)
        .map(|_| {
            let invoker = invoker.clone();
            tokio::spawn(async move { invoker.call(&call()).await })
        })
        .collect();
    for call in calls {
        assert!(call.await.expect("no panic").is_ok());
    }
    assert_eq!(server.accepted(), SIZE);
}

/// Each function type has a pool of its own, also under one endpoint.
#[tokio::test]
async fn function_types_do_not_share_connections() {
    let server = Server::answering(ok(b"")).await;
    let invoker = invoker(target(&server.url));
    for name in ["a", "b", "a", "b"] {
        let mut call = call();
        call.target.function = millpond_protocol::TypeName::new("greeter.fns", name);
        invoker.call(&call).await.expect("an answer");
    }
    assert_eq!(server.accepted(), 2);
    let names: Vec<String> = invoker.metrics().iter().map(|metrics| metrics.function.to_string()).collect();
    assert_eq!(names, ["greeter.fns/a", "greeter.fns/b"]);
}

/// An idle connection beyond `pool_ttl` is closed; zero means never.
#[tokio::test]
async fn an_old_connection_is_not_used_again() {
    for (ttl, connections) in [(15, 2), (0, 1)] {
        let server = Server::answering(ok(b"")).await;
        let invoker = invoker(EndpointTarget { pool_ttl: Duration::from_secs(ttl), ..target(&server.url) });
        invoker.call(&call()).await.expect("an answer");
        grow_old(&invoker);
        invoker.call(&call()).await.expect("an answer");
        assert_eq!(server.accepted(), connections, "pool_ttl {ttl} s");
        assert_eq!(invoker.metrics()[0].connections_open, 1);
    }
}

/// A module file can hold durations that no clock can count to.
#[tokio::test]
async fn durations_without_end() {
    let server = Server::answering(ok(b"")).await;
    let forever = EndpointTarget { connect: Duration::MAX, pool_ttl: Duration::MAX, ..target(&server.url) };
    let invoker = invoker(forever);
    let mut patient = call();
    patient.timeout_ms = u64::MAX;
    for _ in 0..2 {
        invoker.call(&patient).await.expect("an answer");
    }
    assert_eq!(server.accepted(), 1);
}

/// A busy connection that grows old finishes its call, and is closed then.
#[tokio::test]
async fn a_busy_connection_is_closed_when_it_is_put_back() {
    let server = Server::start(move |mut peer| async move {
        peer.request().await;
        // The random part of a connection's age is under three seconds.
        tokio::time::sleep(Duration::from_secs(3)).await;
        peer.write(&ok(b"")).await;
        peer.closed().await;
    })
    .await;
    let invoker = invoker(EndpointTarget { pool_ttl: Duration::from_millis(1), ..target(&server.url) });
    invoker.call(&call()).await.expect("an answer");
    let metrics = &invoker.metrics()[0];
    assert_eq!((metrics.connections_open, metrics.connections_idle), (0, 0));
}

/// Nobody has to call for an old connection to be closed.
#[tokio::test]
async fn idle_connections_are_swept() {
    let (closed, mut is_closed) = mpsc::unbounded_channel();
    let server = Server::start(move |mut peer| {
        let closed = closed.clone();
        async move {
            peer.request().await;
            peer.write(&ok(b"")).await;
            peer.closed().await;
            closed.send(()).expect("the test waits");
        }
    })
    .await;
    let invoker = invoker(target(&server.url));
    invoker.call(&call()).await.expect("an answer");
    assert_eq!(invoker.metrics()[0].connections_open, 1);
    grow_old(&invoker);
    is_closed.recv().await.expect("the server lives");
    assert_eq!(invoker.metrics()[0].connections_open, 0);
}

/// A caller that loses interest closes the connection: an answer still to come would be read as that to the next request.
#[tokio::test]
async fn a_dropped_call_closes_its_connection() {
    let (asked, mut is_asked) = mpsc::unbounded_channel();
    let server = Server::start(move |mut peer| {
        let asked = asked.clone();
        async move {
            peer.request().await;
            asked.send("asked").expect("the test waits");
            peer.closed().await;
            asked.send("closed").expect("the test waits");
        }
    })
    .await;
    let invoker = invoker(target(&server.url));
    let call = call();
    tokio::select! {
        _ = invoker.call(&call) => panic!("the server never answers"),
        said = is_asked.recv() => assert_eq!(said, Some("asked")),
    }
    assert_eq!(is_asked.recv().await, Some("closed"));
    assert_eq!(invoker.metrics()[0].connections_open, 0);
}

/// The invoker's own task goes with its last clone.
#[tokio::test]
async fn nothing_is_left_behind() {
    let before = tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let one = invoker(target("http://127.0.0.1:9/"));
    let other = one.clone();
    drop(one);
    assert_eq!(tokio::runtime::Handle::current().metrics().num_alive_tasks(), before + 1);
    drop(other);
    while tokio::runtime::Handle::current().metrics().num_alive_tasks() > before {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
