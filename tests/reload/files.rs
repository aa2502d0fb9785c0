//! Every way in which a file changes.

use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use harness::{Client, Gateway, Origin, Protocol, within};

use super::{answer, config, generation, save, stamp, stamped, stamping};

/// Where an event comes it takes half of it; nothing may take longer, a poll where no event comes included.
const APPLIED: Duration = Duration::from_secs(6);
/// Most changes are applied in this time, also on a machine with much else to do.
const PROMPT: Duration = Duration::from_secs(2);

/// A way to bring bytes to a path.
type Way = (&'static str, fn(&Path, &[u8]));

const WAYS: [Way; 6] = [
    ("an editor's save", |path, bytes| save(path, bytes)),
    ("a write in place", |path, bytes| std::fs::write(path, bytes).unwrap()),
    ("mv", |path, bytes| {
        let elsewhere = outside(path).join("moved");
        std::fs::write(&elsewhere, bytes).unwrap();
        std::fs::rename(elsewhere, path).unwrap();
    }),
    ("cp", |path, bytes| {
        let elsewhere = outside(path).join("copied");
        std::fs::write(&elsewhere, bytes).unwrap();
        std::fs::copy(elsewhere, path).unwrap();
    }),
    ("rm and a new file", |path, bytes| {
        std::fs::remove_file(path).unwrap();
        std::fs::write(path, bytes).unwrap();
    }),
    ("a file in pieces", |path, bytes| {
        let mut file = std::fs::File::create(path).unwrap();
        for piece in bytes.chunks(bytes.len().div_ceil(20)) {
            file.write_all(piece).unwrap();
            file.sync_all().unwrap();
        }
    }),
];

/// A folder that nobody watches, on the same file system.
fn outside(path: &Path) -> std::path::PathBuf {
    let folder = path.ancestors().nth(2).unwrap().join(format!("outside-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Waits until exactly one new generation serves this stamp, and shows that looking again changes nothing.
fn applied_once(gateway: &Gateway, what: &str, before: u64, expected: &str) -> Duration {
    let started = Instant::now();
    within(APPLIED, what, || (answer(gateway) == expected).then_some(()));
    let took = started.elapsed();
    let looked_again = gateway.admin_post("/reload");
    assert_eq!(looked_again.json()["result"], "unchanged", "{what}");
    assert_eq!(generation(gateway), before + 1, "{what}");
    took
}

#[test]
fn every_way_to_change_a_file_is_applied_once() {
    let origin = Origin::ok();
    let gateway = stamping(&origin);
    let (yaml, wasm) = (gateway.folder().join("gateway.yaml"), gateway.folder().join("plugins/stamp.wasm"));
    let mut took = Vec::new();
    for (round, (name, change)) in WAYS.iter().enumerate() {
        let label = format!("label-{round}");
        let before = generation(&gateway);
        change(&yaml, config(&origin.url(), &label).as_bytes());
        took.push(applied_once(&gateway, &format!("configuration by {name}"), before, &stamped(round, &label)));
        let before = generation(&gateway);
        change(&wasm, &stamp(round + 1));
        took.push(applied_once(&gateway, &format!("plugin by {name}"), before, &stamped(round + 1, &label)));
    }
    took.sort();
    assert!(took.get(took.len() / 2).unwrap() < &PROMPT, "{took:?}");
    std::fs::remove_dir_all(outside(&yaml)).unwrap();
    std::fs::remove_dir_all(outside(&wasm)).unwrap();
}

/// As Kubernetes mounts a ConfigMap: the file is a link through `..data`, which is what changes.
#[test]
fn a_swap_of_the_data_link_is_applied_once() {
    let origin = Origin::ok();
    let gateway = stamping(&origin);
    let folder = gateway.folder();
    let publish = |label: &str| {
        let version = folder.join(format!("..version-{label}"));
        std::fs::create_dir(&version).unwrap();
        std::fs::write(version.join("gateway.yaml"), config(&origin.url(), label)).unwrap();
        symlink(&version, folder.join("..data-new")).unwrap();
        std::fs::rename(folder.join("..data-new"), folder.join("..data")).unwrap();
    };
    publish("one");
    let before = generation(&gateway);
    symlink("..data/gateway.yaml", folder.join("link")).unwrap();
    std::fs::rename(folder.join("link"), folder.join("gateway.yaml")).unwrap();
    applied_once(&gateway, "the first link", before, &stamped(0, "one"));
    for label in ["two", "three"] {
        let before = generation(&gateway);
        publish(label);
        applied_once(&gateway, "a swap of ..data", before, &stamped(0, label));
    }
}

/// `ln -sfn release-2 plugins`.
#[test]
fn a_swap_of_a_linked_plugin_folder_is_applied_once() {
    let origin = Origin::ok();
    let gateway = stamping(&origin);
    let folder = gateway.folder();
    let plugins = folder.join("plugins");
    std::fs::rename(&plugins, folder.join("release-0")).unwrap();
    symlink("release-0", &plugins).unwrap();
    for version in 1..4 {
        let before = generation(&gateway);
        let release = folder.join(format!("release-{version}"));
        std::fs::create_dir(&release).unwrap();
        std::fs::write(release.join("stamp.wasm"), stamp(version)).unwrap();
        std::fs::remove_file(&plugins).unwrap();
        symlink(&release, &plugins).unwrap();
        applied_once(&gateway, "ln -sfn", before, &stamped(version, "first"));
    }
    // The folder that is linked now is watched: a change in it is no less a change.
    let before = generation(&gateway);
    save(&plugins.join("stamp.wasm"), stamp(9));
    applied_once(&gateway, "a change behind the link", before, &stamped(9, "first"));
}

/// A folder that no event tells of: only the poll can find it.
#[test]
fn a_change_that_no_event_tells_of_is_found_by_the_poll() {
    let origin = Origin::ok();
    let gateway = stamping(&origin);
    let far = tempfile::tempdir().unwrap();
    let target = far.path().join("real.yaml");
    std::fs::write(&target, config(&origin.url(), "far-0")).unwrap();
    let before = generation(&gateway);
    symlink(&target, gateway.folder().join("link")).unwrap();
    std::fs::rename(gateway.folder().join("link"), gateway.folder().join("gateway.yaml")).unwrap();
    applied_once(&gateway, "the link", before, &stamped(0, "far-0"));
    for round in 1..3 {
        let (before, label) = (generation(&gateway), format!("far-{round}"));
        save(&target, config(&origin.url(), &label));
        applied_once(&gateway, "a change far away", before, &stamped(0, &label));
    }
}

#[test]
fn fifty_writes_in_a_second_end_with_the_last_one() {
    let origin = Origin::ok();
    let gateway = stamping(&origin);
    let before = generation(&gateway);
    let started = Instant::now();
    for round in 1..=50u32 {
        std::fs::write(gateway.folder().join("gateway.yaml"), config(&origin.url(), &format!("w-{round}"))).unwrap();
        while started.elapsed() < round * Duration::from_millis(20) {
            std::thread::yield_now();
        }
    }
    within(APPLIED, "the last write", || (answer(&gateway) == stamped(0, "w-50")).then_some(()));
    let applied = generation(&gateway) - before;
    // One for the storm, and one more where the last write comes after the longest wait for the folder to be still.
    assert!((1..=2).contains(&applied), "{applied} generations");
}

#[test]
fn a_file_that_is_being_written_is_never_read_half() {
    let origin = Origin::ok();
    let gateway = stamping(&origin);
    let address = gateway.address();
    let path = gateway.folder().join("gateway.yaml");
    // Its first half alone is a configuration that serves, but not what was meant.
    let text = |label: &str| {
        let filler = "# x\n".repeat(200);
        format!("{}{filler}timeouts: {{ headers: 9s }}\n", config(&origin.url(), label))
    };
    for round in 0..5 {
        let label = format!("whole-{round}");
        let before = generation(&gateway);
        std::thread::scope(|scope| {
            let (path, text, label) = (&path, &text, &label);
            let writer = scope.spawn(move || {
                let mut file = std::fs::File::create(path).unwrap();
                let started = Instant::now();
                for (piece, bytes) in (1u32..).zip(text(label).as_bytes().chunks(20)) {
                    file.write_all(bytes).unwrap();
                    while started.elapsed() < piece * Duration::from_millis(5) {
                        std::thread::yield_now();
                    }
                }
            });
            let mut client = Client::connect(address, Protocol::Http1);
            while !writer.is_finished() {
                assert_eq!(client.get("/", &[]).status, 200);
            }
        });
        within(APPLIED, "the whole file", || (answer(&gateway) == stamped(0, &label)).then_some(()));
        assert_eq!(generation(&gateway), before + 1, "round {round}");
    }
}

#[test]
fn hangup_and_a_request_to_reload_look_at_once() {
    let origin = Origin::ok();
    let gateway = stamping(&origin);
    let yaml = gateway.folder().join("gateway.yaml");
    assert_eq!(gateway.admin_post("/reload").json()["result"], "unchanged");
    save(&yaml, config(&origin.url(), "asked"));
    let reply = gateway.admin_post("/reload");
    // An event may have been quicker; either way it serves when the answer comes.
    assert!(reply.status == 200 && ["applied", "unchanged"].contains(&reply.json()["result"].as_str().unwrap()));
    assert_eq!((reply.json()["generation"].as_u64(), answer(&gateway)), (Some(2), stamped(0, "asked")));
    save(&yaml, config(&origin.url(), "hung-up"));
    gateway.process.hang_up();
    within(PROMPT, "SIGHUP", || (answer(&gateway) == stamped(0, "hung-up")).then_some(()));
}
