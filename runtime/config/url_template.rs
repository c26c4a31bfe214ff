//! `urlPathTemplate`: the URL of an endpoint, with `{function.name}` for the name of the function type.
//!
//! In: the text of the field. Out: a template that gives the URL of each function. Upstream looks at the URL only when the
//! first message for a function arrives; we look at start, with a stand-in name.

use std::fmt;
use std::path::PathBuf;

use url::Url;

/// The stand-in for a function's name in the module format.
const FUNCTION_NAME: &str = "{function.name}";

/// A checked template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate {
    text: String,
}

/// Where the requests of one function go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointUrl {
    /// `http` or `https` over TCP.
    Tcp(Url),
    /// `http+unix` or `https+unix`: plain HTTP over a Unix domain socket.
    Unix {
        /// The socket.
        socket: PathBuf,
        /// The path of the request line, `/` if the URL ends with the socket.
        path: String,
    },
}

/// Why a text is not the URL of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// A brace that is not part of `{function.name}`.
    #[error("`{{function.name}}` is the only thing that may stand in braces")]
    Brace,
    /// White space or a control character.
    #[error("white space and control characters cannot be part of a URL")]
    Space,
    /// There is no scheme, or one that is not supported.
    #[error("the scheme has to be http, https, http+unix or https+unix")]
    Scheme,
    /// There is no host.
    #[error("there is no host")]
    Host,
    /// A Unix URL without a socket.
    #[error("the path of a Unix domain socket has to contain a part that ends in `.sock`")]
    NoSocket,
    /// The parser of URLs refuses it.
    #[error("{0}")]
    Syntax(url::ParseError),
}

impl UrlTemplate {
    /// Checks a template.
    ///
    /// # Errors
    /// [`InvalidUrl`] when no function could be called there.
    pub fn parse(text: &str) -> Result<UrlTemplate, InvalidUrl> {
        let template = UrlTemplate { text: text.to_owned() };
        template.url_for("name")?;
        Ok(template)
    }

    /// The URL of the function type with this name; the namespace has no part in it.
    ///
    /// # Errors
    /// [`InvalidUrl`] when the name holds characters that break the URL: names come from messages.
    pub fn url_for(&self, name: &str) -> Result<EndpointUrl, InvalidUrl> {
        let text = self.text.replace(FUNCTION_NAME, name);
        if text.contains(['{', '}']) {
            return Err(InvalidUrl::Brace);
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(InvalidUrl::Space);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidUrl::Scheme)?;
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => {
                if rest.is_empty() || rest.starts_with(['/', '?', '#', ':']) {
                    return Err(InvalidUrl::Host);
                }
                Url::parse(&text).map(EndpointUrl::Tcp).map_err(InvalidUrl::Syntax)
            }
            "http+unix" | "https+unix" => unix(rest),
            _ => Err(InvalidUrl::Scheme),
        }
    }

    /// The template as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the scheme asks for TLS.
    pub fn is_https(&self) -> bool {
        matches!(self.url_for("name"), Ok(EndpointUrl::Tcp(url)) if url.scheme() == "https")
    }

    /// Whether it names a Unix domain socket.
    pub fn is_unix(&self) -> bool {
        matches!(self.url_for("name"), Ok(EndpointUrl::Unix { .. }))
    }
}

/// Splits `/some/path.sock/hello` into the socket and the path of the request.
fn unix(rest: &str) -> Result<EndpointUrl, InvalidUrl> {
    let path = rest.split(['?', '#']).next().unwrap_or("");
    let path = path.find('/').map_or("", |at| &path[at..]);
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let socket = parts.iter().position(|part| part.ends_with(".sock")).ok_or(InvalidUrl::NoSocket)?;
    let decoded = |parts: &[&str]| {
        let joined = format!("/{}", parts.join("/"));
        percent_encoding::percent_decode_str(&joined).decode_utf8_lossy().into_owned()
    };
    Ok(EndpointUrl::Unix {
        socket: PathBuf::from(decoded(&parts[..=socket])),
        path: format!("/{}", parts[socket + 1..].join("/")),
    })
}

impl fmt::Display for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{EndpointUrl, InvalidUrl, UrlTemplate};

    /// The name of the function goes in as it is, as often as it is asked for.
    #[test]
    fn function_name_is_replaced() {
        let template = UrlTemplate::parse("http://fns:8000/{function.name}/v1/{function.name}").expect("a template");
        let Ok(EndpointUrl::Tcp(url)) = template.url_for("greeter") else { panic!("a TCP URL") };
        assert_eq!(url.as_str(), "http://fns:8000/greeter/v1/greeter");
        assert_eq!(template.url_for("a b"), Err(InvalidUrl::Space));
    }

    /// A Unix URL is split at the first part that ends in `.sock`.
    #[test]
    fn unix_sockets() {
        for (text, socket, path) in [
            ("http+unix:///some/path.sock", "/some/path.sock", "/"),
            ("http+unix:///some/path.sock/hello", "/some/path.sock", "/hello"),
            ("https+unix:///a.sock/b.sock/c", "/a.sock", "/b.sock/c"),
            ("http+unix:///with%20space/x.sock/", "/with space/x.sock", "/"),
        ] {
            let template = UrlTemplate::parse(text).expect("a template");
            let expected = EndpointUrl::Unix { socket: PathBuf::from(socket), path: path.to_owned() };
            assert_eq!(template.url_for("x"), Ok(expected), "{text}");
            assert!(template.is_unix() && !template.is_https());
        }
    }

    /// What cannot be called is refused at start.
    #[test]
    fn refused() {
        for (text, expected) in [
            ("", InvalidUrl::Scheme),
            ("bar.foo.com:8080/functions", InvalidUrl::Scheme),
            ("ftp://host/x", InvalidUrl::Scheme),
            ("http:///x", InvalidUrl::Host),
            ("http://", InvalidUrl::Host),
            ("http://:80/x", InvalidUrl::Host),
            ("http://host/{name}", InvalidUrl::Brace),
            ("http://host/ x", InvalidUrl::Space),
            ("http+unix:///some/path", InvalidUrl::NoSocket),
            ("http://host:99999/", InvalidUrl::Syntax(url::ParseError::InvalidPort)),
        ] {
            assert_eq!(UrlTemplate::parse(text), Err(expected), "{text}");
        }
    }

    /// Host names with an underscore are common in compose files.
    #[test]
    fn accepted() {
        for text in ["http://my_functions:8000/statefun", "HTTPS://host", "http://[::1]:8000/x?y=z"] {
            assert!(UrlTemplate::parse(text).is_ok(), "{text}");
        }
    }
}
