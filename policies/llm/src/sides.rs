//! A conversation as dialects have it in which the two sides alternate.

use crate::content::{Content, Part};
use crate::conversation::{Conversation, Role};
use crate::fault::Ledger;

/// A conversation in which no side speaks twice in a row.
pub(crate) struct Sides<'c, 'a> {
    /// All that the operator said, whenever it was.
    pub(crate) instructions: Vec<&'c Part<'a>>,
    /// What each side said in its turn; results of tools come first in theirs, since they follow the calls.
    pub(crate) turns: Vec<(Role, Vec<&'c Part<'a>>)>,
}

impl<'c, 'a> Sides<'c, 'a> {
    /// Turns of one side in a row become one, and what the operator said later goes to the start.
    pub(crate) fn of(conversation: &'c Conversation<'a>, ledger: &mut Ledger) -> Self {
        let mut sides = Self { instructions: conversation.instructions.iter().collect(), turns: Vec::new() };
        for turn in &conversation.turns {
            if turn.name.is_some() {
                ledger.left_out("messages[].name");
            }
            match sides.turns.last_mut() {
                _ if turn.role == Role::System => {
                    ledger.changed("a later system message", "was moved to the start");
                    sides.instructions.extend(&turn.parts);
                }
                Some((role, parts)) if *role == turn.role => parts.extend(&turn.parts),
                _ => sides.turns.push((turn.role, turn.parts.iter().collect())),
            }
        }
        for (_, parts) in &mut sides.turns {
            parts.sort_by_key(|part| !matches!(part.content, Content::ToolResult(_)));
        }
        if sides.instructions.iter().any(|part| !matches!(part.content, Content::Text { .. })) {
            ledger.refuse("a system message", "may only have text");
        }
        sides
    }
}
