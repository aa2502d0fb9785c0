//! The part of JSON Schema (2020-12) that is checked here. A schema with any other assertion is refused when it is
//! configured, so that nothing is promised that nobody checks.

use serde_json::{Map, Number, Value};

/// What is wrong, and where: an RFC 6901 pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) at: String,
    pub(crate) message: String,
}

/// Says something about a value without asserting anything.
const ANNOTATIONS: [&str; 7] = ["title", "description", "examples", "default", "deprecated", "$comment", "format"];
/// Schemas within schemas.
const DEPTH_MAX: usize = 16;
/// Faults that are told of one value; more help nobody.
const FAULTS_MAX: usize = 32;

/// What of a schema is not checked here, or no schema.
pub(crate) fn schema_faults(schema: &Value, at: &str, depth: usize) -> Vec<Fault> {
    let fault = |at: String, message: &str| Fault { at, message: message.to_owned() };
    let Some(members) = schema.as_object() else { return vec![fault(at.to_owned(), "is an object: a JSON Schema")] };
    if depth > DEPTH_MAX {
        return vec![fault(at.to_owned(), "is nested too deep: 16 schemas within each other are the most")];
    }
    let mut faults = Vec::new();
    for (name, value) in members {
        let here = format!("{at}/{}", escaped(name));
        let is_count = value.as_u64().is_some();
        let complaint = match name.as_str() {
            "type" => (!types(value).is_some_and(|types| !types.is_empty() && types.iter().all(|kind| is_type(kind))))
                .then_some(
                    "is one of `string`, `number`, `integer`, `boolean`, `object`, `array` and `null`, or a list",
                ),
            "properties" => match value.as_object() {
                Some(properties) => {
                    for (name, schema) in properties {
                        faults.extend(schema_faults(schema, &format!("{here}/{}", escaped(name)), depth + 1));
                    }
                    None
                }
                None => Some("is an object of schemas"),
            },
            "items" => {
                faults.extend(schema_faults(value, &here, depth + 1));
                None
            }
            "anyOf" => match value.as_array().filter(|list| !list.is_empty()) {
                Some(list) => {
                    for (index, schema) in list.iter().enumerate() {
                        faults.extend(schema_faults(schema, &format!("{here}/{index}"), depth + 1));
                    }
                    None
                }
                None => Some("is a list of schemas"),
            },
            "required" => types(value).filter(|_| value.is_array()).is_none().then_some("is a list of names"),
            "additionalProperties" => (!value.is_boolean()).then_some("is true or false"),
            "enum" => value.as_array().is_none_or(Vec::is_empty).then_some("is a list of values"),
            "minLength" | "maxLength" | "minItems" | "maxItems" => (!is_count).then_some("is a whole number from 0"),
            "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum" => {
                (!value.is_number()).then_some("is a number")
            }
            "const" => None,
            other if ANNOTATIONS.contains(&other) => None,
            _ => Some("is not checked here: write the schema without it"),
        };
        faults.extend(complaint.map(|complaint| fault(here, complaint)));
    }
    faults
}

/// What of a value does not fit a schema with which nothing is wrong. Never says the value.
pub(crate) fn faults(schema: &Value, value: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    check(schema, value, "", &mut faults);
    faults
}

fn check(schema: &Value, value: &Value, at: &str, faults: &mut Vec<Fault>) {
    let Some(schema) = schema.as_object() else { return };
    let mut say = |message: String| {
        if faults.len() < FAULTS_MAX {
            faults.push(Fault { at: at.to_owned(), message });
        }
    };
    if let Some(types) = schema.get("type").and_then(types)
        && !types.iter().any(|kind| is_of_type(value, kind))
    {
        return say(format!("must be of type {}", types.join(" or ")));
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array)
        && !choices.iter().any(|choice| is_equal(choice, value))
    {
        say(format!("must be one of {}", Value::from(choices.clone())));
    }
    if let Some(only) = schema.get("const").filter(|only| !is_equal(only, value)) {
        say(format!("must be {only}"));
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array)
        && !choices.iter().any(|choice| self::faults(choice, value).is_empty())
    {
        say("fits none of the schemas that it may have".to_owned());
    }
    match value {
        Value::String(text) => check_count(schema, ["minLength", "maxLength"], text.chars().count(), "characters", say),
        Value::Number(number) => check_number(schema, number, say),
        Value::Array(items) => {
            check_count(schema, ["minItems", "maxItems"], items.len(), "items", say);
            for (index, item) in items.iter().enumerate() {
                schema
                    .get("items")
                    .into_iter()
                    .for_each(|schema| check(schema, item, &format!("{at}/{index}"), faults));
            }
        }
        Value::Object(members) => check_object(schema, members, at, faults),
        Value::Null | Value::Bool(_) => {}
    }
}

fn check_object(schema: &Map<String, Value>, members: &Map<String, Value>, at: &str, faults: &mut Vec<Fault>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    let place = |name: &str| format!("{at}/{}", escaped(name));
    for name in schema.get("required").and_then(types).unwrap_or_default() {
        if !members.contains_key(name) && faults.len() < FAULTS_MAX {
            faults.push(Fault { at: place(name), message: "is missing".to_owned() });
        }
    }
    let is_closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    for (name, value) in members {
        match properties.and_then(|properties| properties.get(name)) {
            Some(schema) => check(schema, value, &place(name), faults),
            None if is_closed && faults.len() < FAULTS_MAX => {
                faults.push(Fault { at: place(name), message: "is not known".to_owned() });
            }
            None => {}
        }
    }
}

