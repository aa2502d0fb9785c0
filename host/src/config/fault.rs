//! A fault in the configuration: where it stands and what to do about it.

use std::fmt;

use serde::Serialize;

use super::tree::Place;

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// The file it stands in.
    pub file: String,
    /// Its line there, from 1; 0 if it is the whole file.
    pub line: usize,
    /// RFC 6901 pointer into the merged configuration.
    pub at: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// Everything that is wrong, in the order of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    /// Adds a fault at a place.
    pub fn add(&mut self, place: &Place, at: impl Into<String>, message: impl Into<String>) {
        self.0.push(Fault { file: place.file.to_string(), line: place.line, at: at.into(), message: message.into() });
    }

    /// `value` if nothing is wrong, else every fault, sorted by place.
    ///
    /// # Errors
    /// Itself, if it holds any fault.
    pub fn or_ok<T>(mut self, value: T) -> Result<T, Self> {
        if self.0.is_empty() {
            return Ok(value);
        }
        self.0.sort_by(|a, b| (&a.file, a.line, &a.at).cmp(&(&b.file, b.line, &b.at)));
        self.0.dedup();
        Err(self)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(formatter, "{}: {}", self.file, self.message)
        } else {
            write!(formatter, "{}:{}: {}", self.file, self.line, self.message)
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
