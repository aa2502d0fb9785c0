//! A running `gatewright mock`.

use std::net::SocketAddr;

use serde_json::Value;

use crate::http1::http_get;
use crate::process::{Process, gatewright};

/// A running mock upstream.
#[derive(Debug)]
pub struct Mock {
    /// Where it listens.
    pub address: SocketAddr,
    _process: Process,
}

impl Mock {
    /// Starts it on a free port.
    #[must_use]
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = gatewright();
        command.args(["mock", "--address", "127.0.0.1:0"]).args(arguments);
        let process = Process::start(command);
        let address = process.stderr.wait_for("the mock's address", |line| {
            let (_, rest) =
                line.split_once("listening").map(|_| line).and_then(|line| line.rsplit_once("127.0.0.1:"))?;
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            Some(port)
                .filter(|port| port != "0")?
                .parse()
                .ok()
                .map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port)))
        });
        Self { address, _process: process }
    }

    /// How many requests came and what became of them, once so many were aborted.
    #[must_use]
    pub fn requests(&self, aborted: u64) -> Value {
        http_get(self.address, &format!("/mock/requests?aborted={aborted}")).json()
    }
}
