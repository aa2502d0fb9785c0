//! Tools, their calls and their results.

use gatewright_llm::Dialect::{Chat, Cohere, Converse, Gemini, Messages, Responses};
use serde_json::json;

use super::{Feature, user, user_item};

#[expect(clippy::too_many_lines, reason = "a table")]
pub(super) fn called() -> Vec<Feature> {
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"] });
    let openai =
        json!([{ "type": "function", "function": { "name": "look", "description": "Looks.", "parameters": schema } }]);
    let responses =
        json!([{ "type": "function", "name": "look", "description": "Looks.", "parameters": schema, "strict": false }]);
    let messages = json!([{ "name": "look", "description": "Looks.", "input_schema": schema }]);
    let gemini_schema = json!({ "type": "OBJECT", "properties": { "a": { "type": "STRING" } }, "required": ["a"] });
    let gemini =
        json!([{ "functionDeclarations": [{ "name": "look", "description": "Looks.", "parameters": gemini_schema }] }]);
    let converse =
        json!([{ "toolSpec": { "name": "look", "description": "Looks.", "inputSchema": { "json": schema } } }]);
    let call = json!({ "id": "c1", "type": "function", "function": { "name": "look", "arguments": "{\"a\":\"b\"}" } });
    let asks = user(json!("Hi"));
    vec![
        (
            "tools",
            vec![
                (Chat, json!({ "tools": openai })),
                (Responses, json!({ "tools": responses })),
                (Messages, json!({ "tools": messages })),
                (Gemini, json!({ "tools": gemini })),
                (Converse, json!({ "toolConfig": { "tools": converse } })),
                (Cohere, json!({ "tools": openai })),
            ],
        ),
        (
            "a tool must be called",
            vec![
                (Chat, json!({ "tools": openai, "tool_choice": "required" })),
                (Responses, json!({ "tools": responses, "tool_choice": "required" })),
                (Messages, json!({ "tools": messages, "tool_choice": { "type": "any" } })),
                (Gemini, json!({ "tools": gemini, "toolConfig": { "functionCallingConfig": { "mode": "ANY" } } })),
                (Converse, json!({ "toolConfig": { "tools": converse, "toolChoice": { "any": {} } } })),
                (Cohere, json!({ "tools": openai, "tool_choice": "REQUIRED" })),
            ],
        ),
        (
            "this tool must be called",
            vec![
                (
                    Chat,
                    json!({ "tools": openai, "tool_choice": { "type": "function", "function": { "name": "look" } } }),
                ),
                (Responses, json!({ "tools": responses, "tool_choice": { "type": "function", "name": "look" } })),
                (Messages, json!({ "tools": messages, "tool_choice": { "type": "tool", "name": "look" } })),
                (
                    Gemini,
                    json!({ "tools": gemini, "toolConfig": { "functionCallingConfig": { "mode": "ANY", "allowedFunctionNames": ["look"] } } }),
                ),
                (
                    Converse,
                    json!({ "toolConfig": { "tools": converse, "toolChoice": { "tool": { "name": "look" } } } }),
                ),
            ],
        ),
        (
            "one tool at a time",
            vec![
                (Chat, json!({ "tools": openai, "parallel_tool_calls": false })),
                (Responses, json!({ "tools": responses, "parallel_tool_calls": false })),
                (
                    Messages,
                    json!({ "tools": messages, "tool_choice": { "type": "auto", "disable_parallel_tool_use": true } }),
                ),
            ],
        ),
        (
            "a call and its result",
            vec![
                (
                    Chat,
                    json!({ "tools": openai, "messages": [asks, { "role": "assistant", "content": null, "tool_calls": [call] }, { "role": "tool", "tool_call_id": "c1", "content": "done" }] }),
                ),
                (
                    Responses,
                    json!({ "tools": responses, "input": [user_item(json!([{ "type": "input_text", "text": "Hi" }])),
                { "type": "function_call", "call_id": "c1", "name": "look", "arguments": "{\"a\":\"b\"}" },
                { "type": "function_call_output", "call_id": "c1", "output": "done" }] }),
                ),
                (
                    Messages,
                    json!({ "tools": messages, "messages": [asks, { "role": "assistant", "content": [{ "type": "tool_use", "id": "c1", "name": "look", "input": { "a": "b" } }] },
                user(json!([{ "type": "tool_result", "tool_use_id": "c1", "content": [{ "type": "text", "text": "done" }] }]))] }),
                ),
                (
                    Gemini,
                    json!({ "tools": gemini, "contents": [{ "role": "user", "parts": [{ "text": "Hi" }] },
                { "role": "model", "parts": [{ "functionCall": { "id": "c1", "name": "look", "args": { "a": "b" } } }] },
                { "role": "user", "parts": [{ "functionResponse": { "id": "c1", "name": "look", "response": { "result": "done" } } }] }] }),
                ),
                (
                    Converse,
                    json!({ "toolConfig": { "tools": converse }, "messages": [user(json!([{ "text": "Hi" }])),
                { "role": "assistant", "content": [{ "toolUse": { "toolUseId": "c1", "name": "look", "input": { "a": "b" } } }] },
                user(json!([{ "toolResult": { "toolUseId": "c1", "content": [{ "text": "done" }] } }]))] }),
                ),
                (
                    Cohere,
                    json!({ "tools": openai, "messages": [asks, { "role": "assistant", "tool_calls": [call] }, { "role": "tool", "tool_call_id": "c1", "content": "done" }] }),
                ),
            ],
        ),
        (
            "a tool failed",
            vec![
                (
                    Messages,
                    json!({ "tools": messages, "messages": [asks, { "role": "assistant", "content": [{ "type": "tool_use", "id": "c1", "name": "look", "input": {} }] },
                user(json!([{ "type": "tool_result", "tool_use_id": "c1", "is_error": true, "content": [{ "type": "text", "text": "no" }] }]))] }),
                ),
                (
                    Converse,
                    json!({ "toolConfig": { "tools": converse }, "messages": [user(json!([{ "text": "Hi" }])),
                { "role": "assistant", "content": [{ "toolUse": { "toolUseId": "c1", "name": "look", "input": {} } }] },
                user(json!([{ "toolResult": { "toolUseId": "c1", "status": "error", "content": [{ "text": "no" }] } }]))] }),
                ),
            ],
        ),
    ]
}
