//! What the operator sees: logs, one access-log line a request, metrics.

mod access_log;
mod logging;
mod metrics;
mod policy_metrics;

pub use access_log::AccessLog;
pub use logging::{LogFormat, start_logging};
pub use metrics::{
    AttemptLabels, CallLabels, ConcurrencyLabels, EndpointLabels, LookupLabels, MeasureLabels, Metrics, ReasonLabels,
    ReloadLabels, RequestLabels, RetryLabels, RouteLabels, UpstreamLabels,
};
pub use policy_metrics::PolicyMetrics;

/// A time as RFC 3339 in UTC with milliseconds.
#[must_use]
pub fn rfc3339(time: std::time::SystemTime) -> String {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let (days, seconds) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    // Days to a civil date in the proleptic Gregorian calendar, counted from 1 March of year 0.
    let day = days + 719_468;
    let (era, day_of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second, milli) = (seconds / 3_600, seconds / 60 % 60, seconds % 60, since.subsec_millis());
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn times_are_written_as_rfc_3339() {
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_826_210_123, "2000-02-29T12:10:10.123Z"),
            (1_795_198_670_007, "2026-11-20T18:17:50.007Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"),
        ] {
            assert_eq!(super::rfc3339(UNIX_EPOCH + Duration::from_millis(millis)), expected);
        }
    }
}
