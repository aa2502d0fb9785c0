//! What is measured: a gateway or an nginx with one worker, in front of the origin.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A process under test.
pub(crate) struct Subject {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// From its start to the first connection that it accepted.
    pub(crate) started_in: Duration,
    pub(crate) child: Child,
    pub(crate) folder: TempDir,
    pub(crate) admin: Option<SocketAddr>,
}

const ALICE: &str = "72ee9d4355ccb9d3a4c9dbf37382e38e75c1b1a225b5bd1f729ee91bbda30c20";

impl Subject {
    /// A gateway with one route, the policies of its chain by name, and an upstream.
    pub(crate) fn gateway(origin: SocketAddr, policies: &str, upstream: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plugins = folder.path().join("plugins");
        std::fs::create_dir(&plugins).unwrap();
        for entry in std::fs::read_dir(repository().join("plugins")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "wasm") {
                std::fs::copy(&path, plugins.join(path.file_name().unwrap())).unwrap();
            }
        }
        Self::start(folder, &cache(), |address, admin| config(address, admin, origin, (policies, upstream)))
    }

    /// A gateway with so many plugins, each used by one policy.
    pub(crate) fn with_plugins(origin: SocketAddr, count: usize, cache: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plugins = folder.path().join("plugins");
        std::fs::create_dir(&plugins).unwrap();
        let bytes = std::fs::read(repository().join("plugins/tenant-router.wasm")).unwrap();
        let mut policies = String::new();
        for number in 0..count {
            std::fs::write(plugins.join(format!("p{number}.wasm")), marked(bytes.clone(), number)).unwrap();
            let uses = "grants: { metadata: [tenant] }, config: { by: tenant, upstreams: { acme: plain } }";
            policies.push_str(&format!("  p{number}: {{ plugin: p{number}, {uses} }}\n"));
        }
        // Files that were just written are read twice.
        std::thread::sleep(Duration::from_secs(3));
        Self::start(folder, cache, |address, admin| routes(address, admin, origin, (&policies, &[("/", "")])))
    }

    /// A gateway with plugins by name.
    pub(crate) fn with(plugins: &[(&str, &[u8])], config: impl Fn(SocketAddr, SocketAddr) -> String) -> Self {
        Self::start(folder_of(plugins), &cache(), config)
    }

    /// As `with`, on two workers.
    pub(crate) fn with_two_workers(
        plugins: &[(&str, &[u8])],
        config: impl Fn(SocketAddr, SocketAddr) -> String,
    ) -> Self {
        Self::start_workers("2", folder_of(plugins), &cache(), config)
    }

    fn start(folder: TempDir, cache: &Path, config: impl Fn(SocketAddr, SocketAddr) -> String) -> Self {
        Self::start_workers("1", folder, cache, config)
    }

    fn start_workers(
        workers: &str,
        folder: TempDir,
        cache: &Path,
        config: impl Fn(SocketAddr, SocketAddr) -> String,
    ) -> Self {
        let (address, admin) = (free_address(), free_address());
        let file = folder.path().join("gateway.yaml");
        std::fs::write(&file, config(address, admin)).unwrap();
        let binary = std::env::current_exe().unwrap().with_file_name("gatewright");
        let mut command = Command::new(binary);
        command.env("GATEWRIGHT_CACHE", cache);
        command.args(["run", "--workers", workers, "--log", "error", "--config"]).arg(file);
        let start = Instant::now();
        let child = command.stdout(Stdio::null()).spawn().unwrap();
        wait_for(address);
        Self { address, started_in: start.elapsed(), child, folder, admin: Some(admin) }
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("gateway.yaml")
    }

    /// Changes the configuration so that answers can tell.
    pub(crate) fn change_config(&self, number: usize) {
        let text = std::fs::read_to_string(self.config()).unwrap();
        let changed = text
            .lines()
            .map(|line| if line.starts_with("bounds:") { "" } else { line })
            .chain([format!("bounds: {{ uri_bytes: {} }}", 200 + number).as_str()])
            .collect::<Vec<_>>()
            .join("\n");
        std::fs::write(self.config(), changed).unwrap();
    }

    /// Whether a request is served by that change: a target one byte too long for it is refused, the last that fits is
    /// not.
    pub(crate) fn serves(&self, number: usize) -> bool {
        let status = |length: usize| {
            let target = format!("/{}", "x".repeat(length - 1));
            harness::http_get(self.address, &target).status
        };
        status(200 + number) != 414 && status(201 + number) == 414
    }

    /// The number of the snapshot that serves.
    pub(crate) fn generation(&self) -> u64 {
        let reply = harness::http_get(self.admin.unwrap(), "/status");
        let status: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        status.get("generation").and_then(serde_json::Value::as_u64).unwrap()
    }

    /// A figure of its metrics.
    pub(crate) fn figure(&self, name: &str) -> f64 {
        let text = harness::http_get(self.admin.unwrap(), "/metrics").text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.unwrap().parse().unwrap()
    }

    /// Calls of policies that ended well so far.
    pub(crate) fn calls(&self) -> f64 {
        self.sum("gatewright_policy_calls_total{")
    }

    /// Requests so far.
    pub(crate) fn requests(&self) -> f64 {
        self.sum("gatewright_requests_total{")
    }

    fn sum(&self, prefix: &str) -> f64 {
        let text = harness::http_get(self.admin.unwrap(), "/metrics").text();
        let lines = text.lines().filter(|line| line.starts_with(prefix));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Changes a plugin's bytes and nothing that it does: a custom section more.
    pub(crate) fn change_plugin(&self, number: usize) {
        let file = self.folder.path().join("plugins/key-auth.wasm");
        self.replace_plugin("key-auth", &marked(std::fs::read(file).unwrap(), number));
    }

    /// Puts another file in place of a plugin's.
    pub(crate) fn replace_plugin(&self, name: &str, bytes: &[u8]) {
        let file = self.folder.path().join(format!("plugins/{name}.wasm"));
        let temporary = file.with_extension("new");
        std::fs::write(&temporary, bytes).unwrap();
        std::fs::rename(temporary, file).unwrap();
    }

    fn processes(&self) -> Vec<u32> {
        let mut all = vec![self.child.id()];
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        let children = std::fs::read_to_string(children).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        all
    }

    /// CPU time so far, of every thread, by the scheduler's account.
    pub(crate) fn cpu(&self) -> Duration {
        let mut nanos = 0;
        for pid in self.processes() {
            for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
                let account = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap_or_default();
                nanos += account.split(' ').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            }
        }
        Duration::from_nanos(nanos)
    }

    /// Bytes of memory that it holds.
    pub(crate) fn resident(&self) -> u64 {
        let kib = |pid: u32| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0").to_owned();
            line.split_whitespace().next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0)
        };
        self.processes().into_iter().map(kib).sum::<u64>() << 10
    }
}

