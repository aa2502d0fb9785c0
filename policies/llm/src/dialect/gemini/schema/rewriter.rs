//! Writes JSON Schema in the smaller language: references are put in place, and what it has no word for is noted.

use std::borrow::Cow;

use crate::json::{Json, ObjectWriter, Text};

/// What a schema loses on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Loss {
    /// A keyword.
    LeftOut(String),
    /// A part of a keyword's meaning.
    Changed(String, &'static str),
}

/// Rewrites one schema.
#[derive(Debug)]
pub(super) struct Rewriter<'a> {
    root: Json<'a>,
    losses: Vec<Loss>,
    /// The references that this place is within.
    within: Vec<String>,
    /// Schemas written so far: references to references grow without end.
    count: usize,
}

/// More schemas than this in one are an attack.
const SCHEMAS_MAX: usize = 2000;

type Members<'a> = Vec<(Cow<'a, str>, Json<'a>)>;

impl<'a> Rewriter<'a> {
    /// A rewriter of one schema.
    pub(super) fn new(root: Json<'a>) -> Self {
        Self { root, losses: Vec::new(), within: Vec::new(), count: 0 }
    }

    /// What was lost.
    pub(super) fn losses(self) -> Vec<Loss> {
        self.losses
    }

    /// Writes the members of a schema.
    pub(super) fn write(&mut self, out: &mut ObjectWriter<'_>, schema: Json<'a>) {
        self.count += 1;
        let depth = self.within.len();
        match self.members(schema) {
            Some(members) if self.count <= SCHEMAS_MAX => {
                let is_nullable = is_nullable(&members);
                for (name, value) in &members {
                    self.write_keyword(out, name, *value, &members);
                }
                if is_nullable {
                    out.put("nullable", true);
                }
            }
            _ => {
                self.lose("$ref");
                out.put("type", "object");
            }
        }
        self.within.truncate(depth);
    }

    /// The members of a schema, with those of what it refers to, and of the only one that it may be besides null;
    /// `none` within itself.
    fn members(&mut self, schema: Json<'a>) -> Option<Members<'a>> {
        if schema.written() == "false" {
            self.lose("false");
        }
        let mut members = Members::new();
        for (name, value) in schema.entries() {
            match &*name {
                "$ref" => {
                    let reference: String = super::super::text(value)?.into_string();
                    if self.within.contains(&reference) {
                        return None;
                    }
                    let Some(target) = self.target(&reference) else {
                        self.lose("$ref");
                        continue;
                    };
                    self.within.push(reference);
                    add_missing(&mut members, self.members(target)?);
                }
                "allOf" | "anyOf" | "oneOf" => match only_choice(value) {
                    Some(only) => {
                        add_missing(&mut members, self.members(only)?);
                        if value.items().is_some_and(|mut items| items.any(|item| is_null_type(&item))) {
                            members.push((Cow::Borrowed(""), value));
                        }
                    }
                    None => put(&mut members, name, value),
                },
                _ => put(&mut members, name, value),
            }
        }
        Some(members)
    }

    /// What a reference within the schema means.
    fn target(&self, reference: &str) -> Option<Json<'a>> {
        let path = reference.strip_prefix('#')?;
        path.split('/').skip(1).try_fold(self.root, |at, name| at.member(&name.replace("~1", "/").replace("~0", "~")))
    }

    fn write_keyword(&mut self, out: &mut ObjectWriter<'_>, name: &str, value: Json<'a>, members: &Members<'a>) {
        match name {
            "type" => self.write_type(out, value, members),
            "title" | "description" | "required" | "minimum" | "maximum" | "minItems" | "maxItems" | "minLength"
            | "maxLength" | "minProperties" | "maxProperties" | "pattern" | "default" | "example" => {
                out.put(name, value);
            }
            "propertyOrdering" => out.put(name, value),
            "const" | "enum" => self.write_enum(out, name, value, members),
            "format" => self.write_format(out, value, members),
            "items" if value.is_object() => out.object("items", |out| self.write(out, value)),
            "items" if value.written() == "true" => {}
            "properties" => out.object("properties", |out| {
                for (name, schema) in value.entries() {
                    out.object(&name, |out| self.write(out, schema));
                }
            }),
            "anyOf" | "oneOf" => out.list("anyOf", |list| {
                let choices = value.items().into_iter().flatten().filter(|choice| !is_null_type(choice));
                choices.for_each(|choice| list.object(|out| self.write(out, choice)));
            }),
            // What an object may have besides, it may have anyway.
            "additionalProperties" if value.written() == "true" || value.says_nothing() => {}
            // Words about the schema, and what is said elsewhere.
            "" | "nullable" | "$schema" | "$id" | "$anchor" | "$comment" | "$defs" | "definitions" => {}
            _ => self.lose(name),
        }
    }

