//! `urlPathTemplate` as a call needs it.
//!
//! In: the text of the template, and the name of a function type, which comes from messages and is not to be trusted. Out: a
//! [`Destination`]: where to connect, what to write into the request line and the host header, what to show in a log.
//! Upstream puts the name in as it is and sends the decoded path; we send path and query as they are written, never the
//! fragment, and refuse a name that would mean another host, path or query than the template has.

use http::{HeaderValue, Uri};

/// Stands for the name of the function type.
const FUNCTION_NAME: &str = "{function.name}";

/// A template that gives a URL for ordinary names.
#[derive(Debug, Clone)]
pub struct Template {
    text: String,
}

/// Where the calls of one function type go.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Scheme, host and port.
    pub server: Uri,
    /// Path and query, as they are written.
    pub target: Uri,
    /// The value of `host`; the ports 80 and 443 are left out whatever the scheme, as upstream does.
    pub host: HeaderValue,
    /// The URL without user, password and query: those may be secrets.
    pub shown: String,
}

/// Why there is no URL to call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Another brace than those of the stand-in.
    #[error("`{{function.name}}` is the only thing that may stand in braces")]
    Brace,
    /// Nothing that we can call yet.
    #[error("the scheme `{0}` cannot be called yet: only `http` can")]
    Scheme(String),
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
        let uri: Uri = text.parse().map_err(|e: http::uri::InvalidUri| InvalidUrl::Syntax(e.to_string()))?;
        match uri.scheme_str() {
            Some("http") => {}
            scheme => return Err(InvalidUrl::Scheme(scheme.unwrap_or_default().to_owned())),
        }
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(InvalidUrl::Host)?;
        let written = uri.authority().map_or("", |authority| authority.as_str());
        if uri.port_u16().is_none() && written.rsplit('@').next() != Some(host) {
            return Err(InvalidUrl::Port);
        }
        let authority = match uri.port_u16() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let header = if matches!(uri.port_u16(), Some(80 | 443)) { host } else { &authority };
        let invalid = |e: http::Error| InvalidUrl::Syntax(e.to_string());
        Ok(Destination {
            server: Uri::builder()
                .scheme("http")
                .authority(authority.as_str())
                .path_and_query("/")
                .build()
                .map_err(invalid)?,
            target: Uri::builder()
                .path_and_query(uri.path_and_query().map_or("/", |target| target.as_str()))
                .build()
                .map_err(invalid)?,
            host: HeaderValue::from_str(header).map_err(|e| InvalidUrl::Syntax(e.to_string()))?,
            shown: format!("http://{authority}{}", uri.path()),
        })
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
                Place::Path => name.bytes().all(is_path_byte) && !self.makes_dots(at, name),
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
            assert_eq!(destination.host, host, "{template}");
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
        for scheme in ["https", "http+unix", "ftp"] {
            let parsed = Template::parse(&format!("{scheme}://h/some.sock"));
            assert_eq!(parsed.err(), Some(InvalidUrl::Scheme(scheme.to_owned())));
        }
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
            ("http://h/{function.name}", "", Place::Path),
            ("http://h/?f={function.name}", "a&b=c", Place::Query),
            ("http://h?f={function.name}", "a+b", Place::Query),
            ("http://{function.name}/", "a.b", Place::Host),
            ("http://{function.name}/", "a:1", Place::Host),
            ("http://{function.name}/", "a@b", Place::Host),
        ] {
            assert_eq!(destination(template, name).err(), Some(InvalidUrl::Name(place)), "{template} {name:?}");
        }
        for name in ["a.b", "a-b_c~d", "a$1", "...", "a@b:c,d;e=f&g+h!(i)*'"] {
            assert!(destination("http://h/{function.name}", name).is_ok(), "{name:?}");
        }
        assert!(destination("http://h/fixed", "any/../thing").is_ok(), "a template without a stand-in takes any name");
    }
}
