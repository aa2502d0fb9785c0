//! The paths of the dialects' APIs.

use gatewright_llm::Dialect;
use gatewright_llm::endpoint::{Endpoint, default_prefix, path};

#[test]
fn every_path_that_is_written_is_read_again() {
    for dialect in Dialect::ALL {
        for (model, stream) in [("m", false), ("publishers/x/my model%", true), ("arn:aws:bedrock:eu-1::a/b", true)] {
            let (written, query) = path(dialect, default_prefix(dialect), model, stream);
            let read = Endpoint::of_path(&written).unwrap();
            assert_eq!((read.dialect, read.prefix), (dialect, default_prefix(dialect)), "{written}");
            let has_model = matches!(dialect, Dialect::Gemini | Dialect::Converse);
            assert_eq!(read.model.as_deref(), has_model.then_some(model), "{written}");
            assert_eq!(read.stream, has_model.then_some(stream));
            assert_eq!(query, (dialect == Dialect::Gemini && stream).then_some("alt=sse"));
        }
    }
}

#[test]
fn other_paths_are_none() {
    let others = [
        "/",
        "/v1/models",
        "/v1/responses/resp_1",
        "/v1/messages/count_tokens",
        "/v1beta/models/m:countTokens",
        "/model/m/invoke",
        "/v1/models/x%zz:generateContent",
        "/v1/models/%ff:generateContent",
        "/v1/chat",
    ];
    for other in others {
        assert_eq!(Endpoint::of_path(other), None, "{other}");
    }
}
