//! The server behind every subject: answers at once, always the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

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

async fn serve(mut stream: TcpStream, held: Arc<watch::Sender<u64>>) {
    stream.set_nodelay(true).unwrap();
    let text = "word ".repeat(150);
    let [plain, middle, large] = [1 << 10, 16 << 10, 1 << 20].map(|size| answer("text/plain", &"x".repeat(size)));
    let chat = answer("application/json", &CHAT.replace("TEXT", &text));
    let messages = answer("application/json", &MESSAGES.replace("TEXT", &text));
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
        let path = head.split(' ').nth(1);
        if path == Some("/held") {
            held.subscribe().changed().await.unwrap();
        }
        let reply = match path {
            _ if streamed => &events,
            Some("/bytes/16384") => &middle,
            Some("/bytes/1048576") => &large,
            Some("/v1/messages") => &messages,
            Some("/v1/chat/completions") => &chat,
            _ => &plain,
        };
        if stream.write_all(reply).await.is_err() {
            return;
        }
        buffer.drain(..end + 4 + length);
    }
}
