//! Finds what is said in a request, an answer or an event of any dialect: every text that a person, a tool or a model
//! wrote, where it stands. The names of members say what is what: no dialect contradicts another in those used here.
//!
//! What names things (`id`, `type`, `model`, a tool's `name`), and what is no text (base64, signatures), is passed over.

mod ended;
mod names;

use crate::dialect::{Dialect, Frame};
use crate::json::{FromJson as _, Json, Text};

pub use ended::Ended;

/// A text, where it stands.
#[derive(Debug)]
pub struct Said<'a> {
    /// A JSON string; or, of a call's arguments and a tool's result, an object or a list: its values are what is said.
    pub json: Json<'a>,
    /// Who says it.
    pub role: Role,
    /// What it is a part of.
    pub part: Part,
    /// Whether the string holds a JSON text, whole or a piece of one.
    pub is_json: bool,
    /// In an event: which of the texts of the stream it goes on with; none if it is whole.
    pub run: Option<String>,
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The operator.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// A tool, in answer to a call.
    Tool,
}

/// What something said is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A text for a person, or for the model.
    Text,
    /// A thought of the model.
    Thought,
    /// The arguments of a call.
    Call,
    /// The description of a tool, or the schema of its arguments or of the answer.
    Definition,
}

/// Takes what is said, in the order of the text.
pub type Visit<'v, 'a> = &'v mut dyn FnMut(Said<'a>);

/// What is said in a request.
pub fn of_request<'a>(root: Json<'a>, visit: Visit<'_, 'a>) {
    for (name, value) in root.entries() {
        if let Some((role, part)) = names::of_request(&name) {
            Walk { role, part, run: None, is_event: false }.value("", value, visit);
        }
    }
}

/// What is said in a whole answer. Of Gemini that may be a list of pieces, which go on with each other.
pub fn of_answer<'a>(root: Json<'a>, visit: Visit<'_, 'a>) {
    if let Some(pieces) = root.items() {
        for piece in pieces {
            Walk::of_answer(true).answer(piece, visit);
        }
    } else {
        Walk::of_answer(false).answer(root, visit);
    }
}

/// What is said in an event of a stream, and what of the stream has ended with it.
pub fn of_event<'a>(dialect: Dialect, frame: &Frame, root: Json<'a>, visit: Visit<'_, 'a>) -> Ended {
    let kind = text(root, "type");
    let kind = if kind.is_empty() { frame.name.as_str() } else { &kind };
    let walk = Walk::of_answer(true);
    if dialect != Dialect::Responses {
        walk.answer(root, visit);
    } else if kind.ends_with(".delta") {
        walk.responses_delta(kind, root, visit);
    } else {
        // What ends repeats the whole of what its pieces said.
        Walk::of_answer(false).answer(root, visit);
    }
    ended::by_event(dialect, kind, root)
}

/// Where an answer or an event says how likely its words were, which would tell them once more.
pub fn probabilities<'a>(root: Json<'a>, visit: &mut dyn FnMut(Json<'a>)) {
    for (name, value) in root.entries() {
        if matches!(name.as_ref(), "logprobs" | "logprobsResult") && !value.is_null() {
            visit(value);
        } else {
            probabilities(value, visit);
        }
    }
    for item in root.items().into_iter().flatten() {
        probabilities(item, visit);
    }
}

/// What is known of the place that is looked at.
#[derive(Debug, Clone)]
struct Walk {
    role: Role,
    part: Part,
    /// The counts of the blocks around, in a stream.
    run: Option<String>,
    is_event: bool,
}

impl Walk {
    fn of_answer(is_event: bool) -> Self {
        Self { role: Role::Assistant, part: Part::Text, run: is_event.then(String::new), is_event }
    }

