//! TLS to an endpoint: from its files to connections.
//!
//! In: [`TlsTarget`], and streams. Out: encrypted streams, or why there are none. Files are read when the invoker is made
//! and again when they change (`watch.rs`); a connection that is open keeps what it was opened with.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use rustls::client::ResolvesClientCert;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, ClientConfig, ClientConnection, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::CallError;
use super::socket::{Shown, Socket};
use super::trust::{Refusal, Trust};
use crate::credentials::{self, FILE_BYTES_MAX, IdentityFiles, Problem};

/// The application protocols that are offered when HTTP/2 is wished for; the server chooses.
const OFFERED: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What TLS to an endpoint needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsTarget {
    /// `trust_cacerts`: whom to trust, instead of the platform's authorities.
    pub trust_cacerts: Option<PathBuf>,
    /// What to show.
    pub client: Option<ClientFiles>,
    /// `verify_hostname` (ours): whether the certificate has to be for the host of the URL.
    pub verify_hostname: bool,
}

/// A client's certificate and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// `client_cert`.
    pub cert: PathBuf,
    /// `client_key`.
    pub key: PathBuf,
    /// `client_key_password`.
    pub key_password: Option<PathBuf>,
}

impl Default for TlsTarget {
    fn default() -> TlsTarget {
        TlsTarget { trust_cacerts: None, client: None, verify_hostname: true }
    }
}

impl TlsTarget {
    /// The files that it is made of.
    pub(super) fn files(&self) -> Vec<&Path> {
        let client = self.client.iter().flat_map(|it| [Some(&it.cert), Some(&it.key), it.key_password.as_ref()]);
        self.trust_cacerts.iter().chain(client.flatten()).map(PathBuf::as_path).collect()
    }
}

/// TLS of one endpoint.
#[derive(Debug)]
pub(super) struct Tls {
    target: TlsTarget,
    offers_http2: bool,
    now: RwLock<Now>,
}

/// What the files say now.
#[derive(Debug, Clone)]
struct Now {
    config: Arc<ClientConfig>,
    own: Arc<Own>,
}

impl Tls {
    /// Reads the files.
    pub(super) fn new(target: TlsTarget, offers_http2: bool) -> Result<Tls, String> {
        let now = RwLock::new(read_files(&target, offers_http2)?);
        Ok(Tls { target, offers_http2, now })
    }

    /// Reads the files again, for the connections to come. What cannot be used leaves everything as it was.
    pub(super) fn read_again(&self) -> Result<(), String> {
        let now = read_files(&self.target, self.offers_http2)?;
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(())
    }

    /// The handshake.
    pub(super) async fn connect(&self, host: &ServerName<'static>, socket: Socket) -> Result<Secured, CallError> {
        let Now { config, own } = self.now.read().unwrap_or_else(PoisonError::into_inner).clone();
        let before = own.times_asked.load(Ordering::Relaxed);
        let done = TlsConnector::from(config).connect(host.clone(), socket).await;
        // Others shake hands at the same time; a server that asks them asks us too.
        let asked = own.times_asked.load(Ordering::Relaxed) > before;
        let shown = asked.then_some(if own.key.is_some() { Shown::Ours } else { Shown::Nothing });
        let stream = done.map_err(|error| failed(error, shown))?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(OFFERED[0]);
        Ok(Secured { stream, http2, shown })
    }
}

/// A stream behind its handshake.
pub(super) struct Secured {
    pub(super) stream: TlsStream<Socket>,
    /// The server chose HTTP/2.
    pub(super) http2: bool,
    /// The server asked for a certificate, and this is what it got.
    pub(super) shown: Option<Shown>,
}

/// Our own certificate, if there is one, for servers that ask for it.
#[derive(Debug)]
struct Own {
    key: Option<Arc<CertifiedKey>>,
    times_asked: AtomicU64,
}

impl ResolvesClientCert for Own {
    fn resolve(&self, _authorities: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.times_asked.fetch_add(1, Ordering::Relaxed);
        self.key.clone()
    }

    fn has_certs(&self) -> bool {
        self.key.is_some()
    }
}

