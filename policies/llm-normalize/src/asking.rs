//! Asks an upstream of chat completions for usage in its stream, whether the client did or not.

/// The members of a request that matter here, each as its JSON text.
pub(crate) struct StreamTexts {
    pub(crate) stream: Option<String>,
    pub(crate) options: Option<String>,
    pub(crate) include_usage: Option<String>,
}

impl StreamTexts {
    pub(crate) fn is_stream(&self) -> bool {
        self.stream.as_deref() == Some("true")
    }

    pub(crate) fn wants_usage(&self) -> bool {
        self.include_usage.as_deref() == Some("true")
    }

    /// The patch operation that asks for usage, if the client did not.
    pub(crate) fn ask_for_usage(&self) -> Option<&'static str> {
        let has_options = self.options.as_deref().is_some_and(|options| options.starts_with('{'));
        match (self.is_stream(), self.wants_usage(), has_options) {
            (false, _, _) | (true, true, _) => None,
            (true, false, true) => Some(r#"{"op":"add","path":"/stream_options/include_usage","value":true}"#),
            (true, false, false) => Some(r#"{"op":"add","path":"/stream_options","value":{"include_usage":true}}"#),
        }
    }
}
