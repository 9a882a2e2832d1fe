//! A gRPC client on h2: bytes in, bytes out. It fills servers, reads them back and carries Flight; what is measured call by
//! call goes over [`crate::http2`].

use std::future::poll_fn;

use anyhow::{Context, Result, anyhow, ensure};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

/// gRPC puts a flag and a length before each message.
pub const PREFIX: usize = 5;
/// What is said when a server closes a stream without a status.
pub const STREAM_ENDED: &str = "the server ended the stream";
const WINDOW: u32 = 16 << 20;
const FRAME_MAX: u32 = 1 << 20;

/// One HTTP/2 connection; clones share it.
#[derive(Clone)]
pub struct Channel {
    sender: SendRequest<Bytes>,
    port: u16,
    scheme: &'static str,
}

/// The server answered a call with a status other than OK.
#[derive(Clone, Debug, PartialEq)]
pub struct CallError {
    pub code: tonic::Code,
    pub message: String,
}

impl std::fmt::Display for CallError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}: {}", self.code, self.message)
    }
}

impl std::error::Error for CallError {}

/// One method, with its headers built before.
#[derive(Clone)]
pub struct Method(Request<()>);

/// Messages both ways on one stream.
pub struct Stream {
    send: SendStream<Bytes>,
    receive: Messages,
}

impl Channel {
    /// # Errors
    /// Nobody listens there, or the peer speaks no HTTP/2.
    pub async fn connect(port: u16) -> Result<Self> {
        Self::over(socket(port).await?, port, "http").await
    }

    /// The same within TLS.
    ///
    /// # Errors
    /// Also when the server's certificate is not one that the connector trusts.
    pub async fn connect_tls(port: u16, tls: &TlsConnector) -> Result<Self> {
        Self::over(secured(port, tls).await?, port, "https").await
    }

    async fn over<T>(stream: T, port: u16, scheme: &'static str) -> Result<Self>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_frame_size(FRAME_MAX)
            .handshake::<_, Bytes>(stream)
            .await?;
        tokio::spawn(async move {
            // Its end shows as an error of the next call.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            port,
            scheme,
        })
    }

    /// # Errors
    /// The path is no path.
    pub fn method(&self, path: &str) -> Result<Method> {
        let request = Request::post(format!("{}://127.0.0.1:{}{path}", self.scheme, self.port))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        Ok(Method(request))
    }

    /// One call with a message that already has its prefix; gives the answer's message.
    ///
    /// # Errors
    /// The call's status is not OK, or the connection is lost.
    pub async fn unary(&mut self, method: &Method, message: Bytes) -> Result<Bytes> {
        poll_fn(|context| self.sender.poll_ready(context)).await?;
        let (response, mut send) = self.sender.send_request(method.0.clone(), false)?;
        send.send_data(message, true)?;
        let (parts, body) = response.await?.into_parts();
        status(&parts.headers)?;
        let mut messages = Messages::new(body);
        let answer = messages
            .next()
            .await?
            .context("the call ended without an answer")?;
        ensure!(
            messages.next().await?.is_none(),
            "a unary call gave two answers"
        );
        Ok(answer)
    }

    /// A call with prost messages, for what is not measured.
    ///
    /// # Errors
    /// As for [`Self::unary`].
    pub async fn call<I: prost::Message, O: prost::Message + Default>(
        &mut self,
        path: &str,
        message: &I,
    ) -> Result<O> {
        let method = self.method(path)?;
        let answer = self
            .unary(&method, frame(message))
            .await
            .with_context(|| path.to_owned())?;
        Ok(O::decode(answer)?)
    }

    /// Opens a stream of messages both ways. The answer's headers come with the first answer.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn stream(&mut self, method: &Method) -> Result<Stream> {
        poll_fn(|context| self.sender.poll_ready(context)).await?;
        let (response, send) = self.sender.send_request(method.0.clone(), false)?;
        Ok(Stream {
            send,
            receive: Messages::pending(response),
        })
    }
}

/// # Errors
/// The server's certificate is not one that the connector trusts.
pub async fn secured(port: u16, tls: &TlsConnector) -> Result<TlsStream<TcpStream>> {
    let name = ServerName::from(std::net::IpAddr::from([127, 0, 0, 1]));
    Ok(tls.connect(name, socket(port).await?).await?)
}

