//! A restart under a faulty configuration serves the last good one, and says so.

use harness::{Gateway, Origin, Process, eventually, gatewright};

use super::{answer, config, figure, folder_with_stamp, save, stamp, stamped};

/// Starts, keeps, ends: what another start finds.
fn ran_once(origin: &Origin, label: &str) -> tempfile::TempDir {
    let gateway = Gateway::start_in(folder_with_stamp(), &config(&origin.url(), label));
    assert_eq!(answer(&gateway), stamped(0, label));
    let (folder, status) = gateway.stop();
    assert!(status.success());
    folder
}

/// Starts on what is in the folder; it must not serve.
fn refused(folder: &std::path::Path, arguments: &[&str]) -> String {
    let mut command = gatewright();
    command.args(["run", "--workers", "1", "--config"]).arg(folder.join("gateway.yaml")).args(arguments);
    let mut process = Process::start(command);
    assert_eq!(process.wait().code(), Some(2));
    process.stderr.all().join("\n")
}

#[test]
fn a_faulty_configuration_at_the_start_leaves_the_last_good_one() {
    let origin = Origin::ok();
    let folder = ran_once(&origin, "first");
    let good = config(&origin.url(), "first");
    for faulty in [good.replace("upstream: origin", "upstream: orgin"), "routes: [".to_owned(), String::new()] {
        save(&folder.path().join("gateway.yaml"), &faulty);
        assert!(refused(folder.path(), &["--no-last-good"]).contains("gateway.yaml"));
    }
    let gateway = Gateway::restart_in(folder);
    assert_eq!(answer(&gateway), stamped(0, "first"));
    let status = gateway.admin_get("/status").json();
    assert!(status["restored"].as_str().is_some_and(|at| at.ends_with('Z')), "{status}");
    assert!(!status["last_error"]["faults"].as_array().unwrap().is_empty(), "{status}");
    assert_eq!((figure(&gateway, "gatewright_restored"), figure(&gateway, "gatewright_reload_fresh")), (1.0, 0.0));
    // Asking again finds the same faults, and a good file takes over.
    assert_eq!(gateway.admin_post("/reload").status, 422);
    assert_eq!(figure(&gateway, "gatewright_restored"), 1.0);
    save(&gateway.folder().join("gateway.yaml"), config(&origin.url(), "second"));
    eventually("the good file", || (answer(&gateway) == stamped(0, "second")).then_some(()));
    eventually("no more alarm", || (figure(&gateway, "gatewright_restored") == 0.0).then_some(()));
    assert!(gateway.admin_get("/status").json()["restored"].is_null());
    // What was applied under way is what is kept now.
    let (folder, _) = gateway.stop();
    save(&folder.path().join("gateway.yaml"), "faulty");
    assert_eq!(answer(&Gateway::restart_in(folder)), stamped(0, "second"));
}

#[test]
fn a_faulty_plugin_at_the_start_leaves_the_last_good_one() {
    let origin = Origin::ok();
    let folder = ran_once(&origin, "first");
    let wasm = folder.path().join("plugins/stamp.wasm");
    for broken in [None, Some("no plugin")] {
        match broken {
            None => std::fs::remove_file(&wasm).unwrap(),
            Some(bytes) => save(&wasm, bytes),
        }
        assert!(refused(folder.path(), &["--no-last-good"]).contains("stamp"));
    }
    let gateway = Gateway::restart_in(folder);
    assert_eq!(answer(&gateway), stamped(0, "first"));
    save(&gateway.folder().join("plugins/stamp.wasm"), stamp(1));
    eventually("the good plugin", || (answer(&gateway) == stamped(1, "first")).then_some(()));
}

#[test]
fn nothing_is_served_from_what_was_never_good_or_is_no_longer_ours() {
    let origin = Origin::ok();
    let good = config(&origin.url(), "first");
    let folder = folder_with_stamp();
    save(&folder.path().join("gateway.yaml"), good.replace("upstream: origin", "upstream: orgin"));
    assert!(refused(folder.path(), &[]).contains("orgin"));
    // A cache of its own, in which what is kept becomes writable for others, and then broken.
    let cache = tempfile::tempdir().unwrap();
    let folder = folder_with_stamp();
    let arguments = ["--cache", cache.path().to_str().unwrap()];
    let gateway = Gateway::start_with(folder, &good, &arguments);
    assert_eq!(answer(&gateway), stamped(0, "first"));
    let (folder, _) = gateway.stop();
    save(&folder.path().join("gateway.yaml"), "faulty");
    let kept = std::fs::read_dir(cache.path().join("good")).unwrap().map(|file| file.unwrap().path());
    let kept = kept.filter(|path| path.is_file()).collect::<Vec<_>>();
    let [kept] = kept.as_slice() else { panic!("{kept:?}") };
    let text = std::fs::read_to_string(kept).unwrap();
    assert!(!text.contains("faulty") && text.contains("first"), "{text}");
    std::fs::set_permissions(kept, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    assert!(refused(folder.path(), &arguments).contains("not ours alone"));
    save(kept, text.get(..text.len() / 2).unwrap());
    assert!(refused(folder.path(), &arguments).contains("broken"));
}

#[test]
fn what_must_not_be_written_down_is_not_kept() {
    let origin = Origin::ok();
    let cache = tempfile::tempdir().unwrap();
    let folder = folder_with_stamp();
    std::fs::write(folder.path().join("label"), "from-a-file-that-is-secret").unwrap();
    let text = config(&origin.url(), "${file:label}");
    let gateway = Gateway::start_with(folder, &text, &["--cache", cache.path().to_str().unwrap()]);
    assert_eq!(answer(&gateway), stamped(0, "from-a-file-that-is-secret"));
    for file in walkdir(cache.path()) {
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let is_kept = file.extension().is_some_and(|ending| ending == "json" || ending == "wasm");
        assert!(!is_kept || !text.contains("from-a-file-that-is-secret"), "{}", file.display());
    }
}

fn walkdir(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(walkdir(&path)) } else { files.push(path) }
    }
    files
}
