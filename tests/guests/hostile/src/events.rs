//! Deeds on a stream.

use gatewright_sdk::{Event, Exchange, Failure, Outcome, failure};

use crate::deeds;

/// Does one.
pub fn perform(deed: &str, exchange: &Exchange, batch: Vec<Event>) -> Result<Outcome, Failure> {
    match deed {
        // Whatever a policy writes must come out as exactly one event.
        "forge" => Ok(Outcome::Send(vec![Event {
            name: "one\r\ndata: forged\n\nevent: two".to_owned(),
            data: "first\r\n\r\nevent: forged\r\rid: 7\n\ndata: last".to_owned(),
        }])),
        "bloat" => Ok(Outcome::Send(vec![Event { name: String::new(), data: "x".repeat(2 << 20) }])),
        "many" => Ok(Outcome::Send(vec![Event { name: "n".to_owned(), data: "x".to_owned() }; 200_000])),
        "swell" => swell(exchange, &batch),
        "finish" => Ok(Outcome::Finish(vec![Event { name: String::new(), data: "the end".to_owned() }])),
        other => deeds::perform(other, exchange, None).map(|_| Outcome::Pass),
    }
}

/// Swallows every event into one that never ends.
fn swell(exchange: &Exchange, batch: &[Event]) -> Result<Outcome, Failure> {
    let mut kept = exchange.get_state("kept").unwrap_or_default();
    for event in batch {
        kept.extend(event.data.repeat(1 << 12).as_bytes());
    }
    exchange.put_state("kept", &kept).map_err(|error| failure("state-full", format!("{error:?}")))?;
    Ok(Outcome::Send(Vec::new()))
}
