//! What stands for components in a gateway that was built without them: nothing of it can be made.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::ComponentInputs;
use crate::body::Body;
use crate::error::Error;
use crate::upstream::{Answer, Handler, Outgoing};

/// A component, of which there is none without the feature `wasi-http`.
#[derive(Debug)]
pub enum Component {}

/// What a gateway without the feature says.
const UNSUPPORTED: &str =
    "this gateway serves no components: build one that does with `cargo build --release --features wasi-http`";

impl Component {
    /// Whether this gateway was built to serve components.
    ///
    /// # Errors
    /// How to build one that was.
    pub const fn supported() -> Result<(), &'static str> {
        Err(UNSUPPORTED)
    }

    /// Never makes one.
    ///
    /// # Errors
    /// Always: how to build a gateway that can.
    pub fn build(_: &ComponentInputs<'_>) -> Result<Arc<Self>, Vec<(String, String)>> {
        Err(vec![(String::new(), UNSUPPORTED.to_owned())])
    }
}

impl Handler for Component {
    fn address(&self) -> &Arc<str> {
        match *self {}
    }

    fn handle(self: Arc<Self>, _: Outgoing, _: Body) -> BoxFuture<'static, Result<Answer, Error>> {
        match *self {}
    }
}
