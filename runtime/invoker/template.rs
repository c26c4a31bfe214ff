//! `urlPathTemplate` as a call needs it.
//!
//! In: the text of the template, and the name of a function type, which comes from messages and is not to be trusted. Out: a
//! [`Destination`]: where to connect, what to write into the request line and the host header, what to show in a log.
//! Upstream puts the name in as it is and sends the decoded path; we send path and query as they are written, never the
//! fragment, and refuse a name that would mean another host, socket, path or query than the template has.

use std::path::PathBuf;

use http::{HeaderValue, Uri};
use rustls::pki_types::ServerName;

use super::dialect::Dialect;

/// Stands for the name of the function type.
const FUNCTION_NAME: &str = "{function.name}";

/// What the host header says where there is no host, as upstream.
const UNIX_HOST: &str = "unused";

/// A template that gives a URL for ordinary names.
#[derive(Debug, Clone)]
pub struct Template {
    text: String,
}

/// Where the calls of one function type go.
#[derive(Debug, Clone)]
pub struct Destination {
    /// What to connect to.
    pub server: Server,
    /// Path and query, as they are written.
    pub target: Uri,
    /// Scheme, host, port, path and query: what HTTP/2 sends.
    pub url: Uri,
    /// The host, without the port.
    host: String,
    /// The URL without user, password and query: those may be secrets.
    pub shown: String,
}

/// What to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// A host and a port.
    Tcp {
        /// `http://host:port/`, whatever the scheme of the URL.
        address: Uri,
        /// The name to speak TLS with; `None` is plain.
        tls: Option<ServerName<'static>>,
    },
    /// A Unix domain socket.
    Unix(PathBuf),
}

impl Destination {
    /// The value of `host`.
    pub(super) fn host_header(&self, dialect: Dialect) -> HeaderValue {
        let text = match &self.server {
            Server::Tcp { address, tls } => match address.port_u16() {
                Some(port) if dialect.shows_port(port, tls.is_some()) => format!("{}:{port}", self.host),
                _ => self.host.clone(),
            },
            Server::Unix(_) => self.host.clone(),
        };
        HeaderValue::try_from(text).expect("the host is a part of a URL that was parsed")
    }
}

/// Why there is no URL to call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Another brace than those of the stand-in.
    #[error("`{{function.name}}` is the only thing that may stand in braces")]
    Brace,
    /// Nothing that can be called.
    #[error("the scheme `{0}` cannot be called: `http`, `https`, `http+unix` and `https+unix` can")]
    Scheme(String),
    /// A Unix URL without a socket.
    #[error("the path of a Unix domain socket has to contain a part that ends in `.sock`")]
    NoSocket,
    /// A host that no certificate can be for.
    #[error("`{0}` is no host name that TLS knows")]
    TlsHost(String),
    /// There is no host.
    #[error("there is no host")]
    Host,
    /// What stands where a port may stand is none.
    #[error("the port is not a number up to 65535")]
    Port,
    /// The parser of URLs refuses it.
    #[error("{0}")]
    Syntax(String),
    /// The name has a character or a form that would change the URL around it.
    #[error("the function's name would change the {0} of the URL")]
    Name(Place),
}

/// A part of a URL in which the name of the function type may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Host and port.
    Host,
    /// The path.
    Path,
    /// What follows the question mark.
    Query,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Place::Host => "host",
            Place::Path => "path",
            Place::Query => "query",
        })
    }
}

impl Template {
    /// Checks a template with a harmless name.
    pub fn parse(text: &str) -> Result<Template, InvalidUrl> {
        let text = text.split('#').next().unwrap_or_default().to_owned();
        let template = Template { text };
        template.destination("name")?;
        Ok(template)
    }

