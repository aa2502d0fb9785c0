//! The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt`): who is behind a proxy that passes bytes on.
//!
//! Read strictly: what the specification does not allow is refused, so that no two readers see two addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::ProxyVersion;

/// The two ends of the connection that a proxy passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proxied {
    /// The client.
    pub source: SocketAddr,
    /// What the client connected to.
    pub destination: SocketAddr,
}

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The header goes on for at least so many bytes.
    Partial(usize),
    /// A whole header, and nothing after it. The proxy speaks for itself if it names no client, to see whether
    /// somebody listens.
    Whole(Option<Proxied>),
}

/// What a version 2 header may hold besides addresses: certificates' names at most.
const REST_BYTES_MAX: usize = 2 << 10;
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const HEAD: usize = SIGNATURE.len() + 4;
/// The longest line of version 1, and the shortest (`PROXY UNKNOWN`).
const LINE_MAX: usize = 107;
const LINE_MIN: usize = 15;

/// Reads the first bytes of a connection, of which none may be past the header's end.
///
/// # Errors
/// What no PROXY header holds, in words for the log.
pub fn parse(bytes: &[u8]) -> Result<Parsed, &'static str> {
    let so_far = bytes.len().min(SIGNATURE.len());
    if bytes.get(..so_far) == SIGNATURE.get(..so_far) && so_far > 0 {
        return parse_binary(bytes);
    }
    let word = b"PROXY ";
    let so_far = bytes.len().min(word.len());
    if bytes.get(..so_far) != word.get(..so_far) {
        return Err("it begins with no PROXY header");
    }
    if bytes.len() < LINE_MIN {
        return Ok(Parsed::Partial(
            if bytes.len() < SIGNATURE.len() { SIGNATURE.len() } else { LINE_MIN } - bytes.len(),
        ));
    }
    match bytes.strip_suffix(b"\r\n") {
        Some(line) => parse_line(line).map(Parsed::Whole),
        None if bytes.len() >= LINE_MAX => Err("its line is longer than 107 bytes"),
        None => Ok(Parsed::Partial(1)),
    }
}

fn parse_line(line: &[u8]) -> Result<Option<Proxied>, &'static str> {
    let line = std::str::from_utf8(line).ok().filter(|line| line.is_ascii()).ok_or("its line is not ASCII")?;
    if line.contains(['\r', '\n']) {
        return Err("its line ends twice");
    }
    let mut words = line.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        return Ok(None);
    }
    let (Some(source), Some(destination), Some(from), Some(to), None) =
        (words.next(), words.next(), words.next(), words.next(), words.next())
    else {
        return Err("its line is not six words");
    };
    let address = |text: &str| match family {
        Some("TCP4") => text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| "an address is no IPv4 address"),
        Some("TCP6") => text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| "an address is no IPv6 address"),
        _ => Err("its protocol is none of TCP4, TCP6 and UNKNOWN"),
    };
    let port = |text: &str| {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        text.parse::<u16>().ok().filter(|_| plain).ok_or("a port is no plain number up to 65535")
    };
    Ok(Some(Proxied {
        source: SocketAddr::new(address(source)?, port(from)?),
        destination: SocketAddr::new(address(destination)?, port(to)?),
    }))
}

fn parse_binary(bytes: &[u8]) -> Result<Parsed, &'static str> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
        return Ok(Parsed::Partial(HEAD - bytes.len()));
    };
    let [.., command, family, high, low] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > REST_BYTES_MAX {
        return Err("its header is longer than 2 KiB");
    }
    if rest.len() < length {
        return Ok(Parsed::Partial(length - rest.len()));
    }
    if rest.len() > length {
        return Err("bytes follow its header");
    }
    let address_bytes = match family {
        0x00 => 0,
        0x11 => 12,
        0x21 => 36,
        0x31 => 216,
        _ => return Err("its protocol is no stream"),
    };
    let (addresses, fields) = rest.split_at_checked(address_bytes).ok_or("its addresses are cut off")?;
    check_fields(bytes, fields)?;
    match command {
        // LOCAL: whatever addresses it names, it speaks for itself.
        0x20 => Ok(Parsed::Whole(None)),
        0x21 => Ok(Parsed::Whole(proxied(addresses))),
        _ => Err("its version or command is unknown"),
    }
}

