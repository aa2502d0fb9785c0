//! Why a request cannot be carried over, and what was carried over with a change.

use std::fmt;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    code: &'static str,
    message: String,
}

impl Fault {
    /// A field is not what its dialect says; `at` is its path, empty for the whole body.
    pub fn invalid(at: &str, message: &str) -> Self {
        let at = if at.is_empty() { "the body" } else { at };
        Self { code: "invalid-request", message: format!("{at} {message}") }
    }

    /// A field has no counterpart, and nothing can go on without it.
    pub fn unsupported(at: &str, why: &str) -> Self {
        Self { code: "unsupported-field", message: format!("{at} {why}") }
    }

    /// The body is not JSON.
    pub fn not_json(message: &str) -> Self {
        Self { code: "invalid-json", message: message.to_owned() }
    }

    /// A short stable token that clients may match on.
    pub fn code(&self) -> &'static str {
        self.code
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// What becomes of a request that cannot be carried over whole.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnLoss {
    /// A field that changes the meaning of the answer is refused; a hint is left out with a warning.
    #[default]
    ByWeight,
    /// Every field that is not carried over is left out with a warning.
    Warn,
    /// Every field that is not carried over, or changed, is refused.
    Refuse,
}

/// Keeps account of all that is not carried over as it was.
#[derive(Debug, Default)]
pub struct Ledger {
    on_loss: OnLoss,
    warnings: Vec<String>,
    refusals: Vec<String>,
}

impl Ledger {
    /// An empty one.
    pub fn new(on_loss: OnLoss) -> Self {
        Self { on_loss, ..Self::default() }
    }

    /// A field without a counterpart, which changes nothing in what the answer means.
    pub fn left_out(&mut self, field: &str) {
        self.warn(format!("left out: {field}"));
    }

    /// A field was carried over with another meaning, which `how` says: "was lowered to 1".
    pub fn changed(&mut self, field: &str, how: &str) {
        self.warn(format!("{field} {how}"));
    }

    /// A field without a counterpart, without which the answer would be another one.
    pub fn refuse(&mut self, field: &str, why: &str) {
        match self.on_loss {
            OnLoss::ByWeight | OnLoss::Refuse => add(&mut self.refusals, format!("{field} {why}")),
            OnLoss::Warn => add(&mut self.warnings, format!("left out: {field}, which {why}")),
        }
    }

    fn warn(&mut self, entry: String) {
        add(if self.on_loss == OnLoss::Refuse { &mut self.refusals } else { &mut self.warnings }, entry);
    }

    /// Whether everything was carried over as it was.
    pub fn is_empty(&self) -> bool {
        self.warnings.is_empty() && self.refusals.is_empty()
    }

    /// What was left out or changed so far.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// One header value for all warnings; empty if there are none.
    ///
    /// # Errors
    /// Something was refused: the fault names all of it.
    pub fn close(&self) -> Result<String, Fault> {
        if !self.refusals.is_empty() {
            return Err(Fault { code: "unsupported-field", message: self.refusals.join("; ") });
        }
        // Some of the text came from the client: only printable ASCII goes into a header.
        let printable = |letter| if letter == ' ' || char::is_ascii_graphic(&letter) { letter } else { '?' };
        Ok(self.warnings.join("; ").chars().map(printable).collect())
    }
}

fn add(list: &mut Vec<String>, entry: String) {
    match list.len() {
        _ if list.contains(&entry) => {}
        ENTRIES_MAX => *list.last_mut().unwrap_or(&mut String::new()) = "and more".to_owned(),
        _ => list.push(entry),
    }
}

/// A header has room for so many.
const ENTRIES_MAX: usize = 64;
