//! Configurations with components: refused with a reason, or applied while requests are under way.

use std::path::Path;
use std::process::Command;

use harness::{Client, Gateway, Protocol, Wire, eventually, gatewright, gatewright_with_components, guest, guest_with};
use tempfile::TempDir;

use super::{config, folder};

/// What `check` says of a configuration.
fn checked(mut command: Command, folder: &TempDir, text: &str) -> (bool, String) {
    let file = folder.path().join("gateway.yaml");
    let listeners = "listeners: [{ address: \"127.0.0.1:0\" }]\n";
    std::fs::write(&file, format!("{listeners}{text}")).unwrap();
    let output = command.arg("check").arg("--config").arg(file).output().unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    (output.status.success(), said.concat())
}

#[test]
fn a_gateway_without_the_feature_says_how_to_build_one_with_it() {
    let folder = folder();
    let (accepted, said) = checked(gatewright(), &folder, &config("", ""));
    assert!(!accepted && said.contains("cargo build --release --features wasi-http"), "{said}");
    assert!(said.contains("upstream \"service\""), "{said}");
    let (accepted, said) = checked(gatewright_with_components(), &folder, &config("", ""));
    assert!(accepted, "{said}");
}

#[test]
fn what_cannot_serve_is_refused_by_name() {
    let folder = folder();
    let plugins = folder.path().join("plugins");
    let component = |text: &str| wat::parse_str(format!("(component {text})")).unwrap();
    let instance = "(instance $i)";
    std::fs::write(
        plugins.join("future.wasm"),
        component(&format!(r#"{instance} (export "wasi:http/handler@0.3.0" (instance $i))"#)),
    )
    .unwrap();
    std::fs::write(
        plugins.join("keyvalue.wasm"),
        component(&format!(
            r#"(import "wasi:keyvalue/store@0.2.0" (instance)) {instance} (export "wasi:http/incoming-handler@0.2.0" (instance $i))"#
        )),
    )
    .unwrap();
    std::fs::write(
        plugins.join("hollow.wasm"),
        component(&format!(r#"{instance} (export "wasi:http/incoming-handler@0.2.0" (instance $i))"#)),
    )
    .unwrap();
    let named = |plugin: &str| config("", "").replace("plugin: service", &format!("plugin: {plugin}"));
    let refused = [
        (named("future"), "exports wasi:http/handler@0.3.0"),
        (named("keyvalue"), "imports wasi:keyvalue/store@0.2.0"),
        (named("hollow"), "incoming-handler"),
        (named("absent"), "unknown plugin \"absent\""),
        (named("stamp"), "plugin \"stamp\" is a policy"),
        (config("memory: 1KiB", ""), "memory must be from 1MiB to 512MiB"),
        (config("memory: 1GiB", ""), "memory must be from 1MiB to 512MiB"),
        (config("deadline: 48h", ""), "deadline must be from 1ms to 24h"),
        (config("cpu: 1h", ""), "cpu must be from 1ms to 10m"),
        (config("concurrency: 0", ""), "concurrency"),
        (config("http: [nobody]", ""), "unknown upstream \"nobody\""),
        (config("http: [service]", ""), "is a component itself"),
        (config("environment: { \"A=B\": c }", ""), "no variable"),
        (config("files: [a]", ""), "files"),
        (
            config("", "  both: { component: { plugin: service }, endpoints: [{ url: \"http://a.test\" }] }"),
            "`endpoints` and a `component`",
        ),
        (config("", "  none: {}"), "at least one endpoint, or a `component`"),
        (
            format!("policies: {{ wrong: {{ plugin: service }} }}\n{}", config("", "")),
            "is a component: it serves as an upstream, and is no policy",
        ),
    ];
    for (text, wanted) in refused {
        let (accepted, said) = checked(gatewright_with_components(), &folder, &text);
        assert!(!accepted && said.contains(wanted), "{wanted}: {said}");
    }
}

/// Puts a file in place by a rename.
fn save(path: &Path, bytes: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(new, path).unwrap();
}

fn version(gateway: &Gateway) -> String {
    let reply = Client::connect(gateway.address(), Protocol::Http1).get("/version", &[]);
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.text()
}

#[test]
fn a_new_version_serves_new_requests_and_the_old_one_ends_its_own() {
    let gateway = Gateway::start_with_components(folder(), &config("", ""));
    let mut wire = Wire::connect(gateway.address());
    wire.send("GET /events?100 HTTP/1.1\r\nhost: a.test\r\n\r\n");
    assert_eq!(wire.read_head().unwrap().status, 200);
    let file = gateway.folder().join("plugins/service.wasm");
    for number in 1..=3 {
        let wanted = format!("service-version-{number:06}");
        save(&file, guest_with("service", "service-version-000000", &wanted));
        eventually("the new version", || (version(&gateway) == wanted).then_some(()));
    }
    // The stream began under the first version, and comes to its end.
    for number in 0..100 {
        assert_eq!(wire.chunk().unwrap(), format!("data: event {number}\n\n").into_bytes());
    }
    assert_eq!(wire.chunk(), None);
    save(&file, b"no component");
    let broken = eventually("the broken file to be known", || {
        let status = gateway.admin_get("/status").json();
        let plugins = status["plugins"].as_array()?.clone();
        plugins.into_iter().find(|plugin| plugin["name"] == "service" && plugin["last_error"].is_string())
    });
    assert_eq!(broken["component"], true);
    assert_eq!(version(&gateway), "service-version-000003");
    save(&file, guest("service"));
    eventually("the first version again", || (version(&gateway) == "service-version-000000").then_some(()));
}

#[test]
fn a_changed_configuration_serves_new_requests() {
    let gateway = Gateway::start_with_components(folder(), &config("environment: { A: '1' }", ""));
    let environment = || Client::connect(gateway.address(), Protocol::Http1).get("/environment", &[]).text();
    assert_eq!(environment(), "0 arguments, A=1");
    let file = gateway.folder().join("gateway.yaml");
    let text = std::fs::read_to_string(&file).unwrap().replace("A: '1'", "A: '2'");
    save(&file, text);
    eventually("the new variable", || (environment() == "0 arguments, A=2").then_some(()));
}

#[test]
fn traffic_goes_on_without_an_error_while_versions_change() {
    let gateway = Gateway::start_with_components(folder(), &config("", ""));
    let file = gateway.folder().join("plugins/service.wasm");
    let versions: Vec<Vec<u8>> = (1..=5)
        .map(|number| guest_with("service", "service-version-000000", &format!("service-version-{number:06}")))
        .collect();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut client = Client::connect(gateway.address(), Protocol::Http1);
            let mut seen = std::collections::BTreeSet::new();
            while !seen.contains("service-version-000005") {
                let reply = client.get("/version", &[]);
                assert_eq!(reply.status, 200, "{reply:?}");
                seen.insert(reply.text());
            }
            seen
        });
        for (version, bytes) in (1..).zip(&versions) {
            save(&file, bytes);
            let wanted = format!("service-version-{version:06}");
            eventually("the version", || (self::version(&gateway) == wanted).then_some(()));
        }
        assert!(asking.join().unwrap().len() >= 5);
    });
}
