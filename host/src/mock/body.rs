//! What is sent: whole bodies and streams of events, paced, split and cut as the settings say.

use std::iter::Peekable;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use serde_json::Value;

use super::settings::Settings;
use super::tally::Watch;

/// The body of every answer.
pub(super) type Reply = UnsyncBoxBody<Bytes, Cut>;

/// The connection is closed without an end, as was asked.
#[derive(Debug)]
pub(super) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("cut as asked")
    }
}

impl std::error::Error for Cut {}

/// A body before it is known how it is sent.
pub(super) struct Script {
    pieces: Peekable<Box<dyn Iterator<Item = Bytes> + Send>>,
    is_stream: bool,
}

impl Script {
    /// One body that is no stream.
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        let pieces: Box<dyn Iterator<Item = Bytes> + Send> = Box::new(std::iter::once(bytes.into()));
        Self { pieces: pieces.peekable(), is_stream: false }
    }

    /// A large body, made while it is sent.
    pub(super) fn pieces(pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Self {
        let pieces: Box<dyn Iterator<Item = Bytes> + Send> = Box::new(pieces);
        Self { pieces: pieces.peekable(), is_stream: false }
    }

    /// A response with a JSON body.
    pub(super) fn json(status: u16, value: &Value) -> Response<Self> {
        let text = value.to_string();
        let length = text.len();
        let mut response = Response::new(Self::whole(text));
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        response
    }

    /// A response of server-sent events, each with its blank line.
    pub(super) fn events(events: impl Iterator<Item = String> + Send + 'static) -> Response<Self> {
        let pieces: Box<dyn Iterator<Item = Bytes> + Send> = Box::new(events.map(Bytes::from));
        let mut response = Response::new(Self { pieces: pieces.peekable(), is_stream: true });
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        response.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }

    /// The body as the settings say; `watch` is finished with its last piece.
    pub(super) fn play(self, settings: &Settings, watch: Watch) -> Reply {
        self.player(settings.clone(), Some(watch))
    }

    /// The body as it is, uncounted.
    pub(super) fn unwatched(self) -> Reply {
        self.player(Settings::default(), None)
    }

    fn player(self, settings: Settings, watch: Option<Watch>) -> Reply {
        let player = Player { script: self, settings, watch, sent: 0, second: None };
        let frames = stream::unfold(player, |mut player| async move {
            let frame = player.next().await?;
            Some((frame.map(Frame::data), player))
        });
        StreamBody::new(frames).boxed_unsync()
    }
}

struct Player {
    script: Script,
    settings: Settings,
    watch: Option<Watch>,
    sent: usize,
    second: Option<Bytes>,
}

impl Player {
    async fn next(&mut self) -> Option<Result<Bytes, Cut>> {
        if let Some(second) = self.second.take() {
            tokio::time::sleep(FLUSH_PAUSE).await;
            self.finish_if_last();
            return Some(Ok(second));
        }
        if self.is_cut_here() {
            tokio::time::sleep(FLUSH_PAUSE).await;
            self.finish();
            return Some(Err(Cut));
        }
        if self.script.is_stream && self.sent > 0 {
            tokio::time::sleep(self.settings.interval()).await;
        }
        let mut piece = self.script.pieces.next()?;
        if !self.script.is_stream && self.settings.cut_after.is_some() {
            piece.truncate(piece.len() / 2);
        } else if let (true, Some(split)) = (self.script.is_stream, self.settings.split) {
            let place = (split + 2 * self.sent) % piece.len().max(1);
            self.second = Some(piece.split_off(place));
        }
        self.sent += 1;
        self.finish_if_last();
        Some(Ok(piece))
    }

    fn is_cut_here(&self) -> bool {
        match self.settings.cut_after {
            Some(count) if self.script.is_stream => self.sent >= count,
            Some(_) => self.sent > 0,
            None => false,
        }
    }

    fn finish_if_last(&mut self) {
        if self.second.is_none() && !self.is_cut_here() && self.script.pieces.peek().is_none() {
            self.finish();
        }
    }

    fn finish(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.finish();
        }
    }
}

/// Lets the server write out what it has, so that the next piece leaves apart from it.
const FLUSH_PAUSE: Duration = Duration::from_millis(1);