    /// The URL of the function type with this name.
    pub fn destination(&self, name: &str) -> Result<Destination, InvalidUrl> {
        self.check_name(name)?;
        let text = self.text.replace(FUNCTION_NAME, name);
        if text.contains(['{', '}']) {
            return Err(InvalidUrl::Brace);
        }
        let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme).to_ascii_lowercase();
        match scheme.as_str() {
            "http" | "https" => tcp(&text, scheme == "https"),
            "http+unix" | "https+unix" => unix(&text, &self.text.replace(FUNCTION_NAME, "name")),
            _ => Err(InvalidUrl::Scheme(scheme)),
        }
    }

    /// The template without user, password and query.
    pub fn shown(&self) -> String {
        let (scheme, rest) = self.text.split_once("://").unwrap_or_default();
        let rest = rest.split('?').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
    }

    /// Looks at each place where the name goes in.
    fn check_name(&self, name: &str) -> Result<(), InvalidUrl> {
        for (at, _) in self.text.match_indices(FUNCTION_NAME) {
            let place = self.place(at);
            let fits = match place {
                Place::Host => name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')),
                // Servers cut what stands behind a `;` off a segment.
                Place::Path => name.bytes().all(|b| is_path_byte(b) && b != b';') && !self.makes_dots(at, name),
                Place::Query => name.bytes().all(|b| is_path_byte(b) && !matches!(b, b'&' | b'=' | b'+' | b';')),
            };
            if name.is_empty() || !fits {
                return Err(InvalidUrl::Name(place));
            }
        }
        Ok(())
    }

    fn place(&self, at: usize) -> Place {
        let authority = self.text.find("://").map_or(0, |scheme| scheme + 3);
        let before = self.text.get(authority..at).unwrap_or_default();
        match (before.contains('?'), before.contains('/')) {
            (true, _) => Place::Query,
            (false, true) => Place::Path,
            (false, false) => Place::Host,
        }
    }

    /// Whether the name makes a `.` or `..` of the segment around it: servers take such a segment away.
    fn makes_dots(&self, at: usize, name: &str) -> bool {
        let before = self.text[..at].rsplit('/').next().unwrap_or_default();
        let after = self.text[at + FUNCTION_NAME.len()..].split(['/', '?']).next().unwrap_or_default();
        let segment = format!("{before}{name}{after}").replace(FUNCTION_NAME, name);
        matches!(segment.as_str(), "." | "..")
    }
}

fn syntax(error: impl std::fmt::Display) -> InvalidUrl {
    InvalidUrl::Syntax(error.to_string())
}

fn tcp(text: &str, https: bool) -> Result<Destination, InvalidUrl> {
    let uri: Uri = text.parse().map_err(syntax)?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or(InvalidUrl::Host)?;
    let written = uri.authority().map_or("", |authority| authority.as_str());
    if uri.port_u16().is_none() && written.rsplit('@').next() != Some(host) {
        return Err(InvalidUrl::Port);
    }
    let authority = match uri.port_u16() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    let (scheme, default_port) = if https { ("https", 443) } else { ("http", 80) };
    let address = format!("{host}:{}", uri.port_u16().unwrap_or(default_port));
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let tls = match https {
        true => Some(ServerName::try_from(bare.to_owned()).map_err(|_| InvalidUrl::TlsHost(bare.to_owned()))?),
        false => None,
    };
    Ok(Destination {
        server: Server::Tcp { address: whole("http", &address, "/")?, tls },
        target: Uri::builder().path_and_query(target).build().map_err(syntax)?,
        url: whole(scheme, &authority, target)?,
        host: host.to_owned(),
        shown: format!("{scheme}://{authority}{}", uri.path()),
    })
}

fn whole(scheme: &str, authority: &str, target: &str) -> Result<Uri, InvalidUrl> {
    Uri::builder().scheme(scheme).authority(authority).path_and_query(target).build().map_err(syntax)
}

/// Splits the path at the first part that ends in `.sock`. A name must not move that place, so it is looked for with an
/// ordinary name too.
fn unix(text: &str, ordinary: &str) -> Result<Destination, InvalidUrl> {
    let parts = unix_path(text);
    let socket = parts.iter().position(|part| part.ends_with(".sock")).ok_or(InvalidUrl::NoSocket)?;
    if unix_path(ordinary).iter().position(|part| part.ends_with(".sock")) != Some(socket) {
        return Err(InvalidUrl::Name(Place::Path));
    }
    let target = format!("/{}", parts[socket + 1..].join("/"));
    let path = format!("/{}", parts[..=socket].join("/"));
    let decoded = percent_encoding::percent_decode_str(&path).decode_utf8().map_err(syntax)?;
    Ok(Destination {
        server: Server::Unix(PathBuf::from(&*decoded)),
        target: Uri::builder().path_and_query(target.as_str()).build().map_err(syntax)?,
        url: whole("http", UNIX_HOST, &target)?,
        host: UNIX_HOST.to_owned(),
        shown: format!("http+unix://{path}{}", if target == "/" { "" } else { &target }),
    })
}

