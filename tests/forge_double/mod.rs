//! A raw HTTP server for driver tests: it answers what a closure says, byte for byte if need be, and records what it
//! was asked. Real sockets, so that cut answers and foreign redirects are what they are in life.

#![allow(dead_code, reason = "each test program uses its own part of this module")]

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use url::Url;

#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: Vec<(String, String)>,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn param(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Close the connection after so many bytes of the body.
    pub cut: Option<usize>,
}

impl Reply {
    pub fn json(body: Value) -> Self {
        Self::text(200, body.to_string())
    }

    pub fn text(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into(), cut: None }
    }

    pub fn message(status: u16, message: &str) -> Self {
        Self::text(status, serde_json::json!({ "message": message }).to_string())
    }

    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn cut(mut self, at: usize) -> Self {
        self.cut = Some(at);
        self
    }
}

pub struct Double {
    pub url: Url,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

/// The `Date` of every answer that names no other.
pub const DATE: &str = "Mon, 02 Mar 2026 08:16:00 GMT";

impl Double {
    pub async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (record, answer) = (asked.clone(), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (record, answer) = (record.clone(), answer.clone());
                tokio::spawn(async move { serve(stream, &record, &*answer).await });
            }
        });
        Self { url, asked, task }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn forget(&self) {
        self.asked.lock().unwrap().clear();
    }

    /// `GET /path` of everything asked, in order.
    pub fn lines(&self) -> Vec<String> {
        self.asked().iter().map(|asked| format!("{} {}", asked.method, asked.path)).collect()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    record: &Mutex<Vec<Asked>>,
    answer: &(dyn Fn(&Asked) -> Reply + Send + Sync),
) -> Option<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        let mut some = [0; 4096];
        let got = stream.read(&mut some).await.ok().filter(|got| *got > 0)?;
        bytes.extend_from_slice(&some[..got]);
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?);
    let url = Url::parse("http://double/").ok()?.join(target).ok()?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize =
        headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
    let mut body = bytes[end + 4..].to_vec();
    while body.len() < length {
        let mut some = [0; 4096];
        let got = stream.read(&mut some).await.ok().filter(|got| *got > 0)?;
        body.extend_from_slice(&some[..got]);
    }
    let asked = Asked {
        method,
        path: url.path().to_owned(),
        query: url.query_pairs().into_owned().collect(),
        headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    };
    record.lock().unwrap().push(asked.clone());
    let reply = answer(&asked);
    let mut out = format!("HTTP/1.1 {} x\r\nConnection: close\r\n", reply.status);
    if !reply.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("date")) {
        out.push_str(&format!("Date: {DATE}\r\n"));
    }
    for (name, value) in &reply.headers {
        if !value.is_empty() {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    if reply.status != 204 {
        out.push_str(&format!("Content-Length: {}\r\n", reply.body.len()));
    }
    out.push_str("\r\n");
    stream.write_all(out.as_bytes()).await.ok()?;
    let sent = reply.cut.unwrap_or(reply.body.len()).min(reply.body.len());
    stream.write_all(&reply.body[..sent]).await.ok()?;
    stream.shutdown().await.ok()
}

/// Bodies that are no answer to anything.
pub fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("nothing", vec![]),
        ("a word", b"nonsense".to_vec()),
        ("an open brace", b"{".to_vec()),
        ("an open bracket", b"[".to_vec()),
        ("a bad list", b"[{]".to_vec()),
        ("half of null", b"nul".to_vec()),
        ("a number", b"123".to_vec()),
        ("a text", b"\"text\"".to_vec()),
        ("a truth", b"true".to_vec()),
        ("a page", b"<!DOCTYPE html><title>Sign in</title>".to_vec()),
        ("bytes", vec![0xff, 0xfe, 0x00, 0x80]),
        ("a deep nest", vec![b'['; 20_000]),
        ("a byte order mark", b"\xef\xbb\xbf[]".to_vec()),
        ("two values", b"[] []".to_vec()),
        ("a trailing comma", b"[1,]".to_vec()),
        ("a comment", b"/* x */ []".to_vec()),
        ("a list of nothing", b"[null]".to_vec()),
        ("a list of lists", b"[[]]".to_vec()),
        ("a list of numbers", b"[1]".to_vec()),
        ("a list of empty things", b"[{}]".to_vec()),
        ("a zero byte", b"[{\"id\":1\0}]".to_vec()),
        ("half a pair", b"[{\"id\":3,\"body\":\"\\ud800\"}]".to_vec()),
    ]
}
