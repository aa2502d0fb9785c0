//! Passes chat completions through to an upstream of the same dialect, byte for byte but for
//! the model's alias and the wish for usage.

use gatewright_sdk::{Ending, Event, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{DONE, error};
use crate::completion::{ErrorKind, UpstreamError, Usage};

/// The members of a request that matter here, each as its JSON text.
pub(crate) struct RequestTexts {
    pub(crate) stream: Option<String>,
    pub(crate) stream_options: Option<String>,
    pub(crate) include_usage: Option<String>,
}

impl RequestTexts {
    pub(crate) fn is_stream(&self) -> bool {
        self.stream.as_deref() == Some("true")
    }

    pub(crate) fn wants_usage(&self) -> bool {
        self.include_usage.as_deref() == Some("true")
    }

    /// The patch operation that asks for usage, if the client did not.
    pub(crate) fn ask_for_usage(&self) -> Option<&'static str> {
        let has_options = self.stream_options.as_deref().is_some_and(|options| options.starts_with('{'));
        match (self.is_stream(), self.wants_usage(), has_options) {
            (false, _, _) | (true, true, _) => None,
            (true, false, true) => Some(r#"{"op":"add","path":"/stream_options/include_usage","value":true}"#),
            (true, false, false) => Some(r#"{"op":"add","path":"/stream_options","value":{"include_usage":true}}"#),
        }
    }
}

/// How far a stream is.
#[derive(Serialize, Deserialize, Default, PartialEq, Clone, Copy)]
pub(crate) struct Progress {
    has_finished: bool,
    /// The client knows that the stream has ended, well or not.
    pub(crate) is_over: bool,
    pub(crate) is_truncated: bool,
    pub(crate) usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    choices: Option<Vec<&'a RawValue>>,
    usage: Option<UsageText>,
}

#[derive(Deserialize)]
struct UsageText {
    #[serde(default)]
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u32>,
}

impl Progress {
    /// Looks at a batch. It passes as it is unless a chunk is to go or an error is to come.
    pub(crate) fn read(&mut self, mut events: Vec<Event>, ending: Ending, client_wants_usage: bool) -> Outcome {
        let before = events.len();
        events.retain(|event| self.keeps(&event.data, client_wants_usage));
        let is_cut_off = ending != Ending::Open && !self.has_finished && !self.is_over;
        if is_cut_off || self.is_truncated && !self.is_over {
            (self.is_truncated, self.is_over) = (true, true);
            let message = "the provider ended the stream early".to_owned();
            let data = error::write(&UpstreamError { kind: ErrorKind::Truncated, message });
            events.push(Event { name: String::new(), data });
            return Outcome::Finish(events);
        }
        if events.len() == before { Outcome::Pass } else { Outcome::Send(events) }
    }

    /// Whether an event goes on to the client. Quotes within a text are escaped, so a name with
    /// plain ones is a member's; only chunks that have one are parsed.
    fn keeps(&mut self, data: &str, client_wants_usage: bool) -> bool {
        if data.trim() == DONE {
            // A good stream has said why it finished; without that, this is no good end.
            self.is_truncated = !self.has_finished && !self.is_over;
            self.is_over |= self.has_finished;
            return !self.is_truncated;
        }
        self.has_finished |= says_finish(data);
        self.is_over |= data.trim_start().starts_with("{\"error\"");
        if !data.contains("\"usage\"") {
            return true;
        }
        let Ok(Chunk { choices, usage: Some(usage) }) = serde_json::from_str::<Chunk<'_>>(data) else { return true };
        self.usage = Some(usage.into());
        client_wants_usage || choices.is_some_and(|choices| !choices.is_empty())
    }
}

/// Whether a chunk gives a reason for its end: null and "" are none.
fn says_finish(data: &str) -> bool {
    let mut values = data.split("\"finish_reason\"").skip(1);
    values.any(|rest| {
        let value = rest.trim_start().strip_prefix(':').map(str::trim_start).unwrap_or_default();
        value.starts_with('"') && !value.starts_with("\"\"") && !value.starts_with("\"null\"")
    })
}

impl From<UsageText> for Usage {
    fn from(usage: UsageText) -> Self {
        let cached = usage.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
        Self {
            input: usage.prompt_tokens.saturating_sub(cached),
            cache_read: cached,
            cache_written: 0,
            output: usage.completion_tokens,
        }
    }
}

/// The usage of a whole completion, from the text of its member `usage`.
pub(crate) fn usage_of(text: &str) -> Option<Usage> {
    serde_json::from_str::<UsageText>(text).ok().map(Into::into)
}