fn unix_path(text: &str) -> Vec<&str> {
    let rest = text.split_once("://").map_or("", |(_, rest)| rest);
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    let path = path.find('/').map_or("", |at| &path[at..]);
    path.split('/').filter(|part| !part.is_empty()).collect()
}

/// What may stand in a segment of a path and means itself there; `%` would be decoded on the other side.
fn is_path_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn destination(template: &str, name: &str) -> Result<Destination, InvalidUrl> {
        Template::parse(template)?.destination(name)
    }

    /// The request line and the host header as the other side sees them.
    #[test]
    fn path_and_query_are_sent_as_written_and_the_fragment_never() {
        for (template, target, host) in [
            ("http://h", "/", "h"),
            ("http://h:80/a", "/a", "h"),
            ("http://h:443/a", "/a", "h"),
            ("http://h:8000/a%20b/c?x=%41&y", "/a%20b/c?x=%41&y", "h:8000"),
            ("http://h:8000?x=1", "/?x=1", "h:8000"),
            ("http://h/a#part", "/a", "h"),
            ("http://h/a/../b//", "/a/../b//", "h"),
            ("http://user:secret@h:81/a", "/a", "h:81"),
            ("http://[::1]:8000/a", "/a", "[::1]:8000"),
            ("http://h/{function.name}/{function.name}?f={function.name}", "/greeter/greeter?f=greeter", "h"),
            ("http://{function.name}:81/", "/", "greeter:81"),
            ("http://{function.name}.fns.svc/", "/", "greeter.fns.svc"),
        ] {
            let destination = destination(template, "greeter").expect(template);
            assert_eq!(destination.target.to_string(), target, "{template}");
            assert_eq!(destination.host_header(Dialect::Async), host, "{template}");
        }
    }

    /// Which port is left out of the host header depends on the transport.
    #[test]
    fn hosts_by_transport() {
        let okhttp = Dialect::OkHttp { read: Default::default(), write: Default::default() };
        for (template, for_async, for_okhttp) in [
            ("http://h", "h", "h"),
            ("https://h", "h", "h"),
            ("http://h:443", "h", "h:443"),
            ("https://h:80", "h", "h:80"),
            ("https://h:443", "h", "h"),
            ("https://[::1]:8443", "[::1]:8443", "[::1]:8443"),
            ("http+unix:///x.sock", "unused", "unused"),
        ] {
            let destination = destination(template, "greeter").expect(template);
            assert_eq!(destination.host_header(Dialect::Async), for_async, "{template}");
            assert_eq!(destination.host_header(okhttp), for_okhttp, "{template}");
        }
    }

    /// What a connection is opened to, and the name that its certificate has to be for.
    #[test]
    fn servers() {
        for (template, address, tls) in [
            ("http://h", "http://h:80/", None),
            ("https://h", "http://h:443/", Some("h")),
            ("HTTPS://h:8443/x", "http://h:8443/", Some("h")),
            ("https://my_functions:8443", "http://my_functions:8443/", Some("my_functions")),
            ("https://[::1]", "http://[::1]:443/", Some("::1")),
            ("https://127.0.0.1", "http://127.0.0.1:443/", Some("127.0.0.1")),
            ("https://{function.name}.fns", "http://greeter.fns:443/", Some("greeter.fns")),
        ] {
            let Server::Tcp { address: to, tls: name } = destination(template, "greeter").expect(template).server
            else {
                panic!("{template} is not a Unix URL")
            };
            assert_eq!(
                (to.to_string().as_str(), name.as_ref().map(ServerName::to_str)),
                (address, tls.map(Into::into))
            );
        }
    }

    /// The socket, the request line, and what a log shows.
    #[test]
    fn unix_sockets() {
        for (template, socket, target, shown) in [
            ("http+unix:///some/path.sock", "/some/path.sock", "/", "http+unix:///some/path.sock"),
            ("http+unix:///some/path.sock/hello", "/some/path.sock", "/hello", "http+unix:///some/path.sock/hello"),
            ("https+unix:///a.sock/b.sock/c", "/a.sock", "/b.sock/c", "http+unix:///a.sock/b.sock/c"),
            ("http+unix:///a%20b/x.sock/?q=1", "/a b/x.sock", "/", "http+unix:///a%20b/x.sock"),
            ("http+unix:///run/{function.name}.sock/f", "/run/greeter.sock", "/f", "http+unix:///run/greeter.sock/f"),
            ("http+unix:///x.sock/{function.name}", "/x.sock", "/greeter", "http+unix:///x.sock/greeter"),
        ] {
            let destination = destination(template, "greeter").expect(template);
            assert_eq!(destination.server, Server::Unix(PathBuf::from(socket)), "{template}");
            assert_eq!(destination.target.to_string(), target, "{template}");
            assert_eq!(destination.shown, shown, "{template}");
        }
    }

    /// Logs carry no secrets.
    #[test]
    fn user_password_and_query_are_not_shown() {
        let destination = destination("http://user:secret@h:81/a?code=secret", "greeter").expect("a good URL");
        assert_eq!(destination.shown, "http://h:81/a");
        let template = Template::parse("http://user:secret@h:81/{function.name}?code=secret").expect("a good template");
        assert_eq!(template.shown(), "http://h:81/{function.name}");
    }

    /// What cannot be called is refused when the invoker is built.
    #[test]
    fn templates_that_give_no_url_are_refused() {
        for template in
            ["", "h", "/a", "http://", "http:///a", "http://h/{name}", "http://h/a b", "http://h:x/", "http://h:65536/"]
        {
            assert!(Template::parse(template).is_err(), "{template:?}");
        }
        assert_eq!(Template::parse("ftp://h/x").err(), Some(InvalidUrl::Scheme("ftp".to_owned())));
        assert_eq!(Template::parse("http+unix:///run/x").err(), Some(InvalidUrl::NoSocket));
        let host = Template::parse("https://h!x/").err();
        assert_eq!(host, Some(InvalidUrl::TlsHost("h!x".to_owned())));
    }

    /// A name stays inside the place that the template gives it.
    #[test]
    fn a_name_that_would_change_the_url_is_refused() {
        for (template, name, place) in [
            ("http://h/{function.name}", "a/b", Place::Path),
            ("http://h/{function.name}", "..", Place::Path),
            ("http://h/.{function.name}", ".", Place::Path),
            ("http://h/{function.name}{function.name}", ".", Place::Path),
            ("http://h/{function.name}/x", ".", Place::Path),
            ("http://h/{function.name}", "a?b", Place::Path),
            ("http://h/{function.name}", "a#b", Place::Path),
            ("http://h/{function.name}", "a%2fb", Place::Path),
            ("http://h/{function.name}", "a b", Place::Path),
            ("http://h/{function.name}", "a\r\nb", Place::Path),
            ("http://h/{function.name}", "{function.name}", Place::Path),
            ("http://h/{function.name}", "ä", Place::Path),
            ("http://h/{function.name}", "a\\b", Place::Path),
            ("http://h/fn/{function.name}/x", "..;", Place::Path),
            ("http://h/{function.name}", "", Place::Path),
            ("http://h/?f={function.name}", "a&b=c", Place::Query),
            ("http://h?f={function.name}", "a+b", Place::Query),
            ("http://{function.name}/", "a.b", Place::Host),
            ("http://{function.name}/", "a:1", Place::Host),
            ("http://{function.name}/", "a@b", Place::Host),
            ("https://{function.name}/", "a.b", Place::Host),
            ("http+unix:///run/{function.name}/x.sock", "a.sock", Place::Path),
            ("http+unix:///run/{function.name}/x.sock", "..", Place::Path),
            ("http+unix:///run/{function.name}.sock", "a/b", Place::Path),
        ] {
            assert_eq!(destination(template, name).err(), Some(InvalidUrl::Name(place)), "{template} {name:?}");
        }
        for name in ["a.b", "a-b_c~d", "a$1", "...", "a@b:c,d=e=f&g+h!(i)*'"] {
            assert!(destination("http://h/{function.name}", name).is_ok(), "{name:?}");
        }
        assert!(destination("http://h/fixed", "any/../thing").is_ok(), "a template without a stand-in takes any name");
    }
}
