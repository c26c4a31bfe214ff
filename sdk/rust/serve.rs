//! A server for those who need nothing but functions: HTTP/1.1 and HTTP/2, on TCP and unix sockets.

use std::future::{Future, IntoFuture};
use std::io;
use std::pin::Pin;
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::functions::Functions;

/// Serves functions until it is told to stop, if ever. Every path leads to them; which function is called is in the body.
///
/// HTTP/1.1 and HTTP/2 (with prior knowledge) are told apart by their first bytes.
///
/// ```no_run
/// # async fn main_() -> std::io::Result<()> {
/// # let functions = millpond_sdk::Functions::new();
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
/// millpond_sdk::serve(listener, functions).await
/// # }
/// ```
pub fn serve<L: Listener>(listener: L, functions: Functions) -> Serve<L> {
    Serve { listener, functions, grace: GRACE, shutdown: Box::pin(std::future::pending()) }
}

/// A server that is yet to be awaited: see [`serve`].
///
/// ```no_run
/// # async fn main_() -> std::io::Result<()> {
/// # let functions = millpond_sdk::Functions::new();
/// let listener = tokio::net::UnixListener::bind("/run/functions.sock")?;
/// millpond_sdk::serve(listener, functions)
///     .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap_or(()) })
///     .await
/// # }
/// ```
#[must_use = "a server serves when it is awaited"]
pub struct Serve<L> {
    listener: L,
    functions: Functions,
    grace: Duration,
    shutdown: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Calls that have begun get this long to end.
const GRACE: Duration = Duration::from_secs(30);

/// What serving waits after a connection that could not be accepted: the process may have no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

impl<L> Serve<L> {
    /// When the future is done, the server takes no more connections, lets calls that have begun end, and returns.
    ///
    /// ```no_run
    /// # async fn main_(listener: tokio::net::TcpListener, functions: millpond_sdk::Functions) -> std::io::Result<()> {
    /// let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    /// let server = millpond_sdk::serve(listener, functions).with_graceful_shutdown(async {
    ///     let _ = stopped.await;
    /// });
    /// # drop(stop);
    /// # server.await }
    /// ```
    pub fn with_graceful_shutdown(mut self, signal: impl Future<Output = ()> + Send + 'static) -> Serve<L> {
        self.shutdown = Box::pin(signal);
        self
    }

    /// How long calls that have begun may take to end, once the server is told to stop; then they are cut off. The
    /// runtime sends again what was cut off. Default 30 s.
    ///
    /// ```no_run
    /// # async fn main_(listener: tokio::net::TcpListener, functions: millpond_sdk::Functions) -> std::io::Result<()> {
    /// millpond_sdk::serve(listener, functions).grace(std::time::Duration::from_secs(5)).await
    /// # }
    /// ```
    pub fn grace(mut self, time: Duration) -> Serve<L> {
        self.grace = time;
        self
    }
}

impl<L: Listener> Serve<L> {
    async fn run(self) -> io::Result<()> {
        let mut server = auto::Builder::new(TokioExecutor::new());
        server.http1().timer(TokioTimer::new());
        server.http2().timer(TokioTimer::new());
        let open = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut shutdown = self.shutdown;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                () = &mut shutdown => break,
            };
            let stream = match accepted {
                Ok(stream) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let connection = server.serve_connection(TokioIo::new(stream), self.functions.clone()).into_owned();
            let connection = open.watch(connection);
            connections.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(error, "a connection broke");
                }
            });
        }
        drop(self.listener);
        // What is left of `connections` behind this ends with the set.
        if tokio::time::timeout(self.grace, open.shutdown()).await.is_err() {
            tracing::warn!(grace_s = self.grace.as_secs(), "calls did not end in time");
        }
        Ok(())
    }
}

impl<L: Listener> IntoFuture for Serve<L> {
    type Output = io::Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

/// What [`serve`] listens on: tokio's `TcpListener` and `UnixListener`.
///
/// ```
/// fn any(_: impl millpond_sdk::Listener) {}
/// # #[allow(unused)]
/// fn tcp(listener: tokio::net::TcpListener) {
///     any(listener);
/// }
/// ```
pub trait Listener: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// The next connection.
    ///
    /// # Errors
    /// When it could not be accepted; the next one may be.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

impl Listener for TcpListener {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<TcpStream> {
        let (stream, _) = TcpListener::accept(self).await?;
        // An answer is small, and nothing follows it. It fails for a client that is gone already, which serving will see.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

#[cfg(unix)]
impl Listener for tokio::net::UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn accept(&self) -> io::Result<tokio::net::UnixStream> {
        Ok(tokio::net::UnixListener::accept(self).await?.0)
    }
}
