//! Every dialect, and the way from each to each.

mod chat;
mod cohere;
mod converse;
mod endpoint;
mod gemini;
mod goldens;
mod json;
mod matrix;
mod messages;
mod pairs;
mod price;
mod responses;
mod rig;
mod settling;
mod torn;
mod told;
