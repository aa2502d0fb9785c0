//! Chooses among endpoints of one priority: in turn, by load, by pace, by hash.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::endpoint::Endpoint;
use crate::config::Balancing;

/// Endpoints of one priority, and how to choose among them.
#[derive(Debug)]
pub(super) struct Balancer {
    pub(super) endpoints: Vec<Arc<Endpoint>>,
    method: Method,
    slow_start: Duration,
}

#[derive(Debug)]
enum Method {
    /// Indices in the order of turns.
    Turns {
        order: Vec<u16>,
        next: AtomicUsize,
    },
    Load,
    Pace,
    /// Points on a circle, sorted, with indices.
    Ring(Vec<(u64, u16)>),
    /// An index for each slot.
    Maglev(Vec<u16>),
}

/// Turns of one round at most: weights are rounded to fit.
const TURNS_MAX: u32 = 4096;
/// Points of a ring: so many for an endpoint of the least weight, unless that is too many.
const POINTS_EACH: u32 = 160;
const POINTS_MAX: u32 = 1 << 17;
/// Slots of a Maglev table: a prime, a hundred times as many as endpoints.
const SLOTS: [usize; 2] = [65_537, 655_373];
/// Places of a ring or table that are looked at before any endpoint will do.
const PROBES_MAX: usize = 64;
/// Pairs that are drawn before any endpoint will do.
const DRAWS_MAX: usize = 4;

impl Balancer {
    pub(super) fn new(by: Balancing, endpoints: Vec<Arc<Endpoint>>, slow_start: Duration) -> Self {
        let method = match by {
            Balancing::RoundRobin => Method::Turns { order: turns(&endpoints), next: AtomicUsize::new(0) },
            Balancing::LeastRequests => Method::Load,
            Balancing::PeakEwma => Method::Pace,
            Balancing::RingHash => Method::Ring(ring(&endpoints)),
            Balancing::Maglev => Method::Maglev(maglev(&endpoints)),
        };
        Self { endpoints, method, slow_start }
    }

    /// An endpoint that `admits`, which may have an effect: whoever it lets in is chosen.
    pub(super) fn choose<T>(&self, key: Option<u64>, admits: impl Fn(&Arc<Endpoint>) -> Option<T>) -> Option<T> {
        let at = |index: u16| self.endpoints.get(usize::from(index));
        let chosen = match (&self.method, key) {
            (Method::Turns { order, next }, _) => (0..order.len().min(PROBES_MAX * 4)).find_map(|_| {
                let turn = next.fetch_add(1, Ordering::Relaxed);
                let endpoint = order.get(turn % order.len()).copied().and_then(at)?;
                self.lets(endpoint).then(|| admits(endpoint)).flatten()
            }),
            (Method::Load, _) => self.of_two(|endpoint| endpoint.standing.load(endpoint.weight), &admits),
            (Method::Pace, _) => self.of_two(|endpoint| endpoint.standing.cost() / f64::from(endpoint.weight), &admits),
            (Method::Ring(points), Some(key)) => {
                let start = points.partition_point(|(point, _)| *point < key);
                let mut tried = None;
                points
                    .iter()
                    .cycle()
                    .skip(start)
                    .take(points.len())
                    .filter_map(|(_, index)| {
                        // Neighbours on the ring are often points of one endpoint.
                        (tried.replace(*index) != Some(*index)).then(|| at(*index)).flatten()
                    })
                    .take(PROBES_MAX)
                    .find_map(&admits)
            }
            (Method::Maglev(slots), Some(key)) => (0..PROBES_MAX as u64).find_map(|probe| {
                let hash = if probe == 0 { key } else { xxh3_64_with_seed(&key.to_le_bytes(), probe) };
                let slot = usize::try_from(hash % slots.len().max(1) as u64).unwrap_or(0);
                slots.get(slot).copied().and_then(at).and_then(&admits)
            }),
            (Method::Ring(_) | Method::Maglev(_), None) => self.of_two(|_| 0.0, &admits),
        };
        chosen.or_else(|| self.any(&admits))
    }

    /// The first that is let in, from a random one on.
    fn any<T>(&self, admits: &impl Fn(&Arc<Endpoint>) -> Option<T>) -> Option<T> {
        let start = fastrand::usize(..self.endpoints.len().max(1));
        self.endpoints.iter().cycle().skip(start).take(self.endpoints.len()).find_map(admits)
    }