    fn answer<'a>(&self, root: Json<'a>, visit: Visit<'_, 'a>) {
        let mut inner = self.clone();
        inner.count(root);
        let kind = text(root, "type");
        if kind.contains("reasoning") {
            inner.part = Part::Thought;
        }
        for (name, value) in root.entries() {
            match name.as_ref() {
                // A whole answer in an event repeats the request as well.
                "response" => self.answer(value, visit),
                "text" if value.is_object() => {}
                _ if names::is_of_answer(&name) => inner.member(&kind, &name, value, visit),
                _ => {}
            }
        }
    }

    /// The pieces of OpenAI Responses are all called `delta`; the type says of what.
    fn responses_delta<'a>(&self, kind: &str, root: Json<'a>, visit: Visit<'_, 'a>) {
        let mut inner = self.clone();
        inner.count(root);
        let Some(json) = root.member("delta").filter(|json| Text::from_json(*json).is_some()) else { return };
        let is_json = kind.ends_with("_arguments.delta");
        inner.part = match kind {
            _ if kind.contains("reasoning") => Part::Thought,
            _ if is_json || kind.contains("_call_") => Part::Call,
            _ => Part::Text,
        };
        inner.emit(kind, json, is_json, visit);
    }

    fn value<'a>(&self, name: &str, value: Json<'a>, visit: Visit<'_, 'a>) {
        if value.is_object() {
            return self.object(value, visit);
        }
        match value.items() {
            Some(items) => items.for_each(|item| self.value(name, item, visit)),
            None if Text::from_json(value).is_some() => self.emit(name, value, false, visit),
            None => {}
        }
    }

    fn object<'a>(&self, object: Json<'a>, visit: Visit<'_, 'a>) {
        let mut inner = self.clone();
        inner.count(object);
        let kind = text(object, "type");
        inner.role = names::role(&text(object, "role")).unwrap_or(self.role);
        if names::is_result(&kind) {
            inner.role = Role::Tool;
        }
        let is_thought = object.member("thought").is_some_and(|thought| thought.written() == "true");
        if is_thought || matches!(kind.as_str(), "thinking" | "reasoning") {
            inner.part = Part::Thought;
        }
        for (name, value) in object.entries() {
            inner.member(&kind, &name, value, visit);
        }
    }

    /// A member of an object of this type.
    fn member<'a>(&self, kind: &str, name: &str, value: Json<'a>, visit: Visit<'_, 'a>) {
        let is_text = Text::from_json(value).is_some();
        match name {
            "arguments" | "args" | "partial_json" => self.call(name, value, true, visit),
            // OpenAI's custom tools are called with any text.
            "input" => self.call(name, value, !kind.starts_with("custom"), visit),
            "response" | "json" | "data" if value.is_object() => self.emit(name, value, true, visit),
            "data" if kind != "text" => {}
            "logprobs" | "logprobsResult" => {}
            _ if is_text && (names::is_label(name) || is_data_url(value)) => {}
            _ => self.clone().named(name).value(name, value, visit),
        }
    }

    /// As the name of a member says.
    fn named(mut self, name: &str) -> Self {
        match name {
            "functionResponse" | "function_response" | "toolResult" => self.role = Role::Tool,
            "thinking" | "reasoning" | "reasoning_content" | "reasoning_details" | "reasoningContent" => {
                self.part = Part::Thought;
            }
            "functionCall" | "function_call" | "partialArgs" => self.part = Part::Call,
            _ => {}
        }
        self
    }

    fn call<'a>(&self, name: &str, value: Json<'a>, is_json: bool, visit: Visit<'_, 'a>) {
        let inner = Self { part: Part::Call, ..self.clone() };
        if value.is_object() || value.is_list() || Text::from_json(value).is_some() {
            inner.emit(name, value, is_json, visit);
        }
    }

    fn emit<'a>(&self, name: &str, json: Json<'a>, is_json: bool, visit: Visit<'_, 'a>) {
        let is_piece = self.is_event && Text::from_json(json).is_some();
        let run = self.run.as_ref().filter(|_| is_piece);
        // A thought of Gemini has the member's name of a text.
        let mark = if self.part == Part::Thought { "~" } else { "" };
        let run = run.map(|counts| format!("{counts}:{mark}{name}"));
        visit(Said { json, role: self.role, part: self.part, is_json, run });
    }

    /// Takes note of the counts of an object.
    fn count(&mut self, object: Json<'_>) {
        let Some(run) = &mut self.run else { return };
        for name in names::COUNTS {
            if let Some(count) = object.member(name).and_then(u32::from_json) {
                run.push_str(&format!("{count}."));
            }
        }
    }
}

fn text(object: Json<'_>, name: &str) -> String {
    object.member(name).and_then(String::from_json).unwrap_or_default()
}

fn is_data_url(value: Json<'_>) -> bool {
    value.written().starts_with("\"data:")
}
