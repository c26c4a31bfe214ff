//! Judges the certificate of an endpoint.
//!
//! In: the certificates that a server shows, the host of the URL, the authorities to trust. Out: trust, or [`Refusal`] in
//! words that say what to change. Paths of certificates are rustls's business. Two things are added: a certificate that is
//! itself in `trust_cacerts` is trusted, as the JDK does it (also of version 1, or one that is its own authority: what
//! people make by hand), and the name can be left unchecked, as upstream does.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use x509_cert::der::{Decode, Encode};
use x509_cert::{Certificate, Version};

use crate::credentials::words;

/// Whom an endpoint's connections trust.
#[derive(Debug)]
pub(super) struct Trust {
    /// Authorities.
    pub(super) roots: Arc<RootCertStore>,
    /// The certificates of `trust_cacerts`, each of which is also trusted as that of a server.
    pub(super) pinned: Vec<CertificateDer<'static>>,
    /// Where they are from: a file, or the platform.
    pub(super) source: String,
    /// `verify_hostname`.
    pub(super) verify_hostname: bool,
    /// What signatures are verified with.
    pub(super) algorithms: WebPkiSupportedAlgorithms,
}

/// Why the certificate of a server is not trusted.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the endpoint's certificate, {subject}, is signed by {issuer}, and {authorities} has no such authority")]
    Untrusted { subject: String, issuer: String, authorities: String },
    #[error("the endpoint's certificate, {subject}, is valid no longer: it ended {ended}")]
    Expired { subject: String, ended: String },
    #[error("the endpoint's certificate, {subject}, is valid at no time: it ends {ends}, before it begins {begins}")]
    Never { subject: String, begins: String, ends: String },
    #[error("the endpoint's certificate, {subject}, is not valid yet: it begins {begins}; are the clocks right?")]
    NotYet { subject: String, begins: String },
    #[error("the endpoint's certificate, {subject}, is not for host `{host}`, only for {names}")]
    OtherHost { subject: String, host: String, names: String },
    #[error("the endpoint's certificate, {subject}, cannot be used: {why}")]
    Unusable { subject: String, why: String },
    #[error("the endpoint does not have the key of the certificate that it shows")]
    NoKey,
}