/// IPv4 or IPv6; nobody for a Unix socket or an unknown protocol.
fn proxied(addresses: &[u8]) -> Option<Proxied> {
    let (source, destination, ports) = match addresses.len() {
        12 => {
            let (source, rest) = addresses.split_first_chunk::<4>()?;
            let (destination, ports) = rest.split_first_chunk::<4>()?;
            (IpAddr::from(*source), IpAddr::from(*destination), ports)
        }
        36 => {
            let (source, rest) = addresses.split_first_chunk::<16>()?;
            let (destination, ports) = rest.split_first_chunk::<16>()?;
            (IpAddr::from(*source), IpAddr::from(*destination), ports)
        }
        _ => return None,
    };
    let [a, b, c, d] = *ports.first_chunk()?;
    Some(Proxied {
        source: SocketAddr::new(source, u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination, u16::from_be_bytes([c, d])),
    })
}

const CHECKSUM: u8 = 3;

/// Fields of type, length and value: each must be whole, and a checksum right.
fn check_fields(header: &[u8], mut fields: &[u8]) -> Result<(), &'static str> {
    while let [kind, high, low, rest @ ..] = fields {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, next) = rest.split_at_checked(length).ok_or("a field of its header is cut off")?;
        if *kind == CHECKSUM {
            let told = <[u8; 4]>::try_from(value).map_err(|_| "its checksum is not four bytes")?;
            let after = next.len();
            let (before, _) = header.split_at(header.len() - after - value.len());
            let mut sum = Checksum::default();
            sum.add(before);
            sum.add(&[0; 4]);
            sum.add(next);
            if sum.end() != u32::from_be_bytes(told) {
                return Err("its checksum is wrong");
            }
        }
        fields = next;
    }
    if fields.is_empty() { Ok(()) } else { Err("a field of its header is cut off") }
}

/// CRC-32C (RFC 3385), bit by bit: it is asked for once a connection at most, over some 100 bytes.
struct Checksum(u32);

impl Default for Checksum {
    fn default() -> Self {
        Self(u32::MAX)
    }
}

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 ^= u32::from(*byte);
            for _ in 0..8 {
                self.0 = (self.0 >> 1) ^ (0x82f6_3b78 & (self.0 & 1).wrapping_neg());
            }
        }
    }

    const fn end(&self) -> u32 {
        !self.0
    }
}

