//! Connections: their limit, their times and their end.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use super::complaint::Complaint;
use super::fake::{raw, served};
use super::{ConnectionLimits, listen, serve};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

fn service() -> Router {
    Router::new().fallback(|| async { "fine" })
}

/// One connection too many is told so at once, and a freed place is used again.
#[tokio::test]
async fn connections_are_bounded() {
    let address = served(service(), ConnectionLimits { connections: 2, ..ConnectionLimits::default() }).await;
    let held = [TcpStream::connect(address).await, TcpStream::connect(address).await];
    sleep(Duration::from_millis(50)).await;
    let answer = raw(address, REQUEST).await;
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("MP1013"), "{answer}");
    drop(held);
    sleep(Duration::from_millis(50)).await;
    assert!(raw(address, REQUEST).await.starts_with("HTTP/1.1 200 "));
}

/// A burst of connections is completed by the system, though nobody accepts yet.
#[tokio::test]
async fn a_burst_of_connections_need_not_wait() {
    const BURST: usize = 400;
    let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap_or_default();
    if allowed.trim().parse::<usize>().is_ok_and(|allowed| allowed <= BURST) {
        eprintln!("skipped: this system allows {} waiting connections", allowed.trim());
        return;
    }
    let listener = listen("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let mut held = Vec::new();
    for number in 0..BURST {
        let connected = timeout(Duration::from_millis(900), TcpStream::connect(address)).await;
        held.push(connected.unwrap_or_else(|_| panic!("connection {number} waits")).expect("a connection"));
    }
}

/// What lasts is said once in 10 s, with how often it happened in between.
#[test]
fn complaints_are_rare() {
    let (began, mut complaint) = (std::time::Instant::now(), Complaint::default());
    let said = [0, 1, 9_999, 10_000, 10_001, 30_000].map(|ms| complaint.due(began + Duration::from_millis(ms)));
    assert_eq!(said, [Some(0), None, None, Some(2), None, Some(1)]);
}

/// Who does not send a whole head in time, or nothing at all, loses the connection.
#[tokio::test]
async fn heads_have_a_time() {
    let limits = ConnectionLimits { header: Duration::from_millis(200), ..ConnectionLimits::default() };
    let address = served(service(), limits).await;
    for start in [&b""[..], b"GET / HTTP/1.1\r\nhost:", REQUEST] {
        let began = Instant::now();
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(start).await.expect("sent");
        let mut answer = Vec::new();
        timeout(Duration::from_secs(5), stream.read_to_end(&mut answer))
            .await
            .expect("closed")
            .expect("closed in order");
        assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());
    }
}

/// A client that does not read its answer loses the connection.
#[tokio::test]
async fn writes_do_not_stall() {
    let endless = Router::new().fallback(|| async {
        let piece = || futures_util::future::ready(Some((Ok::<_, std::io::Error>(vec![0_u8; 1 << 16]), ())));
        Body::from_stream(futures_util::stream::unfold((), move |()| piece()))
    });
    let limits = ConnectionLimits { connections: 1, write: Duration::from_millis(200), ..ConnectionLimits::default() };
    let address = served(endless, limits).await;
    let mut stuck = TcpStream::connect(address).await.expect("a connection");
    stuck.write_all(REQUEST).await.expect("sent");
    for _ in 0..100 {
        sleep(Duration::from_millis(50)).await;
        let mut other = TcpStream::connect(address).await.expect("a connection");
        other.write_all(REQUEST).await.expect("sent");
        let mut answer = [0; 12];
        other.read_exact(&mut answer).await.expect("an answer");
        if &answer == b"HTTP/1.1 200" {
            return;
        }
    }
    panic!("the stuck connection keeps its place");
}

/// At the end a request under way is answered, an idle connection closed, and a hopeless one cut after the grace time.
#[tokio::test]
async fn closing() {
    let slow = Router::new()
        .route("/slow", axum::routing::get(|| async { sleep(Duration::from_millis(300)).await }))
        .route("/never", axum::routing::get(std::future::pending::<()>));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (close, closing) = oneshot::channel();
    let limits = ConnectionLimits { grace: Duration::from_millis(800), ..ConnectionLimits::default() };
    let serving = tokio::spawn(serve(listener, slow, limits, async { closing.await.unwrap_or_default() }));
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").into_bytes();
    let slow = tokio::spawn(async move { raw(address, &request("/slow")).await });
    let never = tokio::spawn(async move { raw(address, &request("/never")).await });
    let idle = tokio::spawn(async move { raw(address, b"").await });
    sleep(Duration::from_millis(100)).await;
    close.send(()).expect("still serving");
    assert!(slow.await.expect("an answer").starts_with("HTTP/1.1 200 "));
    assert_eq!(never.await.expect("cut"), "");
    assert_eq!(idle.await.expect("closed"), "");
    serving.await.expect("ended");
    assert!(TcpStream::connect(address).await.is_err());
}