/// The first bytes of a client: what a server that speaks TLS answers in kind.
pub(super) fn hello(host: &str) -> Option<Vec<u8>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from(host.to_owned()).ok()?).ok()?;
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).ok()?;
    Some(bytes)
}

fn failed(error: io::Error, shown: Option<Shown>) -> CallError {
    let Some(tls) = tls_error(&error) else {
        return match shown {
            // TLS 1.2 judges a client's certificate within the handshake.
            Some(shown) => CallError::TurnedAway { shown, source: error.into() },
            None => CallError::Handshake(error),
        };
    };
    if let Some(refusal) = Refusal::of(tls) {
        return CallError::Certificate(refusal);
    }
    match tls {
        rustls::Error::InvalidMessage(_) => CallError::NotTls(error),
        _ => refused(tls).unwrap_or(CallError::Handshake(error)),
    }
}

/// The error of TLS in an error of a stream.
pub(super) fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// The other side does not like what we showed, or that we showed nothing.
pub(super) fn refused(error: &rustls::Error) -> Option<CallError> {
    use AlertDescription as Alert;
    match error {
        rustls::Error::AlertReceived(
            alert @ (Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::CertificateRequired),
        ) => Some(CallError::ClientRefused(format!("{alert:?}"))),
        _ => None,
    }
}

fn read_files(target: &TlsTarget, offers_http2: bool) -> Result<Now, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let trust = trust(target, provider.signature_verification_algorithms)?;
    let key = target.client.as_ref().map(identity).transpose()?.map(Arc::new);
    let own = Arc::new(Own { key, times_asked: AtomicU64::new(0) });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_client_cert_resolver(Arc::clone(&own) as Arc<dyn ResolvesClientCert>);
    if offers_http2 {
        config.alpn_protocols = OFFERED.map(<[u8]>::to_vec).to_vec();
    }
    Ok(Now { config: Arc::new(config), own })
}

fn trust(target: &TlsTarget, algorithms: WebPkiSupportedAlgorithms) -> Result<Trust, String> {
    let (roots, pinned, source) = match target.trust_cacerts.as_deref() {
        None => (platform()?, Vec::new(), "this machine".to_owned()),
        Some(path) => {
            let pinned = credentials::certificates(&read(path)?).map_err(|e| in_file(path, &e))?;
            let authorities = pinned.iter().filter(|it| credentials::is_authority(it)).cloned();
            (Arc::new(roots(authorities)), pinned, format!("`trust_cacerts` (`{}`)", path.display()))
        }
    };
    Ok(Trust { roots, pinned, source, verify_hostname: target.verify_hostname, algorithms })
}

/// Authorities, as far as rustls can use them as such.
fn roots(certificates: impl IntoIterator<Item = CertificateDer<'static>>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates);
    roots
}

/// The authorities of this machine, read once.
fn platform() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(Arc::clone(roots));
    }
    let found = rustls_native_certs::load_native_certs();
    let roots = roots(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or(String::new(), |e| format!(": {e}"));
        return Err(format!(
            "this machine has no list of authorities to trust{why}; install `ca-certificates`, or name a file with \
             `trust_cacerts`"
        ));
    }
    Ok(Arc::clone(ROOTS.get_or_init(|| Arc::new(roots))))
}

fn identity(files: &ClientFiles) -> Result<rustls::sign::CertifiedKey, String> {
    let cert = read(&files.cert)?;
    let key = read(&files.key)?;
    let key_password = files.key_password.as_deref().map(read).transpose()?;
    let parts = IdentityFiles { cert: &cert, key: &key, key_password: key_password.as_deref() };
    let identity = credentials::identity(parts).map_err(|problem| match &problem {
        Problem::Certificates(_) => in_file(&files.cert, &problem),
        Problem::Key(_) | Problem::OtherKey { .. } => in_file(&files.key, &problem),
    })?;
    Ok((*identity.certified_key).clone())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    credentials::file::read(path, FILE_BYTES_MAX).map_err(|e| in_file(path, &e))
}

fn in_file(path: &Path, problem: &dyn std::fmt::Display) -> String {
    format!("file `{}`: {problem}", path.display())
}
