//! Accepts connections and serves HTTP/1.1 on them, within limits.
//!
//! What comes in: a bound listener, a service and the moment to end. What goes out: served connections. A connection past
//! the limit is told so with a 503 and closed; it is never left waiting behind those that are slow on purpose.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::{debug, error, warn};

use super::complaint::{Complaint, Complaints};
use super::connection::Connection;

/// Limits on the connections of one listener.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Open connections. Default 512; one more is told 503.
    pub connections: usize,
    /// Time to send a request's line and headers, and to stay idle between two requests. Default 60 s.
    pub header: Duration,
    /// Time for which one write of an answer may wait for the client to read. Default 30 s.
    pub write: Duration,
    /// Bytes of a request's line and headers together. Default 64 KiB.
    pub header_bytes: usize,
    /// Time that connections are given to finish their request once the listener closes. Default 5 s.
    pub grace: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            connections: 512,
            header: Duration::from_secs(60),
            write: Duration::from_secs(30),
            header_bytes: 64 << 10,
            grace: Duration::from_secs(5),
        }
    }
}

/// Connections that the system completes before they are accepted. When a burst is longer, clients try again after a
/// second, so it is well above what arrives between two looks at the listener. The system may have a lower limit.
const BACKLOG: u32 = 1024;

/// Listens at an address.
///
/// # Errors
/// When the address cannot be had.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A restart need not wait until the connections of the process before it are forgotten.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `closing` is done; then takes no more connections, lets requests under way finish, and returns.
pub async fn serve(
    listener: TcpListener,
    service: Router,
    limits: ConnectionLimits,
    closing: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(limits.connections));
    let refusals = Arc::new(Semaphore::new(REFUSALS_MAX));
    let (close, closed) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut closing = std::pin::pin!(closing);
    let mut complaint = Complaint::default();
    let panics = Complaints::default();
    loop {
        tokio::select! {
            () = &mut closing => break,
            Some(ended) = connections.join_next(), if !connections.is_empty() => report_panic(ended, &panics),
            accepted = listener.accept() => {
                let Some(stream) = usable(accepted, &mut complaint).await else { continue };
                if let Ok(slot) = slots.clone().try_acquire_owned() {
                    let connection = connection(stream, service.clone(), limits.clone(), closed.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(slot);
                    });
                } else if let Ok(slot) = refusals.clone().try_acquire_owned() {
                    connections.spawn(async move {
                        let _ = timeout(REFUSAL_PATIENCE, refuse(stream)).await;
                        drop(slot);
                    });
                }
            }
        }
    }
    drop(listener);
    close.send_replace(true);
    let drain = async {
        while let Some(ended) = connections.join_next().await {
            report_panic(ended, &panics);
        }
    };
    if timeout(limits.grace, drain).await.is_err() {
        debug!("connections cut, their requests did not end in time");
    }
}

/// Connections past the limit that are being told so at one time; more are dropped without a word.
const REFUSALS_MAX: usize = 32;
/// Time to tell a connection past the limit.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(1);

async fn usable(accepted: io::Result<(TcpStream, SocketAddr)>, complaint: &mut Complaint) -> Option<TcpStream> {
    match accepted {
        Ok((stream, _)) => {
            let _ = stream.set_nodelay(true);
            Some(stream)
        }
        Err(error) => {
            // A client that left before it was accepted is its own affair; everything else (no more file descriptors)
            // mends itself with time or not at all.
            if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
                if let Some(suppressed) = complaint.due(Instant::now()) {
                    warn!(%error, suppressed, "connection not accepted");
                }
                sleep(Duration::from_millis(100)).await;
            }
            None
        }
    }
}

async fn connection(stream: TcpStream, service: Router, limits: ConnectionLimits, mut closed: watch::Receiver<bool>) {
    let io = TokioIo::new(Connection::new(stream, limits.write));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(limits.header_bytes.max(HEADER_BYTES_MIN))
        .serve_connection(io, TowerToHyperService::new(service));
    let mut connection = std::pin::pin!(connection);
    let closing = async move {
        let _ = closed.wait_for(|closed| *closed).await;
    };
    let served = tokio::select! {
        served = connection.as_mut() => Some(served),
        () = closing => None,
    };
    let served = match served {
        Some(served) => served,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        debug!(%error, "connection ended");
    }
}

/// The smallest buffer that the HTTP implementation works with.
const HEADER_BYTES_MIN: usize = 8192;

/// Says 503 without reading the request, then waits for the client to have read that.
async fn refuse(mut stream: TcpStream) -> io::Result<()> {
    let body =
        "{\"code\":\"MP1013\",\"error\":\"too many connections are open\",\"hint\":\"close some, or try again\"}\n";
    let head = "HTTP/1.1 503 Service Unavailable\r\nstatus: 503\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n";
    stream.write_all(format!("{head}content-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await?;
    stream.shutdown().await?;
    let mut unread = [0; 4096];
    while stream.read(&mut unread).await? > 0 {}
    Ok(())
}

fn report_panic(ended: Result<(), tokio::task::JoinError>, panics: &Complaints) {
    if let Err(error) = ended
        && error.is_panic()
        && let Some(suppressed) = panics.due()
    {
        error!(%error, suppressed, "request handler panicked, please report this");
    }
}
