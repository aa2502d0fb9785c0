//! The parts of a content: what is said, called and answered.

use super::{media, signature};
use crate::content::{Arguments, Call, Content, Part, ResultContent, Thought, ToolResult};
use crate::fault::{Fault, Ledger};
use crate::json::{Json, Object, Text};

mod writer;

pub(super) use writer::{PartWriter, Place};

/// Gives ids to calls that have none, and finds the call of a result that names none: the first of its name.
#[derive(Debug, Default)]
pub(super) struct CallIds {
    minted: u32,
    open: Vec<(String, String)>,
}

impl CallIds {
    fn of_call<'a>(&mut self, id: Option<Text<'a>>, name: &Text<'a>) -> Text<'a> {
        let id = id.filter(|id| !id.is_empty()).unwrap_or_else(|| self.mint());
        self.open.push((name.plain().into_owned(), id.plain().into_owned()));
        id
    }

    fn of_result<'a>(&mut self, id: Option<Text<'a>>, name: &Text<'a>) -> Text<'a> {
        let id = id.filter(|id| !id.is_empty());
        let is_meant = |(open_name, open_id): &(String, String)| match &id {
            Some(id) => *id == **open_id,
            None => *name == **open_name,
        };
        let open = self.open.iter().position(is_meant).map(|place| self.open.remove(place).1);
        id.or(open.map(Text::from)).unwrap_or_else(|| self.mint())
    }

    fn mint<'a>(&mut self) -> Text<'a> {
        self.minted += 1;
        format!("call_{}", self.minted).into()
    }
}

/// Parts that only this provider's own tools and settings make.
const OWN: [&str; 7] = [
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
    "videoMetadata",
    "mediaProcessing",
    "speechMetadata",
];

/// Reads a part of a request. A signature on other than a thought is an empty thought before it.
pub(super) fn read<'a>(
    part: &mut Object<'a>,
    calls: &mut CallIds,
    ledger: &mut Ledger,
) -> Result<Vec<Part<'a>>, Fault> {
    part.also_in_snake_case();
    for name in OWN {
        if part.take::<Json<'a>>(name)?.is_some() {
            ledger.refuse(&part.path_of(name), "is only known to this provider");
        }
    }
    if part.take::<Json<'a>>("partMetadata")?.is_some() {
        ledger.left_out(&part.path_of("partMetadata"));
    }
    let signed = part.take::<Text<'a>>("thoughtSignature")?.and_then(signature::read);
    let is_thought = part.take::<bool>("thought")?.unwrap_or(false);
    let detail = detail(part, ledger)?;
    let text = part.take::<Text<'a>>("text")?;
    if is_thought {
        if media::take(part, ledger)?.is_some() {
            ledger.left_out(&part.path_of("thought"));
        }
        let thought = Thought { text: text.unwrap_or_default(), ..signed.unwrap_or_default() };
        return Ok(vec![Content::Thought(thought).into()]);
    }
    let text = text.filter(|text| !text.is_empty()).map(Content::text);
    let media = media::take(part, ledger)?.map(|media| match media {
        Content::Image { media, .. } => Content::Image { media, detail },
        other => other,
    });
    let call = take_call(part, calls, ledger)?;
    let result = take_result(part, calls, ledger)?;
    let content = text.or(media).or(call).or(result).map(Part::from);
    let signed = signed.map(|thought| Content::Thought(thought).into());
    Ok(signed.into_iter().chain(content).collect())
}

fn detail<'a>(part: &mut Object<'a>, ledger: &mut Ledger) -> Result<Option<Text<'a>>, Fault> {
    let level = part.take_object("mediaResolution", ledger, |resolution, _| resolution.take::<String>("level"))?;
    Ok(match level.flatten().as_deref() {
        None => None,
        Some("MEDIA_RESOLUTION_LOW") => Some("low".into()),
        Some("MEDIA_RESOLUTION_HIGH") => Some("high".into()),
        Some(_) => {
            ledger.left_out(&part.path_of("mediaResolution"));
            None
        }
    })
}

fn take_call<'a>(
    part: &mut Object<'a>,
    calls: &mut CallIds,
    ledger: &mut Ledger,
) -> Result<Option<Content<'a>>, Fault> {
    part.take_object("functionCall", ledger, |call, _| {
        call.also_in_snake_case();
        // Of a call that was streamed in pieces and is whole now.
        call.skip(&["willContinue"]);
        let name: Text<'a> = call.require("name")?;
        let id = calls.of_call(call.take("id")?, &name);
        let arguments = match call.take::<Json<'a>>("args")? {
            Some(json) if json.is_object() => Arguments::Object(json),
            Some(json) => return Err(Fault::invalid(&json.path(), "must be an object")),
            None => Arguments::Text("{}".into()),
        };
        Ok(Content::Call(Call { id, name, arguments }))
    })
}

fn take_result<'a>(
    part: &mut Object<'a>,
    calls: &mut CallIds,
    ledger: &mut Ledger,
) -> Result<Option<Content<'a>>, Fault> {
    part.take_object("functionResponse", ledger, |result, ledger| {
        result.also_in_snake_case();
        let name: Text<'a> = result.require("name")?;
        let call = calls.of_result(result.take("id")?, &name);
        let response: Option<Json<'a>> = result.take("response")?;
        let media = result.take_objects("parts", ledger, |part, ledger| {
            part.also_in_snake_case();
            media::take(part, ledger)
        })?;
        let is_error = response.is_some_and(|response| response.member("error").is_some()).then_some(true);
        let content = result_content(response, media.into_iter().flatten().map(Part::from).collect());
        Ok(Content::ToolResult(ToolResult { call, name: Some(name), content, is_error }))
    })
}

/// An object whose only member is `output` or `error` stands for the text in it.
fn result_content<'a>(response: Option<Json<'a>>, media: Vec<Part<'a>>) -> ResultContent<'a> {
    let mut entries = response.into_iter().flat_map(Json::entries);
    let text = match (entries.next(), entries.next()) {
        (Some((name, value)), None) if name == "output" || name == "error" => super::text(value),
        _ => None,
    };
    match (text, response) {
        (None, Some(object)) if media.is_empty() => ResultContent::Object(object),
        (text, response) => {
            let text = text.or(response.map(|object| object.written().to_owned().into()));
            ResultContent::Parts(text.map(|text| Content::text(text).into()).into_iter().chain(media).collect())
        }
    }
}
