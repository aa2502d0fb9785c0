//! What an answer costs.

use gatewright_llm::price::{Price, fitting};
use gatewright_llm::usage::Usage;
use serde_json::json;

/// Milliseconds since 1970 of 2026-07-01T00:00:00Z.
const JULY: f64 = 1_782_864_000_000.0;

fn prices() -> Vec<Price> {
    let list = json!([
        { "model": "m-1", "input": 2.0, "output": 8.0, "cache_read": 0.5, "cache_write": 2.5, "cache_write_hour": 4.0 },
        { "model": "m-1", "from": "2026-07-01", "input": 1.0, "output": 4.0 },
        { "model": "m-1", "from": "2026-07-01", "over": 1000, "input": 3.0, "output": 12.0 },
        { "model": "m-*", "input": 10.0, "output": 10.0, "audio_input": 20.0, "image_input": 30.0, "audio_output": 40.0 },
        { "model": "m-long*", "input": 5.0, "output": 5.0 }
    ]);
    serde_json::from_value(list).unwrap_or_else(|error| unreachable!("{error}"))
}

#[track_caller]
fn check(model: &str, usage: Usage, now: f64, expected: Option<f64>) {
    let prices = prices();
    // Of a million times as many tokens, so that sums are exact.
    let found = fitting(&prices, model, &usage, now).map(|price| price.of(&usage) * 1_000_000.0);
    assert_eq!(found.map(f64::round), expected, "{model}");
}

#[test]
fn every_kind_of_token_has_its_price() {
    let usage = Usage {
        input: 100,
        cache_read: 10,
        cache_written: 20,
        cache_written_hour: 5,
        output: 50,
        reasoning: 30,
        ..Usage::default()
    };
    check("m-1", usage, JULY - 1.0, Some(200.0 + 5.0 + 50.0 + 20.0 + 400.0));
    // A list without prices of caches counts them as input.
    check("m-1", usage, JULY, Some(135.0 + 200.0));
    let heard = Usage { input: 100, audio_input: 40, image_input: 10, output: 20, audio_output: 5, ..Usage::default() };
    check("m-9", heard, JULY, Some(500.0 + 800.0 + 300.0 + 150.0 + 200.0));
    // What the provider adds itself and does not charge for.
    let unbilled = Usage { input: 100, unbilled_input: 60, output: 20, unbilled_output: 20, ..Usage::default() };
    check("m-9", unbilled, JULY, Some(400.0));
}

#[test]
fn the_price_that_fits_best_is_taken() {
    let usage = |input| Usage { input, output: 1, ..Usage::default() };
    check("m-1", usage(1_000), JULY, Some(1_004.0));
    check("m-1", usage(1_001), JULY, Some(3_015.0));
    check("m-1", usage(1_001), JULY - 1.0, Some(2_010.0));
    check("m-2", usage(1), JULY, Some(20.0));
    check("m-longer", usage(1), JULY, Some(10.0));
    check("other", usage(1), JULY, None);
}

#[test]
fn a_price_that_cannot_be_is_named() {
    let price = |change: serde_json::Value| {
        let price = crate::rig::with(json!({ "model": "m", "input": 1, "output": 1 }), &change);
        let price: Price = serde_json::from_value(price).unwrap_or_else(|error| unreachable!("{error}"));
        price.faults().into_iter().map(|(field, _)| field).collect::<Vec<_>>()
    };
    assert_eq!(price(json!({ "from": "2026-01-31" })), [""; 0]);
    assert_eq!(price(json!({ "model": "*", "from": "tomorrow", "cache_read": -1 })), ["model", "from", "cache_read"]);
}
