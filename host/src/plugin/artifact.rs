//! Turns compiled code back into a component. The one place where bytes become code.

use anyhow::Context;
use wasmtime::component::Component;

use super::engine::Engine;

/// Loads code that this installation's own compiler made.
///
/// # Errors
/// Where it was made for another engine.
#[expect(unsafe_code, reason = "compiled code cannot be checked, only its origin")]
pub(super) fn load(engine: &Engine, code: &[u8]) -> anyhow::Result<Component> {
    // SAFETY: the bytes come from our own compiler, over a pipe, or out of the cache, which holds what that compiler made
    // under a key that only this installation has (see `cache`). They are copied: nobody can change them afterwards.
    let component = unsafe { Component::deserialize(&engine.0, code) };
    let component = component.map_err(anyhow::Error::from).context("load the compiled code")?;
    component.initialize_copy_on_write_image().map_err(anyhow::Error::from).context("map its memory")?;
    Ok(component)
}
