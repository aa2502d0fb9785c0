//! What a session may be resumed for: the same name, the same authorities, the same revocation lists.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use harness::{Authority, Gateway, Identity, Origin};
use tempfile::TempDir;

use super::gateway_with_tls;

/// What `openssl s_client` makes of a connection.
#[derive(Debug, PartialEq, Eq)]
enum Handshake {
    /// A whole handshake, and an answer.
    New,
    /// A resumed session, and an answer.
    Reused,
    /// No answer.
    Refused,
}

/// A client of its own folder: its certificate, what it trusts, and its sessions by name.
struct Client {
    folder: TempDir,
    version: &'static str,
    identity: bool,
}

impl Client {
    fn new(version: &'static str, servers: &Authority, identity: Option<&Identity>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), servers.pem()).unwrap();
        identity.map(|identity| identity.write(folder.path(), "own"));
        Self { folder, version, identity: identity.is_some() }
    }

    /// Connects under a name, with a session that was kept if there is one, and asks for something.
    fn ask(&self, gateway: &Gateway, name: &str, session: Option<&str>, keep: Option<&str>) -> Handshake {
        let mut command = Command::new("openssl");
        command.current_dir(self.folder.path()).args(["s_client", "-ign_eof", "-CAfile", "ca.pem", self.version]);
        command.args(["-connect", &gateway.address().to_string(), "-servername", name]);
        if self.identity {
            command.args(["-cert", "own.crt", "-key", "own.key"]);
        }
        for (option, file) in [("-sess_in", session), ("-sess_out", keep)] {
            command.args(file.iter().flat_map(|file| [option, *file]));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let request = format!("GET /x HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
        // Where the handshake was refused, nobody reads it.
        drop(child.stdin.take().unwrap().write_all(request.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match (text.contains("HTTP/1.1 200"), text.contains("\nReused, ")) {
            (true, true) => Handshake::Reused,
            (true, false) if text.contains("\nNew, ") => Handshake::New,
            (false, _) => Handshake::Refused,
            (true, false) => panic!("{text}"),
        }
    }
}

const VERSIONS: [&str; 2] = ["-tls1_2", "-tls1_3"];

#[test]
fn a_session_is_resumed_for_its_own_name_only() {
    let people = Authority::new("people");
    let alice = people.sign(&["alice"]);
    for (client_auth, identity) in [("off", None), ("optional", Some(&alice)), ("require", Some(&alice))] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("people.pem"), people.pem()).unwrap();
        let ca = if identity.is_some() { "client_ca: people.pem\n      " } else { "" };
        let origin = Origin::ok();
        let (gateway, servers) = gateway_with_tls(&origin, &format!("{ca}client_auth: {client_auth}"), "", folder);
        for version in VERSIONS {
            let client = Client::new(version, &servers, identity);
            let what = format!("{version}, {client_auth}");
            assert_eq!(client.ask(&gateway, "a.test", None, Some("a")), Handshake::New, "{what}");
            assert_eq!(client.ask(&gateway, "b.test", Some("a"), None), Handshake::New, "{what}");
            assert_eq!(client.ask(&gateway, "a.test", None, Some("b")), Handshake::New, "{what}");
            assert_eq!(client.ask(&gateway, "a.test", Some("b"), None), Handshake::Reused, "{what}");
        }
    }
}

/// Whether a session of before a change is resumed after it.
fn resumed_after(version: &'static str, change: impl Fn(&Path, &Authority, &Identity)) -> Handshake {
    let people = Authority::new("people");
    let alice = people.sign(&["alice"]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("people.pem"), people.pem()).unwrap();
    std::fs::write(folder.path().join("people.crl"), people.revoke(&[])).unwrap();
    let more = "client_ca: people.pem\n      client_crl: people.crl\n      client_auth: require";
    let origin = Origin::ok();
    let (gateway, servers) = gateway_with_tls(&origin, more, "", folder);
    let client = Client::new(version, &servers, Some(&alice));
    assert_eq!(client.ask(&gateway, "a.test", None, Some("kept")), Handshake::New);
    drop(origin.take());
    change(gateway.folder(), &people, &alice);
    assert_eq!(gateway.admin_post("/reload").status, 200);
    let handshake = client.ask(&gateway, "a.test", Some("kept"), None);
    let served = origin.take().requests.len();
    assert_eq!(served, usize::from(handshake != Handshake::Refused), "{handshake:?}");
    handshake
}

#[test]
fn no_session_outlives_what_it_was_granted_on() {
    for version in VERSIONS {
        let other_authority = |folder: &Path, _: &Authority, _: &Identity| {
            let others = Authority::new("others");
            std::fs::write(folder.join("people.pem"), others.pem()).unwrap();
            std::fs::write(folder.join("people.crl"), others.revoke(&[])).unwrap();
        };
        assert_eq!(resumed_after(version, other_authority), Handshake::Refused, "{version}: another authority");
        let revoked = |folder: &Path, people: &Authority, alice: &Identity| {
            std::fs::write(folder.join("people.crl"), people.revoke(&[alice])).unwrap();
        };
        assert_eq!(resumed_after(version, revoked), Handshake::Refused, "{version}: revoked");
        let another_revoked = |folder: &Path, people: &Authority, _: &Identity| {
            std::fs::write(folder.join("people.crl"), people.revoke(&[&people.sign(&["bob"])])).unwrap();
        };
        assert_eq!(resumed_after(version, another_revoked), Handshake::New, "{version}: another is revoked");
    }
}
