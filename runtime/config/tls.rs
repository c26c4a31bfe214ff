//! The TLS properties of the async transport, and the files that they name.
//!
//! In: the fields of `spec.transport`. Out: [`Tls`]. Upstream opens the files when a function gets its first message; here
//! they are read at start, so that one that cannot be used is said with its line before anything runs. A module may be
//! checked on another machine than the one that runs it: a file that is not there is an error for `run` alone.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::diagnostic::{Diagnostic, Reported};
use super::fields::{Context, Fields};
use super::resource;
use super::source::Place;
use super::transport::boolean;
use crate::credentials::{
    self, CertificatesProblem, FILE_BYTES_MAX, Identity, IdentityFiles, KeyProblem, Problem, SchemeProblem, words,
};
use crate::errors;

/// What TLS needs, all optional.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Property `trust_cacerts`: PEM bundle of the authorities to trust, in place of those of the platform. A certificate
    /// in it is also trusted as that of a server.
    pub trust_cacerts: Option<PathBuf>,
    /// What to present to the function, for mutual TLS.
    pub client: Option<ClientCertificate>,
    /// Property `verify_hostname` (ours): whether the certificate has to be for the host of the URL. Default true; upstream
    /// does not compare them.
    pub verify_hostname: bool,
}

/// A client certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Property `client_cert`: PEM certificate chain.
    pub cert: PathBuf,
    /// Property `client_key`: PKCS#8 key as PEM.
    pub key: PathBuf,
    /// Property `client_key_password`: a file that holds the password of the key; its content is used untrimmed.
    pub key_password: Option<PathBuf>,
}

impl Default for Tls {
    fn default() -> Tls {
        Tls { trust_cacerts: None, client: None, verify_hostname: true }
    }
}

/// A file that the module names.
struct Named {
    field: &'static str,
    path: PathBuf,
    place: Place,
    /// `None` when it is not there, and that is no error.
    content: Option<Vec<u8>>,
}

/// Reads the properties. On a URL without TLS none of them is used, here and upstream, so that nothing is wrong with them.
pub(crate) fn read(fields: &mut Fields<'_>, uses_tls: bool, cx: &mut Context<'_>) -> Result<Tls, Reported> {
    let verify_hostname = boolean(fields, "verify_hostname", cx);
    if !uses_tls {
        return unused(fields, verify_hostname?, cx);
    }
    let trust_cacerts = named(fields, "trust_cacerts", cx);
    let cert = named(fields, "client_cert", cx);
    let key = named(fields, "client_key", cx);
    let key_password = named(fields, "client_key_password", cx);
    let client = match (cert?, key?) {
        (Some(cert), Some(key)) => {
            let key_password = key_password?;
            check_identity(&cert, &key, key_password.as_ref(), cx)?;
            let key_password = key_password.map(|it| it.path);
            Some(ClientCertificate { cert: cert.path, key: key.path, key_password })
        }
        (None, None) => None,
        (cert, _) => {
            let (given, missing) =
                if cert.is_some() { ("client_cert", "client_key") } else { ("client_key", "client_cert") };
            let fact = format!("`{given}` is given without `{missing}`");
            let place = fields.key_place(given, cx).unwrap_or_else(|| fields.place());
            let hint = "mutual TLS needs both the certificate and its key; without it, leave both out";
            return Err(cx.add(Diagnostic::error(errors::MP0055, fact).at(place, "").hint(hint)));
        }
    };
    let trust_cacerts = trust_cacerts?;
    if let Some((file, content)) = trust_cacerts.as_ref().and_then(|it| Some((it, it.content.as_ref()?))) {
        credentials::certificates(content).map_err(|problem| unusable_certificates(file, &problem, cx))?;
    }
    Ok(Tls {
        trust_cacerts: trust_cacerts.map(|it| it.path),
        client,
        verify_hostname: verify_hostname?.unwrap_or(true),
    })
}

fn unused(fields: &mut Fields<'_>, verify_hostname: Option<bool>, cx: &mut Context<'_>) -> Result<Tls, Reported> {
    for field in ["trust_cacerts", "client_cert", "client_key", "client_key_password"] {
        let Some(node) = fields.get(field) else { continue };
        if cx.nullable_text(node, field)?.is_some() {
            let place = cx.place_of(node);
            let finding = Diagnostic::warning(errors::MP0033, format!("`{field}` has no effect without TLS"));
            let finding = finding.at(place, "the URL of the endpoint is not `https`");
            cx.add(finding.hint("write an `https` URL, or leave the certificates out"));
        }
    }
    Ok(Tls { verify_hostname: verify_hostname.unwrap_or(true), ..Tls::default() })
}

