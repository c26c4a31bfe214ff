//! A private key from PEM.

use std::sync::Arc;

use pem::Pem;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};
use rustls::sign::SigningKey;

use super::key_encryption::{self, SchemeProblem};

/// Why no key can be read from a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyProblem {
    /// It is not PEM, or damaged.
    #[error("it is not PEM: {0}")]
    Pem(String),
    /// There is no `-----BEGIN PRIVATE KEY-----` or `-----BEGIN ENCRYPTED PRIVATE KEY-----`.
    #[error("there is no private key in it{}", super::found(.0))]
    None(Vec<String>),
    /// Encrypted the way of OpenSSL before PKCS#8.
    #[error("it is encrypted in OpenSSL's own format, not in PKCS#8")]
    Traditional,
    /// Encrypted, and there is no `client_key_password`.
    #[error("it is encrypted, and there is no password")]
    NoPassword,
    /// The password does not open it.
    #[error("the password does not open it")]
    WrongPassword {
        /// The file of the password ends in a line break, and without that the password is right.
        line_break: bool,
    },
    /// The scheme that it is encrypted with cannot be undone.
    #[error(transparent)]
    Scheme(SchemeProblem),
    /// A key of a kind that cannot sign here.
    #[error("it is no RSA key of 2048 to 4096 bits, and no P-256, P-384 or Ed25519 key")]
    Kind,
}

/// The first key of a PEM file.
pub(super) fn read(pem: &[u8], password: Option<&[u8]>) -> Result<Arc<dyn SigningKey>, KeyProblem> {
    let sections = pem::parse_many(pem).map_err(|e| KeyProblem::Pem(e.to_string()))?;
    let Some(section) = sections.iter().find(|it| it.tag().ends_with("PRIVATE KEY")) else {
        return Err(KeyProblem::None(sections.iter().map(|it| it.tag().to_owned()).collect()));
    };
    if section.headers().get("Proc-Type").is_some_and(|value| value.contains("ENCRYPTED")) {
        return Err(KeyProblem::Traditional);
    }
    let key = der(section, password)?;
    rustls::crypto::ring::sign::any_supported_type(&key).map_err(|_| KeyProblem::Kind)
}

fn der(section: &Pem, password: Option<&[u8]>) -> Result<PrivateKeyDer<'static>, KeyProblem> {
    let contents = || section.contents().to_vec();
    Ok(match section.tag() {
        "RSA PRIVATE KEY" => PrivatePkcs1KeyDer::from(contents()).into(),
        "EC PRIVATE KEY" => PrivateSec1KeyDer::from(contents()).into(),
        "ENCRYPTED PRIVATE KEY" => {
            let password = password.ok_or(KeyProblem::NoPassword)?;
            PrivatePkcs8KeyDer::from(open(section.contents(), password)?).into()
        }
        _ => PrivatePkcs8KeyDer::from(contents()).into(),
    })
}

fn open(sealed: &[u8], password: &[u8]) -> Result<Vec<u8>, KeyProblem> {
    if let Some(key) = key_encryption::open(sealed, password).map_err(KeyProblem::Scheme)? {
        return Ok(key);
    }
    // Upstream uses the file as it is, so this password is wrong there too; but here the reason can be said.
    let trimmed = password.trim_ascii_end();
    let line_break = trimmed != password && matches!(key_encryption::open(sealed, trimmed), Ok(Some(_)));
    Err(KeyProblem::WrongPassword { line_break })
}
