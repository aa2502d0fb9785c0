//! Rules on requests, answers and streams of every dialect.

mod kinds;
mod request;
mod response;
mod rig;
mod settings;
mod stream;
