//! Gemini `generateContent`.

mod error;
mod request;
mod response;
mod schema;
mod stream;
