//! `responses`.
