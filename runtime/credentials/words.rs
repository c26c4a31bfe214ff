//! How certificates are called in messages.

use std::time::SystemTime;

use x509_cert::Certificate;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

/// Names of one certificate that are shown.
const NAMES_MAX: usize = 8;

/// Characters of one name that are shown: names come from servers.
const NAME_CHARS_MAX: usize = 120;

/// Whose certificate it is.
pub fn subject(certificate: &Certificate) -> String {
    name(certificate.tbs_certificate().subject())
}

/// Who signed it.
pub fn issuer(certificate: &Certificate) -> String {
    name(certificate.tbs_certificate().issuer())
}

/// The host names and IP addresses that a certificate is for; `None` when it says nothing about that.
pub fn alternative_names(certificate: &Certificate) -> Option<Vec<String>> {
    let (_, names) = certificate.tbs_certificate().get_extension::<SubjectAltName>().ok()??;
    let text = |name: &GeneralName| match name {
        GeneralName::DnsName(name) => Some(shown(name.as_str())),
        GeneralName::IpAddress(bytes) => match *bytes.as_bytes() {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            ref bytes => <[u8; 16]>::try_from(bytes).ok().map(|it| std::net::Ipv6Addr::from(it).to_string()),
        },
        _ => None,
    };
    Some(names.0.iter().filter_map(text).take(NAMES_MAX).collect())
}

/// The last common name of the subject.
pub fn common_name(certificate: &Certificate) -> Option<String> {
    let subject = certificate.tbs_certificate().subject().to_string();
    let name = subject.split(',').rev().find_map(|part| part.trim().strip_prefix("CN="))?;
    Some(name.to_owned())
}

/// A point in time, as a certificate counts: whole seconds.
pub fn time(time: SystemTime) -> String {
    // The formatter knows the years 1970 to 9999.
    let last = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(253_402_300_799);
    httpdate::fmt_http_date(time.clamp(SystemTime::UNIX_EPOCH, last))
}

fn name(name: &Name) -> String {
    let text = name.to_string();
    if text.is_empty() { "no name".to_owned() } else { format!("`{}`", shown(&text)) }
}

/// On one line, without control characters, not long.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(NAME_CHARS_MAX).collect()
}
