//! What the gateway is measured beside, and the gateway as it is beside them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::proxies::Spoken;
use crate::subject::{Subject, free_address, wait_for};

impl Subject {
    /// nginx, where it is installed.
    pub(crate) fn nginx(origin: SocketAddr) -> Option<Self> {
        let Ok(version) = Command::new("nginx").arg("-v").output() else {
            println!("nginx is not installed, so nothing is beside it: apt-get install nginx-light");
            return None;
        };
        print!("{}", String::from_utf8_lossy(&version.stderr));
        Some(Self::start_nginx(origin, "", ""))
    }

    fn start_nginx(origin: SocketAddr, listen: &str, tls: &str) -> Self {
        let address = free_address();
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "worker_processes 1; daemon off; pid {0}/pid; error_log {0}/error.log;\n\
             events {{ worker_connections 8192; }}\n\
             http {{ access_log off; client_body_buffer_size 1m; client_body_temp_path {0}/a; proxy_temp_path {0}/b; fastcgi_temp_path {0}/c;\n\
             uwsgi_temp_path {0}/d; scgi_temp_path {0}/e;\n\
             keepalive_requests 100000000; http2_max_requests 100000000;\n\
             upstream origin {{ server {origin}; keepalive 64; keepalive_requests 100000000; }}\n\
             server {{ listen {address}{listen}; {tls} location / {{ proxy_pass http://origin; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; proxy_set_header X-Forwarded-For $remote_addr;\n\
             proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $host;\n\
             proxy_set_header X-Request-Id $request_id; }} }} }}",
            folder.path().display()
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let start = Instant::now();
        let child = Command::new("nginx").arg("-c").arg(&file).stderr(Stdio::null()).spawn().unwrap();
        wait_for(address);
        Self { address, started_in: start.elapsed(), child, folder, admin: None }
    }

    /// nginx that ends what is spoken, where it is installed.
    pub(crate) fn nginx_for(origin: SocketAddr, spoken: Spoken, keys: &Path) -> Option<Self> {
        Command::new("nginx").arg("-v").output().ok()?;
        let pem = keys.join("both.pem").display().to_string();
        let (listen, tls) = match spoken {
            Spoken::Http1 => ("", String::new()),
            Spoken::Tls => (" ssl", format!("ssl_certificate {pem}; ssl_certificate_key {pem};")),
            Spoken::Http2 => (" http2", String::new()),
        };
        Some(Self::start_nginx(origin, listen, &tls))
    }

    /// HAProxy with one thread, where it is installed.
    pub(crate) fn haproxy(origin: SocketAddr, spoken: Spoken, keys: &Path) -> Option<Self> {
        let Ok(_) = Command::new("haproxy").arg("-v").output() else {
            println!("HAProxy is not installed, so it is not beside it: apt-get install haproxy");
            return None;
        };
        let address = free_address();
        let folder = tempfile::tempdir().unwrap();
        let bind = match spoken {
            Spoken::Http1 => String::new(),
            Spoken::Tls => format!(" ssl crt {} alpn http/1.1", keys.join("both.pem").display()),
            Spoken::Http2 => " proto h2".to_owned(),
        };
        let config = format!(
            "global\n  nbthread 1\n  maxconn 8000\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  \
             timeout server 60s\n  option forwardfor\n  http-reuse always\nfrontend bench\n  bind {address}{bind}\n  \
             http-request set-header x-forwarded-proto http\n  http-request set-header x-forwarded-host %[req.hdr(host)]\n  \
             unique-id-format %[uuid()]\n  unique-id-header x-request-id\n  \
             default_backend origin\nbackend origin\n  server origin {origin} pool-max-conn 64\n"
        );
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, config).unwrap();
        let start = Instant::now();
        let mut command = Command::new("haproxy");
        let child = command.arg("-db").arg("-q").arg("-f").arg(&file).stderr(Stdio::null()).spawn().unwrap();
        wait_for(address);
        Some(Self { address, started_in: start.elapsed(), child, folder, admin: None })
    }

    /// A gateway that ends what is spoken and has no policy.
    pub(crate) fn bare(origin: SocketAddr, spoken: Spoken, keys: &Path) -> Self {
        let tls = match spoken {
            Spoken::Tls => {
                let [cert, key] = ["server.crt", "server.key"].map(|name| keys.join(name).display().to_string());
                format!(", tls: {{ certificates: [{{ cert: {cert:?}, key: {key:?} }}] }}")
            }
            Spoken::Http1 | Spoken::Http2 => String::new(),
        };
        Self::with(&[], |address, admin| {
            format!(
                "listeners: [{{ address: \"{address}\"{tls} }}]\nadmin: {{ address: \"{admin}\" }}\naccess_log: {{ to: \"off\" }}\n\
                 upstreams: {{ plain: {{ endpoints: [{{ url: \"http://{origin}\" }}] }} }}\n\
                 routes: [{{ name: bench, upstream: plain }}]\n"
            )
        })
    }
}
