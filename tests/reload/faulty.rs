//! What cannot serve is told of, and what served before serves on.

use harness::{Gateway, Origin, eventually, gatewright};
use serde_json::Value;

use super::{answer, config, generation, save, stamp, stamped, stamping};
use crate::hostile::no_plugins;

/// What `gatewright status` prints.
fn status_text(gateway: &Gateway) -> String {
    let output = gatewright().args(["status", "--admin", &gateway.admin.to_string()]).output().unwrap();
    String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap()
}

fn plugin_status(status: &Value) -> &Value {
    status["plugins"].as_array().unwrap().iter().find(|plugin| plugin["name"] == "stamp").unwrap()
}

#[test]
fn a_file_that_is_no_plugin_leaves_the_last_good_one() {
    let origin = Origin::ok();
    let gateway = stamping(&origin);
    let wasm = gateway.folder().join("plugins/stamp.wasm");
    let good = gateway.admin_get("/status").json();
    for (name, bytes, reason) in no_plugins() {
        save(&wasm, bytes);
        let status = eventually(&format!("the fault of {name}"), || {
            let status = gateway.admin_get("/status").json();
            let error = plugin_status(&status)["last_error"].as_str()?.to_owned();
            error.contains(reason).then_some(status)
        });
        let plugin = plugin_status(&status);
        assert_eq!(plugin["hash"], plugin_status(&good)["hash"], "{name}");
        assert!(plugin["loaded_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{plugin}");
        assert!(plugin["refused_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{plugin}");
        assert_ne!(plugin["refused_hash"], plugin["hash"], "{plugin}");
        let asked = gateway.admin_post("/reload");
        assert_eq!(asked.status, 422, "{name}: {}", asked.text());
        assert!(asked.json()["faults"][0]["message"].as_str().unwrap().contains(reason), "{name}: {}", asked.text());
        assert_eq!(answer(&gateway), stamped(0, "first"), "{name}");
        let text = status_text(&gateway);
        let hash = plugin["hash"].as_str().unwrap().get(..12).unwrap();
        assert!(text.contains("does not serve") && text.contains(reason) && text.contains(hash), "{name}: {text}");
        assert_eq!(super::figure(&gateway, "gatewright_reload_fresh"), 0.0, "{name}");
    }
    assert_eq!(status_of(&gateway), (generation(&gateway), Value::Null));
    save(&wasm, stamp(1));
    eventually("the good file", || (answer(&gateway) == stamped(1, "first")).then_some(()));
    eventually("no more faults", || {
        let status = gateway.admin_get("/status").json();
        plugin_status(&status)["last_error"].is_null().then_some(())
    });
    assert_eq!(super::figure(&gateway, "gatewright_reload_fresh"), 1.0);
}

fn status_of(gateway: &Gateway) -> (u64, Value) {
    let status = gateway.admin_get("/status").json();
    (status["generation"].as_u64().unwrap(), status["last_error"].clone())
}

#[test]
fn a_plugin_that_cannot_be_configured_leaves_the_last_good_one() {
    let origin = Origin::ok();
    let gateway = stamping(&origin);
    // The hostile guest in the place of the other: it has another schema, so that the settings no longer fit.
    save(&gateway.folder().join("plugins/stamp.wasm"), harness::guest("hostile"));
    let error = eventually("the fault", || Some(status_of(&gateway).1).filter(|error| !error.is_null()));
    assert!(error["faults"].as_array().is_some_and(|faults| !faults.is_empty()), "{error}");
    assert_eq!((answer(&gateway), generation(&gateway)), (stamped(0, "first"), 1));
    save(&gateway.folder().join("plugins/stamp.wasm"), stamp(2));
    eventually("the good file", || (answer(&gateway) == stamped(2, "first")).then_some(()));
    // The status is written after the swap.
    eventually("no more faults", || (status_of(&gateway) == (2, Value::Null)).then_some(()));
}

#[test]
fn a_faulty_configuration_leaves_the_last_good_one() {
    let origin = Origin::ok();
    let gateway = stamping(&origin);
    let yaml = gateway.folder().join("gateway.yaml");
    let good = config(&origin.url(), "first");
    let hash = gateway.admin_get("/status").json()["hash"].clone();
    let faulty = [
        ("no YAML", "routes: [\n".to_owned(), "gateway.yaml"),
        ("nothing", String::new(), "listener"),
        ("an unknown field", good.replace("routes:", "rotues:"), "rotues"),
        ("an unknown upstream", good.replace("upstream: origin", "upstream: orgin"), "orgin"),
        ("an unknown plugin", good.replace("plugin: stamp", "plugin: stomp"), "stomp"),
        ("settings that do not fit", good.replace("label:", "lable:"), "lable"),
        ("bytes", "\u{0}\u{1}\u{2}".to_owned(), "gateway.yaml"),
    ];
    for (name, text, word) in faulty {
        assert_ne!(text, good);
        save(&yaml, text);
        let error = eventually(&format!("the fault of {name}"), || {
            let (generation, error) = status_of(&gateway);
            assert_eq!(generation, 1, "{name}");
            error["faults"].to_string().contains(word).then_some(error)
        });
        assert!(error["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{name}: {error}");
        assert_eq!(answer(&gateway), stamped(0, "first"), "{name}");
        let status = gateway.admin_get("/status").json();
        assert_eq!(status["hash"], hash, "{name}");
        let asked = gateway.admin_post("/reload");
        let text = status_text(&gateway);
        assert!(text.contains("does not serve, since") && text.contains(word), "{name}: {text}");
        assert_eq!(asked.json()["generation"], 1, "{name}");
    }
    std::fs::remove_file(&yaml).unwrap();
    eventually("the fault of a file that is gone", || {
        status_of(&gateway).1["faults"].to_string().contains("gateway.yaml").then_some(())
    });
    assert_eq!(answer(&gateway), stamped(0, "first"));
    save(&yaml, good);
    eventually("the same good file", || status_of(&gateway).1.is_null().then_some(()));
    assert_eq!(generation(&gateway), 1, "what already serves is not applied again");
    save(&yaml, config(&origin.url(), "second"));
    eventually("the next good file", || (answer(&gateway) == stamped(0, "second")).then_some(()));
}

#[test]
fn a_request_to_reload_what_is_faulty_is_refused_with_every_fault() {
    let origin = Origin::ok();
    let gateway = stamping(&origin);
    let good = config(&origin.url(), "first");
    let text = good.replace("upstream: origin", "upstream: orgin").replace("lable", "label");
    save(&gateway.folder().join("gateway.yaml"), format!("{text}timeouts: {{ headers: soon }}\n"));
    let reply = gateway.admin_post("/reload");
    assert_eq!(reply.status, 422, "{}", reply.text());
    let faults = reply.json()["faults"].clone();
    let faults = faults.as_array().unwrap();
    assert!(faults.len() >= 2, "{faults:?}");
    for fault in faults {
        assert!(fault["line"].as_u64().is_some_and(|line| line > 0), "{fault}");
        assert!(fault["file"].as_str().is_some_and(|file| file.ends_with("gateway.yaml")), "{fault}");
    }
    let again = gateway.admin_post("/reload");
    assert_eq!(again.status, 422, "a second look finds the same faults: {}", again.text());
}

#[test]
fn a_plugin_that_is_deleted_serves_on_and_is_missed() {
    let origin = Origin::ok();
    let gateway = stamping(&origin);
    let wasm = gateway.folder().join("plugins/stamp.wasm");
    std::fs::remove_file(&wasm).unwrap();
    eventually("the missing file", || {
        let status = gateway.admin_get("/status").json();
        plugin_status(&status)["last_error"].as_str()?.contains("gone").then_some(())
    });
    assert_eq!(answer(&gateway), stamped(0, "first"));
    save(&wasm, stamp(3));
    eventually("the new file", || (answer(&gateway) == stamped(3, "first")).then_some(()));
}