/// The header that tells of a connection, or that the proxy speaks for itself. Where one end is IPv4 and the other IPv6,
/// both are written as IPv6.
#[must_use]
pub fn encode(version: ProxyVersion, proxied: Option<Proxied>) -> Vec<u8> {
    let ends = proxied.map(|Proxied { source, destination }| {
        let v4 = source.ip().to_canonical().is_ipv4() && destination.ip().to_canonical().is_ipv4();
        let wide = |address: IpAddr| match address.to_canonical() {
            IpAddr::V4(narrow) if !v4 => IpAddr::V6(narrow.to_ipv6_mapped()),
            address => address,
        };
        (v4, (wide(source.ip()), source.port()), (wide(destination.ip()), destination.port()))
    });
    match (version, ends) {
        (ProxyVersion::V1, None) => b"PROXY UNKNOWN\r\n".to_vec(),
        (ProxyVersion::V1, Some((v4, (source, from), (destination, to)))) => {
            let family = if v4 { "TCP4" } else { "TCP6" };
            format!("PROXY {family} {source} {destination} {from} {to}\r\n").into_bytes()
        }
        (ProxyVersion::V2, None) => [&SIGNATURE[..], &[0x20, 0, 0, 0]].concat(),
        (ProxyVersion::V2, Some((v4, (source, from), (destination, to)))) => {
            let (family, length) = if v4 { (0x11, 12) } else { (0x21, 36) };
            let mut bytes = [&SIGNATURE[..], &[0x21, family, 0, length]].concat();
            for address in [source, destination] {
                match address {
                    IpAddr::V4(address) => bytes.extend(address.octets()),
                    IpAddr::V6(address) => bytes.extend(address.octets()),
                }
            }
            bytes.extend(from.to_be_bytes());
            bytes.extend(to.to_be_bytes());
            bytes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Checksum, Parsed, Proxied, ProxyVersion, encode, parse};

    fn proxied(source: &str, destination: &str) -> Proxied {
        Proxied { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    #[test]
    fn what_is_written_is_read_wherever_the_reads_cut_it() {
        for told in [
            None,
            Some(proxied("192.0.2.1:1234", "198.51.100.2:443")),
            Some(proxied("[2001:db8::1]:65535", "[2001:db8::2]:0")),
        ] {
            for version in [ProxyVersion::V1, ProxyVersion::V2] {
                let bytes = encode(version, told);
                assert_eq!(parse(&bytes), Ok(Parsed::Whole(told)), "{version:?}");
                for cut in 0..bytes.len() {
                    match parse(&bytes[..cut]) {
                        Ok(Parsed::Partial(more)) => assert!(more > 0 && cut + more <= bytes.len(), "{cut} and {more}"),
                        other => panic!("{other:?} at {cut}"),
                    }
                }
            }
        }
        let mixed = encode(ProxyVersion::V1, Some(proxied("192.0.2.1:1", "[2001:db8::2]:2")));
        assert_eq!(mixed, b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 1 2\r\n");
    }

    #[test]
    fn only_what_the_specification_allows_is_read() {
        let whole = |line: &str| parse(format!("{line}\r\n").as_bytes());
        assert_eq!(whole("PROXY UNKNOWN ffff:: whatever 1"), Ok(Parsed::Whole(None)));
        for bad in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 1",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3",
            "PROXY TCP4 ::1 ::1 1 2",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2",
            "PROXY TCP4 192.0.2.01 192.0.2.2 1 2",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 2",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2",
            "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2",
            "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2",
            "PROXY UNKNOWNS 192.0.2.1",
            "PROXY TCP4 192.0.2.1\t192.0.2.2 1 2",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r",
            "PROXY UNKNOWN a\nb",
            "GET / HTTP/1.1 aaaa",
            "proxy TCP4 192.0.2.1 192.0.2.2 1 2",
        ] {
            assert!(whole(bad).is_err(), "{bad}");
        }
        assert!(parse(format!("PROXY UNKNOWN {}", "x".repeat(93)).as_bytes()).is_err());
    }

    /// A version 2 header of these parts.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&b"\r\n\r\n\0\r\nQUIT\n"[..], &[command, family], &length, rest].concat()
    }

    #[test]
    fn fields_are_whole_bounded_and_their_checksum_right() {
        let addresses = [192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2];
        let told = Ok(Parsed::Whole(Some(proxied("192.0.2.1:1", "192.0.2.2:2"))));
        let with = |fields: &[u8]| binary(0x21, 0x11, &[&addresses[..], fields].concat());
        assert_eq!(parse(&with(&[4, 0, 1, 9, 0xe0, 0, 0])), told);
        assert_eq!(parse(&binary(0x20, 0x11, &addresses)), Ok(Parsed::Whole(None)));
        assert_eq!(parse(&binary(0x21, 0x31, &[0; 216])), Ok(Parsed::Whole(None)));
        for bad in [
            with(&[4]),
            with(&[4, 0, 2, 9]),
            with(&[3, 0, 4, 1, 2, 3, 4]),
            with(&[3, 0, 1, 1]),
            with(&[0; 2100]),
            binary(0x21, 0x11, &addresses[..11]),
            binary(0x21, 0x12, &addresses),
            binary(0x22, 0x11, &addresses),
            binary(0x11, 0x11, &addresses),
            [with(&[]), b"G".to_vec()].concat(),
        ] {
            assert!(parse(&bad).is_err(), "{bad:?}");
        }
        let mut sum = Checksum::default();
        sum.add(b"123456789");
        assert_eq!(sum.end(), 0xe306_9283);
        let mut good = with(&[3, 0, 4, 0, 0, 0, 0, 4, 0, 0]);
        let mut sum = Checksum::default();
        sum.add(&good);
        let at = good.len() - 7;
        good[at..at + 4].copy_from_slice(&sum.end().to_be_bytes());
        assert_eq!(parse(&good), told);
    }
}
