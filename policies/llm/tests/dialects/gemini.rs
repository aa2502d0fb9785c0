//! `gemini`.
