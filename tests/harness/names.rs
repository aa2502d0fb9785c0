//! A name server that answers what the test says, or fails as it says.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A name server on UDP, of A and SRV records.
#[derive(Debug)]
pub struct Names {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// From its records; a name without any does not exist.
    Well,
    /// SERVFAIL (RFC 1035 §4.1.1).
    Fails,
    /// No name exists.
    Denies,
    /// Not at all.
    Silent,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An address.
    A(Ipv4Addr),
    /// Priority, weight, port and target of a service.
    Srv(u16, u16, u16, &'static str),
}

#[derive(Debug)]
struct Shared {
    records: Mutex<BTreeMap<String, Vec<Record>>>,
    mood: Mutex<Mood>,
    ttl: u32,
    asked: AtomicUsize,
}

const TYPE_A: u16 = 1;
const TYPE_SRV: u16 = 33;

impl Names {
    /// Answers with records that are good for so many seconds.
    #[must_use]
    pub fn start(ttl: u32) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let (records, mood) = (Mutex::default(), Mutex::new(Mood::Well));
        let shared = Arc::new(Shared { records, mood, ttl, asked: AtomicUsize::new(0) });
        let answering = Arc::clone(&shared);
        std::thread::spawn(move || {
            let mut packet = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut packet) {
                answering.asked.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = packet.get(..length).and_then(|question| answering.answer(question)) {
                    socket.send_to(&answer, peer).unwrap();
                }
            }
        });
        Self { address, shared }
    }

    /// What a name stands for from here on.
    pub fn set(&self, name: &str, records: &[Record]) {
        self.shared.records.lock().unwrap().insert(name.to_owned(), records.to_vec());
    }

    /// How it answers from here on.
    pub fn be(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// Questions so far.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// RFC 1035 §4.1: the header, the question as it was, the records.
    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = read_name(question)?;
        let kind = u16::from_be_bytes(question.get(end..end + 2)?.try_into().ok()?);
        let all = self.records.lock().unwrap().get(&name.to_lowercase()).cloned();
        let (code, records) = match (*self.mood.lock().unwrap(), all) {
            (Mood::Silent, _) => return None,
            (Mood::Fails, _) => (2, Vec::new()),
            (Mood::Denies, _) | (Mood::Well, None) => (3, Vec::new()),
            (Mood::Well, Some(records)) => (0, records),
        };
        let fits = |record: &Record| matches!((record, kind), (Record::A(_), TYPE_A) | (Record::Srv(..), TYPE_SRV));
        let records: Vec<Record> = records.into_iter().filter(fits).collect();
        let mut out = question.get(..2)?.to_vec();
        out.extend([0x85, 0x80 | code, 0, 1]);
        out.extend(u16::try_from(records.len()).ok()?.to_be_bytes());
        out.extend([0, 0, 0, 0]);
        out.extend(question.get(12..end + 4)?);
        for record in records {
            // The name is the question's.
            out.extend([0xc0, 12]);
            out.extend(kind.to_be_bytes());
            out.extend([0, 1]);
            out.extend(self.ttl.to_be_bytes());
            let data = match record {
                Record::A(address) => address.octets().to_vec(),
                Record::Srv(priority, weight, port, target) => {
                    let mut data: Vec<u8> =
                        [priority, weight, port].iter().flat_map(|part| part.to_be_bytes()).collect();
                    for label in target.split('.') {
                        data.push(u8::try_from(label.len()).ok()?);
                        data.extend(label.as_bytes());
                    }
                    data.push(0);
                    data
                }
            };
            out.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
            out.extend(data);
        }
        Some(out)
    }
}

/// The name of a question, and where it ends.
fn read_name(question: &[u8]) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        labels.push(String::from_utf8(question.get(at..at + length)?.to_vec()).ok()?);
        at += length;
    }
}