/// Another file that does the same: with a custom section more.
pub(crate) fn marked(mut bytes: Vec<u8>, number: usize) -> Vec<u8> {
    let name = format!("bench-{number:04}");
    bytes.extend([0, u8::try_from(name.len() + 1).unwrap(), u8::try_from(name.len()).unwrap()]);
    bytes.extend(name.as_bytes());
    bytes
}

/// The settings of key-auth that let every request of the load pass.
pub(crate) fn keys() -> String {
    let key = format!("{{ principal: alice, tenant: acme, sha256: [\"{ALICE}\"] }}");
    format!("header: authorization, scheme: Bearer, forward: true, keys: [{key}]")
}

/// A plugin of the repository's drop folder.
pub(crate) fn plugin(name: &str) -> Vec<u8> {
    std::fs::read(repository().join(format!("plugins/{name}.wasm"))).unwrap()
}

/// A folder whose drop folder has these plugins.
fn folder_of(plugins: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    for (name, bytes) in plugins {
        std::fs::write(folder.path().join(format!("plugins/{name}.wasm")), bytes).unwrap();
    }
    folder
}

/// A configuration with these policies and, for each path, a route with a chain of some of them to the origin.
pub(crate) fn routes(
    address: SocketAddr,
    admin: SocketAddr,
    origin: SocketAddr,
    (policies, chains): (&str, &[(&str, &str)]),
) -> String {
    let route = |(path, chain): &(&str, &str)| {
        format!(
            "- {{ name: {path:?}, match: {{ path: {{ prefix: {path:?} }} }}, policies: [{chain}], upstream: plain }}\n"
        )
    };
    let routes: String = chains.iter().map(route).collect();
    format!(
        "listeners: [{{ address: \"{address}\" }}]\nadmin: {{ address: \"{admin}\" }}\naccess_log: {{ to: \"off\" }}\n\
         policies:\n{policies}upstreams: {{ plain: {{ endpoints: [{{ url: \"http://{origin}\" }}] }} }}\n\
         routes:\n{routes}"
    )
}

