//! Arguments of a call that come value by value, each with the JSON Path (RFC 9535) of its place, as the text of an
//! object that grows.

use serde::{Deserialize, Serialize};

use super::text;
use crate::json::{Json, ToJson};

/// How far the text is.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct PartialArguments {
    /// The objects and arrays that are open, the whole first.
    open: Vec<Container>,
    /// Where a text is that is not whole yet.
    text: Option<Vec<Step>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Container {
    /// Its place in its parent; of no meaning for the whole.
    step: Step,
    is_list: bool,
    is_empty: bool,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Step {
    Index(u32),
    Name(String),
}

/// Values within values; more is an attack.
const DEPTH_MAX: usize = 64;

impl PartialArguments {
    /// What one `partialArgs` item adds to the text.
    pub(super) fn add(&mut self, item: Json<'_>) -> String {
        let mut out = String::new();
        let path = item.member("jsonPath").and_then(text).map(|path| steps(&path.plain())).unwrap_or_default();
        if path.is_empty() || path.len() > DEPTH_MAX {
            return out;
        }
        let continues = item.member("willContinue").is_some_and(|goes_on| goes_on.written() == "true");
        let fragment = item.member("stringValue").and_then(text).map(|text| text.plain().into_owned());
        if self.text.as_ref() == Some(&path) {
            escape(&fragment.unwrap_or_default(), &mut out);
        } else if let Some(fragment) = fragment {
            self.go_to(&path, &mut out);
            out.push('"');
            escape(&fragment, &mut out);
            self.text = Some(path);
        } else if let Some(value) = ["numberValue", "boolValue"].into_iter().find_map(|name| item.member(name)) {
            self.go_to(&path, &mut out);
            value.write_to(&mut out);
        } else if item.member("nullValue").is_some() {
            self.go_to(&path, &mut out);
            out.push_str("null");
        }
        if !continues {
            self.end_text(&mut out);
        }
        out
    }

    /// What ends the text.
    pub(super) fn close(mut self) -> String {
        let mut out = String::new();
        self.end_text(&mut out);
        if self.open.is_empty() {
            out.push_str("{}");
        }
        self.end_containers(0, &mut out);
        out
    }

    /// Ends what does not hold the place, and begins what does.
    fn go_to(&mut self, path: &[Step], out: &mut String) {
        self.end_text(out);
        let Some((last, parents)) = path.split_last() else { return };
        if self.open.is_empty() {
            out.push('{');
            self.open.push(Container { step: Step::Index(0), is_list: false, is_empty: true });
        }
        let inner = self.open.iter().skip(1);
        let kept = inner.zip(parents).take_while(|(container, step)| container.step == **step).count();
        self.end_containers(kept + 1, out);
        for (step, place) in parents.iter().zip(0..).skip(kept) {
            self.begin_value(step, out);
            let is_list = matches!(path.get(place + 1), Some(Step::Index(_)));
            out.push(if is_list { '[' } else { '{' });
            self.open.push(Container { step: step.clone(), is_list, is_empty: true });
        }
        self.begin_value(last, out);
    }

    fn begin_value(&mut self, step: &Step, out: &mut String) {
        let Some(parent) = self.open.last_mut() else { return };
        if !std::mem::take(&mut parent.is_empty) {
            out.push(',');
        }
        if !parent.is_list {
            match step {
                Step::Name(name) => name.write_to(out),
                Step::Index(index) => index.to_string().write_to(out),
            }
            out.push(':');
        }
    }

    fn end_text(&mut self, out: &mut String) {
        if self.text.take().is_some() {
            out.push('"');
        }
    }

    fn end_containers(&mut self, kept: usize, out: &mut String) {
        while self.open.len() > kept
            && let Some(container) = self.open.pop()
        {
            out.push(if container.is_list { ']' } else { '}' });
        }
    }
}

/// Adds a text without its quotes.
fn escape(plain: &str, out: &mut String) {
    let mut quoted = String::new();
    plain.write_to(&mut quoted);
    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    out.push_str(inner.unwrap_or_default());
}

/// The steps of `$.name[0]['other name']`.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut rest = path.strip_prefix('$').unwrap_or(path);
    while !rest.is_empty() {
        let (step, tail) = match rest.strip_prefix('[') {
            Some(bracket) => bracketed(bracket),
            None => {
                let name = rest.strip_prefix('.').unwrap_or(rest);
                let end = name.find(['.', '[']).unwrap_or(name.len());
                let (name, tail) = name.split_at(end);
                (Step::Name(name.to_owned()), tail)
            }
        };
        if tail.len() == rest.len() {
            break;
        }
        steps.push(step);
        rest = tail;
    }
    steps
}

/// A step in brackets, and what follows them.
fn bracketed(rest: &str) -> (Step, &str) {
    let Some(quote) = rest.chars().next().filter(|letter| matches!(letter, '\'' | '"')) else {
        let (index, tail) = rest.split_once(']').unwrap_or((rest, ""));
        return (index.parse().map_or_else(|_| Step::Name(index.to_owned()), Step::Index), tail);
    };
    let mut name = String::new();
    let mut letters = rest.chars();
    letters.next();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => name.extend(letters.next()),
            _ if letter == quote => break,
            _ => name.push(letter),
        }
    }
    let tail = letters.as_str();
    (Step::Name(name), tail.strip_prefix(']').unwrap_or(tail))
}
