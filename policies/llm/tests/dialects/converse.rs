//! `converse`.
