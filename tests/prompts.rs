//! What is asked of models and what they answer: policies that look at it, and make it.

mod api;
mod guard;