fn check_count(schema: &Map<String, Value>, names: [&str; 2], count: usize, what: &str, mut say: impl FnMut(String)) {
    let [least, most] = names.map(|name| schema.get(name).and_then(Value::as_u64));
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    if let Some(least) = least.filter(|least| count < *least) {
        say(format!("must have at least {least} {what}"));
    }
    if let Some(most) = most.filter(|most| count > *most) {
        say(format!("must have at most {most} {what}"));
    }
}

fn check_number(schema: &Map<String, Value>, number: &Number, mut say: impl FnMut(String)) {
    let Some(number) = number.as_f64() else { return };
    for (name, words) in [
        ("minimum", "at least"),
        ("maximum", "at most"),
        ("exclusiveMinimum", "more than"),
        ("exclusiveMaximum", "less than"),
    ] {
        let Some((bound, limit)) = schema.get(name).and_then(|bound| Some((bound, bound.as_f64()?))) else { continue };
        let fits = match name {
            "minimum" => number >= limit,
            "maximum" => number <= limit,
            "exclusiveMinimum" => number > limit,
            _ => number < limit,
        };
        if !fits {
            say(format!("must be {words} {bound}"));
        }
    }
}

/// A text, or a list of texts.
fn types(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(list) => list.iter().map(Value::as_str).collect(),
        _ => None,
    }
}

fn is_type(kind: &str) -> bool {
    matches!(kind, "string" | "number" | "integer" | "boolean" | "object" | "array" | "null")
}

fn is_of_type(value: &Value, kind: &str) -> bool {
    match value {
        Value::Null => kind == "null",
        Value::Bool(_) => kind == "boolean",
        Value::String(_) => kind == "string",
        Value::Array(_) => kind == "array",
        Value::Object(_) => kind == "object",
        // 1.0 is an integer too.
        Value::Number(number) => {
            kind == "number" || kind == "integer" && number.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
    }
}

/// 1 and 1.0 are the same number.
fn is_equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}

/// A token of RFC 6901.
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{faults, schema_faults};

    #[test]
    fn each_keyword_has_a_value_that_fits_and_one_that_does_not() {
        let check = |schema: Value, good: Value, bad: Value, at: &str, part: &str| {
            assert_eq!(schema_faults(&schema, "", 0), [], "{schema}");
            assert_eq!(faults(&schema, &good), [], "{schema} {good}");
            let found = faults(&schema, &bad);
            assert!(found.len() == 1 && found[0].at == at && found[0].message.contains(part), "{schema}: {found:?}");
        };
        check(json!({ "type": "string" }), json!("a"), json!(1), "", "type string");
        check(json!({ "type": ["integer", "null"] }), json!(2.0), json!(2.5), "", "integer or null");
        check(json!({ "minLength": 2 }), json!("éé"), json!("é"), "", "at least 2");
        check(json!({ "maxLength": 2 }), json!("éé"), json!("ééé"), "", "at most 2");
        check(json!({ "minimum": 1 }), json!(1), json!(0.5), "", "at least 1");
        check(json!({ "maximum": 1 }), json!(1), json!(1.5), "", "at most 1");
        check(json!({ "exclusiveMinimum": 1 }), json!(1.1), json!(1), "", "more than 1");
        check(json!({ "exclusiveMaximum": 1 }), json!(0), json!(1), "", "less than 1");
        check(json!({ "minItems": 1 }), json!([1]), json!([]), "", "at least 1");
        check(json!({ "maxItems": 1 }), json!([1]), json!([1, 2]), "", "at most 1");
        check(json!({ "enum": ["a", 1] }), json!(1.0), json!("b"), "", "one of");
        check(json!({ "const": true }), json!(true), json!(false), "", "must be true");
        check(json!({ "items": { "type": "null" } }), json!([null]), json!([null, 1]), "/1", "null");
        check(json!({ "anyOf": [{ "type": "null" }, { "const": 1 }] }), json!(1), json!(2), "", "none");
        check(json!({ "required": ["a/b"] }), json!({ "a/b": 1 }), json!({}), "/a~1b", "missing");
        check(json!({ "additionalProperties": false }), json!({}), json!({ "x": 1 }), "/x", "not known");
        check(
            json!({ "properties": { "a": { "maxLength": 0 } } }),
            json!({ "a": "" }),
            json!({ "a": "x" }),
            "/a",
            "most",
        );
    }

    #[test]
    fn what_is_not_checked_is_refused() {
        let check = |schema: Value, at: &str| {
            let found = schema_faults(&schema, "", 0);
            assert!(found.len() == 1 && found[0].at == at, "{schema}: {found:?}");
        };
        check(json!({ "pattern": "a" }), "/pattern");
        check(json!({ "properties": { "a": { "$ref": "#" } } }), "/properties/a/$ref");
        check(json!({ "items": [] }), "/items");
        check(json!({ "type": "text" }), "/type");
        check(json!({ "anyOf": [true] }), "/anyOf/0");
        check(json!({ "minLength": -1 }), "/minLength");
        let deep = (0..17).fold(json!({}), |inner, _| json!({ "items": inner }));
        check(deep, &"/items".repeat(17));
    }

    #[test]
    fn a_value_full_of_faults_is_told_so_in_few_words() {
        let schema = json!({ "items": { "type": "null" } });
        assert_eq!(faults(&schema, &json!([1].repeat(1000))).len(), 32);
    }
}
