//! Whether a request comes from where it may: the `Host` that a browser used, the `Origin` of the page
//! that sent it, and the token of a form. **Pure.**
//!
//! Programs send none of these headers, or only `Host`; browsers send them always, and a page of
//! another site cannot change them. So a header that is absent is not held against a request.

use std::net::IpAddr;

use subtle::ConstantTimeEq;

/// The name of the cookie that holds the token.
pub(crate) const COOKIE: &str = "svhttpd-token";

/// The shortest token that is accepted; ours have 32 characters.
const SHORTEST_TOKEN: usize = 16;

/// Whether the host that the client asked for is one of this server's: without that, a page of any site
/// could have its own name resolved to this machine (DNS rebinding) and read the answers.
///
/// An address is always right, because it is not resolved. `hosts` are the names of `--host`.
pub(crate) fn is_own_host(host: Option<&str>, hosts: &[String]) -> bool {
    let Some(host) = host.map(str::to_ascii_lowercase) else {
        return true;
    };
    let name = without_port(&host);
    name.is_empty()
        || name == "localhost"
        || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
        || is_listed(&host, hosts)
}

/// Whether a request that changes something was sent by a page of this server, or not by a page at all.
pub(crate) fn is_own_page(
    origin: Option<&str>,
    fetch_site: Option<&str>,
    host: Option<&str>,
    hosts: &[String],
) -> bool {
    let Some(origin) = origin else {
        return matches!(fetch_site, None | Some("same-origin" | "none"));
    };
    // `null` is the origin of a sandboxed frame: it has no scheme.
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let plain = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.strip_suffix(default_port)
            .map_or(text.clone(), str::to_owned)
    };
    let authority = plain(authority);
    host.is_some_and(|host| plain(host) == authority) || is_listed(&authority, hosts)
}

/// Whether the token of a form, or of the header `X-Token`, is that of the cookie: a page of another
/// site can send the cookie along, but cannot read it.
pub(crate) fn is_right_token(cookies: Option<&str>, token: Option<&str>) -> bool {
    match (cookies.and_then(token_in), token) {
        (Some(cookie), Some(token)) => cookie.as_bytes().ct_eq(token.as_bytes()).into(),
        (_, _) => false,
    }
}

/// The token in a `Cookie` header.
pub(crate) fn token_in(cookies: &str) -> Option<&str> {
    cookies
        .split(';')
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, token)| token)
        .filter(|token| {
            token.len() >= SHORTEST_TOKEN && token.bytes().all(|byte| byte.is_ascii_alphanumeric())
        })
}

/// A listed name without a port fits every port.
fn is_listed(host: &str, hosts: &[String]) -> bool {
    hosts
        .iter()
        .any(|listed| listed == host || listed == without_port(host))
}

/// `example.org` of `example.org:80`, `[::1]` of `[::1]:80`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !port.is_empty() =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hosts() -> Vec<String> {
        vec!["status.example.org".to_owned(), "proxy:8443".to_owned()]
    }

    #[test]
    fn addresses_localhost_and_listed_names_are_ours() {
        for host in [
            None,
            Some("localhost:9001"),
            Some("LOCALHOST"),
            Some("127.0.0.1:9001"),
            Some("[::1]:9001"),
            Some("[::1]"),
            Some("192.0.2.7"),
            Some(""),
            Some("status.example.org"),
            Some("status.example.org:81"),
            Some("proxy:8443"),
        ] {
            assert!(is_own_host(host, &hosts()), "{host:?}");
        }
        for host in [
            "evil.example",
            "evil.example:9001",
            "localhost.evil.example",
            "proxy",
            "proxy:1",
            "127.0.0.1.evil.example",
        ] {
            assert!(!is_own_host(Some(host), &hosts()), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_not_ours() {
        let ours = |origin: &str, host: &str| is_own_page(Some(origin), None, Some(host), &hosts());
        assert!(ours("http://localhost:9001", "localhost:9001"));
        assert!(ours("http://localhost", "localhost:80"));
        assert!(ours("https://status.example.org", "127.0.0.1:9001"));
        assert!(ours("https://status.example.org:443", "status.example.org"));
        for origin in [
            "null",
            "",
            "http://evil.example",
            "http://localhost:9002",
            "file://",
            "ftp://localhost:9001",
            "http://localhost:9001.evil.example",
        ] {
            assert!(!ours(origin, "localhost:9001"), "{origin}");
        }
    }

    #[test]
    fn without_an_origin_the_browser_s_word_on_the_site_counts() {
        let ours = |site| is_own_page(None, site, Some("localhost"), &[]);
        assert!(ours(None));
        assert!(ours(Some("same-origin")));
        assert!(ours(Some("none")));
        assert!(!ours(Some("cross-site")));
        assert!(!ours(Some("same-site")));
    }

    #[test]
    fn a_token_is_right_when_cookie_and_form_agree() {
        let token = "0123456789abcdef";
        let cookies = format!("a=b; {COOKIE}={token}; c");
        assert!(is_right_token(Some(&cookies), Some(token)));
        for (cookies, token) in [
            (None, None),
            (None, Some(token)),
            (Some(cookies.as_str()), None),
            (Some(cookies.as_str()), Some("")),
            (Some("svhttpd-token="), Some("")),
            (Some("svhttpd-token=short"), Some("short")),
            (Some(cookies.as_str()), Some("0123456789abcdeg")),
        ] {
            assert!(!is_right_token(cookies, token), "{cookies:?} {token:?}");
        }
    }

    proptest! {
        #[test]
        fn no_other_site_passes(origin in "https?://[a-z.]{1,12}(:[0-9]{1,5})?") {
            prop_assume!(!origin.contains("localhost") && !origin.contains("status.example.org"));
            prop_assert!(!is_own_page(Some(&origin), None, Some("localhost:9001"), &hosts()));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}", other in ".{0,40}") {
            is_own_host(Some(&text), &hosts());
            is_own_page(Some(&text), Some(&other), Some(&other), &hosts());
            is_right_token(Some(&text), Some(&other));
        }
    }
}