impl Refusal {
    /// For rustls, which hands it on.
    fn into_error(self) -> rustls::Error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(self))))
    }

    /// The refusal in an error of rustls.
    pub(super) fn of(error: &rustls::Error) -> Option<Refusal> {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(error))) => {
                error.downcast_ref::<Refusal>().cloned()
            }
            // Certificates are judged above; this is the proof of having the key.
            rustls::Error::InvalidCertificate(CertificateError::BadSignature) => Some(Refusal::NoKey),
            rustls::Error::InvalidCertificate(other) => {
                Some(Refusal::Unusable { subject: "of a server".to_owned(), why: other.to_string() })
            }
            _ => None,
        }
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.pinned.iter().any(|it| it == end_entity) {
            self.check_pinned(end_entity, server_name, now).map_err(Refusal::into_error)?;
        } else {
            self.check_path(end_entity, intermediates, server_name, now)
                .map_err(|e| self.refusal(e, end_entity, server_name).into_error())?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match ParsedCertificate::try_from(cert) {
            Ok(_) => verify_tls12_signature(message, cert, dss, &self.algorithms),
            Err(e) => self.verify_with_key_of(cert, message, dss, usize::MAX, e),
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        match ParsedCertificate::try_from(cert) {
            Ok(_) => verify_tls13_signature(message, cert, dss, &self.algorithms),
            // TLS 1.3 fixes the kind of key with the scheme: the first of the list.
            Err(e) => self.verify_with_key_of(cert, message, dss, 1, e),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl Trust {
    fn check_path(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        if self.verify_hostname { verify_server_name(&parsed, server_name) } else { Ok(()) }
    }

    /// A certificate that the module file names itself: nobody has to sign it.
    fn check_pinned(&self, der: &CertificateDer<'_>, host: &ServerName<'_>, now: UnixTime) -> Result<(), Refusal> {
        let certificate = Certificate::from_der(der)
            .map_err(|e| Refusal::Unusable { subject: "of `trust_cacerts`".to_owned(), why: e.to_string() })?;
        let subject = words::subject(&certificate);
        if let Some(never) = never(&certificate) {
            return Err(never);
        }
        let validity = certificate.tbs_certificate().validity();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now.as_secs());
        let (begins, ends) = (validity.not_before.to_system_time(), validity.not_after.to_system_time());
        if now > ends {
            return Err(Refusal::Expired { subject, ended: words::time(ends) });
        }
        if now < begins {
            return Err(Refusal::NotYet { subject, begins: words::time(begins) });
        }
        if self.verify_hostname && !is_for(&certificate, der, host) {
            return Err(other_host(&certificate, host));
        }
        Ok(())
    }

    fn refusal(&self, error: rustls::Error, der: &CertificateDer<'_>, host: &ServerName<'_>) -> Refusal {
        let certificate = Certificate::from_der(der).ok();
        let subject = certificate.as_ref().map_or_else(|| "without a readable name".to_owned(), words::subject);
        let rustls::Error::InvalidCertificate(error) = error else {
            return Refusal::Unusable { subject, why: error.to_string() };
        };
        if certificate.as_ref().is_some_and(|it| it.tbs_certificate().version() != Version::V3) {
            let why = "it is not of version 3; such a one has to stand itself in `trust_cacerts`".to_owned();
            return Refusal::Unusable { subject, why };
        }
        if let Some(never) = certificate.as_ref().and_then(never) {
            return never;
        }
        let at = |time: UnixTime| words::time(SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs()));
        match (error, certificate) {
            (CertificateError::ExpiredContext { not_after, .. }, _) => {
                Refusal::Expired { subject, ended: at(not_after) }
            }
            (CertificateError::NotValidYetContext { not_before, .. }, _) => {
                Refusal::NotYet { subject, begins: at(not_before) }
            }
            (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }, Some(it)) => {
                other_host(&it, host)
            }
            (CertificateError::UnknownIssuer, Some(it)) => {
                let authorities = self.source.clone();
                Refusal::Untrusted { subject, issuer: words::issuer(&it), authorities }
            }
            (error, _) => Refusal::Unusable { subject, why: error.to_string() },
        }
    }

    /// Verifies with the key of a certificate that rustls does not read, of version 1. Only a pinned one gets here.
    fn verify_with_key_of(
        &self,
        cert: &CertificateDer<'_>,
        message: &[u8],
        dss: &DigitallySignedStruct,
        candidates: usize,
        unreadable: rustls::Error,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let Ok(certificate) = Certificate::from_der(cert) else { return Err(unreadable) };
        let key = certificate.tbs_certificate().subject_public_key_info();
        let Ok(algorithm) = key.algorithm.to_der() else { return Err(unreadable) };
        // rustls leaves out the head of the sequence, which is short: tag and one byte of length.
        let algorithm = algorithm.get(2..).unwrap_or_default();
        let schemes = self.algorithms.mapping.iter().find(|(scheme, _)| *scheme == dss.scheme);
        let fits = |it: &&&'static dyn SignatureVerificationAlgorithm| it.public_key_alg_id().as_ref() == algorithm;
        let verifier = schemes.and_then(|(_, verifiers)| verifiers.iter().take(candidates).find(fits));
        let bad = || rustls::Error::InvalidCertificate(CertificateError::BadSignature);
        let verifier = verifier.ok_or_else(bad)?;
        verifier.verify_signature(key.subject_public_key.raw_bytes(), message, dss.signature()).map_err(|_| bad())?;
        Ok(HandshakeSignatureValid::assertion())
    }
}

/// A certificate that ends before it begins: whoever made it mixed up its times.
fn never(certificate: &Certificate) -> Option<Refusal> {
    let validity = certificate.tbs_certificate().validity();
    let (begins, ends) = (validity.not_before.to_system_time(), validity.not_after.to_system_time());
    let times = || (words::subject(certificate), words::time(begins), words::time(ends));
    (ends < begins).then(times).map(|(subject, begins, ends)| Refusal::Never { subject, begins, ends })
}

/// Names as rustls compares them; a common name counts where there are no others, which rustls does not do, because such
/// certificates are made by hand.
fn is_for(certificate: &Certificate, der: &CertificateDer<'_>, host: &ServerName<'_>) -> bool {
    if words::alternative_names(certificate).is_none() {
        return words::common_name(certificate).is_some_and(|it| it.eq_ignore_ascii_case(&host.to_str()));
    }
    ParsedCertificate::try_from(der).and_then(|parsed| verify_server_name(&parsed, host)).is_ok()
}

fn other_host(certificate: &Certificate, host: &ServerName<'_>) -> Refusal {
    let names = match words::alternative_names(certificate) {
        Some(names) if !names.is_empty() => names.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", "),
        _ => "its subject: it has no alternative names".to_owned(),
    };
    Refusal::OtherHost { subject: words::subject(certificate), host: host.to_str().into_owned(), names }
}
