//! Finds the route of a request: host, path, method, headers, query. Pure: no I/O.

mod matcher;
mod path;

pub use matcher::{Candidate, Matcher, Table};
pub use path::PathPattern;
