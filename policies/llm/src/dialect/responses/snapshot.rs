//! Writes the object that is an answer: whole, and in the events at both ends of a stream.

use super::{error, usage};
use crate::completion::Finish;
use crate::error::UpstreamError;
use crate::fault::Ledger;
use crate::json::{ObjectWriter, Raw, Text, ToJson};
use crate::usage::Usage;

/// An answer at one moment.
pub(super) struct Snapshot<'s> {
    /// Its name.
    pub(super) id: &'s str,
    /// The model that answers.
    pub(super) model: &'s Text<'s>,
    /// Seconds since the Unix epoch.
    pub(super) created: u64,
    /// How far it is.
    pub(super) state: State<'s>,
    /// The items, one after the other with commas between them.
    pub(super) output: &'s str,
}

/// How far an answer is.
pub(super) enum State<'s> {
    /// It goes on.
    InProgress,
    /// It is whole.
    Completed(Usage),
    /// It ended before it was whole, for this reason.
    Incomplete(&'static str, Usage),
    /// It ended badly.
    Failed(&'s UpstreamError),
}

impl State<'_> {
    /// The state that an end means. A refusal in words is whole.
    pub(super) fn of(finish: Finish, usage: Usage, has_refusal: bool, ledger: &mut Ledger) -> Self {
        match finish {
            Finish::Stop | Finish::StopSequence | Finish::ToolCalls => Self::Completed(usage),
            Finish::Refused if has_refusal => Self::Completed(usage),
            Finish::Refused => Self::Incomplete("content_filter", usage),
            Finish::Length => Self::Incomplete("max_output_tokens", usage),
            Finish::Paused => {
                ledger.changed("the pause of a long turn", "became an incomplete answer");
                Self::Incomplete("max_output_tokens", usage)
            }
        }
    }

    /// The word for it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed(_) => "completed",
            Self::Incomplete(..) => "incomplete",
            Self::Failed(_) => "failed",
        }
    }
}

/// The name of an answer, which clients expect to begin with `resp_`.
pub(super) fn id(given: &Text<'_>, seed: &str) -> String {
    let given = given.plain();
    let given = if given.is_empty() { seed } else { given.as_ref() };
    if given.starts_with("resp_") { given.to_owned() } else { format!("resp_{given}") }
}

impl ToJson for Snapshot<'_> {
    fn write_to(&self, out: &mut String) {
        crate::json::object(out, |answer| {
            self.write_head(answer);
            answer.list("output", |list| {
                if !self.output.is_empty() {
                    list.put(Raw(self.output));
                }
            });
            write_echo(answer);
            match self.state {
                State::Completed(usage) | State::Incomplete(_, usage) => {
                    answer.object("usage", |object| usage::write(usage, object));
                }
                State::InProgress | State::Failed(_) => answer.put("usage", NONE),
            }
            answer.object("metadata", |_| {});
        });
    }
}

impl Snapshot<'_> {
    fn write_head(&self, answer: &mut ObjectWriter<'_>) {
        answer.put("id", self.id);
        answer.put("object", "response");
        answer.put("created_at", self.created);
        answer.put("completed_at", NONE);
        answer.put("status", self.state.word());
        answer.put("background", false);
        match &self.state {
            State::Failed(failure) => answer.object("error", |object| {
                object.put("code", error::code_of(failure.kind));
                object.put("message", &failure.message);
            }),
            State::InProgress | State::Completed(_) | State::Incomplete(..) => answer.put("error", NONE),
        }
        match self.state {
            State::Incomplete(reason, _) => {
                answer.object("incomplete_details", |details| details.put("reason", reason));
            }
            State::InProgress | State::Completed(_) | State::Failed(_) => answer.put("incomplete_details", NONE),
        }
        answer.put("instructions", NONE);
        answer.put("max_output_tokens", NONE);
        answer.put("max_tool_calls", NONE);
        answer.put("model", self.model);
    }
}

/// Responses repeats the request in every answer. The request was another one when it was answered, so these are the
/// values of a request that says nothing; clients require that they are there.
fn write_echo(answer: &mut ObjectWriter<'_>) {
    answer.put("parallel_tool_calls", true);
    answer.put("previous_response_id", NONE);
    answer.put("prompt_cache_key", NONE);
    answer.put("reasoning", NONE);
    answer.put("safety_identifier", NONE);
    answer.put("service_tier", "default");
    answer.put("store", false);
    answer.put("temperature", 1_u32);
    answer.object("text", |text| text.object("format", |format| format.put("type", "text")));
    answer.put("tool_choice", "auto");
    answer.list("tools", |_| {});
    answer.put("top_logprobs", 0_u32);
    answer.put("top_p", 1_u32);
    answer.put("presence_penalty", 0_u32);
    answer.put("frequency_penalty", 0_u32);
    answer.put("truncation", "disabled");
    answer.put("user", NONE);
}

const NONE: Option<&str> = None;
