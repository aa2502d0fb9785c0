//! Which of several upstreams a request goes to, by shares.

use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::rewrite::Faults;
use crate::config::{RequestKey, SplitConfig};
use crate::exchange::Exchange;

/// Upstreams with their shares.
#[derive(Debug)]
pub struct Split {
    shares: Vec<Share>,
    /// The sum of all weights; from 1.
    total: u64,
    sticky: Option<RequestKey>,
}

#[derive(Debug)]
struct Share {
    upstream: Arc<str>,
    weight: u32,
    /// From the upstream's name, so that each instance has the same.
    salt: u64,
}

const SHARES_MAX: usize = 64;

impl Split {
    /// A split as configured.
    ///
    /// # Errors
    /// Every fault, with a pointer into the split.
    pub(super) fn parse(config: &SplitConfig) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let mut shares: Vec<Share> = Vec::new();
        for (index, share) in config.split.iter().enumerate() {
            if shares.iter().any(|known| *known.upstream == *share.upstream) {
                faults.push((format!("/split/{index}"), format!("upstream {:?} is here twice", share.upstream)));
            }
            let upstream: Arc<str> = share.upstream.as_str().into();
            shares.push(Share { salt: xxh3_64(share.upstream.as_bytes()), upstream, weight: share.weight });
        }
        let total = shares.iter().map(|share| u64::from(share.weight)).sum();
        if total == 0 || shares.len() > SHARES_MAX {
            let message = format!("a split has 1 to {SHARES_MAX} upstreams, at least one with a weight above 0");
            faults.push(("/split".to_owned(), message));
        }
        if let Some(fault) = config.sticky.as_ref().and_then(RequestKey::fault) {
            faults.push(("/sticky".to_owned(), fault));
        }
        let sticky = config.sticky.clone();
        if faults.is_empty() { Ok(Self { shares, total, sticky }) } else { Err(faults) }
    }

    /// The upstream of a request.
    #[must_use]
    pub fn side(&self, exchange: &Exchange) -> Arc<str> {
        let key = self.sticky.as_ref().and_then(|key| exchange.key(key));
        let share = match key {
            Some(key) => self.sticky_side(key.as_bytes()),
            None => self.random_side(fastrand::u64(..self.total.max(1))),
        };
        share.map_or_else(|| Arc::from(""), |share| share.upstream.clone())
    }

    /// Weighted rendezvous hashing: the score of a side depends on its own weight alone, so that no key moves between two
    /// sides whose weights stay.
    fn sticky_side(&self, key: &[u8]) -> Option<&Share> {
        let score = |share: &Share| {
            // From 53 bits, and never 0 or 1.
            let unit = ((xxh3_64_with_seed(key, share.salt) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
            f64::from(share.weight) / -unit.ln()
        };
        let weighty = self.shares.iter().filter(|share| share.weight > 0);
        weighty.max_by(|one, other| score(one).total_cmp(&score(other)))
    }

    fn random_side(&self, mut point: u64) -> Option<&Share> {
        self.shares.iter().find(|share| {
            let weight = u64::from(share.weight);
            let here = point < weight;
            point = point.saturating_sub(weight);
            here
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Split;
    use crate::config::{ShareConfig, SplitConfig};

    fn split(weights: &[(&str, u32)]) -> Split {
        let share =
            |(upstream, weight): &(&str, u32)| ShareConfig { upstream: (*upstream).to_owned(), weight: *weight };
        let split = weights.iter().map(share).collect();
        Split::parse(&SplitConfig { split, sticky: None, choices: Vec::new() }).unwrap()
    }

    fn side(split: &Split, key: u32) -> String {
        split.sticky_side(&key.to_be_bytes()).unwrap().upstream.to_string()
    }

    const KEYS: u32 = 20_000;

    #[test]
    fn keys_spread_by_weight_and_stay() {
        let known = split(&[("a", 90), ("b", 10)]);
        let count = (0..KEYS).filter(|key| side(&known, *key) == "b").count();
        assert!((1_800..2_200).contains(&count), "{count}");
        // Golden: what these keys are assigned is never to change.
        let golden: String = (0..40).map(|key| side(&split(&[("a", 1), ("b", 1)]), key)).collect();
        assert_eq!(golden, GOLDEN);
    }

    const GOLDEN: &str = "baaaabaabaaabababaaaaaabbbaaabbbabbabaab";

    #[test]
    fn a_change_of_weights_moves_only_the_share_it_must() {
        let before = split(&[("a", 90), ("b", 10), ("c", 100)]);
        let after = split(&[("a", 90), ("b", 30), ("c", 100)]);
        let mut moved = 0;
        for key in 0..KEYS {
            let (old, new) = (side(&before, key), side(&after, key));
            assert!(old == new || new == "b", "{key} went from {old} to {new}");
            moved += usize::from(old != new);
        }
        // From 10 of 200 to 30 of 220.
        let share = moved as f64 / f64::from(KEYS);
        assert!((share - (30.0 / 220.0 - 0.05)).abs() < 0.01, "{share}");
    }

    #[test]
    fn chance_follows_the_weights() {
        let known = split(&[("none", 0), ("a", 3), ("b", 1)]);
        let sides: String = (0..4).map(|point| known.random_side(point).unwrap().upstream.to_string()).collect();
        assert_eq!(sides, "aaab");
    }
}
