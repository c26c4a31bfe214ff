//! The bytes of a connection: TCP or a Unix socket, and TLS on top of it where the URL asks for that.
//!
//! [`Socket`] knows things that its user cannot see through an HTTP connection: whether the system took any byte of a
//! request, whether any came back and what the first ones were, when bytes moved last, and whether the other side has closed a
//! connection that nobody is reading. It lies under TLS, because only what the system took can have been seen by the other side.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

/// What the socket and the owner of its connection tell each other. Over HTTP/1.1 they are never used at the same time.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// The system took at least one byte since this was last cleared.
    pub(super) written: AtomicBool,
    /// At least one byte came since this was last cleared.
    pub(super) read: AtomicBool,
    /// The first two bytes that ever came, behind a one; 0 before them.
    first: AtomicU32,
    /// The other side asked for a certificate of ours in the handshake, and whether there was one.
    pub(super) asked: OnceLock<Shown>,
    /// The next read is to ask the system and not only the reactor, which may not have heard of a close yet.
    pub(super) probing: AtomicBool,
    /// The last write found no room.
    blocked: AtomicBool,
    /// Where the clock below begins; `None` where nobody asks when bytes moved.
    born: Option<Instant>,
    /// When bytes moved last, in microseconds since then.
    moved_us: AtomicU64,
}

/// What was shown to a server that asked for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// Ours.
    Ours,
    /// None: there is none.
    Nothing,
}

impl Wire {
    /// With a clock, if pauses are limited.
    pub(super) fn new(timed: bool) -> Wire {
        Wire { born: timed.then(Instant::now), ..Wire::default() }
    }

    /// Counts pauses from now on.
    pub(super) fn touch(&self) {
        if let Some(born) = self.born {
            let us = u64::try_from(born.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.moved_us.store(us, Ordering::Relaxed);
        }
    }

    /// Whether a byte came since the last time that was forgotten.
    pub(super) fn has_read(&self) -> bool {
        self.read.load(Ordering::Relaxed)
    }

    /// Whether what came first is how a record of TLS begins.
    pub(super) fn begins_as_tls(&self) -> bool {
        let [_, one, first, second] = self.first.load(Ordering::Relaxed).to_be_bytes();
        one == 1 && is_tls([first, second])
    }

    fn note_read(&self, bytes: &[u8]) {
        self.read.store(true, Ordering::Relaxed);
        if let [first, second, ..] = *bytes
            && self.first.load(Ordering::Relaxed) == 0
        {
            self.first.store(u32::from_be_bytes([0, 1, first, second]), Ordering::Relaxed);
        }
        self.touch();
    }

    /// How long no byte has moved, and whether that is because there is no room to write.
    pub(super) fn pause(&self) -> (Duration, bool) {
        let moved = Duration::from_micros(self.moved_us.load(Ordering::Relaxed));
        let pause = self.born.map_or(Duration::ZERO, |born| born.elapsed().saturating_sub(moved));
        (pause, self.blocked.load(Ordering::Relaxed))
    }
}

/// How records of TLS begin: an alert or a part of a handshake, and the version, 3 for all of them.
pub(super) fn is_tls(first: [u8; 2]) -> bool {
    matches!(first, [0x15 | 0x16, 3])
}

/// What the system gives.
pub(super) enum Raw {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection to a Unix domain socket.
    Unix(UnixStream),
}

/// A stream of the system that is watched.
pub(super) struct Socket {
    raw: Raw,
    wire: Arc<Wire>,
}

/// What HTTP is spoken over.
pub(super) enum Stream {
    /// As it is.
    Plain(Socket),
    /// Encrypted.
    Tls(Box<TlsStream<Socket>>),
}

impl Socket {
    pub(super) fn new(raw: Raw, wire: Arc<Wire>) -> Socket {
        Socket { raw, wire }
    }

    /// Looks without reading: nothing there is the good case.
    fn probe(&self) -> Poll<io::Result<()>> {
        let mut byte = [MaybeUninit::uninit(); 1];
        let peeked = match &self.raw {
            Raw::Tcp(stream) => SockRef::from(stream).peek(&mut byte),
            Raw::Unix(stream) => SockRef::from(stream).peek(&mut byte),
        };
        match peeked {
            Ok(0) => Poll::Ready(Ok(())),
            Ok(_) => Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "bytes that nobody asked for"))),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(e) => Poll::Ready(Err(e)),
        }
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.wire.written.store(true, Ordering::Relaxed);
            self.wire.touch();
        }
        self.wire.blocked.store(written.is_pending(), Ordering::Relaxed);
        written
    }
}

/// Polls whichever stream of the system it is.
macro_rules! raw {
    ($socket:expr, $stream:ident => $call:expr) => {
        match &mut $socket.raw {
            Raw::Tcp(it) => {
                let $stream = Pin::new(it);
                $call
            }
            Raw::Unix(it) => {
                let $stream = Pin::new(it);
                $call
            }
        }
    };
}

/// Polls the socket, or TLS on top of it.
macro_rules! either {
    ($either:expr, $stream:ident => $call:expr) => {
        match &mut *$either {
            Stream::Plain(it) => {
                let $stream = Pin::new(it);
                $call
            }
            Stream::Tls(it) => {
                let $stream = Pin::new(&mut **it);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = raw!(self, stream => stream.poll_read(cx, buf));
        if read.is_pending() && self.wire.probing.load(Ordering::Relaxed) {
            return self.probe();
        }
        if buf.filled().len() > before {
            self.wire.note_read(&buf.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = raw!(self, stream => stream.poll_write(cx, buf));
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = raw!(self, stream => stream.poll_write_vectored(cx, bufs));
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        raw!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        raw!(self, stream => stream.poll_shutdown(cx))
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Stream::Plain(stream) => stream.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}
