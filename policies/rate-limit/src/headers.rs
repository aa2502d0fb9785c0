//! The fields of draft-ietf-httpapi-ratelimit-headers-10, both lists of strings with
//! parameters (RFC 9651 §3.1).

use std::fmt::Write as _;

use gatewright_sdk::limits::Verdict;

/// What is allowed: `"60-per-1m";q=60;w=60`.
pub(crate) const POLICY: &str = "ratelimit-policy";
/// What is left of it: `"60-per-1m";r=59;t=1`.
pub(crate) const STATE: &str = "ratelimit";

/// Quota `q` in a window of `w` seconds, the window left out where it is no whole number. A
/// shared bucket has no quota that a policy knows of.
pub(crate) fn policy(names: &[String], mut quotas: impl Iterator<Item = (u32, Option<u32>)>) -> String {
    let mut field = String::new();
    for name in names {
        start_item(&mut field, name);
        if let Some((quota, window)) = quotas.next() {
            let _always_ok = write!(field, ";q={quota}");
            if let Some(seconds) = window {
                let _always_ok = write!(field, ";w={seconds}");
            }
        }
    }
    field
}

/// What remains `r`, and the seconds `t` until all of it is back, rounded up.
pub(crate) fn state(names: &[String], verdicts: &[Verdict]) -> String {
    let mut field = String::new();
    for (name, verdict) in names.iter().zip(verdicts) {
        start_item(&mut field, name);
        let _always_ok = write!(field, ";r={};t={}", verdict.remaining, verdict.reset_ms.div_ceil(1000));
    }
    field
}

fn start_item(field: &mut String, name: &str) {
    if !field.is_empty() {
        field.push_str(", ");
    }
    field.push('"');
    for letter in name.chars().filter(|letter| letter.is_ascii() && !letter.is_ascii_control()) {
        if matches!(letter, '"' | '\\') {
            field.push('\\');
        }
        field.push(letter);
    }
    field.push('"');
}
