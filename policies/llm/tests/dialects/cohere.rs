//! `cohere`.
