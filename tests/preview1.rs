//! Core modules that import WASI preview 1: dropped in as their compiler left them.

use harness::{Client, Gateway, Origin, Protocol, example};

/// A gateway whose every request passes the module that does what it is told.
fn gateway(origin: &Origin) -> Gateway {
    gateway_with(&wat::parse_str(include_str!("guests/preview1.wat")).unwrap(), "fresh", origin)
}

fn gateway_with(module: &[u8], isolation: &str, origin: &Origin) -> Gateway {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    std::fs::write(folder.path().join("plugins/module.wasm"), module).unwrap();
    let config = format!(
        r#"plugins: {{ folder: plugins }}
policies: {{ module: {{ plugin: module, isolation: {isolation}, limits: {{ deadline: 2s }} }} }}
upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}
routes: [{{ name: all, policies: [module], upstream: origin }}]
"#,
        origin.url()
    );
    Gateway::start_in(folder, &config)
}

/// Little-endian numbers of eight bytes.
fn numbers(body: &[u8]) -> Vec<u64> {
    body.chunks(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn what_a_module_prints_is_logged_a_line_at_a_time() {
    let origin = Origin::ok();
    let gateway = gateway(&origin);
    let reply = Client::connect(gateway.address(), Protocol::Http1).get("/print", &[]);
    let counts: Vec<u32> = reply.body.chunks(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap())).collect();
    assert_eq!(counts, [21, 21, 4096]);
    let said = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let fields = line.get("fields").unwrap_or(&line);
        Some((line["level"].as_str()?.to_owned(), fields["said"].as_str()?.to_owned()))
    };
    let stderr = &gateway.process.stderr;
    let mut full_lines = 0;
    stderr.wait_for("the third full line", |line| {
        full_lines += usize::from(said(line)?.1.starts_with('x'));
        (full_lines == 3).then_some(())
    });
    let lines: Vec<_> = stderr.all().iter().filter_map(|line| said(line)).collect();
    let line = |level: &str, text: &str| (level.to_owned(), text.to_owned());
    let full = line("INFO", &"x".repeat(1024));
    let expected = [
        line("INFO", "one line"),
        line("INFO", "second line"),
        line("WARN", "caf\u{e9} ? \u{1f600} ??? ??"),
        full.clone(),
        full.clone(),
        full,
    ];
    assert_eq!(lines, expected, "the last 1024 bytes wait for the line's end");
}

#[test]
fn a_module_may_read_the_clocks_while_the_host_allocates_in_it() {
    let origin = Origin::ok();
    let gateway = gateway(&origin);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let wall = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let mut steady_before = 0;
    for _ in 0..50 {
        let before = wall();
        let reply = client.get("/clock", &[]);
        let [now, steady, wall_amid, steady_amid] = numbers(&reply.body)[..] else { panic!("{reply:?}") };
        // The contract's clock is in whole milliseconds.
        assert!(u128::from(now) + 1_000_000 > before && u128::from(now) <= wall(), "{now}");
        assert!(wall_amid > 0 && steady_amid > 0 && steady > steady_amid, "{steady} {steady_amid}");
        assert!(steady + 1_000_000_000 > steady_before, "{steady} {steady_before}");
        steady_before = steady;
    }
}

#[test]
fn each_call_of_a_module_has_randomness_of_its_own() {
    let origin = Origin::ok();
    let gateway = gateway(&origin);
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    let drawn: Vec<Vec<u8>> = (0..64).map(|_| client.get("/random", &[]).body).collect();
    assert!(drawn.iter().all(|bytes| bytes.len() == 29));
    let mut distinct = drawn.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), drawn.len());
    // Every one of the 29 bytes changes from call to call.
    for place in 0..29 {
        assert!(drawn.iter().any(|bytes| bytes[place] != drawn[0][place]), "byte {place} is always the same");
    }
}

#[test]
fn a_module_that_ends_its_process_ends_its_call_only() {
    let origin = Origin::ok();
    let gateway = gateway(&origin);
    for protocol in Protocol::ALL {
        let mut client = Client::connect(gateway.address(), protocol);
        let reply = client.get("/xit", &[]);
        assert_eq!((reply.status, reply.reason()), (500, Some("policy-trapped")), "{protocol:?}");
        assert_eq!(client.get("/", &[]).text(), "ok");
    }
    gateway.process.stderr.wait_for("the unfinished line", |line| line.contains("without an end").then_some(()));
}

#[test]
fn a_module_has_no_files_no_arguments_and_no_environment() {
    let origin = Origin::ok();
    let gateway = gateway(&origin);
    let reply = Client::connect(gateway.address(), Protocol::Http1).get("/files", &[]);
    // EBADF is 8, EINVAL 28; standard input is at its end; one event with the user data that was given.
    assert_eq!(reply.body, [8, 8, 8, 0, 0, 0, 0, 28, 0, 1, 5]);
}

/// The stock adapter calls out to read a clock, and so kills an instance whose collector starts while the host allocates.
#[test]
fn go_collects_while_the_host_allocates() {
    let Some(policy) = example("go") else { return };
    let origin = Origin::ok();
    for (isolation, calls) in [("fresh", 100), ("warm", 2_000)] {
        let gateway = gateway_with(&policy, isolation, &origin);
        let mut client = Client::connect(gateway.address(), Protocol::Http1);
        let mut drawn = Vec::new();
        let mut most_collections = 0;
        for call in 0..calls {
            let path = format!("/call/{call}");
            let reply = client.get(&path, &[]);
            assert_eq!(reply.status, 200, "{isolation}, call {call}: {}", reply.text());
            let text = reply.text();
            let [said, time, random, collections] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
            assert_eq!(said, path);
            let wall = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
            let time: u128 = time.parse().unwrap();
            assert!(time <= wall && wall - time < 10_000, "{isolation}, call {call}: {time}, and it is {wall}");
            drawn.push(random.to_owned());
            most_collections = most_collections.max(collections.parse::<u32>().unwrap());
        }
        assert!(most_collections >= 2, "{isolation}: {most_collections}");
        drawn.sort();
        drawn.dedup();
        // Of 2,000 numbers of 32 bits hardly two are alike by chance, and never many.
        assert!(drawn.len() > calls - 3, "{isolation}: {} of {calls} differ", drawn.len());
        gateway.process.stderr.wait_for("what it prints", |line| line.contains("\"greeted /call/0\"").then_some(()));
    }
}
