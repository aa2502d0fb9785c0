//! What the names of members say.

use super::{Part, Role};

/// Members that count the blocks of a stream, the outer first.
pub(super) const COUNTS: [&str; 5] = ["output_index", "contentBlockIndex", "index", "content_index", "summary_index"];

/// Who speaks in a member of a request, and of what; none for a member that says nothing to the model.
pub(super) fn of_request(name: &str) -> Option<(Role, Part)> {
    Some(match name {
        "messages" | "input" | "contents" | "documents" | "prompt" | "prediction" => (Role::User, Part::Text),
        "system" | "instructions" | "systemInstruction" | "system_instruction" => (Role::System, Part::Text),
        "tools" | "functions" | "toolConfig" | "tool_config" | "response_format" | "text" | "output_config"
        | "outputConfig" | "generationConfig" | "generation_config" => (Role::System, Part::Definition),
        _ => return None,
    })
}

/// Whether a member of an answer, or of an event, holds what the model says.
pub(super) fn is_of_answer(name: &str) -> bool {
    matches!(
        name,
        // Chat; Responses and Converse; Responses' events; Messages; Gemini; Cohere, also Messages' events.
        "choices"
            | "output"
            | "item"
            | "part"
            | "text"
            | "arguments"
            | "refusal"
            | "response"
            | "annotation"
            | "content"
            | "content_block"
            | "delta"
            | "start"
            | "candidates"
            | "message"
    )
}

pub(super) fn role(word: &str) -> Option<Role> {
    match word {
        "system" | "developer" => Some(Role::System),
        "user" => Some(Role::User),
        "assistant" | "model" => Some(Role::Assistant),
        "tool" | "function" => Some(Role::Tool),
        _ => None,
    }
}

/// Whether the type of an object is that of a tool's answer.
pub(super) fn is_result(kind: &str) -> bool {
    kind.ends_with("_result") || kind.ends_with("_output") && kind != "computer_screenshot_output"
}

/// Whether a text of this name is a label or a code, which is no speech.
pub(super) fn is_label(name: &str) -> bool {
    const LABELS: [&str; 38] = [
        "id",
        "type",
        "role",
        "model",
        "name",
        "object",
        "status",
        "phase",
        "index",
        "finish_reason",
        "finishReason",
        "stop_reason",
        "stopReason",
        "signature",
        "thoughtSignature",
        "thought_signature",
        "encrypted_content",
        "redactedContent",
        "bytes",
        "format",
        "mimeType",
        "mime_type",
        "media_type",
        "tool_call_id",
        "tool_use_id",
        "toolUseId",
        "call_id",
        "item_id",
        "file_id",
        "fileUri",
        "responseId",
        "modelVersion",
        "service_tier",
        "ttl",
        "detail",
        "language",
        "system_fingerprint",
        "jsonPath",
    ];
    LABELS.contains(&name)
}
