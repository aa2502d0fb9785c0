//! `messages`.