    /// Of several types, null says that a value may be absent; of two others either may come.
    fn write_type(&mut self, out: &mut ObjectWriter<'_>, value: Json<'a>, members: &Members<'a>) {
        if listed(members).any(|item| super::super::text(item).is_none() && !item.is_null()) {
            // Such a list is written as texts.
            return out.put("type", "string");
        }
        if !value.is_list() {
            return out.put("type", value);
        }
        let types: Vec<Json<'a>> = value.items().into_iter().flatten().filter(|kind| !is_null_word(*kind)).collect();
        match types.as_slice() {
            [] => out.put("type", "null"),
            [one] => out.put("type", one),
            _ if members.iter().any(|(name, _)| name == "anyOf" || name == "oneOf") => {
                self.change("type", "was left out beside anyOf");
            }
            several => {
                out.list("anyOf", |list| several.iter().for_each(|kind| list.object(|out| out.put("type", kind))));
            }
        }
    }

    /// Values are texts here, and a single one is a list of one.
    fn write_enum(&mut self, out: &mut ObjectWriter<'_>, name: &str, value: Json<'a>, members: &Members<'a>) {
        if name == "const" && members.iter().any(|(name, _)| name == "enum") {
            return self.lose("const");
        }
        let items: Vec<Json<'a>> = listed(members).filter(|item| !item.is_null()).collect();
        if value.is_object() || items.iter().any(|item| item.is_object() || item.is_list()) {
            return self.lose(name);
        }
        if items.iter().any(|item| super::super::text(*item).is_none()) {
            self.change(name, "was made a list of texts");
        }
        if !members.iter().any(|(name, _)| name == "type") {
            out.put("type", "string");
        }
        let texts = items.iter().map(|item| super::super::text(*item).unwrap_or_else(|| item.written().into()));
        out.put("enum", texts.collect::<Vec<Text<'_>>>());
    }

    /// Of texts, only dates with times have a format.
    fn write_format(&mut self, out: &mut ObjectWriter<'_>, value: Json<'a>, members: &Members<'a>) {
        let is_text = members.iter().any(|(name, kind)| name == "type" && kind.written().contains("\"string\""));
        if is_text && !matches!(value.written(), "\"date-time\"" | "\"enum\"") {
            return self.lose("format");
        }
        out.put("format", value);
    }

    fn lose(&mut self, keyword: &str) {
        self.note(Loss::LeftOut(keyword.to_owned()));
    }

    fn change(&mut self, keyword: &str, how: &'static str) {
        self.note(Loss::Changed(keyword.to_owned(), how));
    }

    fn note(&mut self, loss: Loss) {
        if !self.losses.contains(&loss) {
            self.losses.push(loss);
        }
    }
}

/// What stands beside a reference goes before what it refers to.
fn add_missing<'a>(members: &mut Members<'a>, others: Members<'a>) {
    for (name, value) in others {
        if !members.iter().any(|(known, _)| *known == name) {
            members.push((name, value));
        }
    }
}

fn put<'a>(members: &mut Members<'a>, name: Cow<'a, str>, value: Json<'a>) {
    members.retain(|(known, _)| *known != name);
    members.push((name, value));
}

/// The values that `enum` or `const` allows.
fn listed<'a>(members: &Members<'a>) -> impl Iterator<Item = Json<'a>> {
    let value_of = |wanted: &str| members.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
    let several = value_of("enum").and_then(Json::items).into_iter().flatten();
    several.chain(value_of("const"))
}

fn is_nullable(members: &Members<'_>) -> bool {
    let by_type = |kind: &Json<'_>| {
        let mut types = kind.items().into_iter().flatten();
        types.any(is_null_word) && kind.items().is_some_and(|types| types.count() > 1)
    };
    members.iter().any(|(name, value)| match &**name {
        "type" => by_type(value),
        "nullable" => value.written() == "true",
        // The mark of a choice that was only one besides null.
        "" => true,
        "anyOf" | "oneOf" => value.items().is_some_and(|mut choices| choices.any(|choice| is_null_type(&choice))),
        _ => false,
    }) || listed(members).any(Json::is_null)
}

fn is_null_word(kind: Json<'_>) -> bool {
    kind.written() == "\"null\""
}

fn is_null_type(schema: &Json<'_>) -> bool {
    schema.member("type").is_some_and(is_null_word)
}

/// The only schema of a list of choices, besides null.
fn only_choice(choices: Json<'_>) -> Option<Json<'_>> {
    let mut others = choices.items()?.filter(|choice| !is_null_type(choice));
    let only = others.next()?;
    others.next().is_none().then_some(only)
}