fn named(fields: &mut Fields<'_>, field: &'static str, cx: &mut Context<'_>) -> Result<Option<Named>, Reported> {
    let Some(node) = fields.get(field) else {
        return Ok(None);
    };
    let Some(location) = cx.nullable_text(node, field)? else {
        return Ok(None);
    };
    let place = cx.place_of(node);
    let path = resource::path(&location).map_err(|cause| {
        let fact = format!("`{field}` does not name a file: `{location}`");
        cx.add(Diagnostic::error(errors::MP0056, fact).at(place.clone(), cause.to_string()))
    })?;
    let content = match (cx.options.read_file)(&path, FILE_BYTES_MAX) {
        Ok(content) => Some(content),
        Err(error) => {
            let fact = format!("`{field}` names `{}`, which cannot be read", path.display());
            let mut finding = Diagnostic::error(errors::MP0056, fact).at(place.clone(), "").caused_by(error);
            if location.starts_with('~') {
                finding = finding.hint("`~` is not expanded here, as upstream; write the whole path");
            }
            if cx.options.for_run {
                return Err(cx.add(finding));
            }
            cx.add(finding.as_warning().note("`run` refuses to start without it"));
            None
        }
    };
    Ok(Some(Named { field, path, place, content }))
}

fn check_identity(cert: &Named, key: &Named, password: Option<&Named>, cx: &mut Context<'_>) -> Result<(), Reported> {
    let (Some(certs), Some(keys)) = (&cert.content, &key.content) else {
        return Ok(());
    };
    let key_password = password.map(|it| it.content.as_deref());
    // A password that is named and not there was told already.
    if key_password == Some(None) {
        return Ok(());
    }
    let files = IdentityFiles { cert: certs, key: keys, key_password: key_password.flatten() };
    match credentials::identity(files) {
        Ok(identity) => {
            warn_about_time(cert, &identity, cx);
            Ok(())
        }
        Err(Problem::Certificates(problem)) => Err(unusable_certificates(cert, &problem, cx)),
        Err(Problem::Key(problem)) => Err(unusable_key(key, password, &problem, cx)),
        Err(problem @ Problem::OtherKey { .. }) => {
            let fact = "`client_key` is not the key of `client_cert`";
            let finding = Diagnostic::error(errors::MP0043, fact).at(key.place.clone(), problem.to_string());
            let finding = finding.related(cert.place.clone(), "this certificate");
            Err(cx.add(finding.hint(
                "name the key that the certificate was made with; the certificate itself comes first in its file",
            )))
        }
    }
}

fn unusable_certificates(file: &Named, problem: &CertificatesProblem, cx: &mut Context<'_>) -> Reported {
    let fact = format!("`{}` names `{}`, which cannot be used", file.field, file.path.display());
    let hint = match problem {
        CertificatesProblem::None(_) => {
            "certificates are needed as PEM, with `-----BEGIN CERTIFICATE-----`; \
             `openssl x509 -inform der -in FILE` and `openssl pkcs12 -nokeys -in FILE` make it of other formats"
        }
        _ => "is the file whole? `openssl x509 -noout -text -in FILE` shows what OpenSSL makes of it",
    };
    cx.add(Diagnostic::error(errors::MP0041, fact).at(file.place.clone(), problem.to_string()).hint(hint))
}

fn unusable_key(key: &Named, password: Option<&Named>, problem: &KeyProblem, cx: &mut Context<'_>) -> Reported {
    let fact = format!("`client_key` names `{}`, which cannot be used", key.path.display());
    let hint = match problem {
        KeyProblem::NoPassword => "name a file with its password: `client_key_password: FILE`",
        KeyProblem::WrongPassword { line_break: true } => {
            "the file of the password ends in a line break, which counts, as upstream; without it the password is right: \
             `printf %s PASSWORD > FILE`"
        }
        KeyProblem::WrongPassword { line_break: false } => {
            "the whole content of the password's file counts, white space too; \
             `openssl pkey -noout -passin file:PASSWORD_FILE -in FILE` tries it"
        }
        KeyProblem::Traditional | KeyProblem::Scheme(SchemeProblem::Unknown(_) | SchemeProblem::TooMuchWork) => {
            "write it anew as PKCS#8: `openssl pkcs8 -topk8 -in FILE -out NEW_FILE`"
        }
        KeyProblem::Kind => "use an RSA key of 2048 to 4096 bits, or one for P-256, P-384 or Ed25519",
        _ => "a key is needed as PEM, with `-----BEGIN PRIVATE KEY-----` or `-----BEGIN ENCRYPTED PRIVATE KEY-----`",
    };
    let finding = Diagnostic::error(errors::MP0042, fact).at(key.place.clone(), problem.to_string()).hint(hint);
    cx.add(match (problem, password) {
        (KeyProblem::WrongPassword { .. }, Some(password)) => {
            finding.related(password.place.clone(), "the file of the password")
        }
        _ => finding,
    })
}

/// The node starts all the same: the files may be renewed while it runs.
fn warn_about_time(cert: &Named, identity: &Identity, cx: &mut Context<'_>) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(cx.options.now_ms).unwrap_or(0));
    let label = if now > identity.not_after {
        format!("it ended {}", words::time(identity.not_after))
    } else if now < identity.not_before {
        format!("it begins {}", words::time(identity.not_before))
    } else {
        return;
    };
    let fact = format!("certificate `{}` is not valid now", cert.path.display());
    let finding = Diagnostic::warning(errors::MP0046, fact).at(cert.place.clone(), label);
    cx.add(finding.hint("renew it; functions will refuse it. A new file is used without a restart"));
}
