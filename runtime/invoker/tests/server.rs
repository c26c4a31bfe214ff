//! A server that does what a test says, byte for byte.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A listening server; gone when dropped.
pub(super) struct Server {
    /// `http://127.0.0.1:port`, `https://localhost:port`, or `http+unix://` and the path of the socket.
    pub(super) url: String,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Received {
    /// Request line and headers, with their line ends.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

/// One accepted connection.
pub(super) struct Peer {
    pub(super) stream: Box<dyn Io>,
    buffer: Vec<u8>,
}

/// A stream of whatever kind.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {
    fn tcp(&self) -> &TcpStream;
}

impl Io for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Io for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

impl Io for UnixStream {
    fn tcp(&self) -> &TcpStream {
        panic!("this is no TCP stream")
    }
}

impl Server {
    /// Serves each connection with the function, each in a task of its own.
    pub(super) async fn start<F>(serve: impl Fn(Peer) -> F + Send + 'static) -> Server
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Server::accepting("http://127.0.0.1", move |stream| serve(Peer::new(stream))).await
    }

    /// The same over TLS; a connection whose handshake fails is not served.
    pub(super) async fn start_tls<F>(
        config: Arc<ServerConfig>,
        serve: impl Fn(Peer) -> F + Send + Sync + 'static,
    ) -> Server
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (acceptor, serve) = (TlsAcceptor::from(config), Arc::new(serve));
        let accept = move |stream| {
            let (acceptor, serve) = (acceptor.clone(), Arc::clone(&serve));
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(Peer::new(stream)).await;
                }
            }
        };
        Server::accepting("https://localhost", accept).await
    }

    /// The same with a server that says nothing any more once a client has answered it in the handshake, as asyncio does when
    /// it does not like the client: no alert, only the end.
    pub(super) async fn start_tls_without_alerts(config: Arc<ServerConfig>) -> Server {
        let acceptor = TlsAcceptor::from(config);
        let accept = move |stream| {
            let acceptor = acceptor.clone();
            async move {
                let stream = Muted { stream, spoken: false, muted: false };
                assert!(acceptor.accept(stream).await.is_err(), "the client is refused");
            }
        };
        Server::accepting("https://localhost", accept).await
    }

    async fn accepting<F>(address: &str, serve: impl Fn(TcpStream) -> F + Send + 'static) -> Server
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("{address}:{}", listener.local_addr().expect("an address").port());
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Server { url, accepted, task }
    }

    /// The same on a Unix domain socket.
    pub(super) fn start_unix<F>(path: &std::path::Path, serve: impl Fn(Peer) -> F + Send + 'static) -> Server
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = UnixListener::bind(path).expect("a socket");
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(Peer::new(stream)));
            }
        });
        Server { url: format!("http+unix://{}", path.display()), accepted, task }
    }

    /// Answers every request of every connection with these bytes.
    pub(super) async fn answering(answer: impl Into<Vec<u8>>) -> Server {
        let answer: Arc<[u8]> = answer.into().into();
        Server::start(move |mut peer| {
            let answer = Arc::clone(&answer);
            async move {
                while peer.request().await.is_some() {
                    peer.write(&answer).await;
                }
            }
        })
        .await
    }

    /// Answers the first request of each connection with these bytes, then closes.
    pub(super) async fn answering_once(answer: impl Into<Vec<u8>>) -> Server {
        let answer: Arc<[u8]> = answer.into().into();
        Server::start(move |mut peer| {
            let answer = Arc::clone(&answer);
            async move {
                peer.request().await;
                peer.write(&answer).await;
            }
        })
        .await
    }

    /// Connections accepted so far.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// A stream on which nothing is written any more once the other side has answered what was written.
struct Muted {
    stream: TcpStream,
    spoken: bool,
    muted: bool,
}

impl AsyncRead for Muted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.muted |= self.spoken && read.is_ready();
        read
    }
}

impl AsyncWrite for Muted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.muted {
            return Poll::Ready(Ok(buf.len()));
        }
        self.spoken = true;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Peer {
    fn new(stream: impl Io + 'static) -> Peer {
        Peer { stream: Box::new(stream), buffer: Vec::new() }
    }

    /// Reads one request with a content length; `None` when the connection has ended.
    pub(super) async fn request(&mut self) -> Option<Received> {
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.buffer.drain(..end).collect()).expect("a head in ASCII");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().expect("a length"));
        while self.buffer.len() < length {
            self.more().await?;
        }
        Some(Received { head, body: self.buffer.drain(..length).collect() })
    }

    /// Writes bytes; a peer that has gone is no concern of a test's server.
    pub(super) async fn write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Waits until the other side has closed.
    pub(super) async fn closed(&mut self) {
        while self.more().await.is_some() {}
    }

    /// Reads until these bytes have come, and forgets everything up to them.
    pub(super) async fn until(&mut self, bytes: &[u8]) {
        loop {
            if let Some(at) = self.buffer.windows(bytes.len()).position(|w| w == bytes) {
                self.buffer.drain(..at + bytes.len());
                return;
            }
            if self.more().await.is_none() {
                return;
            }
        }
    }

    async fn more(&mut self) -> Option<()> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(1..) => Some(()),
            _ => None,
        }
    }
}

/// A success with this body.
pub(super) fn ok(body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// An answer with this status line, headers and body; the length is added.
pub(super) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}
