//! An endpoint: what it takes, what it asks a model, and how it describes itself.

use serde_json::{Map, Value, json};

use crate::schema::{self, Fault};
use crate::settings::{ApiSettings, VersionSettings};
use crate::template::Template;

/// An endpoint.
pub(crate) struct Api {
    path: String,
    versions: Vec<Version>,
    default: String,
    /// Its OpenAPI description.
    pub(crate) description: String,
}

/// A version of a prompt.
pub(crate) struct Version {
    pub(crate) name: String,
    input: Value,
    template: Template,
    output: Value,
    /// The request but for its message.
    request: Map<String, Value>,
    system: String,
}

/// What a path is to an endpoint.
pub(crate) enum Target<'a> {
    /// One of its versions.
    Version(&'a Version),
    /// Its description.
    Description,
    /// A version that it does not have.
    Unknown,
}

impl Api {
    /// An endpoint of settings with which nothing is wrong.
    ///
    /// # Errors
    /// A template cannot be read.
    pub(crate) fn new(settings: ApiSettings) -> Result<Self, String> {
        let default = settings.default_version().unwrap_or_default().to_owned();
        let description = describe(&settings, &default).to_string();
        let versions = settings.versions.into_iter().map(|(name, version)| Version::new(name, version));
        Ok(Self { path: settings.path, versions: versions.collect::<Result<_, _>>()?, default, description })
    }

    /// What a path is to it; none if it is another's.
    pub(crate) fn target(&self, path: &str) -> Option<Target<'_>> {
        let name = match path.strip_prefix(self.path.as_str())? {
            "" => self.default.as_str(),
            "/openapi.json" => return Some(Target::Description),
            rest => rest.strip_prefix("/versions/")?,
        };
        Some(self.version(name).map_or(Target::Unknown, Target::Version))
    }

    /// Its path.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// A version by its name.
    pub(crate) fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|version| version.name == name)
    }
}

impl Version {
    fn new(name: String, settings: VersionSettings) -> Result<Self, String> {
        let input = settings.input();
        let template = Template::parse(&settings.template)?;
        let mut request = Map::new();
        request.insert("model".to_owned(), settings.model.into());
        request.insert("max_completion_tokens".to_owned(), settings.max_tokens.into());
        if let Some(temperature) = settings.temperature {
            request.insert("temperature".to_owned(), temperature.into());
        }
        let format = json!({ "name": "answer", "strict": settings.strict, "schema": settings.output });
        request.insert("response_format".to_owned(), json!({ "type": "json_schema", "json_schema": format }));
        Ok(Self { name, input, template, output: settings.output, request, system: settings.system })
    }

    /// The chat completion that parameters ask for.
    ///
    /// # Errors
    /// Every fault of the parameters.
    pub(crate) fn request(&self, mut parameters: Value) -> Result<String, Vec<Fault>> {
        if let (Some(given), Some(properties)) = (parameters.as_object_mut(), self.input["properties"].as_object()) {
            for (name, schema) in properties {
                if let (false, Some(default)) = (given.contains_key(name), schema.get("default")) {
                    given.insert(name.clone(), default.clone());
                }
            }
        }
        let faults = schema::faults(&self.input, &parameters);
        let Some(parameters) = parameters.as_object().filter(|_| faults.is_empty()) else { return Err(faults) };
        let mut messages = Vec::new();
        if !self.system.is_empty() {
            messages.push(json!({ "role": "system", "content": self.system }));
        }
        messages.push(json!({ "role": "user", "content": self.template.filled(parameters) }));
        let mut request = self.request.clone();
        request.insert("messages".to_owned(), messages.into());
        Ok(Value::from(request).to_string())
    }

    /// What of an answer does not fit its schema.
    pub(crate) fn answer_faults(&self, answer: &Value) -> Vec<Fault> {
        schema::faults(&self.output, answer)
    }
}

/// The OpenAPI 3.1 description of an endpoint.
fn describe(settings: &ApiSettings, default: &str) -> Value {
    let mut paths = Map::new();
    for (name, version) in &settings.versions {
        let operation = |id: String| {
            json!({ "post": {
                "operationId": id, "summary": format!("Version {name}"),
                "requestBody": { "required": true, "content": { "application/json": { "schema": version.input() } } },
                "responses": responses(&version.output)
            } })
        };
        if name == default {
            paths.insert(settings.path.clone(), operation("default".to_owned()));
        }
        paths.insert(format!("{}/versions/{name}", settings.path), operation(format!("version-{name}")));
    }
    let title = if settings.title.is_empty() { &settings.path } else { &settings.title };
    json!({
        "openapi": "3.1.0",
        "info": { "title": title, "description": settings.description, "version": default },
        "paths": paths,
        "components": { "schemas": { "Problem": problem_schema() } }
    })
}

fn responses(output: &Value) -> Value {
    let fault = |description: &str| {
        let content = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
        json!({ "description": description, "content": { "application/problem+json": content } })
    };
    let count =
        |description: &str| json!({ "description": description, "schema": { "type": "integer", "minimum": 0 } });
    json!({
        "200": {
            "description": "The answer",
            "headers": {
                "x-prompt-version": { "description": "The version that answered", "schema": { "type": "string" } },
                "x-usage-input-tokens": count("Tokens of the prompt"),
                "x-usage-output-tokens": count("Tokens of the answer")
            },
            "content": { "application/json": { "schema": output } }
        },
        "400": fault("The parameters are not as described; `errors` names every fault"),
        "502": fault("The model gave no answer that is as described")
    })
}

/// RFC 9457.
fn problem_schema() -> Value {
    let fault = json!({ "type": "object", "properties": {
        "pointer": { "type": "string", "description": "Where (RFC 6901)" }, "detail": { "type": "string" }
    } });
    json!({ "type": "object", "properties": {
        "title": { "type": "string" }, "status": { "type": "integer" }, "detail": { "type": "string" },
        "code": { "type": "string" }, "errors": { "type": "array", "items": fault }
    } })
}
