//! nginx and HAProxy, from Debian's packages, behind the gateway and in front of it.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::{Authority, Client, Gateway, Protocol, Wire, debian, eventually, http_get};
use tempfile::TempDir;

/// A server of somebody else's.
struct Server {
    address: SocketAddr,
    child: Child,
    folder: TempDir,
}

impl Server {
    /// Starts a program with a configuration that listens where it is told.
    fn start(program: &str, package: &str, config: impl FnOnce(SocketAddr, &Path) -> String) -> Self {
        debian(program, package);
        let folder = tempfile::tempdir().unwrap();
        let address = free();
        let file = folder.path().join("config");
        fs::write(&file, config(address, folder.path())).unwrap();
        let mut command = Command::new(program);
        command.arg(if program == "nginx" { "-c" } else { "-f" }).arg(&file);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        eventually(program, || TcpStream::connect(address).ok());
        Self { address, child, folder }
    }

    fn nginx(server: &str) -> Self {
        Self::start("nginx", "nginx-light", |address, folder| {
            let folder = folder.display();
            let (listen, rest) = server.split_once(';').unwrap();
            format!(
                "worker_processes 2; daemon off; pid {folder}/pid; error_log {folder}/error.log;\n\
                 events {{ worker_connections 512; }}\n\
                 http {{ access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b;\n\
                 fastcgi_temp_path {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n\
                 server {{ listen {address}{listen}; root {folder}; {} }} }}",
                rest.replace("FOLDER", &folder.to_string())
            )
        })
    }

