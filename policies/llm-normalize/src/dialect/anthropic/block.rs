//! The content blocks of a messages request.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::conversation::{Content, Part, Source, Thought};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Block<'a> {
    Text {
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    Image {
        source: SourceText<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    Document {
        source: SourceText<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        title: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<&'a RawValue>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: &'a str,
        name: String,
        input: &'a RawValue,
    },
    ToolResult {
        tool_use_id: &'a str,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        content: Vec<Self>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum SourceText<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
}

impl Block<'_> {
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Self::Text { .. })
    }
}

/// The blocks of what was said; an empty text says nothing and would be refused.
pub(super) fn from_parts<'a>(parts: &'a [Part<'a>]) -> Vec<Block<'a>> {
    let blocks = parts.iter().filter_map(|part| {
        let cache_control = part.cache_control;
        Some(match &part.content {
            Content::Text(text) if text.is_empty() => return None,
            Content::Text(text) => Block::Text { text, cache_control },
            Content::Image(source) => Block::Image { source: source.into(), cache_control },
            Content::Document { source, title } => {
                Block::Document { source: source.into(), title: title.as_deref(), cache_control }
            }
        })
    });
    blocks.collect()
}

pub(super) fn from_thought(thought: &Thought) -> Block<'_> {
    match thought {
        Thought::Signed { text, signature } => Block::Thinking { thinking: text, signature },
        Thought::Encrypted(data) => Block::RedactedThinking { data },
    }
}

impl<'a> From<&'a Source> for SourceText<'a> {
    fn from(source: &'a Source) -> Self {
        match source {
            Source::Base64 { media_type, data } => Self::Base64 { media_type, data },
            Source::Url(url) => Self::Url { url },
        }
    }
}
