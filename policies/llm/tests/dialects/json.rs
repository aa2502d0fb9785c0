//! The reader of JSON: as strict as RFC 8259, and blind to nothing.

use gatewright_llm::fault::{Ledger, OnLoss};
use gatewright_llm::json::{Document, Json, Text, object_text};

use crate::rig::{Numbers, parsed};

const GOOD: [&str; 14] = [
    "null",
    " true ",
    "0",
    "-0.5e-3",
    "1E+2",
    "\"\"",
    "\"\\u00e9\\ud83d\\ude00\\n\"",
    "[]",
    "[ ]",
    "{}",
    "[1,[2,{}]]",
    "{\"a\":{\"b\":[1,2]},\"c\":\"d\"}",
    "\t{\"\\u0061\" : [ \"x\" , null ] }\r\n",
    "\"é😀 \u{7f}\"",
];
const BAD: [&str; 26] = [
    "",
    " ",
    "nul",
    "truee",
    "01",
    "-",
    "1.",
    ".5",
    "1e",
    "+1",
    "\"",
    "\"\\x\"",
    "\"\\u12g4\"",
    "\"\u{1}\"",
    "\"\t\"",
    "[",
    "[1",
    "[1,]",
    "[,1]",
    "{",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{a:1}",
    "[1}",
    "{} {}",
];

#[test]
fn what_is_json_is_read_and_what_is_not_is_not() {
    for text in GOOD {
        let document = Document::parse(text).unwrap_or_else(|error| unreachable!("{text}: {error}"));
        assert_eq!(document.root().written(), text.trim());
    }
    for text in BAD {
        assert!(Document::parse(text).is_err(), "{text}");
    }
}

/// The same verdict as serde_json on texts that are nearly JSON.
#[test]
fn the_verdict_on_torn_and_changed_texts_is_that_of_another_parser() {
    let mut numbers = Numbers(7);
    let mut good = 0;
    for round in 0..60_000 {
        let mut bytes = GOOD[round % GOOD.len()].as_bytes().to_vec();
        bytes.extend_from_slice(GOOD[numbers.below(GOOD.len())].as_bytes());
        for _change in 0..numbers.below(4) {
            let at = numbers.below(bytes.len());
            bytes[at] = b"{}[]\",:\\01e.-+tu \n\x1f"[numbers.below(18)];
        }
        bytes.truncate(numbers.below(bytes.len()) + 1);
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let verdict = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        assert_eq!(Document::parse(&text).is_ok(), verdict, "{text:?}");
        good += u32::from(verdict);
    }
    assert!(good > 500, "{good}");
}

#[test]
fn a_text_is_unescaped_as_another_parser_does_it() {
    for written in [r#""""#, r#""a\"b\\c\/d\b\f\n\r\t""#, r#""\u00e9\ud83d\ude00x""#, r#""é😀\u0000""#] {
        let expected: String = serde_json::from_str(written).unwrap();
        assert_eq!(Text::Written(written).plain(), expected);
        let text = object_text(|object| object.put("a", Text::from(&*expected)));
        assert_eq!(parsed(&text)["a"], expected);
    }
    assert_eq!(Text::Written(r#""\ud83dx\udc00""#).plain(), "\u{fffd}x\u{fffd}");
}

#[test]
fn values_within_values_have_a_bound() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert!(Document::parse(&nested(128)).is_ok());
    assert!(Document::parse(&nested(129)).is_err());
}

#[test]
fn what_nobody_took_is_named_with_its_path() {
    let text = r#"{"list":[{"known":1},{"known":2,"odd":true,"empty":[],"none":null}],"far":{"deep":{"x":1}}}"#;
    let document = Document::parse(text).unwrap();
    let mut ledger = Ledger::new(OnLoss::Warn);
    let read = document.root().read(&mut ledger, |object, ledger| {
        object.take_objects("list", ledger, |item, _| item.require::<u32>("known"))
    });
    assert_eq!(read.unwrap(), [1, 2]);
    let expected = ["left out: list[1].odd, which is not known", "left out: far, which is not known"];
    assert_eq!(ledger.warnings(), expected);
    assert_eq!(document.root().member("far").and_then(|far| far.member("deep")).map(Json::path).unwrap(), "far.deep");
}

#[test]
fn a_member_of_the_wrong_kind_is_named_with_its_path() {
    let document = Document::parse(r#"{"a":[{"b":"text"}]}"#).unwrap();
    let read = document.root().read(&mut Ledger::default(), |object, ledger| {
        object.take_objects("a", ledger, |item, _| item.require::<u32>("b"))
    });
    assert_eq!(read.unwrap_err().to_string(), "a[0].b must be a whole number from 0 to 4294967295");
}
