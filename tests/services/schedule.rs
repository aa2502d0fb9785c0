//! Scheduled jobs: what one finds the requests read, one that fails harms nobody, and all end with their configuration.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use harness::{Client, DEADLINE, Gateway, Origin, Protocol, eventually, gatewright};

use super::folder_with;

fn config(origin: &Origin, schedule: &str) -> String {
    format!(
        r#"plugins: {{ folder: plugins }}
kv: {{ news: {{}} }}
policies:
  caller:
    plugin: caller
    grants: {{ http: [origin], kv: [news], limits: true }}
    limits: {{ deadline: 1s }}
    schedule: {schedule}
upstreams: {{ origin: {{ endpoints: [{{ url: {:?} }}] }} }}
routes: [{{ name: all, policies: [caller], upstream: origin }}]
"#,
        origin.url()
    )
}

fn gateway(origin: &Origin, schedule: &str) -> Gateway {
    Gateway::start_in(folder_with(&["caller"]), &config(origin, schedule))
}

/// What the store holds under a key.
fn read(client: &mut Client, key: &str) -> String {
    let reply = client.get("/", &[("x-do", &format!("read {key}"))]);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.text()
}

#[test]
fn a_job_refreshes_what_requests_read() {
    let asked = AtomicUsize::new(0);
    let origin = Origin::talking(move |conversation| {
        while let Some(request) = conversation.request() {
            assert_eq!(request.line, "GET /job HTTP/1.1");
            let news = format!("news-{}", asked.fetch_add(1, Ordering::SeqCst));
            conversation.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{news}", news.len()));
        }
    });
    let gateway = gateway(&origin, "[{ job: refresh, every: 1s }]");
    let mut client = Client::connect(gateway.address(), Protocol::Http1);
    for news in ["news-0", "news-2"] {
        eventually(news, || (read(&mut client, "latest") == news).then_some(()));
    }
    assert!(read(&mut client, "runs-refresh").parse::<u32>().unwrap() >= 3);
    let metrics = gateway.admin_get("/metrics").text();
    let counted = metrics.lines().any(|line| {
        let labels = ["policy=\"caller\"", "phase=\"on-schedule\"", "outcome=\"returned\""];
        line.starts_with("gatewright_policy_calls_total") && labels.iter().all(|label| line.contains(label))
    });
    assert!(counted, "{metrics}");
}

#[test]
fn a_job_that_fails_is_counted_and_logged_and_runs_again_while_others_go_on() {
    let origin = Origin::answering("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnews");
    let jobs = ["fail", "trap", "spin", "hold", "unheard-of"];
    let schedule: Vec<String> =
        jobs.iter().map(|job| format!("{{ job: {job}, every: 1s, deadline: 300ms }}")).collect();
    let gateway = gateway(&origin, &format!("[{{ job: refresh, every: 1s }}, {}]", schedule.join(", ")));
    let mut client = Client::connect(gateway.address(), Protocol::Http2);
    for job in jobs.iter().chain(&["refresh"]) {
        eventually(job, || {
            read(&mut client, &format!("runs-{job}")).parse::<u32>().is_ok_and(|runs| runs > 1).then_some(())
        });
    }
    assert_eq!(read(&mut client, "latest"), "news");
    for (job, why) in [
        ("fail", "policy-failed: policy \\\"caller\\\": told-to-fail: detail-for-the-operator"),
        ("trap", "policy-trapped"),
        ("spin", "policy-deadline"),
        ("hold", "belongs to an exchange"),
        ("unheard-of", "unknown-job"),
    ] {
        gateway.process.stderr.wait_for(job, |line| {
            let words = ["job failed", why, &format!("\"job\":\"{job}\"")];
            words.iter().all(|word| line.contains(word)).then_some(())
        });
    }
    let metrics = gateway.admin_get("/metrics").text();
    let failed = metrics.lines().find(|line| {
        let labels = ["phase=\"on-schedule\"", "outcome=\"failed\""];
        line.starts_with("gatewright_policy_calls_total") && labels.iter().all(|label| line.contains(label))
    });
    let count: u32 = failed.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap();
    assert!(count >= 5, "{count}");
}

#[test]
fn a_job_ends_with_the_configuration_that_scheduled_it() {
    let (ended, ends) = mpsc::channel();
    let ended = Arc::new(Mutex::new(ended));
    let origin = Origin::talking(move |conversation| {
        while conversation.request().is_some() {}
        ended.lock().unwrap().send(()).unwrap();
    });
    let gateway = gateway(&origin, "[{ job: refresh, every: 24h, deadline: 1m }]");
    origin.wait_until("asked by the job", |recording| recording.requests.len() == 1);
    std::fs::write(
        gateway.folder().join("gateway.yaml"),
        std::fs::read_to_string(gateway.folder().join("gateway.yaml")).unwrap().replace("every: 24h", "every: 23h"),
    )
    .unwrap();
    assert_eq!(gateway.admin_post("/reload").status, 200);
    ends.recv_timeout(DEADLINE).unwrap();
    // The new configuration's job begins once the old one's has ended.
    origin.wait_until("asked by the new job", |recording| recording.requests.len() == 2);
}

#[test]
fn what_is_wrong_with_a_schedule_is_said_with_its_line() {
    let origin = Origin::ok();
    let cases = [
        ("[{ job: a, every: 999ms }]", "every must be from 1s to 24h"),
        ("[{ job: a, every: 25h }]", "every must be from 1s to 24h"),
        ("[{ job: a, every: 1s, deadline: 61s }]", "deadline must be from 1ms to 1m"),
        ("[{ job: a, every: 1s }, { job: a, every: 2s }]", "job \"a\" is here twice"),
        ("[{ job: \"\", every: 1s }]", "a job's name is of 1 to 64 bytes"),
        ("[{ job: a }]", "every"),
    ];
    let check = |text: &str| {
        let folder = folder_with(&["caller", "stamp"]);
        let file = folder.path().join("gateway.yaml");
        std::fs::write(&file, format!("listeners: [{{ address: \"127.0.0.1:0\" }}]\n{text}")).unwrap();
        let output = gatewright().arg("check").arg("--config").arg(&file).output().unwrap();
        (output.status.code(), String::from_utf8([&output.stdout[..], &output.stderr[..]].concat()).unwrap())
    };
    for (schedule, said) in cases {
        let (code, text) = check(&config(&origin, schedule));
        assert_eq!(code, Some(2), "{said}: {text}");
        assert!(text.contains(said) && text.contains("gateway.yaml:"), "{said} is not in:\n{text}");
    }
    let stamp =
        config(&origin, "[{ job: a, every: 1s }]").replace("plugin: caller", "plugin: stamp, config: { label: l }");
    let (code, text) = check(&stamp.replace("    plugin: stamp, config", "    plugin: stamp\n    config"));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("plugin \"stamp\" exports no on-schedule: remove `schedule`"), "{text}");
    let gateway = gateway(&origin, "[]");
    gateway.process.stderr.wait_for("a warning", |line| line.contains("no job will run").then_some(()));
}
