//! Keys as OpenSSL wrote them (`testdata/README.md`), and certificates that do not fit.

use std::path::Path;

use rcgen::{CertificateParams, KeyPair};

use super::{CertificatesProblem, Identity, IdentityFiles, KeyProblem, Problem, SchemeProblem, certificates, identity};

fn file(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("credentials/testdata").join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The certificate that belongs to every one of the keys, with this key and password.
fn with_key(name: &str, key_password: Option<&[u8]>) -> Result<Identity, Problem> {
    identity(IdentityFiles { cert: &file("version1.pem"), key: &file(name), key_password })
}

/// Every wrapping that the tools of upstream's users make.
#[test]
fn keys_are_read_in_every_wrapping() {
    for name in ["plain.pem", "sec1.pem"] {
        assert!(with_key(name, None).is_ok(), "{name}");
    }
    for name in [
        "pbkdf2-aes256.pem",
        "scrypt.pem",
        "pbkdf2-3des.pem",
        "pbkdf2-sha1-aes128.pem",
        "pbe-sha1-rc4-128.pem",
        "pbe-sha1-3des.pem",
        "pbe-md5-des.pem",
    ] {
        assert!(with_key(name, Some(b"secret")).is_ok(), "{name}: {:?}", with_key(name, Some(b"secret")));
        let key = |password| with_key(name, password).err();
        assert_eq!(key(None), Some(Problem::Key(KeyProblem::NoPassword)), "{name}");
        let wrong = |line_break| Some(Problem::Key(KeyProblem::WrongPassword { line_break }));
        assert_eq!(key(Some(b"Secret")), wrong(false), "{name}");
        assert_eq!(key(Some(b"")), wrong(false), "{name}");
        assert_eq!(key(Some(b"secret\n")), wrong(true), "{name}: the content counts as it is");
    }
}

/// What cannot be opened says why.
#[test]
fn keys_that_cannot_be_used() {
    let problem = |name: &str| match with_key(name, Some(b"secret")) {
        Err(Problem::Key(problem)) => problem,
        other => panic!("{name}: {other:?}"),
    };
    assert_eq!(problem("traditional.pem"), KeyProblem::Traditional);
    let unknown = SchemeProblem::Unknown("1.2.840.113549.1.12.1.6".to_owned());
    assert_eq!(problem("pbe-sha1-rc2-40.pem"), KeyProblem::Scheme(unknown));
    assert_eq!(problem("p521.pem"), KeyProblem::Kind);
    assert_eq!(problem("version1.pem"), KeyProblem::None(vec!["CERTIFICATE".to_owned()]));
    assert_eq!(problem("README.md"), KeyProblem::None(Vec::new()));
    let words = problem("version1.pem").to_string();
    assert_eq!(words, "there is no private key in it, only `CERTIFICATE`");
}

/// A file cannot keep the start busy for long.
#[test]
fn too_much_work_is_refused() {
    let problem = with_key("endless.pem", Some(b"secret")).expect_err("too much work");
    assert_eq!(problem, Problem::Key(KeyProblem::Scheme(SchemeProblem::TooMuchWork)));
}

/// A key must be that of the certificate.
#[test]
fn a_key_of_another_certificate_is_refused() {
    let key = KeyPair::generate().expect("a key");
    let other = CertificateParams::new(vec!["functions".to_owned()]).and_then(|it| it.self_signed(&key));
    let other = other.expect("a certificate").pem();
    let files = IdentityFiles { cert: other.as_bytes(), key: &file("plain.pem"), key_password: None };
    let problem = identity(files).expect_err("another key");
    assert_eq!(problem.to_string(), "the key does not belong to the certificate of `CN=rcgen self signed cert`");
}

/// Bundles hold many certificates, with text around them.
#[test]
fn bundles_of_certificates() {
    let one = String::from_utf8(file("version1.pem")).expect("PEM");
    let bundle = format!("# made by hand\n{one}\nBag Attributes\n  name: two\r\n{}", one.replace('\n', "\r\n"));
    assert_eq!(certificates(bundle.as_bytes()).map(|it| it.len()), Ok(2));
    let with_key = [one.as_bytes(), &file("plain.pem")].concat();
    assert_eq!(certificates(&with_key).map(|it| it.len()), Ok(1));

    let problem = |bytes: &[u8]| certificates(bytes).expect_err("no certificates");
    assert_eq!(problem(b""), CertificatesProblem::None(Vec::new()));
    assert_eq!(problem(b"\x30\x82\x01\xff"), CertificatesProblem::None(Vec::new()));
    assert_eq!(problem(&file("plain.pem")), CertificatesProblem::None(vec!["PRIVATE KEY".to_owned()]));
    let damaged = pem::encode(&pem::Pem::new("CERTIFICATE", b"\x30\x03\x02\x01\x01".to_vec()));
    assert!(matches!(problem(damaged.as_bytes()), CertificatesProblem::Damaged { at: 1, .. }));
    let torn = &one[..one.len() / 2];
    assert!(certificates(torn.as_bytes()).is_err());
}
