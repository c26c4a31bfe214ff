//! A certificate authority that lives as long as a test, and files of what it makes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// The authority.
pub(super) struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
pub(super) struct Pair {
    pub(super) certificate: Certificate,
    pub(super) key: KeyPair,
}

/// What a server of a test does with TLS.
#[derive(Default)]
pub(super) struct Wants {
    /// Asks for a certificate of this authority.
    pub(super) clients_of: Option<CertificateDer<'static>>,
    /// Speaks only this version.
    pub(super) version: Option<&'static SupportedProtocolVersion>,
    /// Speaks HTTP/2 when it is offered.
    pub(super) http2: bool,
}

impl Authority {
    pub(super) fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    /// Writes its certificate to a file.
    pub(super) fn file(&self, folder: &Path) -> PathBuf {
        write(folder, "ca.pem", &self.certificate.pem())
    }

    /// The certificate of a server for these names.
    pub(super) fn server(&self, names: &[&str]) -> Pair {
        self.sign(params(names))
    }

    /// The same, valid between the beginnings of these years.
    pub(super) fn server_between(&self, names: &[&str], from: i32, to: i32) -> Pair {
        let mut params = params(names);
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        self.sign(params)
    }

    /// The certificate of a client, for a key that is there.
    pub(super) fn client(&self, key: KeyPair) -> Pair {
        let mut params = params(&[]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair { certificate, key }
    }

    fn sign(&self, params: CertificateParams) -> Pair {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair { certificate, key }
    }
}

impl Pair {
    /// Another certificate, signed with the key of this one as if it were an authority.
    pub(super) fn sign(self, names: &[&str]) -> Pair {
        // All certificates of servers here have one subject.
        let issuer = Issuer::new(params(&[]), self.key);
        let key = KeyPair::generate().expect("a key");
        let certificate = params(names).signed_by(&key, &issuer).expect("a certificate");
        Pair { certificate, key }
    }

    /// Signed by itself, as people make it by hand: its own authority.
    pub(super) fn by_hand(names: &[&str]) -> Pair {
        let mut params = params(names);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Pair { certificate, key }
    }

    /// The configuration of a server that shows it.
    pub(super) fn serve(&self, wants: Wants) -> Arc<ServerConfig> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key");
        serve(vec![self.certificate.der().clone()], key, wants)
    }
}

/// The configuration of a server.
pub(super) fn serve(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    wants: Wants,
) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = wants.version.map_or_else(|| rustls::DEFAULT_VERSIONS.to_vec(), |version| vec![version]);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .expect("a version");
    let builder = match wants.clients_of {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let resolver = rustls::sign::SingleCertAndKey::from(rustls::sign::CertifiedKey::new(
        chain,
        rustls::crypto::ring::sign::any_supported_type(&key).expect("a key"),
    ));
    let mut config = builder.with_cert_resolver(Arc::new(resolver));
    if wants.http2 {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    }
    Arc::new(config)
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name.push(DnType::CommonName, "the test");
    params
}

/// Writes a file, and gives its path.
pub(super) fn write(folder: &Path, name: &str, content: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("a file can be written");
    path
}
