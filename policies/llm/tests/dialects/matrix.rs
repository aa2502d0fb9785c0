//! What becomes of what a client says, for every pair of dialects: the page `LOSSES.md` is written from this run.

pub(crate) mod features;
mod round_trips;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use gatewright_llm::Dialect;
use gatewright_llm::dialect::Options;
use gatewright_llm::fault::OnLoss;
use gatewright_llm::translate::{self, Asked};
use serde_json::Value;

use crate::rig::parsed;

/// What became of a feature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// It comes back as it was.
    Carried,
    /// It is said in the other dialect's own way.
    Mapped,
    /// It is left out or changed, and the client is warned.
    Warned,
    /// The request is refused, and the field named.
    Refused,
}

impl Fate {
    fn word(self) -> &'static str {
        match self {
            Self::Carried => "carried",
            Self::Mapped => "mapped",
            Self::Warned => "warned",
            Self::Refused => "refused",
        }
    }
}

fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Chat => "Chat Completions",
        Dialect::Responses => "Responses",
        Dialect::Messages => "Messages",
        Dialect::Gemini => "Gemini",
        Dialect::Converse => "Converse",
        Dialect::Cohere => "Cohere",
    }
}

/// The dialect's body of a request, and the warning; none if it is refused.
fn translated(client: Dialect, upstream: Dialect, body: &Value) -> Option<(Value, String)> {
    let has_model_in_path = matches!(client, Dialect::Gemini | Dialect::Converse);
    let (model, stream) = (has_model_in_path.then_some("m"), has_model_in_path.then_some(false));
    let asked = Asked { client, body: &body.to_string(), model, stream };
    let request = translate::request(&asked, upstream, &Options::default(), OnLoss::default(), |_| None).ok()?;
    Some((parsed(&request.body), request.warning))
}

/// What becomes of the members that make a feature, on the way there and back.
fn fate(client: Dialect, upstream: Dialect, fragment: &Value) -> Fate {
    let mut body = features::base(client);
    features::merge(&mut body, fragment);
    let Some((there, warning)) = translated(client, upstream, &body) else { return Fate::Refused };
    if !warning.is_empty() {
        return Fate::Warned;
    }
    let Some((back, warning)) = translated(upstream, client, &there) else { return Fate::Mapped };
    let is_same = warning.is_empty() && features::holds(&back, fragment);
    if is_same { Fate::Carried } else { Fate::Mapped }
}

#[test]
fn the_page_of_losses_is_what_this_run_finds() {
    let mut page = String::from(HEAD);
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for client in Dialect::ALL {
        let others: Vec<Dialect> = Dialect::ALL.into_iter().filter(|other| *other != client).collect();
        let _always_ok = writeln!(page, "\n## A client of {}\n", name(client));
        let _always_ok =
            writeln!(page, "| | {} |", others.iter().map(|other| name(*other)).collect::<Vec<_>>().join(" | "));
        let _always_ok = writeln!(page, "|---|{}", "---|".repeat(others.len()));
        for (feature, fragments) in features::all() {
            let Some((_, fragment)) = fragments.iter().find(|(dialect, _)| *dialect == client) else { continue };
            let _always_ok = write!(page, "| {feature} |");
            for other in &others {
                let fate = fate(client, *other, fragment);
                *counts.entry(fate.word()).or_default() += 1;
                let _always_ok = write!(page, " {} |", fate.word());
            }
            page.push('\n');
        }
    }
    println!("{counts:?}");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/LOSSES.md");
    if std::env::var_os("GATEWRIGHT_WRITE_LOSSES").is_some() {
        std::fs::write(file, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap_or_default(), page, "write it anew with GATEWRIGHT_WRITE_LOSSES=1");
}

/// What a dialect can say is neither refused nor warned of by itself, but for what no dialect is given and what
/// OpenAI's own servers have no field for.
#[test]
fn every_feature_comes_back_from_its_own_dialect() {
    let exempt = ["more than one answer", "a field that is not known"];
    for (feature, fragments) in features::all() {
        for (dialect, fragment) in fragments {
            let fate = fate(dialect, dialect, &fragment);
            if exempt.contains(&feature) {
                assert_eq!(fate, Fate::Refused, "{feature} in {dialect:?}");
            } else if (feature, dialect) == ("an earlier thought, signed", Dialect::Chat) {
                assert_eq!(fate, Fate::Warned);
            } else {
                assert!(matches!(fate, Fate::Carried | Fate::Mapped), "{feature} in {dialect:?}: {fate:?} {fragment}");
            }
        }
    }
}

const HEAD: &str = "# What is carried over from dialect to dialect

Written by the tests (`dialects::matrix`): each feature is said in the client's dialect, translated, and translated back.

- **carried**: it comes back as it was;
- **mapped**: the other dialect says it in its own way;
- **warned**: it is left out or changed, and named in `x-gatewright-warning`;
- **refused**: the request is a 400 that names it, since the answer would be another one without it. With
  `on_loss: warn` it is left out with a warning instead; with `on_loss: refuse` all that is warned of is refused too.

Where client and upstream speak the same dialect nothing is translated: the request passes byte for byte.
";
