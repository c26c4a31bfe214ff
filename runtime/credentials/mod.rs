//! Certificates, keys and header values, from the bytes of their files.
//!
//! In: what `trust_cacerts`, `client_cert`, `client_key`, `client_key_password` and the headers of an endpoint name. Out:
//! certificates to trust, an [`Identity`] to show, the value of a header, all checked, or what is wrong with which of them.
//! Nothing here opens a connection: `config` uses it to refuse a module, the invoker to build its connections.
//!
//! Upstream reads these files with the JDK. What it takes is taken here: PKCS#8 keys plain and encrypted, also with the
//! schemes of old (`key_encryption.rs`), and certificates of version 1. PKCS#1 and SEC 1 keys are taken too.

pub mod file;
pub mod header;
mod key;
mod key_encryption;
pub mod words;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::sign::CertifiedKey;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::{Certificate, Version};

pub use key::KeyProblem;
pub use key_encryption::SchemeProblem;

/// Bytes that a file of certificates or a key may have. The largest bundles of authorities are a tenth of it.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// What a client shows to a server: its certificate, the ones above it, and the key that belongs to the first.
#[derive(Debug, Clone)]
pub struct Identity {
    /// For rustls.
    pub certified_key: Arc<CertifiedKey>,
    /// From when the certificate is valid.
    pub not_before: SystemTime,
    /// Until when.
    pub not_after: SystemTime,
}

/// The files that an identity is made of.
#[derive(Debug, Clone, Copy)]
pub struct IdentityFiles<'a> {
    /// `client_cert`: PEM, the client's own certificate first.
    pub cert: &'a [u8],
    /// `client_key`: PEM.
    pub key: &'a [u8],
    /// `client_key_password`, untrimmed.
    pub key_password: Option<&'a [u8]>,
}

/// What is wrong with one of the files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The file of certificates cannot be used.
    #[error(transparent)]
    Certificates(CertificatesProblem),
    /// The file of the key cannot be used, with the password if there is one.
    #[error(transparent)]
    Key(KeyProblem),
    /// Both can be used, and do not belong together.
    #[error("the key does not belong to the certificate of {subject}")]
    OtherKey {
        /// Whose certificate it is.
        subject: String,
    },
}

/// Why no certificates can be read from a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificatesProblem {
    /// It is not PEM, or damaged.
    #[error("it is not PEM: {0}")]
    Pem(String),
    /// There is no `-----BEGIN CERTIFICATE-----`.
    #[error("there is no certificate in it{}", found(.0))]
    None(Vec<String>),
    /// One cannot be decoded.
    #[error("certificate {at} in it cannot be decoded: {why}")]
    Damaged {
        /// Which one, counted from 1.
        at: usize,
        /// What the decoder says.
        why: String,
    },
}

/// `, only X and Y`: what is there instead.
fn found(labels: &[String]) -> String {
    match labels {
        [] => String::new(),
        labels => format!(", only {}", labels.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")),
    }
}

/// All certificates of a PEM file, in their order; at least one.
///
/// # Errors
/// [`CertificatesProblem`] when there is none, or one that cannot be decoded.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificatesProblem> {
    let sections = pem::parse_many(pem).map_err(|e| CertificatesProblem::Pem(e.to_string()))?;
    let (certificates, others): (Vec<_>, Vec<_>) =
        sections.into_iter().partition(|it| ["CERTIFICATE", "X509 CERTIFICATE"].contains(&it.tag()));
    if certificates.is_empty() {
        return Err(CertificatesProblem::None(others.iter().map(|it| it.tag().to_owned()).collect()));
    }
    for (at, section) in certificates.iter().enumerate() {
        Certificate::from_der(section.contents())
            .map_err(|e| CertificatesProblem::Damaged { at: at + 1, why: e.to_string() })?;
    }
    Ok(certificates.into_iter().map(|it| CertificateDer::from(it.into_contents())).collect())
}

/// Whether a certificate may sign others: otherwise whoever has one that we trust as a server's could make more of them.
/// One of version 1 does not say, and may, as the JDK sees it.
pub fn is_authority(der: &CertificateDer<'_>) -> bool {
    let Ok(certificate) = Certificate::from_der(der) else { return false };
    let tbs = certificate.tbs_certificate();
    let constraints = tbs.get_extension::<BasicConstraints>().ok().flatten();
    tbs.version() != Version::V3 || constraints.is_some_and(|(_, constraints)| constraints.ca)
}

/// A client's certificate with its key.
///
/// # Errors
/// [`Problem`] when a file cannot be used, or when the two do not belong together.
pub fn identity(files: IdentityFiles<'_>) -> Result<Identity, Problem> {
    let chain = certificates(files.cert).map_err(Problem::Certificates)?;
    let key = key::read(files.key, files.key_password).map_err(Problem::Key)?;
    let damaged =
        |e: x509_cert::der::Error| Problem::Certificates(CertificatesProblem::Damaged { at: 1, why: e.to_string() });
    let certificate = Certificate::from_der(&chain[0]).map_err(damaged)?;
    let tbs = certificate.tbs_certificate();
    // Compared here and not by rustls, which does not read certificates of version 1.
    let public = tbs.subject_public_key_info().to_der().map_err(damaged)?;
    if key.public_key().is_some_and(|of_key| of_key.as_ref() != public) {
        return Err(Problem::OtherKey { subject: words::subject(&certificate) });
    }
    let validity = tbs.validity();
    let (not_before, not_after) = (validity.not_before.to_system_time(), validity.not_after.to_system_time());
    Ok(Identity { certified_key: Arc::new(CertifiedKey::new(chain, key)), not_before, not_after })
}
