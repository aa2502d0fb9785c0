//! What a reload leaves behind: no memory, no open file, no generation.

use std::path::PathBuf;

use harness::{Client, Gateway, Origin, Protocol, eventually};

use super::swaps::is_soak;
use super::{config, figure, folder_with_stamp, generation, save, stamp, stamped};

/// Versions that take turns: more would only compile more.
const VERSIONS: usize = 8;

/// Each new plugin is called in the pool's next slot, some 128 of them, which then stay mapped: memory rises by about
/// 30 MiB until all were used, and no more after that. So many reloads first, then so many that are measured.
const SHORT: (usize, usize) = (300, 100);
/// What a short form may keep: what is measured is as large as a few slots.
const SHORT_KEPT_MAX: i64 = 12 << 20;

/// What a gateway holds when nothing is under way.
#[derive(Debug)]
struct Held {
    resident_bytes: u64,
    open_files: usize,
    generations: f64,
}

impl Held {
    fn by(gateway: &Gateway) -> Self {
        let generations = figure(gateway, "gatewright_generations");
        // The figure was asked for on a connection, which may still be closing.
        let open_files = (0..20).map(|_| gateway.process.open_files()).min().unwrap();
        Self { resident_bytes: gateway.process.resident_bytes().0, open_files, generations }
    }

    fn kept_since(&self, before: &Self) -> i64 {
        i64::try_from(self.resident_bytes).unwrap() - i64::try_from(before.resident_bytes).unwrap()
    }
}

/// Reloads a number of times, after as many to warm up; each is served by the first request that follows. Gives what is
/// held after the first and after the second part.
fn reload_many(
    gateway: &Gateway,
    (warm_up, count): (usize, usize),
    mut change: impl FnMut(usize) -> String,
) -> (Held, Held) {
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let before = generation(gateway);
    let mut at_start = None;
    for round in 1..=warm_up + count {
        let expected = change(round);
        let reply = gateway.admin_post("/reload");
        assert_eq!(reply.status, 200, "{}", reply.text());
        let reply = client.get("/", &[]);
        assert_eq!(reply.header("x-stamp-answered"), Some(expected.as_str()), "round {round}: {reply:?}");
        if round == warm_up {
            at_start = Some(Held::by(gateway));
        }
    }
    assert_eq!(generation(gateway) - before, u64::try_from(warm_up + count).unwrap());
    eventually("one generation", || (figure(gateway, "gatewright_generations") == 1.0).then_some(()));
    (at_start.unwrap(), Held::by(gateway))
}

#[test]
fn three_hundred_reloads_of_the_configuration_keep_no_memory() {
    let origin = Origin::ok();
    let gateway = super::stamping(&origin);
    let yaml = gateway.folder().join("gateway.yaml");
    let (before, after) = reload_many(&gateway, SHORT, |round| {
        let label = format!("label-{}", round % VERSIONS);
        save(&yaml, config(&origin.url(), &label));
        stamped(0, &label)
    });
    let kept = after.kept_since(&before);
    assert!(kept < SHORT_KEPT_MAX, "{} KiB: {before:?} {after:?}", kept >> 10);
}

/// In its long form 10,000 reloads. A link is put in place of another, as container platforms do: files that have rested
/// are read at once.
#[test]
fn ten_thousand_reloads_of_a_plugin_keep_no_memory_and_no_file() {
    let origin = Origin::ok();
    let folder = folder_with_stamp();
    let version = |number: usize| PathBuf::from(format!("../versions/{}.wasm", number % VERSIONS));
    std::fs::create_dir(folder.path().join("versions")).unwrap();
    for number in 0..VERSIONS {
        std::fs::write(folder.path().join("plugins").join(version(number)), stamp(number)).unwrap();
    }
    let gateway = Gateway::start_in(folder, &config(&origin.url(), "first"));
    let plugins = gateway.folder().join("plugins");
    let (rounds, kept_max) = if is_soak() { ((500, 10_000), 10_000 << 10) } else { (SHORT, SHORT_KEPT_MAX) };
    let start = std::time::Instant::now();
    let (before, after) = reload_many(&gateway, rounds, |round| {
        std::os::unix::fs::symlink(version(round), plugins.join(".next")).unwrap();
        std::fs::rename(plugins.join(".next"), plugins.join("stamp.wasm")).unwrap();
        stamped(round % VERSIONS, "first")
    });
    let kept = after.kept_since(&before);
    println!("{rounds:?} reloads in {:?} kept {kept} bytes: {before:?} {after:?}", start.elapsed());
    assert!(kept < kept_max, "{} KiB: {before:?} {after:?}", kept >> 10);
    assert!(after.open_files <= before.open_files + 2, "{before:?} {after:?}");
    assert!(after.generations < 2.0, "{before:?} {after:?}");
}
