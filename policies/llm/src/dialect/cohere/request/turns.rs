//! Writes turns as messages.

use crate::content::{Content, Document, Media, Part, ResultContent, ToolResult};
use crate::conversation::{Conversation, Role, Turn};
use crate::data_url;
use crate::dialect::cohere::message::{Said, Uttered};
use crate::dialect::cohere::{citation, document, response};
use crate::fault::Ledger;
use crate::json::{ListWriter, ObjectWriter, Text, object_text};

/// The messages of a request, and the documents that were in them.
#[derive(Default)]
pub(super) struct Messages {
    /// The text of each message.
    pub(super) texts: Vec<String>,
    /// The text of each document.
    pub(super) documents: Vec<String>,
    /// Whether the answer should cite any of them.
    pub(super) is_cited: bool,
}

impl Messages {
    /// Writes all that was said.
    pub(super) fn write(&mut self, conversation: &Conversation<'_>, ledger: &mut Ledger) {
        if !conversation.instructions.is_empty() {
            self.write_said("system", &conversation.instructions.iter().collect::<Vec<_>>(), ledger);
        }
        for turn in &conversation.turns {
            if turn.name.is_some() {
                ledger.left_out("messages[].name");
            }
            match turn.role {
                Role::System => self.write_said("system", &turn.parts.iter().collect::<Vec<_>>(), ledger),
                Role::User => self.write_user(turn, ledger),
                Role::Assistant => self.write_assistant(turn, ledger),
            }
        }
    }

    /// Answers of tools come first, and their images with what the person says.
    fn write_user(&mut self, turn: &Turn<'_>, ledger: &mut Ledger) {
        let mut rest = Vec::new();
        for part in &turn.parts {
            match &part.content {
                Content::ToolResult(result) => {
                    forget_cache(part, ledger);
                    rest.extend(images(result, ledger));
                    self.texts.push(object_text(|message| write_result(result, message, ledger)));
                }
                _ => rest.push(part),
            }
        }
        self.write_said("user", &rest, ledger);
    }

    /// A message of one text is written as that text. Documents have a place of their own.
    fn write_said(&mut self, role: &str, parts: &[&Part<'_>], ledger: &mut Ledger) {
        let mut said = Vec::new();
        for part in parts {
            forget_cache(part, ledger);
            match &part.content {
                Content::Document(document) => self.keep(document, ledger),
                _ => said.push(*part),
            }
        }
        if said.is_empty() {
            return;
        }
        self.texts.push(object_text(|message| {
            message.put("role", role);
            match said.as_slice() {
                [Part { content: Content::Text { text, .. }, .. }] => message.put("content", text),
                parts => message.list("content", |list| parts.iter().for_each(|part| write_part(part, list, ledger))),
            }
        }));
    }

    fn keep(&mut self, document: &Document<'_>, ledger: &mut Ledger) {
        self.is_cited |= document.citations == Some(true);
        let id = format!("{}{}", citation::DOCUMENT, self.documents.len());
        self.documents.push(object_text(|object| {
            object.put("id", id);
            document::write_data(document, object, ledger);
        }));
    }

    fn write_assistant(&mut self, turn: &Turn<'_>, ledger: &mut Ledger) {
        let said = sort(&turn.parts, ledger);
        if said.is_empty() {
            return;
        }
        self.texts.push(object_text(|message| {
            message.put("role", "assistant");
            if !said.plan.is_empty() {
                message.put("tool_plan", &said.plan);
            }
            match said.content.as_slice() {
                [] => {}
                [Uttered::Text(text, _)] => message.put("content", text),
                _ => message.list("content", |list| said.write_content(list)),
            }
            said.write_rest(message, ledger);
        }));
    }
}

/// Thoughts before calls are the plan of them, which every model takes.
fn sort<'p, 'a>(parts: &'p [Part<'a>], ledger: &mut Ledger) -> Said<'p, 'a> {
    let mut said = Said::default();
    let has_calls = parts.iter().any(|part| matches!(part.content, Content::Call(_)));
    for part in parts {
        forget_cache(part, ledger);
        match &part.content {
            Content::Text { text, citations } => said.content.push(Uttered::Text(text, citations)),
            Content::Refusal(text) => {
                ledger.changed("messages[].content refusal", "became a text");
                said.content.push(Uttered::Text(text, &[]));
            }
            Content::Call(call) => said.calls.push(call),
            Content::Thought(thought) if thought.signature.is_some() || thought.is_redacted => {
                ledger.left_out("messages[].content thinking of another model");
            }
            Content::Thought(thought) if has_calls => {
                said.plan.push_str(if said.plan.is_empty() { "" } else { "\n\n" });
                said.plan.push_str(&thought.text.plain());
            }
            Content::Thought(thought) => said.content.push(Uttered::Thought(thought)),
            other => refuse(other, ledger),
        }
    }
    said
}

