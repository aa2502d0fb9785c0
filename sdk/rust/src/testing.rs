//! A gateway small enough for `cargo test`: run a policy natively against an exchange made
//! by hand, with a clock that the test sets.
//!
//! ```ignore
//! let policy: KeyAuth = testing::configured(json!({ "header": "x-api-key", "keys": [] }));
//! let exchange = Exchange::request("GET", "/v1/models").with_header("x-api-key", "nobody");
//! let answer = testing::answer(policy.on_request(&exchange));
//! assert_eq!((answer.status, answer.code.as_str()), (401, "invalid-key"));
//! ```

mod body;
mod exchange;
mod fields;
pub mod http;
mod json;
pub mod kv;
mod reply;
pub mod services;

use crate::{Decision, Failure, Policy, Problem};

pub use body::Body;
pub use exchange::Exchange;
pub use fields::Fields;
pub use http::{answer_http, sent_requests};
pub use kv::declare_store;
pub use reply::{Answer, Reply};
pub use services::{
    declare_limit, declare_secret, fail_limits, logged_lines, metric_total, set_clock_ms, set_jwt_answer, taken_charges,
};

/// A policy made from settings, as the gateway would make it.
///
/// # Panics
///
/// Panics, with the reason, if the settings are refused.
#[must_use]
pub fn configured<P: Policy>(config: serde_json::Value) -> P {
    match try_configured(config) {
        Ok(policy) => policy,
        Err(problems) => {
            let list: Vec<_> = problems.iter().map(|problem| format!("{}: {}", problem.at, problem.message)).collect();
            unreachable!("the settings are refused: {}", list.join("; "))
        }
    }
}

/// A policy made from settings, or what is wrong with them.
///
/// # Errors
///
/// What the gateway would show to the operator.
#[expect(clippy::needless_pass_by_value, reason = "it is called with `json!`")]
pub fn try_configured<P: Policy>(config: serde_json::Value) -> Result<P, Vec<Problem>> {
    // Settings may borrow from their text for as long as the instance lives; a test leaks a little.
    let text: &'static str = config.to_string().leak();
    let config =
        serde_json::from_str::<P::Config>(text).map_err(|error| vec![crate::problem("", error.to_string())])?;
    let problems = P::validate(&config);
    if !problems.is_empty() {
        return Err(problems);
    }
    P::new(config).map_err(|message| vec![crate::problem("", message)])
}

/// The answer with which a phase stopped the exchange.
///
/// # Panics
///
/// Panics if the policy let the exchange go on, or failed.
#[must_use]
pub fn answer(decided: Result<Decision, Failure>) -> Answer {
    match decided {
        Ok(Decision::Answer(reply)) => reply.seen(),
        other => unreachable!("expected an answer, not {other:?}"),
    }
}

/// Whether a phase let the exchange go on.
#[must_use]
pub fn passes(decided: &Result<Decision, Failure>) -> bool {
    matches!(decided, Ok(Decision::Next | Decision::Detach))
}
