//! Who may use the admin API. Pure.
//!
//! Without a token the listener is on a loopback address, and everyone on the machine may. A web page is not on the
//! machine, though its reader is: a page whose name was made to resolve to 127.0.0.1 is told apart by the `Host` that the
//! browser sends, one that sends requests to `localhost` by their `Origin`. With a token, the token is the proof, and
//! any host name will do. There may be a second token for those who only look.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, StatusCode, Uri};
use sha2::{Digest, Sha256};

use crate::edge::Problem;

/// What the admin API asks of those who call it.
#[derive(Debug, Clone)]
pub struct Access {
    bound: SocketAddr,
    token: Option<Token>,
    read_token: Option<Token>,
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Look at everything, the values of functions included.
    Read,
    /// Do what the API can do, too.
    Operate,
}

/// A secret that callers show. Only its digest is kept, so that comparing takes the same time whatever was shown.
#[derive(Clone)]
pub struct Token([u8; 32]);

/// The token has no characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the admin token is empty")]
pub struct EmptyToken;

impl Token {
    /// A token from the text of its file; white space around it does not count.
    ///
    /// # Errors
    /// [`EmptyToken`] when nothing is left.
    pub fn new(text: &str) -> Result<Token, EmptyToken> {
        match text.trim() {
            "" => Err(EmptyToken),
            text => Ok(Token(digest(text.as_bytes()))),
        }
    }

    fn is(&self, shown: &[u8]) -> bool {
        self.0.iter().zip(digest(shown)).fold(0, |difference, (ours, theirs)| difference | (ours ^ theirs)) == 0
    }
}

fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Access {
    /// Access to an API that listens at `bound`.
    pub fn new(bound: SocketAddr, token: Option<Token>) -> Access {
        Access { bound, token, read_token: None }
    }

    /// Lets those in who show this token, to look.
    #[must_use]
    pub fn with_read_token(self, read_token: Option<Token>) -> Access {
        Access { read_token, ..self }
    }

    /// Checks one request, and says what whoever sent it may do.
    ///
    /// # Errors
    /// A [`Problem`] to be answered: 401, 403.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<Role, Problem> {
        let authority = authority(uri, headers);
        let role = match &self.token {
            Some(token) => self.check_token(token, headers)?,
            None => {
                self.check_host(authority)?;
                Role::Operate
            }
        };
        check_origin(authority, headers)?;
        Ok(role)
    }

    fn check_token(&self, token: &Token, headers: &HeaderMap) -> Result<Role, Problem> {
        let problem = |error| {
            Problem::new(StatusCode::UNAUTHORIZED, "MP7010", error)
                .hint("send the header `Authorization: Bearer <token>` with the content of the admin token file")
        };
        let Some(shown) = headers.get(AUTHORIZATION) else { return Err(problem("the request shows no token")) };
        let shown = shown.as_bytes();
        let (scheme, shown) = shown.split_at(shown.len().min("Bearer ".len()));
        if !scheme.eq_ignore_ascii_case(b"Bearer ") {
            return Err(problem("the request shows another token"));
        }
        let shown = shown.trim_ascii();
        if token.is(shown) {
            return Ok(Role::Operate);
        }
        match self.read_token.as_ref().is_some_and(|token| token.is(shown)) {
            true => Ok(Role::Read),
            false => Err(problem("the request shows another token")),
        }
    }

    fn check_host(&self, authority: Option<&str>) -> Result<(), Problem> {
        let host = authority.and_then(host_of);
        if host.is_some_and(|host| self.is_ours(host)) {
            return Ok(());
        }
        let host: String = host.unwrap_or("none").chars().take(128).collect();
        let error = format!("host `{host}` is not a name of this admin API");
        Err(Problem::new(StatusCode::FORBIDDEN, "MP7011", error)
            .hint("use `localhost` or the address that it listens at, or start the node with `--admin-token-file`"))
    }

    fn is_ours(&self, host: &str) -> bool {
        let name = host.strip_suffix('.').unwrap_or(host);
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        match address {
            Ok(address) => address.is_loopback() || address == self.bound.ip(),
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        }
    }
}

/// A request that a web page sends is let in only when the page comes from this very address.
fn check_origin(authority: Option<&str>, headers: &HeaderMap) -> Result<(), Problem> {
    let own = |origin: &str| {
        let (_, origin) = origin.split_once("://")?;
        Some(origin.eq_ignore_ascii_case(authority?))
    };
    for origin in headers.get_all(ORIGIN) {
        if origin.to_str().ok().and_then(own) != Some(true) {
            let error = "the request comes from a web page of another origin";
            return Err(Problem::new(StatusCode::FORBIDDEN, "MP7012", error)
                .hint("call the admin API from a program, or through a server of your own"));
        }
    }
    Ok(())
}

