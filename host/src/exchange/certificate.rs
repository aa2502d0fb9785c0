//! What a client's certificate says of it, in the forms that routes, policies and upstreams read.

use std::fmt::Write as _;

use http::HeaderValue;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::config::ClientCertificateConfig;

/// A client's certificate, once TLS has found it good.
///
/// It is signed by an authority that the operator trusts, which does not make its text harmless: a name in it may hold
/// any byte.
#[derive(Debug, Clone, Default)]
pub struct Certificate {
    /// SHA-256 of the certificate, 64 digits of lower-case hexadecimal.
    pub fingerprint: String,
    /// The subject as RFC 4514 writes it.
    pub subject: String,
    /// The DNS names of the subject's alternative names (RFC 5280 §4.2.1.6).
    pub dns: Vec<String>,
    /// The URIs among them.
    pub uris: Vec<String>,
    /// The mail addresses among them.
    pub emails: Vec<String>,
}

/// A form of what it says that is longer than this is given to nobody.
const TEXT_BYTES_MAX: usize = 8 << 10;

impl Certificate {
    /// Reads a certificate. Where it cannot be read it has a fingerprint and no name, so that it fits nothing.
    #[must_use]
    pub fn read(der: &[u8]) -> Self {
        let mut fingerprint = String::new();
        for byte in Sha256::digest(der) {
            write_to(&mut fingerprint, format_args!("{byte:02x}"));
        }
        let mut certificate = Self { fingerprint, ..Self::default() };
        let Ok(([], parsed)) = X509Certificate::from_der(der) else { return certificate };
        certificate.subject = distinguished_name(parsed.subject());
        let names = parsed.subject_alternative_name().ok().flatten();
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => certificate.dns.push((*name).to_owned()),
                GeneralName::URI(uri) => certificate.uris.push((*uri).to_owned()),
                GeneralName::RFC822Name(address) => certificate.emails.push((*address).to_owned()),
                _ => {}
            }
        }
        certificate
    }

    /// Whether it has one of the names that a route asks for, or the route asks for none.
    #[must_use]
    pub fn fits(&self, wanted: &ClientCertificateConfig) -> bool {
        let ClientCertificateConfig { dns, uri, spiffe, email } = wanted;
        let any = dns.is_empty() && uri.is_empty() && spiffe.is_empty() && email.is_empty();
        any || dns.iter().any(|pattern| self.dns.iter().any(|name| fits_dns(pattern, name)))
            || uri.iter().any(|uri| self.uris.contains(uri))
            || self.spiffe().is_some_and(|(domain, _)| spiffe.iter().any(|wanted| wanted == domain))
            || email.iter().any(|address| self.emails.iter().any(|other| is_same_mailbox(address, other)))
    }

    /// The trust domain and the whole of its SPIFFE ID: of the only URI it has, and of that only if it is written as
    /// SPIFFE-ID §2 demands (lower case, no empty or dot segment, no query, no escape).
    #[must_use]
    pub fn spiffe(&self) -> Option<(&str, &str)> {
        let [uri] = self.uris.as_slice() else { return None };
        let rest = uri.strip_prefix("spiffe://").filter(|_| uri.len() <= SPIFFE_BYTES_MAX)?;
        let (domain, path) = rest.split_once('/').map_or((rest, None), |(domain, path)| (domain, Some(path)));
        let segment = |segment: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            !matches!(segment, "" | "." | "..") && segment.bytes().all(plain)
        };
        let well_formed = is_trust_domain(domain) && path.is_none_or(|path| path.split('/').all(segment));
        well_formed.then_some((domain, uri.as_str()))
    }

    /// Names for a policy, a blank between two. One with a blank, a control character or a byte past ASCII is left out:
    /// it is no DNS name, URI or address, and would read as two.
    #[must_use]
    pub fn list(names: &[String]) -> Option<String> {
        let plain = names.iter().filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic()));
        let plain: Vec<&str> = plain.map(String::as_str).collect();
        (!plain.is_empty()).then(|| plain.join(" "))
    }

    /// An element of `x-forwarded-client-cert` as Envoy writes it: `Hash=…;Subject=…;URI=…;DNS=…`. Every byte of a value
    /// that could mean something to a reader of the list is percent-encoded, the quotation mark included, so that
    /// nothing is ever quoted.
    ///
    /// `None` if it is longer than 8 KiB.
    #[must_use]
    pub fn forwarded(&self) -> Option<HeaderValue> {
        let mut text = format!("Hash={}", self.fingerprint);
        let mut put = |key: &str, value: &str| {
            write_to(&mut text, format_args!(";{key}="));
            percent_encode(&mut text, value);
        };
        put("Subject", &self.subject);
        self.uris.iter().for_each(|uri| put("URI", uri));
        self.dns.iter().for_each(|name| put("DNS", name));
        HeaderValue::from_str(&text).ok().filter(|value| value.len() <= TEXT_BYTES_MAX)
    }
}

const SPIFFE_BYTES_MAX: usize = 2048;

/// Whether a text is a trust domain (SPIFFE-ID §2.1).
#[must_use]
pub fn is_trust_domain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.' | b'_');
    !text.is_empty() && text.len() <= 255 && text.bytes().all(plain)
}

