//! What a proxy in front says before the client's first byte: a PROXY protocol header, where one must come.

use std::net::IpAddr;

use tokio::io::AsyncReadExt as _;

use super::socket::Socket;
use crate::config::{ProxyProtocolConfig, ProxyProtocolOthers};
use crate::proxy_protocol::{Parsed, Proxied, parse};

/// Reads the header if the peer is one of the proxies, and not a byte more.
///
/// # Errors
/// Why the connection must be closed, in words for the log.
pub(super) async fn read(
    socket: &mut Socket,
    config: &ProxyProtocolConfig,
    peer: IpAddr,
) -> Result<Option<Proxied>, String> {
    let peer = peer.to_canonical();
    if !config.from.iter().any(|net| net.contains(&peer)) {
        return match config.others {
            ProxyProtocolOthers::Serve => Ok(None),
            ProxyProtocolOthers::Refuse => Err("it is none of the proxies".to_owned()),
        };
    }
    let mut header = Vec::new();
    loop {
        match parse(&header)? {
            Parsed::Whole(proxied) => return Ok(proxied),
            Parsed::Partial(more) => {
                let so_far = header.len();
                header.resize(so_far + more, 0);
                let rest = header.get_mut(so_far..).unwrap_or_default();
                socket.read_exact(rest).await.map_err(|error| error.to_string())?;
            }
        }
    }
}
