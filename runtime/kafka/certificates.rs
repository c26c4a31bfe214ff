//! Whose certificate is the reason that TLS with a broker fails.
//!
//! In: what the client complained of. Out: what a look at the certificates shows beyond that. The client says of a broker's
//! certificate that it was not verified, and not why; and brokers say of a client's that it is "unknown", also when it is
//! over. So the file of our own certificate is looked into, and the broker is asked for its own once more.

use std::io;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::ClientConnection;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use super::Settings;
use crate::credentials::{FILE_BYTES_MAX, certificates, file, words};

/// How long a look at a broker's certificate may take.
const LOOK: Duration = Duration::from_secs(2);

impl Settings {
    /// The complaint, and what a look at the certificates adds to it. It may block for some seconds.
    pub(crate) fn explained(&self, complaint: String) -> String {
        let found = if complaint.contains("certificate could not be verified") {
            broker_in(&complaint).and_then(|(host, port)| self.broker(host, port))
        } else if complaint.contains("certificate") {
            // Brokers refuse with an alert about it.
            self.own()
        } else {
            None
        };
        match found {
            Some(found) => format!("{found} ({complaint})"),
            None => complaint,
        }
    }

    /// The certificate that a broker refused: it has expired, or the broker knows why not.
    fn own(&self) -> Option<String> {
        let (pem, place) = match (self.get("ssl.certificate.location"), self.get("ssl.certificate.pem")) {
            (Some(path), _) => (file::read(path.as_ref(), FILE_BYTES_MAX).ok()?, format!("in `{path}`")),
            (None, Some(pem)) => (pem.as_bytes().to_vec(), "of `ssl.keystore.certificate.chain`".to_owned()),
            (None, None) => return None,
        };
        let certificate = Certificate::from_der(certificates(&pem).ok()?.first()?).ok()?;
        let ended = certificate.tbs_certificate().validity().not_after.to_system_time();
        let (subject, issuer) = (words::subject(&certificate), words::issuer(&certificate));
        Some(match ended < SystemTime::now() {
            true => format!("the certificate {place}, {subject}, has expired: it ended {}", words::time(ended)),
            false => format!("the broker refuses the certificate {place}, {subject}, signed by {issuer}"),
        })
    }

    /// What is wrong with the certificate that a broker shows.
    fn broker(&self, host: &str, port: u16) -> Option<String> {
        let (mut roots, mut source) = (RootCertStore::empty(), "the platform".to_owned());
        let trusted = match (self.get("ssl.ca.location"), self.get("ssl.ca.pem")) {
            (Some(path), _) => {
                source = format!("`{path}`");
                certificates(&file::read(path.as_ref(), FILE_BYTES_MAX).ok()?).ok()?
            }
            (None, Some(pem)) => {
                source = "`ssl.truststore.certificates`".to_owned();
                certificates(pem.as_bytes()).ok()?
            }
            (None, None) => rustls_native_certs::load_native_certs().certs,
        };
        roots.add_parsable_certificates(trusted);
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .ok()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(host.to_owned()).ok()?;
        let mut connection = ClientConnection::new(Arc::new(config), name).ok()?;
        let address = (host, port).to_socket_addrs().ok()?.next()?;
        let mut stream = TcpStream::connect_timeout(&address, LOOK).ok()?;
        stream.set_read_timeout(Some(LOOK)).ok()?;
        stream.set_write_timeout(Some(LOOK)).ok()?;
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut stream) {
                return refusal(&error, host, &source);
            }
        }
        None
    }
}

/// Host and port of the broker that a complaint is about: `[thrd:ssl://host:9093/1]: ssl://host:9093/1: …`.
fn broker_in(complaint: &str) -> Option<(&str, u16)> {
    let (_, behind) = complaint.split_once("ssl://")?;
    let (host, port) = behind.split('/').next()?.rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?))
}

/// A refusal of a broker's certificate in words; `None` for a failure of another kind.
fn refusal(error: &io::Error, host: &str, source: &str) -> Option<String> {
    let rustls::Error::InvalidCertificate(why) = error.get_ref()?.downcast_ref::<rustls::Error>()? else { return None };
    let at = |time: &UnixTime| words::time(SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs()));
    Some(match why {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("the certificate of broker `{host}` has expired: it ended {}", at(not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("the certificate of broker `{host}` is not valid yet: it begins {}", at(not_before))
        }
        CertificateError::UnknownIssuer => {
            format!("the certificate of broker `{host}` is signed by no authority of {source}")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the certificate of broker `{host}` is for another host")
        }
        other => format!("the certificate of broker `{host}` is refused: {other}"),
    })
}