/// A name exactly, or with `*.` every name below.
fn fits_dns(pattern: &str, name: &str) -> bool {
    // What is no name could end in one: `a.test\0.example.com`.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let name = name.to_ascii_lowercase();
    match pattern.strip_prefix('*') {
        Some(below) => {
            let label = name.strip_suffix(&below.to_ascii_lowercase());
            label.is_some_and(|label| !label.is_empty()) && name.bytes().all(plain)
        }
        None => pattern.eq_ignore_ascii_case(&name),
    }
}

/// RFC 5321 §2.3.11: the case of what stands before the `@` counts, that of the domain does not.
fn is_same_mailbox(one: &str, other: &str) -> bool {
    match (one.rsplit_once('@'), other.rsplit_once('@')) {
        (Some((user, domain)), Some((other_user, other_domain))) => {
            user == other_user && domain.eq_ignore_ascii_case(other_domain)
        }
        _ => false,
    }
}

/// RFC 4514 §2: the last name first, `+` between those of one place.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let places: Vec<_> = name.iter_rdn().collect();
    let mut text = String::new();
    for place in places.into_iter().rev() {
        if !text.is_empty() {
            text.push(',');
        }
        for (index, attribute) in place.iter().enumerate() {
            if index > 0 {
                text.push('+');
            }
            push_attribute(&mut text, attribute);
        }
    }
    text
}

fn push_attribute(text: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let oid = attribute.attr_type().to_id_string();
    let key = ATTRIBUTES.iter().find(|(other, _)| *other == oid).map_or(oid.as_str(), |(_, key)| *key);
    write_to(text, format_args!("{key}="));
    let Ok(value) = attribute.as_str() else {
        // RFC 4514 §2.4: what is no text is its encoding in hexadecimal.
        let any = attribute.attr_value();
        text.push('#');
        any.data.iter().for_each(|byte| write_to(text, format_args!("{byte:02x}")));
        return;
    };
    let last = value.chars().count().saturating_sub(1);
    for (index, letter) in value.chars().enumerate() {
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write_to(text, format_args!("\\{letter}")),
            ' ' if index == 0 || index == last => text.push_str("\\ "),
            '#' if index == 0 => text.push_str("\\#"),
            '\0'..='\x1f' | '\x7f' => write_to(text, format_args!("\\{:02x}", u32::from(letter))),
            letter => text.push(letter),
        }
    }
}

/// RFC 4514 §3.
const ATTRIBUTES: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

fn percent_encode(text: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b'@') {
            text.push(char::from(byte));
        } else {
            write_to(text, format_args!("%{byte:02X}"));
        }
    }
}

fn write_to(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    if text.write_fmt(arguments).is_err() {
        tracing::debug!("a string takes any text");
    }
}

#[cfg(test)]
mod tests {
    use super::{Certificate, fits_dns, is_same_mailbox};

    fn with_uris(uris: &[&str]) -> Certificate {
        let uris = uris.iter().map(|uri| (*uri).to_owned()).collect();
        Certificate { fingerprint: "00ff".to_owned(), subject: "CN=a\\,b".to_owned(), uris, ..Certificate::default() }
    }

    #[test]
    fn a_spiffe_id_is_the_only_uri_and_well_formed() {
        for good in ["spiffe://prod.test", "spiffe://prod.test/ns/a/sa/b_C.d"] {
            assert_eq!(with_uris(&[good]).spiffe(), Some(("prod.test", good)), "{good}");
        }
        for bad in [
            "spiffe://",
            "spiffe:///a",
            "spiffe://Prod.test/a",
            "spiffe://prod.test/",
            "spiffe://prod.test//a",
            "spiffe://prod.test/a/..",
            "spiffe://prod.test/a%2fb",
            "spiffe://prod.test:1/a",
            "spiffe://u@prod.test/a",
            "spiffe://prod.test/a?b",
            "spiffe://prod.test/a\0",
            "SPIFFE://prod.test/a",
            "https://prod.test/a",
        ] {
            assert_eq!(with_uris(&[bad]).spiffe(), None, "{bad}");
        }
        assert_eq!(with_uris(&["spiffe://a.test/a", "spiffe://b.test/b"]).spiffe(), None);
    }

    #[test]
    fn a_name_fits_itself_and_a_pattern_what_is_below_it() {
        for (pattern, name, fits) in [
            ("a.test", "A.test", true),
            ("a.test", "b.a.test", false),
            ("*.a.test", "b.a.test", true),
            ("*.a.test", "c.b.A.test", true),
            ("*.a.test", "a.test", false),
            ("*.a.test", ".a.test", false),
            ("*.a.test", "evil.test\0.a.test", false),
            ("a.test", "a.test\0.evil.test", false),
        ] {
            assert_eq!(fits_dns(pattern, name), fits, "{pattern} {name:?}");
        }
        assert!(is_same_mailbox("al@a.test", "al@A.test") && !is_same_mailbox("al@a.test", "Al@a.test"));
    }

    #[test]
    fn nothing_of_a_name_ends_its_value() {
        let value = with_uris(&["urn:x,;=\"\r\n%\u{e9} /"]).forwarded().unwrap();
        let expected = "Hash=00ff;Subject=CN%3Da%5C%2Cb;URI=urn:x%2C%3B%3D%22%0D%0A%25%C3%A9%20/";
        assert_eq!(value.to_str().unwrap(), expected);
        assert!(with_uris(&[&"x".repeat(8 << 10)]).forwarded().is_none());
    }
}