/// Whom the request is addressed to: the target when it names a host, or the only `Host` header.
fn authority<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
    if let Some(authority) = uri.authority() {
        return Some(authority.as_str());
    }
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.to_str().ok(),
        _ => None,
    }
}

/// The host of `host:port`, an IPv6 address with its brackets.
fn host_of(authority: &str) -> Option<&str> {
    let host = match authority.rfind(']') {
        Some(end) => authority.get(..=end)?,
        None => authority.split(':').next()?,
    };
    (!host.is_empty() && !authority.contains('@')).then_some(host)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Uri};

    use super::{Access, Role, Token};

    fn status(access: &Access, uri: &str, headers: &[(&'static str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).expect("a header value"));
        }
        let uri = uri.parse::<Uri>().expect("a target");
        access.check(&uri, &map).map_or_else(|problem| problem.status.as_u16(), |_| 200)
    }

    /// Without a token, only names that cannot belong to someone else are answered.
    #[test]
    fn hosts() {
        let loopback = Access::new("127.0.0.1:8080".parse().expect("an address"), None);
        let lan = Access::new("192.168.1.5:8080".parse().expect("an address"), None);
        for (host, on_loopback, on_lan) in [
            ("localhost", 200, 200),
            ("LocalHost.:9999", 200, 200),
            ("127.0.0.1:8080", 200, 200),
            ("127.9.9.9", 200, 200),
            ("[::1]:8080", 200, 200),
            ("192.168.1.5:8080", 403, 200),
            ("192.168.1.6", 403, 403),
            ("evil.example", 403, 403),
            ("localhost.evil.example", 403, 403),
            ("127.0.0.1.evil.example", 403, 403),
            ("evil@localhost", 403, 403),
            ("0x7f.1", 403, 403),
            ("]", 403, 403),
            ("", 403, 403),
        ] {
            assert_eq!(status(&loopback, "/metrics", &[("host", host)]), on_loopback, "{host}");
            assert_eq!(status(&lan, "/metrics", &[("host", host)]), on_lan, "{host}");
        }
        assert_eq!(status(&loopback, "/metrics", &[]), 403);
        assert_eq!(status(&loopback, "/metrics", &[("host", "localhost"), ("host", "evil.example")]), 403);
        assert_eq!(status(&loopback, "http://evil.example/metrics", &[("host", "localhost")]), 403);
    }

    /// A web page of another origin is refused, with and without a token.
    #[test]
    fn origins() {
        let bound = "127.0.0.1:8080".parse().expect("an address");
        let open = Access::new(bound, None);
        let closed = Access::new(bound, Some(Token::new("secret").expect("a token")));
        for (origin, expected) in [
            ("http://localhost:8080", 200),
            ("http://localhost:3000", 403),
            ("http://localhost", 403),
            ("https://evil.example", 403),
            ("null", 403),
            ("", 403),
        ] {
            let host = ("host", "localhost:8080");
            assert_eq!(status(&open, "/metrics", &[host, ("origin", origin)]), expected, "{origin}");
            let token = ("authorization", "Bearer secret");
            assert_eq!(status(&closed, "/metrics", &[host, token, ("origin", origin)]), expected, "{origin}");
        }
    }

    /// With a token, the token is needed and the host is not looked at.
    #[test]
    fn tokens() {
        let bound = "0.0.0.0:8080".parse().expect("an address");
        let access = Access::new(bound, Some(Token::new(" se cret\n").expect("a token")));
        for (shown, expected) in [
            ("Bearer se cret", 200),
            ("bearer  se cret ", 200),
            ("Bearer se cre", 401),
            ("Bearer se crett", 401),
            ("Bearer ", 401),
            ("Bearer", 401),
            ("Basic se cret", 401),
            ("se cret", 401),
            ("", 401),
        ] {
            let headers = [("host", "node.example"), ("authorization", shown)];
            assert_eq!(status(&access, "/metrics", &headers), expected, "{shown}");
        }
        assert_eq!(status(&access, "/metrics", &[("host", "localhost")]), 401);
        assert!(Token::new(" \n").is_err());

        let roles = access.with_read_token(Some(Token::new("look").expect("a token")));
        let role = |shown: &str| {
            let headers = [("authorization".parse().expect("a name"), HeaderValue::from_str(shown).expect("a value"))];
            roles.check(&"/metrics".parse().expect("a target"), &headers.into_iter().collect()).ok()
        };
        assert_eq!(role("Bearer se cret"), Some(Role::Operate));
        assert_eq!(role("Bearer look"), Some(Role::Read));
        assert_eq!((role("Bearer loo"), role("Bearer lookse cret"), role("Basic look")), (None, None, None));
        assert_eq!(format!("{:?}", Token::new("secret").expect("a token")), "Token(…)");
    }
}