fn write_part(part: &Part<'_>, list: &mut ListWriter<'_>, ledger: &mut Ledger) {
    match &part.content {
        Content::Text { text, .. } => write_text(text, list),
        Content::Image { media, detail } => {
            let url = match media {
                Media::Base64 { media_type, data } => data_url::write(media_type, data),
                Media::Url { url, .. } => url.clone(),
                Media::File(_) => {
                    return ledger.refuse("messages[].content image of a file", "is not known to this provider");
                }
            };
            list.object(|part| {
                part.put("type", "image_url");
                part.object("image_url", |image| {
                    image.put("url", url);
                    image.put_some("detail", detail.as_ref());
                });
            });
        }
        other => refuse(other, ledger),
    }
}

fn write_text(text: &Text<'_>, list: &mut ListWriter<'_>) {
    list.object(|part| {
        part.put("type", "text");
        part.put("text", text);
    });
}

fn write_result(result: &ToolResult<'_>, message: &mut ObjectWriter<'_>, ledger: &mut Ledger) {
    if result.is_error == Some(true) {
        ledger.left_out("messages[].content tool_result is_error");
    }
    message.put("role", "tool");
    message.put("tool_call_id", &result.call);
    let parts = match &result.content {
        ResultContent::Object(data) => {
            return message.list("content", |list| {
                list.object(|part| {
                    part.put("type", "document");
                    part.object("document", |document| document.put("data", data));
                });
            });
        }
        ResultContent::Parts(parts) => parts,
    };
    let parts: Vec<_> = parts.iter().filter(|part| !matches!(part.content, Content::Image { .. })).collect();
    match parts.as_slice() {
        [] => message.put("content", ""),
        [Part { content: Content::Text { text, .. }, .. }] => message.put("content", text),
        parts => message.list("content", |list| {
            for part in parts {
                forget_cache(part, ledger);
                match &part.content {
                    Content::Text { text, .. } => write_text(text, list),
                    Content::Document(document) => list.object(|part| {
                        part.put("type", "document");
                        part.object("document", |object| document::write_data(document, object, ledger));
                    }),
                    other => refuse(other, ledger),
                }
            }
        }),
    }
}

/// The images that a tool answered with, which have no place in its message.
fn images<'p, 'a>(result: &'p ToolResult<'a>, ledger: &mut Ledger) -> Vec<&'p Part<'a>> {
    let ResultContent::Parts(parts) = &result.content else { return Vec::new() };
    let images: Vec<_> = parts.iter().filter(|part| matches!(part.content, Content::Image { .. })).collect();
    if !images.is_empty() {
        ledger.changed("messages[].content tool_result image", "was moved to what the person says next");
    }
    images
}

fn refuse(content: &Content<'_>, ledger: &mut Ledger) {
    let field = format!("messages[].content {}", response::name_of(content));
    ledger.refuse(&field, "has no place on its side of a conversation with this provider");
}

/// The provider finds by itself what to keep in its cache.
fn forget_cache(part: &Part<'_>, ledger: &mut Ledger) {
    if part.cache.is_some() {
        ledger.left_out("cache marks");
    }
}