    fn haproxy(rest: impl FnOnce(SocketAddr) -> String) -> Self {
        Self::start("haproxy", "haproxy", |address, _| {
            let timeouts = "timeout connect 5s\n  timeout client 30s\n  timeout server 30s";
            format!("global\n  nbthread 1\n  maxconn 500\ndefaults\n  mode http\n  {timeouts}\n{}", rest(address))
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its workers go with the master; killed, it would leave them.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        }
        self.child.wait().unwrap();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn gateway(upstream: &str, more: &str) -> Gateway {
    Gateway::start(&format!("{more}\nupstreams:\n  all: {{ {upstream} }}\nroutes: [{{ name: all, upstream: all }}]\n"))
}

#[test]
fn what_nginx_serves_arrives_as_it_is() {
    let nginx = Server::nginx("; keepalive_requests 10; location = /echo { return 200 $request_method; }");
    let file: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    fs::write(nginx.folder.path().join("file"), &file).unwrap();
    let gateway = gateway(&format!("endpoints: [{{ url: \"http://{}\" }}]", nginx.address), "");
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        let whole = client.get("/file", &[]);
        assert!(whole.status == 200 && whole.body == file, "{protocol:?}");
        let tag = whole.header("etag").unwrap().to_owned();
        let part = client.get("/file", &[("range", "bytes=1000-1999")]);
        assert!(part.status == 206 && part.body == file[1000..2000], "{protocol:?}");
        assert_eq!(client.get("/file", &[("if-none-match", &tag)]).status, 304);
        assert_eq!(client.ask("HEAD", "/file", &[], b"").header("content-length"), Some("3000000"));
        assert_eq!(client.get("/none", &[]).status, 404);
        // Every tenth answer ends nginx's connection.
        for number in 0..100 {
            let method = if number % 2 == 0 { "POST" } else { "GET" };
            let reply = client.ask(method, "/echo", &[], b"");
            assert_eq!((reply.status, reply.text().as_str()), (200, method), "{protocol:?} {number}");
        }
    }
}

#[test]
fn nothing_fails_while_nginx_reloads() {
    let nginx = Server::nginx("; location / { return 200 there; }");
    let gateway = gateway(&format!("endpoints: [{{ url: \"http://{}\" }}]", nginx.address), "");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for number in 0..500 {
        if number % 100 == 50 {
            let pid = rustix::process::Pid::from_raw(nginx.child.id().cast_signed()).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
        }
        assert_eq!(client.get("/", &[]).text(), "there", "{number}");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[test]
fn nginx_under_tls_is_trusted_by_its_name() {
    let authority = Authority::new("ours");
    let keys = tempfile::tempdir().unwrap();
    let (cert, key) = authority.sign(&["api.test"]).write(keys.path(), "server");
    let ca = keys.path().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let nginx = Server::nginx(&format!(
        " ssl http2; ssl_certificate {}; ssl_certificate_key {}; location / {{ return 200 $server_protocol; }}",
        cert.display(),
        key.display()
    ));
    let endpoint = format!("endpoints: [{{ url: \"https://{}\" }}]", nginx.address);
    let tls = format!("tls: {{ ca: {:?}, server_name: api.test }}", ca.display());
    for (protocol, spoken) in [("auto", "HTTP/2.0"), ("http1", "HTTP/1.1"), ("http2", "HTTP/2.0")] {
        let gateway = gateway(&format!("{endpoint}, protocol: {protocol}, {tls}"), "");
        assert_eq!(http_get(gateway.address(), "/").text(), spoken, "{protocol}");
    }
    let gateway = gateway(&format!("{endpoint}, tls: {{ ca: {:?} }}", ca.display()), "");
    assert_eq!(http_get(gateway.address(), "/").reason(), Some("upstream-tls"));
}

#[test]
fn haproxy_in_front_says_who_the_client_is() {
    for server in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proto h2", "send-proxy-v2 crc32c-opt"] {
        let server = server.replace(" crc32c-opt", " proxy-v2-options crc32c,unique-id");
        let echo = Server::haproxy(|address| {
            format!(
                "frontend echo\n  bind {address}\n  http-request return status 200 content-type text/plain lf-string \"%[req.hdr(x-forwarded-for)]\"\n"
            )
        });
        let gateway = Gateway::start(&format!(
            "listeners: [{{ address: 127.0.0.1:0, proxy_protocol: {{ from: [127.0.0.3/32] }} }}]\n\
             upstreams:\n  all: {{ endpoints: [{{ url: \"http://{}\" }}] }}\nroutes: [{{ name: all, upstream: all }}]\n",
            echo.address
        ));
        let to = gateway.address();
        let haproxy = Server::haproxy(|address| {
            format!(
                "frontend front\n  bind {address}\n  unique-id-format %[uuid()]\n  default_backend back\n\
                 backend back\n  source 127.0.0.3\n  server gateway {to} {server}\n"
            )
        });
        for _ in 0..20 {
            let reply = http_get(haproxy.address, "/x");
            assert_eq!((reply.status, reply.text().as_str()), (200, "127.0.0.1"), "{server}");
        }
    }
}

#[test]
fn haproxy_behind_is_told_who_the_client_is() {
    let said = "http-request return status 200 content-type text/plain lf-string \"%[src] %[req.ver]\"";
    for (version, protocol, bind, spoken) in [
        ("v1", "http1", "accept-proxy", "1.1"),
        ("v2", "http1", "accept-proxy", "1.1"),
        ("v1", "http2", "accept-proxy proto h2", "2.0"),
        ("v2", "http2", "accept-proxy proto h2", "2.0"),
    ] {
        let haproxy = Server::haproxy(|address| format!("frontend back\n  bind {address} {bind}\n  {said}\n"));
        let upstream = format!(
            "endpoints: [{{ url: \"http://{}\" }}], protocol: {protocol}, proxy_protocol: {version}",
            haproxy.address
        );
        let gateway = gateway(&upstream, "trusted_proxies: [127.0.0.1/32]");
        let mut wire = Wire::connect(gateway.address());
        for client in ["192.0.2.7", "198.51.100.9", "2001:db8::7"] {
            wire.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: {client}\r\n\r\n"));
            assert_eq!(wire.reply().text(), format!("{client} {spoken}"), "{version} {protocol}");
        }
    }
}
