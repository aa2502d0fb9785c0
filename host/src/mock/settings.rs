//! How the mock behaves: by flags for every request, by `x-mock-…` headers for one.

use std::str::FromStr;
use std::time::Duration;

use http::HeaderMap;

/// How the mock behaves. A header `x-mock-NAME` of a request wins over the flag `--NAME`.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct Settings {
    /// Answer requests without credentials too.
    #[arg(long)]
    pub open: bool,
    /// Wait before the first byte of an answer.
    #[arg(long, default_value_t = 0)]
    pub delay_ms: u64,
    /// Wait between two events of a stream.
    #[arg(long, default_value_t = 0)]
    pub interval_ms: u64,
    /// Answer with this status, as an error in the shape of the provider where it is one.
    #[arg(long)]
    pub status: Option<u16>,
    /// Close the connection without an end after so many events of a stream, or amid a body that is no stream.
    #[arg(long)]
    pub cut_after: Option<usize>,
    /// After so many events of a provider's stream send its error event, and end.
    #[arg(long)]
    pub error_after: Option<usize>,
    /// Write each event in two pieces, the first one's length being this, then 2 more with each event.
    #[arg(long)]
    pub split: Option<usize>,
    /// Send this as `retry-after`.
    #[arg(long)]
    pub retry_after: Option<String>,
    /// Apply `status`, `cut-after` and `error-after` flags to every Nth request only.
    #[arg(long)]
    pub fault_every: Option<u64>,
}

impl Settings {
    /// What holds for the request of this number (from 1) with these headers.
    pub(super) fn for_request(&self, headers: &HeaderMap, number: u64) -> Self {
        let mut settings = self.clone();
        if self.fault_every.is_some_and(|every| !number.is_multiple_of(every.max(1))) {
            (settings.status, settings.cut_after, settings.error_after) = (None, None, None);
        }
        settings.delay_ms = header(headers, "x-mock-delay-ms").unwrap_or(settings.delay_ms);
        settings.interval_ms = header(headers, "x-mock-interval-ms").unwrap_or(settings.interval_ms);
        settings.status = header(headers, "x-mock-status").or(settings.status);
        settings.cut_after = header(headers, "x-mock-cut-after").or(settings.cut_after);
        settings.error_after = header(headers, "x-mock-error-after").or(settings.error_after);
        settings.split = header(headers, "x-mock-split").or(settings.split);
        settings.retry_after = header(headers, "x-mock-retry-after").or(settings.retry_after);
        settings
    }

    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }
}

fn header<T: FromStr>(headers: &HeaderMap, name: &str) -> Option<T> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}
