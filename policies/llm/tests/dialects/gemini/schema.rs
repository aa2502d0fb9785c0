//! Schemas of tools and answers.

use gatewright_llm::conversation::{Conversation, Tool};
use gatewright_llm::dialect::Options;
use gatewright_llm::dialect::gemini::request;
use gatewright_llm::fault::{Ledger, OnLoss};
use gatewright_llm::json::Document;
use serde_json::{Value, json};

use crate::rig::parsed;

/// A tool as it is declared when its parameters are these, and what the ledger says.
fn declared(parameters: &Value) -> (Value, String) {
    let text = parameters.to_string();
    let document = Document::parse(&text).unwrap_or_else(|error| unreachable!("{error}"));
    let parameters = Some(document.root());
    let tool = Tool { name: "a".into(), description: None, parameters, strict: None, cache: None };
    let mut conversation = Conversation { tools: vec![tool], ..Conversation::default() };
    let mut ledger = Ledger::new(OnLoss::ByWeight);
    let mut body = parsed(&request::write(&mut conversation, &Options::DEFAULT, &mut ledger));
    let mut declaration = body["tools"][0]["functionDeclarations"][0].take();
    if let Some(members) = declaration.as_object_mut() {
        members.remove("name");
    }
    (declaration, ledger.close().unwrap_or_else(|fault| fault.to_string()))
}

/// With a keyword that neither field knows, so that all of it is rewritten.
fn of_property(schema: &Value) -> (Value, String) {
    let (mut declaration, warnings) =
        declared(&json!({"type": "object", "properties": {"p": schema}, "patternProperties": {"^x": {}}}));
    let warnings = warnings.replace("left out: parameters.patternProperties", "");
    (declaration["parameters"]["properties"]["p"].take(), warnings.trim_start_matches("; ").to_owned())
}

/// Case 21.
#[test]
fn what_the_smaller_language_can_say_is_said_in_it() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$defs": {"City": {"type": "object", "properties": {"name": {"type": "string", "minLength": 1}}}},
        "type": "object",
        "properties": {
            "city": {"$ref": "#/$defs/City", "description": "Where."},
            "unit": {"const": "celsius"},
            "note": {"type": ["string", "null"]},
            "other": {"anyOf": [{"$ref": "#/$defs/City"}, {"type": "null"}], "default": null},
            "either": {"type": ["string", "integer"]},
            "free": {"type": "object", "properties": {}},
            "list": {"type": "array", "items": {"type": "number"}, "maxItems": 3},
        },
        "required": ["city"],
    });
    let city = json!({"name": {"type": "string", "minLength": 1}});
    let expected = json!({"parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "object", "properties": city, "description": "Where."},
            "unit": {"type": "string", "enum": ["celsius"]},
            "note": {"type": "string", "nullable": true},
            "other": {"type": "object", "properties": city, "nullable": true, "default": null},
            "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "free": {"type": "object", "properties": {}},
            "list": {"type": "array", "items": {"type": "number"}, "maxItems": 3},
        },
        "required": ["city"],
    }});
    assert_eq!(declared(&schema), (expected, String::new()));
}

/// Case 21.
#[test]
fn what_only_json_schema_can_say_goes_as_it_is() {
    let schema = json!({
        "type": "object",
        "properties": {"a": {"enum": [1, 2]}, "b": {"$ref": "#"}},
        "additionalProperties": false,
        "required": ["a"],
    });
    assert_eq!(declared(&schema), (json!({"parametersJsonSchema": schema}), String::new()));
    let mut versioned = schema.clone();
    versioned["$schema"] = json!("x");
    assert_eq!(declared(&versioned), (json!({"parametersJsonSchema": schema}), String::new()));
}

/// Case 21.
#[test]
fn what_neither_can_say_is_left_out_and_named() {
    let cases = [
        (json!({"type": "integer", "exclusiveMinimum": 0}), json!({"type": "integer"}), "exclusiveMinimum"),
        (
            json!({"type": "object", "properties": {}, "additionalProperties": false}),
            json!({"type": "object", "properties": {}}),
            "additionalProperties",
        ),
        (json!({"type": "string", "format": "email"}), json!({"type": "string"}), "format"),
        (json!({"not": {"type": "string"}}), json!({}), "not"),
    ];
    for (schema, expected, keyword) in cases {
        assert_eq!(of_property(&schema), (expected, format!("left out: parameters.{keyword}")));
    }
    let (schema, warning) = of_property(&json!({"type": "integer", "enum": [1, 2, null]}));
    assert_eq!(schema, json!({"type": "string", "enum": ["1", "2"], "nullable": true}));
    assert_eq!(warning, "parameters.enum was made a list of texts");
}

/// Case 21.
#[test]
fn a_schema_within_itself_ends_as_any_object() {
    let schema = json!({
        "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}}}},
        "type": "object",
        "properties": {"first": {"$ref": "#/$defs/Node"}},
        "patternProperties": {},
        "dependentRequired": {},
    });
    let next = json!({"type": "object", "properties": {"next": {"type": "object"}}});
    let (declaration, warnings) = declared(&schema);
    assert_eq!(declaration["parameters"]["properties"]["first"], next);
    assert!(warnings.contains("left out: parameters.$ref"), "{warnings}");
}

#[test]
fn references_to_references_do_not_grow_without_end() {
    let mut definitions = json!({"d0": {"type": "string"}});
    for level in 1..40 {
        let below = json!({"$ref": format!("#/$defs/d{}", level - 1)});
        definitions[format!("d{level}")] = json!({"type": "object", "properties": {"a": below, "b": below}});
    }
    let schema = json!({"$defs": definitions, "properties": {"x": {"$ref": "#/$defs/d39"}}, "not": {}});
    let (declaration, warnings) = declared(&schema);
    assert!(declaration.to_string().len() < 200_000);
    assert!(warnings.contains("left out: parameters.$ref"), "{warnings}");
}

#[test]
fn a_tool_that_takes_nothing_has_no_parameters() {
    for schema in
        [json!({"type": "object"}), json!({"type": "object", "properties": {}, "additionalProperties": false})]
    {
        assert_eq!(declared(&schema), (json!({}), String::new()));
    }
}

#[test]
fn the_smaller_language_is_read_as_json_schema() {
    let text = json!({
        "contents": [{"parts": [{"text": "x"}]}],
        "tools": [{"function_declarations": [{"name": "a", "parameters": {
            "type": "OBJECT",
            "properties": {
                "when": {"type": "STRING", "nullable": true, "enum": ["now"], "max_length": "5"},
                "list": {"type": "ARRAY", "items": {"type": "INTEGER", "example": 5}},
                "Type": {"any_of": [{"type": "STRING"}, {"type": "BOOLEAN"}]},
            },
        }}]}],
    })
    .to_string();
    let document = Document::parse(&text).unwrap_or_else(|error| unreachable!("{error}"));
    let conversation = request::read(document.root(), &mut Ledger::default()).unwrap_or_else(|f| unreachable!("{f}"));
    let schema = conversation.tools.first().and_then(|tool| tool.parameters).map(|schema| parsed(schema.written()));
    assert_eq!(
        schema,
        Some(json!({
            "type": "object",
            "properties": {
                "when": {"type": ["string", "null"], "enum": ["now", null], "maxLength": 5},
                "list": {"type": "array", "items": {"type": "integer", "examples": [5]}},
                "Type": {"anyOf": [{"type": "string"}, {"type": "boolean"}]},
            },
        }))
    );
}