    /// Of two endpoints taken at random the one that costs less (Mitzenmacher, 2001).
    fn of_two<T>(&self, cost: impl Fn(&Endpoint) -> f64, admits: &impl Fn(&Arc<Endpoint>) -> Option<T>) -> Option<T> {
        let count = self.endpoints.len();
        let draw = || self.endpoints.get(fastrand::usize(..count.max(1)));
        (0..DRAWS_MAX).find_map(|_| {
            let first = draw()?;
            let second =
                if count == 2 { self.endpoints.iter().find(|other| !Arc::ptr_eq(other, first))? } else { draw()? };
            let priced = |endpoint: &Arc<Endpoint>| cost(endpoint) / endpoint.standing.ramp(self.slow_start);
            let (better, worse) = if priced(second) < priced(first) { (second, first) } else { (first, second) };
            admits(better).or_else(|| admits(worse))
        })
    }

    /// Whether an endpoint that starts slowly takes this turn.
    fn lets(&self, endpoint: &Endpoint) -> bool {
        let ramp = endpoint.standing.ramp(self.slow_start);
        ramp >= 1.0 || fastrand::f64() < ramp
    }
}

/// Indices in an order in which each comes as often as its weight says, spread evenly (nginx's smooth weighting).
fn turns(endpoints: &[Arc<Endpoint>]) -> Vec<u16> {
    let weights = reduced(endpoints, TURNS_MAX);
    let total: i64 = weights.iter().map(|weight| i64::from(*weight)).sum();
    let mut credit = vec![0_i64; weights.len()];
    let mut order = Vec::new();
    for _ in 0..total {
        for (credit, weight) in credit.iter_mut().zip(&weights) {
            *credit += i64::from(*weight);
        }
        // The first of the greatest, so that equals keep their order.
        let Some((index, _)) = credit.iter().enumerate().max_by_key(|(index, credit)| (**credit, usize::MAX - index))
        else {
            break;
        };
        if let Some(credit) = credit.get_mut(index) {
            *credit -= total;
        }
        order.extend(u16::try_from(index));
    }
    order
}

/// Weights in their lowest terms, or rounded so that they add up to so much at most; none becomes nothing.
fn reduced(endpoints: &[Arc<Endpoint>], max: u32) -> Vec<u32> {
    fn divisor(a: u32, b: u32) -> u32 {
        if b == 0 { a } else { divisor(b, a % b) }
    }
    let common = endpoints.iter().fold(0, |common, endpoint| divisor(common, endpoint.weight)).max(1);
    let total: u64 = endpoints.iter().map(|endpoint| u64::from(endpoint.weight / common)).sum();
    let shrink = |weight: u32| match total {
        0..=u64::MAX if total <= u64::from(max) => weight,
        _ => u32::try_from(u64::from(weight) * u64::from(max) / total).unwrap_or(1).max(1),
    };
    endpoints.iter().map(|endpoint| shrink(endpoint.weight / common)).collect()
}

fn ring(endpoints: &[Arc<Endpoint>]) -> Vec<(u64, u16)> {
    let weights = reduced(endpoints, POINTS_MAX / POINTS_EACH);
    let mut points = Vec::new();
    for (index, (endpoint, weight)) in endpoints.iter().zip(weights).enumerate() {
        let Ok(index) = u16::try_from(index) else { break };
        let points_of = |point: u32| (xxh3_64_with_seed(endpoint.address.as_bytes(), u64::from(point)), index);
        points.extend((0..weight * POINTS_EACH).map(points_of));
    }
    points.sort_unstable();
    points
}