/// What was compiled in an earlier run.
fn cache() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("bench-cache")
}

/// The policies, each with fresh instances and, under its name and `-warm`, with warm ones.
fn uses(upstream: &str) -> String {
    let mut uses = String::new();
    let keys = keys();
    for (isolation, suffix) in [("fresh", ""), ("warm", "-warm")] {
        let mut add = |name: &str, plugin: &str, grants: &str, config: &str| {
            let end = format!("isolation: {isolation}, grants: {{ {grants} }}, config: {{ {config} }} }}\n");
            uses.push_str(&format!("  {name}{suffix}: {{ plugin: {plugin}, {end}"));
        };
        add("keys", "key-auth", "metadata: [auth]", &keys);
        for number in 1..=8 {
            add(&format!("keys-{number}"), "key-auth", "metadata: [auth]", &keys);
        }
        add("per-key", "rate-limit", "limits: true", "by: principal, limits: [{ requests: 1000000000, per: 1s }]");
        add(
            "tenants",
            "tenant-router",
            "metadata: [tenant]",
            &format!("by: tenant, upstreams: {{ acme: {upstream} }}"),
        );
    }
    uses
}

/// One route to the origin, with these policies.
fn config(address: SocketAddr, admin: SocketAddr, origin: SocketAddr, (policies, upstream): (&str, &str)) -> String {
    let uses = uses(upstream);
    format!(
        r#"
listeners: [{{ address: "{address}" }}]
admin: {{ address: "{admin}" }}
access_log: {{ to: "off" }}
policies:
{uses}  openai: {{ plugin: llm-normalize, grants: {{ metadata: [llm] }}, config: {{ dialect: openai, models: {{ fast: m }} }} }}
  claude: {{ plugin: llm-normalize, grants: {{ metadata: [llm] }}, config: {{ dialect: anthropic, models: {{ fast: m }} }} }}
upstreams:
  plain: {{ endpoints: [{{ url: "http://{origin}" }}] }}
  openai: {{ endpoints: [{{ url: "http://{origin}" }}], policies: [openai] }}
  claude: {{ endpoints: [{{ url: "http://{origin}" }}], policies: [claude] }}
routes: [{{ name: bench, policies: [{policies}], upstream: {upstream} }}]
"#
    )
}

impl Drop for Subject {
    fn drop(&mut self) {
        for pid in self.processes().into_iter().rev() {
            if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
                let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        let _ended = self.child.wait();
    }
}

/// A port that was free just now: a benchmark may take one by number, a test may not.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

pub(crate) fn wait_for(address: SocketAddr) {
    for _ in 0..6_000 {
        if TcpStream::connect(address).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("nothing listens on {address}");
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}
