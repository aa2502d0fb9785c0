//! Many requests on shared connections, of which clients abort one in five and origins spoil some: whatever reaches a
//! client is what was made for its own request.

mod http1;
mod http2;
mod inbox;
mod origin;
mod tag;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use harness::{Gateway, Numbers};

use origin::TaggedOrigin;
use tag::Tag;

/// In `make test`.
const REQUESTS: u64 = 20_000;
const ORIGINS: u64 = 4;
/// Clients of HTTP/1.1, and connections of HTTP/2 with so many streams at a time.
const HTTP1_CLIENTS: u64 = 16;
const HTTP2_CLIENTS: u64 = 3;
/// Faults that are told; more say no more.
const FAULTS_MAX: usize = 20;

/// What is asked, and what became of it.
struct Plan {
    address: std::net::SocketAddr,
    next: AtomicU64,
    end: u64,
    tally: Mutex<BTreeMap<String, u64>>,
    faults: Arc<Faults>,
}

/// What must never be.
#[derive(Default)]
struct Faults(Mutex<Vec<String>>);

impl Faults {
    fn add(&self, fault: String) {
        let mut faults = self.0.lock().unwrap();
        if faults.len() < FAULTS_MAX {
            faults.push(fault);
        }
    }
}

/// How a client leaves a request.
#[derive(Debug, Clone, Copy)]
enum Abort {
    /// Before there is an answer, or a part of it.
    After(Duration),
    /// At this byte of the body, or where it ends if that is earlier.
    At(usize),
}

/// What a client got of a response.
#[derive(Debug, Default)]
struct Got {
    status: u16,
    tag: Option<String>,
    body: Vec<u8>,
    /// Whether it came to its end by its framing.
    is_whole: bool,
}

impl Plan {
    /// The next request, `None` if there were enough.
    fn take(&self) -> Option<Tag> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.end).then_some(Tag(number))
    }

    fn goes_on(&self) -> bool {
        self.next.load(Ordering::Relaxed) < self.end
    }

    fn count(&self, what: &str) {
        *self.tally.lock().unwrap().entry(what.to_owned()).or_default() += 1;
    }

    /// One request in five is left.
    fn abort(&self, numbers: &mut Numbers, tag: Tag) -> Option<Abort> {
        (numbers.below(5) == 0).then(|| match numbers.below(2) {
            0 => Abort::After(Duration::from_micros(numbers.below(3_000) as u64)),
            _ => Abort::At(numbers.below(tag.length() + 1)),
        })
    }

    /// Looks at all that a client got for a request: its own answer, a part of that, or the gateway's own.
    fn judge(&self, way: &str, tag: Tag, got: &Got, abort: Option<Abort>) {
        let status = got.status;
        let expected = tag.answer();
        let fault = match status {
            0 | 502..=504 => None,
            200 if got.tag.as_deref() != Some(&tag.name()) => Some(format!("the head of {:?}", got.tag)),
            200 if !expected.starts_with(&got.body) => Some("another body".to_owned()),
            200 if got.is_whole && got.body.len() != expected.len() => {
                Some(format!("{} bytes of {} for a whole body", got.body.len(), expected.len()))
            }
            200 => None,
            _ => Some(format!("status {status}")),
        };
        if let Some(fault) = fault {
            self.faults.add(format!("{way} {}: {fault}; {abort:?}", tag.name()));
        }
        self.count(match (status, got.is_whole) {
            (200, true) => "whole",
            (502..=504, true) => "refused",
            _ if abort.is_some() => "aborted",
            _ => "cut",
        });
    }
}

/// Runs every client to its end, in two threads.
fn run(plan: &Arc<Plan>) {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            block_on(async {
                let mut clients = tokio::task::JoinSet::new();
                for seed in 0..HTTP1_CLIENTS {
                    clients.spawn(http1::client(plan.clone(), Numbers::new(seed)));
                }
                clients.join_all().await;
            });
        });
        scope.spawn(|| {
            block_on(async {
                let mut clients = tokio::task::JoinSet::new();
                for seed in 0..HTTP2_CLIENTS {
                    clients.spawn(http2::client(plan.clone(), Numbers::new(!seed)));
                }
                clients.join_all().await;
            });
        });
    });
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn check(requests: u64) {
    let faults = Arc::<Faults>::default();
    let origins: Vec<TaggedOrigin> = (0..ORIGINS).map(|seed| TaggedOrigin::start(seed, faults.clone())).collect();
    let endpoints: Vec<String> =
        origins.iter().map(|origin| format!("{{ url: \"http://{}\" }}", origin.address)).collect();
    let gateway = Gateway::start(&format!(
        "access_log: {{ to: off }}\n\
         upstreams: {{ origins: {{ endpoints: [{}], timeouts: {{ first_byte: 2s, idle: 1s }} }} }}\n\
         routes: [{{ name: all, upstream: origins }}]\n",
        endpoints.join(", ")
    ));
    let plan = Arc::new(Plan {
        address: gateway.address(),
        next: AtomicU64::new(0),
        end: requests,
        tally: Mutex::default(),
        faults: faults.clone(),
    });
    let started = Instant::now();
    run(&plan);
    let took = started.elapsed();
    let tally = plan.tally.lock().unwrap().clone();
    let mut misdeeds = BTreeMap::<&str, u64>::new();
    for origin in &origins {
        for (misdeed, count) in origin.misdeeds() {
            *misdeeds.entry(misdeed).or_default() += count;
        }
    }
    show(&format!("{requests} tagged requests in {took:.1?}: {tally:?}; misdeeds of origins: {misdeeds:?}"));
    assert_eq!(*faults.0.lock().unwrap(), [""; 0], "{tally:?}");
    let share = |what: &str| tally.get(what).copied().unwrap_or_default() * 100 / requests;
    assert_eq!(tally.values().sum::<u64>(), requests, "{tally:?}");
    // Most is served, and everything that can go wrong does.
    assert!(share("whole") >= 60 && share("aborted") >= 10, "{tally:?}");
    assert!(share("refused") + share("cut") <= 15, "{tally:?}");
    assert_eq!(misdeeds.len(), origin::MISDEEDS, "{misdeeds:?}");
}

#[expect(clippy::print_stderr, reason = "the long form shows its figures")]
fn show(text: &str) {
    eprintln!("{text}");
}

#[test]
fn no_client_gets_a_byte_of_another_request() {
    check(REQUESTS);
}

#[test]
fn soak_of_a_million_tagged_requests() {
    if std::env::var_os("GATEWRIGHT_SOAK").is_some() {
        check(1_000_000);
    }
}
