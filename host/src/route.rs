//! Finds the route of a request: host, path, method, headers, query. Pure: no I/O.

mod index;
mod matcher;
mod path;
mod pattern;
mod table;

pub use matcher::{Candidate, Matcher};
pub use path::PathPattern;
pub use pattern::Pattern;
pub use table::Table;
