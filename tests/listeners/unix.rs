//! Unix sockets: who may connect, and what becomes of their files.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use harness::{DEADLINE, Gateway, Origin, Process, eventually, gatewright};
use tempfile::TempDir;

/// A configuration with a Unix socket.
fn config(origin: &Origin, path: &Path, more: &str) -> String {
    format!(
        "listeners:\n  - {{ address: \"unix:{}\"{more} }}\nadmin: {{ address: 127.0.0.1:0 }}\n\
         upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}\nroutes: [{{ name: all, upstream: origin }}]\n",
        path.display(),
        origin.url()
    )
}

/// All that is answered to a request.
fn ask(path: &Path, fields: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
        .write_all(format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{fields}Connection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn requests_come_by_a_unix_socket_whose_file_lasts_as_long_as_the_gateway() {
    let origin = Origin::ok();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.sock");
    // What a process left that is gone is no obstacle.
    drop(UnixListener::bind(&path).unwrap());
    let text = config(&origin, &path, "");
    let more = "trusted_proxies: [127.0.0.1/32]\n";
    let mut gateway = Gateway::start_in(folder, &format!("{more}{text}"));
    for (fields, client) in [("", "127.0.0.1"), ("X-Forwarded-For: 192.0.2.1\r\n", "192.0.2.1, 127.0.0.1")] {
        let answer = ask(&path, fields);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok"), "{answer}");
        assert_eq!(origin.take().requests.first().unwrap().values("x-forwarded-for"), [client]);
    }
    assert_eq!(mode(&path), 0o600);
    std::fs::write(gateway.folder().join("gateway.yaml"), config(&origin, &path, ", mode: \"660\"")).unwrap();
    assert_eq!(gateway.admin_post("/reload").status, 200);
    assert_eq!(mode(&path), 0o660);
    gateway.process.terminate();
    assert!(gateway.process.wait().success());
    assert!(!path.exists());
}

/// What `gatewright run` says when it does not start.
fn refusal(folder: &TempDir, config: &str) -> String {
    let file = folder.path().join("gateway.yaml");
    std::fs::create_dir_all(folder.path().join("plugins")).unwrap();
    std::fs::write(&file, config).unwrap();
    let mut command = gatewright();
    command.args(["run", "--config"]).arg(file);
    let mut process = Process::start(command);
    assert!(!process.wait().success());
    process.stderr.all().join("\n")
}

#[test]
fn what_is_not_its_own_is_left_alone() {
    let origin = Origin::ok();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taken");
    std::fs::write(&path, "precious").unwrap();
    let text = refusal(&folder, &config(&origin, &path, ""));
    assert!(text.contains("is no socket"), "{text}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");

    let path = folder.path().join("another");
    let listener = UnixListener::bind(&path).unwrap();
    let text = refusal(&folder, &config(&origin, &path, ""));
    assert!(text.contains("another process listens there"), "{text}");
    UnixStream::connect(&path).unwrap();
    drop(listener);

    let text = refusal(&folder, &config(&origin, Path::new("relative.sock"), ""));
    assert!(text.contains("gateway.yaml:2:"), "{text}");
    let text = refusal(&folder, &config(&origin, &path, ", mode: \"999\""));
    assert!(text.contains("gateway.yaml:2:"), "{text}");
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().starts_with('.')), "{names:?}");
}

#[test]
fn a_socket_that_is_no_longer_configured_goes() {
    let origin = Origin::ok();
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old.sock"), folder.path().join("new.sock"));
    let gateway = Gateway::start_in(folder, &config(&origin, &old, ""));
    assert!(ask(&old, "").starts_with("HTTP/1.1 200 OK\r\n"));
    std::fs::write(gateway.folder().join("gateway.yaml"), config(&origin, &new, "")).unwrap();
    assert_eq!(gateway.admin_post("/reload").status, 200);
    assert!(ask(&new, "").starts_with("HTTP/1.1 200 OK\r\n"));
    eventually("the old socket is gone", || (!old.exists()).then_some(()));
}
