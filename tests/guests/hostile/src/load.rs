//! Deeds at load time: in `describe`, `validate-config` and `configure`.

use std::hint::black_box;

use gatewright_sdk::{Problem, limits, metrics, problem};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use crate::deeds::{grow, spin};

/// Settings of `hostile`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The deed, in place of the request's header.
    #[serde(rename = "do")]
    pub deed: Option<String>,
    /// The deed at load time.
    load: Option<String>,
}

/// `describe` has no settings: tests choose its deed by writing over what follows the `=` in the compiled file.
static DESCRIBE: &str = "hostile-describe=well.......";

impl JsonSchema for Settings {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Settings".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        match black_box(DESCRIBE).split_once('=').map_or("", |(_, deed)| deed.trim_end_matches('.')) {
            "spin" => spin(),
            "panic" => panic!("describe was told to panic"),
            "wrong" => json_schema!({ "type": "nonsense" }),
            "large" => json_schema!({ "type": "object", "description": "x".repeat(300 << 10) }),
            _ => json_schema!({
                "type": "object",
                "properties": { "do": { "type": "string" }, "load": { "type": "string" } },
                "additionalProperties": false
            }),
        }
    }
}

impl Settings {
    /// Does what is to be done in `configure`.
    pub fn perform(&self) -> Result<(), String> {
        match self.load.as_deref() {
            Some("spin") => spin(),
            Some("panic") => panic!("configure was told to panic"),
            Some("grow") => grow(),
            Some("fail") => return Err("configure was told to fail".to_owned()),
            Some("limits") => drop(limits::peek(&[])),
            Some("metrics") => metrics::add("hostile_load", &[], 1),
            _ => return Ok(()),
        }
        Ok(())
    }

    /// Does what is to be done in `validate-config`.
    pub fn problems(&self) -> Vec<Problem> {
        match self.load.as_deref() {
            Some("validate-spin") => spin(),
            Some("problems") => vec![problem("/load", "first problem"), problem("/do", "second problem")],
            _ => Vec::new(),
        }
    }
}
