//! What the operator says.

use std::collections::{BTreeMap, BTreeSet};

use gatewright_sdk::{Problem, problem};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::schema::{self, escaped};
use crate::template::Template;

/// Settings of `prompt-api`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The endpoints, 1 to 64.
    pub(crate) apis: Vec<ApiSettings>,
    /// Where the upstream takes chat completions.
    #[serde(default = "default_completions")]
    pub(crate) completions_path: String,
}

/// One endpoint.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiSettings {
    /// Its path, e.g. "/v1/summaries". `PATH/versions/NAME` is a version of it, `PATH/openapi.json` its description.
    pub(crate) path: String,
    /// What it is called in its description.
    #[serde(default)]
    pub(crate) title: String,
    /// What it does, for its description.
    #[serde(default)]
    pub(crate) description: String,
    /// The versions, by names of 1 to 32 of `A-Z a-z 0-9 . _ -`.
    pub(crate) versions: BTreeMap<String, VersionSettings>,
    /// The version that the path itself is; needed where there are several.
    pub(crate) default: Option<String>,
}

/// A version of a prompt.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VersionSettings {
    /// The model that is asked.
    pub(crate) model: String,
    /// The system message, as it stands: parameters have no place in it.
    #[serde(default)]
    pub(crate) system: String,
    /// The user's message. `{{name}}` stands for a parameter, as a JSON value.
    pub(crate) template: String,
    /// The parameters, each with its JSON Schema. One with a `default` may be left out. A text has at most 10000
    /// characters where its schema has no `maxLength`.
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, Value>,
    /// The JSON Schema of the answer: an object.
    pub(crate) output: Value,
    /// The most tokens of an answer, thoughts included.
    #[serde(default = "default_max_tokens")]
    #[schemars(range(min = 1))]
    pub(crate) max_tokens: u32,
    /// From 0 to 2; the provider's own where it is not given.
    pub(crate) temperature: Option<f64>,
    /// Whether the provider is asked to force the schema (`strict`), for which OpenAI wants all members required and
    /// no others allowed.
    #[serde(default = "yes")]
    pub(crate) strict: bool,
}

fn default_completions() -> String {
    "/v1/chat/completions".to_owned()
}

fn default_max_tokens() -> u32 {
    1024
}

fn yes() -> bool {
    true
}

const APIS_MAX: usize = 64;
const TEXT_CHARACTERS_MAX: u32 = 10_000;

impl Settings {
    /// Faults that the schema cannot state.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.apis.is_empty() || self.apis.len() > APIS_MAX {
            problems.push(problem("/apis", "write 1 to 64 endpoints"));
        }
        if !is_path(&self.completions_path) {
            problems.push(problem("/completions_path", "begins with \"/\", and has no \"?\", \"#\" or blank"));
        }
        let mut paths = BTreeSet::new();
        for (index, api) in self.apis.iter().enumerate() {
            let at = |field: &str| format!("/apis/{index}{field}");
            if !is_path(&api.path) || api.path.ends_with('/') {
                let message = "begins with \"/\", does not end with one, and has no \"?\", \"#\" or blank";
                problems.push(problem(&at("/path"), message));
            }
            if !paths.insert(&api.path) {
                problems.push(problem(&at("/path"), "another endpoint has this path"));
            }
            problems.extend(api.problems().into_iter().map(|(field, message)| problem(&at(&field), message)));
        }
        problems
    }
}

impl ApiSettings {
    /// The version that the path itself is.
    pub(crate) fn default_version(&self) -> Option<&str> {
        let only = self.versions.keys().next().filter(|_| self.versions.len() == 1);
        self.default.as_ref().or(only).map(String::as_str)
    }

    fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if !self.default_version().is_some_and(|version| self.versions.contains_key(version)) {
            problems.push(("/default".to_owned(), "names one of `versions`".to_owned()));
        }
        for (name, version) in &self.versions {
            let at = format!("/versions/{}", escaped(name));
            let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            if name.is_empty() || name.len() > 32 || !name.bytes().all(is_letter) {
                problems.push((
                    at.clone(),
                    "a version's name has 1 to 32 letters, digits, \".\", \"_\" and \"-\"".to_owned(),
                ));
            }
            problems.extend(version.problems().into_iter().map(|(field, message)| (format!("{at}{field}"), message)));
        }
        problems
    }
}

impl VersionSettings {
    /// The schema of all parameters together.
    pub(crate) fn input(&self) -> Value {
        let mut properties = Map::new();
        for (name, schema) in &self.parameters {
            let mut schema = schema.clone();
            if schema["type"] == "string" && schema.get("maxLength").is_none() {
                schema["maxLength"] = TEXT_CHARACTERS_MAX.into();
            }
            properties.insert(name.clone(), schema);
        }
        let needs = |(_, schema): &(&String, &Value)| schema.get("default").is_none();
        let required: Vec<&String> = self.parameters.iter().filter(needs).map(|(name, _)| name).collect();
        json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
    }

    fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut say = |field: &str, message: &str| problems.push((field.to_owned(), message.to_owned()));
        if self.model.is_empty() {
            say("/model", "names a model");
        }
        if self.max_tokens == 0 {
            say("/max_tokens", "an answer has at least 1 token");
        }
        if self.temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
            say("/temperature", "is from 0 to 2");
        }
        if self.system.contains("{{") {
            say("/system", "has no places for parameters: they belong to the user's message, in `template`");
        }
        match Template::parse(&self.template) {
            Ok(template) => {
                let used: BTreeSet<&str> = template.names().collect();
                for name in used.iter().filter(|name| !self.parameters.contains_key(**name)) {
                    say("/template", &format!("has a place for \"{name}\", which is none of `parameters`"));
                }
                for name in self.parameters.keys().filter(|name| !used.contains(name.as_str())) {
                    say(&format!("/parameters/{}", escaped(name)), "has no place in `template`");
                }
            }
            Err(message) => say("/template", &message),
        }
        if self.output["type"] != "object" {
            say("/output", "describes an object: `type: object`");
        }
        let mut faults = schema::schema_faults(&self.output, "/output", 0);
        for (name, schema) in &self.parameters {
            let at = format!("/parameters/{}", escaped(name));
            let of_schema = schema::schema_faults(schema, &at, 1);
            if let (true, Some(value)) = (of_schema.is_empty(), schema.get("default")) {
                let of_value = schema::faults(schema, value).into_iter().next();
                faults.extend(of_value.map(|fault| schema::Fault { at: format!("{at}/default"), ..fault }));
            }
            faults.extend(of_schema);
        }
        problems.extend(faults.into_iter().map(|fault| (fault.at, fault.message)));
        problems
    }
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#{}\"".contains(&byte))
}
