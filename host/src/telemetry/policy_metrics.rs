//! What policies count themselves: series made on first use, capped in number.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use parking_lot::Mutex;

/// Series of all policies.
#[derive(Debug, Default)]
pub struct PolicyMetrics(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    families: BTreeMap<String, Family>,
    series_of_policy: HashMap<String, usize>,
    refused: u64,
}

#[derive(Debug)]
struct Family {
    kind: Kind,
    series: BTreeMap<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug)]
enum Value {
    Number(f64),
    Histogram { buckets: [u64; BUCKETS.len()], sum: f64, count: u64 },
}

/// Whose series, its name and its labels.
type Series<'a> = (&'a str, &'a str, &'a [(String, String)]);

/// Series a policy may have; further ones fold into one whose labels are all "other".
const SERIES_MAX: usize = 200;
const LABELS_MAX: usize = 8;
const NAME_MAX: usize = 64;
const LABEL_VALUE_MAX: usize = 128;
const BUCKETS: [f64; 11] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0, 300.0];

impl PolicyMetrics {
    /// Adds to a counter.
    pub fn add(&self, policy: &str, name: &str, labels: &[(String, String)], delta: u32) {
        self.change(Kind::Counter, (policy, name, labels), |value| {
            if let Value::Number(number) = value {
                *number += f64::from(delta);
            }
        });
    }

    /// Sets a gauge.
    pub fn set(&self, policy: &str, name: &str, labels: &[(String, String)], to: f64) {
        self.change(Kind::Gauge, (policy, name, labels), |value| *value = Value::Number(to));
    }

    /// Adds an observation to a histogram.
    pub fn observe(&self, policy: &str, name: &str, labels: &[(String, String)], observed: f64) {
        self.change(Kind::Histogram, (policy, name, labels), |value| {
            if let Value::Histogram { buckets, sum, count } = value {
                for (bucket, bound) in buckets.iter_mut().zip(BUCKETS) {
                    *bucket += u64::from(observed <= bound);
                }
                *sum += observed;
                *count += 1;
            }
        });
    }

    fn change(&self, kind: Kind, series: Series<'_>, apply: impl FnOnce(&mut Value)) {
        let (policy, name, labels) = series;
        let mut state = self.0.lock();
        let fits = is_name(name)
            && labels.len() <= LABELS_MAX
            && labels
                .iter()
                .all(|(label, value)| is_name(label) && label != "policy" && value.len() <= LABEL_VALUE_MAX);
        let State { families, series_of_policy, refused } = &mut *state;
        if !fits || families.get(name).is_some_and(|family| family.kind != kind) {
            *refused += 1;
            return;
        }
        let family = families.entry(name.to_owned()).or_insert_with(|| Family { kind, series: BTreeMap::new() });
        let mut key = label_set(policy, labels.iter().map(|(label, value)| (label.as_str(), value.as_str())));
        if !family.series.contains_key(&key) {
            let used = series_of_policy.entry(policy.to_owned()).or_default();
            if *used >= SERIES_MAX {
                key = label_set(policy, labels.iter().map(|(label, _)| (label.as_str(), "other")));
            } else {
                *used += 1;
            }
        }
        apply(family.series.entry(key).or_insert_with(|| kind.start()));
    }

    /// Appends every series in the text format.
    pub(super) fn write(&self, text: &mut String) {
        let state = self.0.lock();
        for (name, family) in &state.families {
            let word = family.kind.word();
            write_line(text, format_args!("# TYPE gatewright_policy_{name} {word}"));
            for (labels, value) in &family.series {
                match value {
                    Value::Number(number) => {
                        let total = if family.kind == Kind::Counter { "_total" } else { "" };
                        write_line(text, format_args!("gatewright_policy_{name}{total}{{{labels}}} {number}"));
                    }
                    Value::Histogram { buckets, sum, count } => {
                        for (bucket, bound) in buckets.iter().zip(BUCKETS) {
                            let series = format!("gatewright_policy_{name}_bucket{{{labels},le=\"{bound}\"}}");
                            write_line(text, format_args!("{series} {bucket}"));
                        }
                        write_line(
                            text,
                            format_args!("gatewright_policy_{name}_bucket{{{labels},le=\"+Inf\"}} {count}"),
                        );
                        write_line(text, format_args!("gatewright_policy_{name}_sum{{{labels}}} {sum}"));
                        write_line(text, format_args!("gatewright_policy_{name}_count{{{labels}}} {count}"));
                    }
                }
            }
        }
        write_line(text, format_args!("# TYPE gatewright_policy_metrics_refused counter"));
        write_line(text, format_args!("gatewright_policy_metrics_refused_total {}", state.refused));
    }
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }

    const fn start(self) -> Value {
        match self {
            Self::Counter | Self::Gauge => Value::Number(0.0),
            Self::Histogram => Value::Histogram { buckets: [0; BUCKETS.len()], sum: 0.0, count: 0 },
        }
    }
}

fn write_line(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("writing to a String cannot fail");
}

fn is_name(name: &str) -> bool {
    name.len() <= NAME_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn label_set<'a>(policy: &str, labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut set = format!("policy=\"{}\"", escape(policy));
    for (label, value) in labels {
        write!(set, ",{label}=\"{}\"", escape(value)).expect("writing to a String cannot fail");
    }
    set
}

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::{PolicyMetrics, SERIES_MAX};

    fn text(metrics: &PolicyMetrics) -> String {
        let mut text = String::new();
        metrics.write(&mut text);
        text
    }

    #[test]
    fn series_past_the_cap_fold_into_one() {
        let metrics = PolicyMetrics::default();
        for index in 0..SERIES_MAX + 50 {
            metrics.add("p", "hits", &[("key".to_owned(), index.to_string())], 1);
        }
        let text = text(&metrics);
        assert_eq!(text.matches("gatewright_policy_hits_total{").count(), SERIES_MAX + 1);
        assert!(text.contains("gatewright_policy_hits_total{policy=\"p\",key=\"other\"} 50\n"));
    }

    #[test]
    fn names_and_labels_that_break_the_format_are_counted_and_dropped() {
        let metrics = PolicyMetrics::default();
        metrics.add("p", "Bad-Name", &[], 1);
        metrics.set("p", "g", &[("policy".to_owned(), "x".to_owned())], 1.0);
        metrics.set("p", "g", &[("a".to_owned(), "q\"\n\\".to_owned())], 1.0);
        metrics.add("p", "g", &[], 1);
        let text = text(&metrics);
        assert!(text.contains("gatewright_policy_metrics_refused_total 3\n"), "{text}");
        assert!(text.contains("gatewright_policy_g{policy=\"p\",a=\"q\\\"\\n\\\\\"} 1\n"), "{text}");
    }
}
