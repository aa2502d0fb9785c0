//! How near the process is to its bounds, and what is done about it.

mod memory;
mod room;

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;

use crate::config::OverloadConfig;
use crate::telemetry::{MeasureLabels, Metrics};
pub use memory::give_back_when_idle;
pub use room::{Hold, keep};

/// How near the process is to its bounds. Whoever asks looks, at most every 20 ms: a process that nobody asks anything
/// needs no look.
#[derive(Debug)]
pub struct Overload {
    start: Instant,
    /// Milliseconds from a look before the start, so that the first request looks, to the look before the next.
    looked_at: AtomicU64,
    resident: AtomicU64,
    /// What the cgroup or the machine has.
    machine: u64,
    measures: AtomicU8,
}

/// What is done about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Measures {
    /// Requests of low priority are turned away.
    pub shed: bool,
    /// Connections are closed after their response.
    pub close: bool,
    /// Every request is turned away.
    pub refuse: bool,
}

/// How things are, for the operator.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Pressure {
    /// Resident memory of the process.
    pub memory_bytes: u64,
    /// Its bound.
    pub memory_bytes_max: u64,
    /// Bodies held in memory.
    pub body_bytes: u64,
    /// Their bound.
    pub body_bytes_max: u64,
    /// What is done about it.
    #[serde(flatten)]
    pub measures: Measures,
}

/// Client connections that are open, and how many may be.
pub type Connections = (u64, u64);

/// Between two looks.
const LOOK_MS: u64 = 20;
/// From this part of the bounds of memory and bodies on, in percent, the allocator keeps nothing for later.
const GIVE_BACK_FROM: u64 = 50;
/// What was begun at some percent ends so many points below.
const SLACK: u64 = 5;
/// Of what the cgroup or the machine has, in percent, where no bound is configured.
const SHARE: u64 = 80;

impl Overload {
    /// The bounds as configured, in bytes: of memory, and of bodies.
    fn bounds(&self, config: &OverloadConfig, buffered_body: u64) -> (u64, u64) {
        let memory = config.memory.map_or(self.machine / 100 * SHARE, |memory| memory.0).max(1);
        let bodies = config.bodies.map_or(memory / 4, |bodies| bodies.0).max(buffered_body);
        (memory, bodies.max(1))
    }

    /// What is to be done now.
    pub fn look(&self, config: &OverloadConfig, buffered_body: u64, connections: Connections) -> Measures {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(LOOK_MS);
        let last = self.looked_at.load(Ordering::Relaxed);
        let known = Measures::from_bits(self.measures.load(Ordering::Relaxed));
        let is_mine = |last| self.looked_at.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if now.saturating_sub(last) < LOOK_MS || !is_mine(last) {
            return known;
        }
        let (memory_max, bodies_max) = self.bounds(config, buffered_body);
        room::set_max(bodies_max);
        let resident = memory::resident().unwrap_or(0);
        self.resident.store(resident, Ordering::Relaxed);
        let percent = |part: u64, whole: u64| part.saturating_mul(100) / whole.max(1);
        let (open, connections_max) = connections;
        let used = Used {
            memory: percent(resident, memory_max),
            bodies: percent(room::held(), bodies_max),
            connections: percent(open, connections_max),
        };
        memory::give_back_at_once(used.memory.max(used.bodies) >= GIVE_BACK_FROM);
        let measures = known.next(config, &used);
        if measures != known {
            tracing::warn!(?measures, resident, body_bytes = room::held(), connections = open, "overload measures");
        }
        self.measures.store(measures.bits(), Ordering::Relaxed);
        measures
    }

    /// How things are.
    pub fn pressure(&self, config: &OverloadConfig, buffered_body: u64, connections: Connections) -> Pressure {
        let measures = self.look(config, buffered_body, connections);
        let (memory_bytes_max, body_bytes_max) = self.bounds(config, buffered_body);
        let memory_bytes = self.resident.load(Ordering::Relaxed);
        Pressure { memory_bytes, memory_bytes_max, body_bytes: room::held(), body_bytes_max, measures }
    }

    /// What the newest look said.
    #[must_use]
    pub fn measures(&self) -> Measures {
        Measures::from_bits(self.measures.load(Ordering::Relaxed))
    }
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            looked_at: AtomicU64::new(0),
            resident: AtomicU64::new(0),
            machine: memory::available(),
            measures: AtomicU8::new(0),
        }
    }
}

impl Pressure {
    /// Tells the metrics.
    pub fn tell(&self, metrics: &Metrics) {
        metrics.resident_bytes.set(self.memory_bytes as f64);
        metrics.resident_bytes_max.set(self.memory_bytes_max as f64);
        metrics.body_bytes.set(self.body_bytes as f64);
        metrics.body_bytes_max.set(self.body_bytes_max as f64);
        let Measures { shed, close, refuse } = self.measures;
        for (measure, is_on) in [("shed", shed), ("close", close), ("refuse", refuse)] {
            metrics.overload.get_or_create(&MeasureLabels { measure }).set(i64::from(is_on));
        }
    }
}

/// Parts of the bounds, in percent.
struct Used {
    memory: u64,
    bodies: u64,
    connections: u64,
}

impl Measures {
    const fn bits(self) -> u8 {
        self.shed as u8 | (self.close as u8) << 1 | (self.refuse as u8) << 2
    }

    const fn from_bits(bits: u8) -> Self {
        Self { shed: bits & 1 != 0, close: bits & 2 != 0, refuse: bits & 4 != 0 }
    }

    /// What is done next: it begins at a bound and ends some points below.
    fn next(self, config: &OverloadConfig, used: &Used) -> Self {
        let holds = |on: bool, used: u64, from: u8| used + if on { SLACK } else { 0 } >= u64::from(from);
        Self {
            shed: holds(self.shed, used.memory.max(used.bodies), config.shed_from),
            close: holds(self.close, used.memory.max(used.connections), config.close_from),
            refuse: holds(self.refuse, used.memory, config.refuse_from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Measures, Used};
    use crate::config::OverloadConfig;

    #[test]
    fn a_measure_begins_at_its_bound_and_ends_five_points_below() {
        let config = OverloadConfig::default();
        let mut measures = Measures::default();
        let steps = [
            ((84, 0, 0), (false, false, false)),
            ((0, 85, 0), (true, false, false)),
            ((0, 80, 0), (true, false, false)),
            ((0, 79, 100), (false, true, false)),
            ((0, 0, 85), (false, true, false)),
            ((0, 100, 84), (true, false, false)),
            ((95, 0, 0), (true, true, true)),
            ((90, 0, 0), (true, true, true)),
            ((89, 0, 0), (true, true, false)),
            ((94, 0, 0), (true, true, false)),
            ((79, 0, 0), (false, false, false)),
        ];
        for ((memory, bodies, connections), (shed, close, refuse)) in steps {
            measures = measures.next(&config, &Used { memory, bodies, connections });
            assert_eq!(measures, Measures { shed, close, refuse }, "{memory} {bodies} {connections}");
            assert_eq!(Measures::from_bits(measures.bits()), measures);
        }
    }
}