/// # Errors
/// Nobody listens there.
pub async fn socket(port: u16) -> Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))
        .await
        .with_context(|| format!("gRPC server on port {port}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Stream {
    /// # Errors
    /// The server ended the stream.
    pub fn send(&mut self, message: Bytes) -> Result<()> {
        Ok(self.send.send_data(message, false)?)
    }

    /// # Errors
    /// The stream ended, with or without an error of its own.
    pub async fn receive(&mut self) -> Result<Bytes> {
        self.receive.next().await?.context(STREAM_ENDED)
    }
}

enum Body {
    Pending(h2::client::ResponseFuture),
    Open(RecvStream),
}

/// Cuts what arrives into messages.
struct Messages {
    body: Body,
    input: BytesMut,
}

impl Messages {
    fn new(body: RecvStream) -> Self {
        Self {
            body: Body::Open(body),
            input: BytesMut::new(),
        }
    }

    fn pending(response: h2::client::ResponseFuture) -> Self {
        Self {
            body: Body::Pending(response),
            input: BytesMut::new(),
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(message) = unframe(&mut self.input) {
                return Ok(Some(message));
            }
            let body = match &mut self.body {
                Body::Open(body) => body,
                Body::Pending(response) => {
                    let (parts, body) = response.await?.into_parts();
                    status(&parts.headers)?;
                    self.body = Body::Open(body);
                    continue;
                }
            };
            match body.data().await {
                Some(data) => {
                    let data = data?;
                    body.flow_control().release_capacity(data.len())?;
                    // The common case is one whole message a frame: no copy.
                    if self.input.is_empty() && whole(&data) {
                        return Ok(Some(data.slice(PREFIX..)));
                    }
                    self.input.put(data);
                }
                None => {
                    if let Some(trailers) = body.trailers().await? {
                        status(&trailers)?;
                    }
                    ensure!(self.input.is_empty(), "the stream ended inside a message");
                    return Ok(None);
                }
            }
        }
    }
}

fn message_len(input: &[u8]) -> Option<usize> {
    let length = input.get(1..PREFIX)?;
    Some(u32::from_be_bytes([length[0], length[1], length[2], length[3]]) as usize)
}

pub fn whole(input: &[u8]) -> bool {
    message_len(input).is_some_and(|len| input.len() == PREFIX + len)
}

pub fn unframe(input: &mut BytesMut) -> Option<Bytes> {
    let len = message_len(input)?;
    if input.len() < PREFIX + len {
        return None;
    }
    input.advance(PREFIX);
    Some(input.split_to(len).freeze())
}

/// A message with its prefix, as it goes on the wire.
pub fn frame(message: &impl prost::Message) -> Bytes {
    frame_with(message.encoded_len(), |out| message.encode_raw(out))
}

fn frame_with(len: usize, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(PREFIX + len);
    out.put_u8(0);
    out.put_u32(len as u32);
    write(&mut out);
    out.freeze()
}

/// # Errors
/// The headers or trailers carry a status other than OK.
fn status(headers: &HeaderMap) -> Result<()> {
    let text = |name| {
        headers
            .get(name)
            .and_then(|v: &http::HeaderValue| v.to_str().ok())
    };
    match text("grpc-status") {
        None | Some("0") => Ok(()),
        Some(code) => {
            let message = unescape(text("grpc-message").unwrap_or("no message"));
            let code = code
                .parse::<i32>()
                .map_err(|_| anyhow!("grpc-status {code}"))?;
            let code = tonic::Code::from_i32(code);
            Err(CallError { code, message }.into())
        }
    }
}

/// Messages travel with spaces and more written as `%20`.
pub fn unescape(text: &str) -> String {
    let mut parts = text.split('%');
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        match part
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        {
            Some(byte) => {
                out.push(byte);
                out.extend(&part.as_bytes()[2..]);
            }
            None => out.extend([b"%", part.as_bytes()].concat()),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_where_their_lengths_say() {
        let mut input = BytesMut::from(&b"\0\0\0\0\x02ab\0\0\0\0\0\0\0\0\0\x03x"[..]);
        assert_eq!(unframe(&mut input).as_deref(), Some(&b"ab"[..]));
        assert_eq!(unframe(&mut input).as_deref(), Some(&b""[..]));
        assert_eq!(unframe(&mut input), None);
        input.extend_from_slice(b"yz");
        assert_eq!(unframe(&mut input).as_deref(), Some(&b"xyz"[..]));
    }

    #[test]
    fn only_one_whole_message_is_taken_as_it_is() {
        assert!(whole(b"\0\0\0\0\x02ab"));
        assert!(!whole(b"\0\0\0\0\x02a"));
        assert!(!whole(b"\0\0\0\0\x02abc"));
        assert!(!whole(b"\0\0\0"));
    }

    #[test]
    fn escapes_are_undone_and_lone_signs_kept() {
        assert_eq!(unescape("50%25 of%20it, 7% more%"), "50% of it, 7% more%");
    }

    #[test]
    fn a_status_other_than_ok_is_an_error() {
        let mut headers = HeaderMap::new();
        assert!(status(&headers).is_ok());
        headers.insert("grpc-status", "0".parse().unwrap());
        assert!(status(&headers).is_ok());
        headers.insert("grpc-status", "8".parse().unwrap());
        headers.insert("grpc-message", "queue%20full".parse().unwrap());
        let error = status(&headers).unwrap_err().to_string();
        assert!(
            error.contains("resources") || error.contains("Exhausted"),
            "{error}"
        );
        assert!(error.contains("queue full"), "{error}");
    }
}
