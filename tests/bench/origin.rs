//! The server behind every subject: answers at once, always the same.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A server on a thread of its own.
pub(crate) struct Origin {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// How often everything held was let go.
    lets_go: Arc<watch::Sender<u64>>,
}

const CHAT: &str = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"TEXT"},"finish_reason":"stop"}],"usage":{"prompt_tokens":200,"completion_tokens":150,"total_tokens":350}}"#;
const MESSAGES: &str = r#"{"id":"m","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"TEXT"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":200,"output_tokens":150}}"#;
const RESPONSES: &str = r#"{"id":"r","object":"response","created_at":1,"status":"completed","model":"m","output":[{"type":"message","id":"i","role":"assistant","status":"completed","content":[{"type":"output_text","text":"TEXT","annotations":[]}]}],"usage":{"input_tokens":200,"output_tokens":150,"total_tokens":350}}"#;
const GEMINI: &str = r#"{"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"TEXT"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":200,"candidatesTokenCount":150,"totalTokenCount":350},"modelVersion":"m","responseId":"g"}"#;
const CONVERSE: &str = r#"{"output":{"message":{"role":"assistant","content":[{"text":"TEXT"}]}},"stopReason":"end_turn","usage":{"inputTokens":200,"outputTokens":150,"totalTokens":350},"metrics":{"latencyMs":1}}"#;
const COHERE: &str = r#"{"id":"c","finish_reason":"COMPLETE","message":{"role":"assistant","content":[{"type":"text","text":"TEXT"}]},"usage":{"billed_units":{"input_tokens":200,"output_tokens":150},"tokens":{"input_tokens":200,"output_tokens":150}}}"#;
const CHAT_DELTA: &str = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"TEXT"},"finish_reason":null}]}"#;
const CHAT_END: &str = r#"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const MESSAGES_DELTA: &str = r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"TEXT"}}"#;
const STREAM: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":null,\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\nevent: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":1}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

impl Origin {
    /// Starts it.
    pub(crate) fn start() -> Self {
        let (sender, address) = std::sync::mpsc::channel();
        let lets_go = Arc::new(watch::Sender::new(0));
        let held = lets_go.clone();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, held.clone()));
                }
            });
        });
        Self { address: address.recv().unwrap(), lets_go }
    }

    /// How many requests for `/held` wait.
    pub(crate) fn holds(&self) -> usize {
        self.lets_go.receiver_count()
    }

    /// Answers every request for `/held`.
    pub(crate) fn let_go(&self) {
        self.lets_go.send_modify(|times| *times += 1);
    }
}

fn answer(content_type: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

/// A stream with an event every 20 ms, each of which says when it was sent.
async fn pace(stream: &mut TcpStream, is_messages: bool) -> std::io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let (mut start, mut end) = ("", format!("data: {CHAT_END}\n\ndata: [DONE]\n\n"));
    let mut delta = format!("data: {CHAT_DELTA}\n\n");
    if is_messages {
        let at = memchr::memmem::find(STREAM.as_bytes(), b"event: content_block_delta").unwrap();
        let rest = memchr::memmem::find(STREAM.as_bytes(), b"event: content_block_stop").unwrap();
        (start, end) = (STREAM.get(..at).unwrap(), STREAM.get(rest..).unwrap().to_owned());
        delta = format!("event: content_block_delta\ndata: {MESSAGES_DELTA}\n\n");
    }
    stream.write_all(head.as_bytes()).await?;
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    if !start.is_empty() {
        stream.write_all(chunk(start).as_bytes()).await?;
    }
    let mut pace = tokio::time::interval(PACE);
    for _ in 0..PACED {
        pace.tick().await;
        let text = delta.replace("TEXT", &format!("@{}@", micros()));
        stream.write_all(chunk(&text).as_bytes()).await?;
    }
    stream.write_all(format!("{}0\r\n\r\n", chunk(&end)).as_bytes()).await
}

/// Between two events of a paced stream.
const PACE: Duration = Duration::from_millis(20);
/// Its events.
pub(crate) const PACED: usize = 100;

/// A clock that the origin and the load share.
pub(crate) fn micros() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_micros()).unwrap_or(u64::MAX)
}

async fn serve(mut stream: TcpStream, held: Arc<watch::Sender<u64>>) {
    stream.set_nodelay(true).unwrap();
    let text = "word ".repeat(150);
    let [plain, middle, large] = [1 << 10, 16 << 10, 1 << 20].map(|size| answer("text/plain", &"x".repeat(size)));
    let [chat, messages, responses, gemini, converse, cohere] = [CHAT, MESSAGES, RESPONSES, GEMINI, CONVERSE, COHERE]
        .map(|answer_| answer("application/json", &answer_.replace("TEXT", &text)));
    let events = answer("text/event-stream", STREAM);
    let mut buffer = Vec::new();
    loop {
        let Some(end) = memchr::memmem::find(&buffer, b"\r\n\r\n") else {
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            }
        };
        let head = String::from_utf8_lossy(buffer.get(..end).unwrap()).to_ascii_lowercase();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok()).unwrap_or(0);
        while buffer.len() < end + 4 + length {
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let body = buffer.get(end + 4..end + 4 + length).unwrap();
        let streamed = memchr::memmem::find(body, b"\"stream\":true").is_some();
        let paced = memchr::memmem::find(body, b"\"model\":\"paced\"").is_some();
        let path = head.split(' ').nth(1).unwrap_or_default();
        if path == "/held" {
            held.subscribe().changed().await.unwrap();
        }
        let ends = |end: &str| path.ends_with(end);
        if paced {
            if pace(&mut stream, ends("/messages")).await.is_err() {
                return;
            }
            buffer.drain(..end + 4 + length);
            continue;
        }
        let reply = match path {
            _ if streamed => &events,
            "/bytes/16384" => &middle,
            "/bytes/1048576" => &large,
            _ if ends("/messages") => &messages,
            _ if ends("/chat/completions") => &chat,
            _ if ends("/responses") => &responses,
            _ if ends(":generatecontent") => &gemini,
            _ if ends("/converse") => &converse,
            _ if ends("/v2/chat") => &cohere,
            _ => &plain,
        };
        if stream.write_all(reply).await.is_err() {
            return;
        }
        buffer.drain(..end + 4 + length);
    }
}
