//! A TCP stream that knows two things its user cannot see through an HTTP connection: whether the system took any byte
//! of a request, and whether the other side has closed a connection that nobody is reading.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;

/// What the socket and the owner of its connection tell each other. They are never used at the same time.
#[derive(Debug, Default)]
pub(super) struct Wire {
    /// The system took at least one byte since this was last cleared.
    pub(super) written: AtomicBool,
    /// The next read is to ask the system and not only the reactor, which may not have heard of a close yet.
    pub(super) probing: AtomicBool,
}

/// The stream.
pub(super) struct Socket {
    stream: TokioIo<TcpStream>,
    wire: Arc<Wire>,
}

impl Socket {
    pub(super) fn new(stream: TokioIo<TcpStream>, wire: Arc<Wire>) -> Socket {
        Socket { stream, wire }
    }

    /// Looks without reading: nothing there is the good case.
    fn probe(&self) -> Poll<io::Result<()>> {
        let mut byte = [MaybeUninit::uninit(); 1];
        match SockRef::from(self.stream.inner()).peek(&mut byte) {
            Ok(0) => Poll::Ready(Ok(())),
            Ok(_) => Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "bytes that nobody asked for"))),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err(e) => Poll::Ready(Err(e)),
        }
    }

    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.wire.written.store(true, Ordering::Relaxed);
        }
        written
    }
}

impl Read for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_pending() && self.wire.probing.load(Ordering::Relaxed) { self.probe() } else { read }
    }
}

impl Write for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