/// A Maglev table: each endpoint in turn takes the next free slot of an order of its own.
fn maglev(endpoints: &[Arc<Endpoint>]) -> Vec<u16> {
    const FREE: u16 = u16::MAX;
    let [small, large] = SLOTS;
    let slots = if endpoints.len() * 100 > small { large } else { small };
    let weights = reduced(endpoints, TURNS_MAX);
    let heaviest = weights.iter().copied().max().unwrap_or(1);
    let size = slots as u64;
    let order = |endpoint: &Arc<Endpoint>| {
        let name = endpoint.address.as_bytes();
        (xxh3_64_with_seed(name, 1) % size, xxh3_64_with_seed(name, 2) % (size - 1) + 1)
    };
    // Offset, step and how far each has come; and the credit that its weight gives it.
    let mut walks: Vec<(u64, u64, u32)> = endpoints.iter().map(order).map(|(at, step)| (at, step, 0)).collect();
    let mut table = vec![FREE; slots];
    let mut filled = 0;
    while filled < slots && !walks.is_empty() {
        for (index, ((at, step, credit), weight)) in walks.iter_mut().zip(&weights).enumerate() {
            *credit += weight;
            let Ok(index) = u16::try_from(index) else { break };
            if *credit < heaviest || filled == slots {
                continue;
            }
            *credit -= heaviest;
            loop {
                let place = usize::try_from(*at).ok().and_then(|at| table.get_mut(at));
                *at = (*at + *step) % size;
                if let Some(slot) = place.filter(|slot| **slot == FREE) {
                    *slot = index;
                    filled += 1;
                    break;
                }
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::time::Duration;

    use xxhash_rust::xxh3::xxh3_64;

    use super::Balancer;
    use crate::config::Balancing;
    use crate::upstream::endpoint::Endpoint;

    fn balancer(by: Balancing, weights: &[u32]) -> Balancer {
        let endpoint =
            |(index, weight): (usize, &u32)| Arc::new(Endpoint::for_tests(&format!("10.0.0.{index}"), *weight));
        Balancer::new(by, weights.iter().enumerate().map(endpoint).collect(), Duration::ZERO)
    }

    /// How many of so many requests each endpoint gets; the ones in `out` let none in.
    fn counts(balancer: &Balancer, requests: u32, out: &[&str]) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for number in 0..requests {
            let key = Some(xxh3_64(&number.to_le_bytes()));
            let chosen = balancer
                .choose(key, |endpoint| (!out.contains(&&*endpoint.address)).then(|| endpoint.address.to_string()));
            *counts.entry(chosen.unwrap()).or_insert(0) += 1;
        }
        counts
    }

    #[test]
    fn turns_are_exact_and_skip_who_is_out_evenly() {
        let exact = counts(&balancer(Balancing::RoundRobin, &[2, 1, 1]), 400, &[]);
        assert_eq!(exact.into_values().collect::<Vec<_>>(), [200, 100, 100]);
        let without = counts(&balancer(Balancing::RoundRobin, &[1, 1, 1, 1]), 300, &["10.0.0.2:80"]);
        assert_eq!(without.into_values().collect::<Vec<_>>(), [100, 100, 100]);
    }

    #[test]
    fn hashing_gives_shares_by_weight() {
        for by in [Balancing::RingHash, Balancing::Maglev] {
            let counts = counts(&balancer(by, &[1, 1, 2]), 40_000, &[]);
            for (count, expected) in counts.values().zip([10_000_f64, 10_000.0, 20_000.0]) {
                let ratio = f64::from(*count) / expected;
                assert!((0.8..1.2).contains(&ratio), "{by:?}: {counts:?}");
            }
        }
    }

    #[test]
    fn a_key_stays_where_it_is_when_others_come_and_go() {
        for (by, moved_max) in [(Balancing::RingHash, 0.22), (Balancing::Maglev, 0.24)] {
            let (five, four) = (balancer(by, &[1; 5]), balancer(by, &[1; 4]));
            let at = |balancer: &Balancer, number: u32, out: &str| {
                let admits = |endpoint: &Arc<Endpoint>| (*endpoint.address != *out).then(|| endpoint.address.clone());
                balancer.choose(Some(xxh3_64(&number.to_le_bytes())), admits).unwrap()
            };
            let keys = 10_000;
            let moved = (0..keys).filter(|key| at(&five, *key, "") != at(&four, *key, "")).count();
            // A fifth has to move: what was the fifth endpoint's.
            assert!((moved as f64) < moved_max * f64::from(keys), "{by:?}: {moved}");
            let strays = (0..keys).filter(|key| {
                let home = at(&five, *key, "");
                &*home != "10.0.0.4:80" && home != at(&five, *key, "10.0.0.4:80")
            });
            assert_eq!(strays.count(), 0, "{by:?}: only the keys of an ejected endpoint go elsewhere");
        }
    }

    #[test]
    fn whoever_has_fewer_requests_under_way_gets_more() {
        let balancer = balancer(Balancing::LeastRequests, &[1, 1, 1, 1]);
        let busy = balancer.endpoints[0].clone();
        busy.standing.active.store(100, std::sync::atomic::Ordering::Relaxed);
        let counts = counts(&balancer, 4_000, &[]);
        // It is chosen only where both draws are it: one in sixteen.
        assert!(counts[&*busy.address] < 400, "{counts:?}");
    }
}
