//! Where a dialect's requests go: the paths of its API.

use std::borrow::Cow;

use crate::dialect::Dialect;

/// What a path of chat names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint<'p> {
    /// The dialect that has this path.
    pub dialect: Dialect,
    /// What stands before the part that the dialect fixes, such as `/v1`.
    pub prefix: &'p str,
    /// The model, in dialects that have it in the path.
    pub model: Option<Cow<'p, str>>,
    /// Whether the answer is to be streamed, in dialects that have it in the path.
    pub stream: Option<bool>,
}

impl<'p> Endpoint<'p> {
    /// What a path names; none if it is no chat of any dialect.
    pub fn of_path(path: &'p str) -> Option<Self> {
        let plain = [
            ("/chat/completions", Dialect::Chat),
            ("/responses", Dialect::Responses),
            ("/messages", Dialect::Messages),
            ("/v2/chat", Dialect::Cohere),
        ];
        for (end, dialect) in plain {
            if let Some(prefix) = path.strip_suffix(end) {
                return Some(Self { dialect, prefix, model: None, stream: None });
            }
        }
        Self::of_gemini(path).or_else(|| Self::of_converse(path))
    }

    /// `…/models/MODEL:generateContent`.
    fn of_gemini(path: &'p str) -> Option<Self> {
        let (rest, method) = path.rsplit_once(':')?;
        let stream = match method {
            "generateContent" => false,
            "streamGenerateContent" => true,
            _ => return None,
        };
        let (prefix, model) = rest.split_once("/models/").or_else(|| rest.split_once("/tunedModels/"))?;
        let model = percent_decoded(model)?;
        Some(Self { dialect: Dialect::Gemini, prefix, model: Some(model), stream: Some(stream) })
    }

    /// `/model/MODEL/converse`.
    fn of_converse(path: &'p str) -> Option<Self> {
        let (rest, method) = path.rsplit_once('/')?;
        let stream = match method {
            "converse" => false,
            "converse-stream" => true,
            _ => return None,
        };
        let (prefix, model) = rest.split_once("/model/")?;
        let model = percent_decoded(model)?;
        Some(Self { dialect: Dialect::Converse, prefix, model: Some(model), stream: Some(stream) })
    }
}

/// The prefix that a dialect's provider has.
pub fn default_prefix(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Chat | Dialect::Responses | Dialect::Messages => "/v1",
        Dialect::Gemini => "/v1beta",
        Dialect::Converse | Dialect::Cohere => "",
    }
}

/// The path of a dialect's chat, with the query that it needs.
pub fn path(dialect: Dialect, prefix: &str, model: &str, stream: bool) -> (String, Option<&'static str>) {
    let path = match dialect {
        Dialect::Chat => format!("{prefix}/chat/completions"),
        Dialect::Responses => format!("{prefix}/responses"),
        Dialect::Messages => format!("{prefix}/messages"),
        Dialect::Cohere => format!("{prefix}/v2/chat"),
        Dialect::Gemini => {
            let method = if stream { "streamGenerateContent" } else { "generateContent" };
            format!("{prefix}/models/{}:{method}", percent_encoded(model))
        }
        Dialect::Converse => {
            let method = if stream { "converse-stream" } else { "converse" };
            format!("{prefix}/model/{}/{method}", percent_encoded(model))
        }
    };
    (path, (dialect == Dialect::Gemini && stream).then_some("alt=sse"))
}

/// One segment of a path (RFC 3986 §3.3); a slash in it is escaped.
fn percent_encoded(segment: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => {
                let _always_ok = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// None if it is no text once decoded.
fn percent_decoded(segment: &str) -> Option<Cow<'_, str>> {
    if !segment.contains('%') {
        return Some(Cow::Borrowed(segment));
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let value = digit(rest.next())? * 16 + digit(rest.next())?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}
