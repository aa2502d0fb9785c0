//! A plugin that misbehaves when it is loaded.

use std::time::{Duration, Instant};

use harness::{guest, guest_with};

use super::files::{GRANTED, check};

#[test]
fn a_deed_in_configure_or_validate_is_refused_with_its_reason() {
    let bytes = guest("hostile");
    for (deed, reason) in [
        ("fail", "configure was told to fail"),
        ("panic", "configure"),
        ("spin", "configure"),
        ("grow", "configure"),
        ("limits", "limits cannot be used at load time"),
        ("metrics", "metrics cannot be used at load time"),
        ("validate-spin", "validate-config"),
    ] {
        let started = Instant::now();
        let (output, text) = check(&bytes, &format!("{GRANTED}, config: {{ load: {deed} }}"));
        assert_eq!(output.status.code(), Some(2), "{deed}: {text}");
        assert!(text.contains(reason) && text.contains("gateway.yaml:4:"), "{deed}: {text}");
        assert!(started.elapsed() < Duration::from_secs(25), "{deed}: {:?}", started.elapsed());
    }
}

#[test]
fn every_problem_that_a_plugin_finds_is_reported() {
    let (output, text) = check(&guest("hostile"), &format!("{GRANTED}, config: {{ load: problems }}"));
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("first problem") && text.contains("second problem"), "{text}");
}

#[test]
fn a_configuration_that_does_not_fit_the_schema_is_refused() {
    let (output, text) = check(&guest("hostile"), &format!("{GRANTED}, config: {{ lood: spin }}"));
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("lood"), "{text}");
}

#[test]
fn a_deed_in_describe_is_refused_with_its_reason() {
    for (deed, reason) in [("spin", "describe"), ("panic", "describe"), ("wrong", "schema"), ("large", "256 KiB")] {
        let to = format!("hostile-describe={deed:.<11}");
        let bytes = guest_with("hostile", "hostile-describe=well.......", &to);
        let (output, text) = check(&bytes, GRANTED);
        assert_eq!(output.status.code(), Some(2), "{deed}: {text}");
        assert!(text.contains(reason), "{deed}: {text}");
    }
}
