//! HTTP/2 by hand, for what a well-behaved client never sends.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;

pub type Sender = SendRequest<Full<Bytes>>;

/// A connection without a gRPC client on it.
pub async fn connect<B>(address: SocketAddr) -> SendRequest<B>
where
    B: Body<Data = Bytes, Error: std::error::Error + Send + Sync> + Send + Unpin + 'static,
{
    let stream = TcpStream::connect(address).await.expect("connects");
    // A request is several small writes, which would wait for one another's acknowledgement.
    stream.set_nodelay(true).expect("a socket");
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("HTTP/2");
    // Ends with the connection; its error is seen by the sender.
    tokio::spawn(async move { connection.await.map_err(|error| error.to_string()) });
    sender
}

/// One message behind its prefix.
pub fn framed(message: &impl Message) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(0);
    out.put_u32(message.encoded_len() as u32);
    message.encode(&mut out).expect("room enough");
    out.freeze()
}

/// Status code, message and number of data bytes of an answer; `None` when the stream was cut.
pub async fn call(
    sender: &mut Sender,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Option<(i32, String, usize)> {
    let mut request = http::Request::post(format!("http://server{path}"))
        .header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body)).expect("a request");
    told(sender.send_request(request).await.ok()?).await
}

/// As [`call`], of an answer that has begun.
pub async fn told(response: http::Response<Incoming>) -> Option<(i32, String, usize)> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.ok()?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let data = body.to_bytes().len();
    let field = |name: &str| {
        let value = head.headers.get(name).or_else(|| trailers.get(name));
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
            .to_owned()
    };
    Some((
        field("grpc-status").parse().unwrap_or(-1),
        field("grpc-message"),
        data,
    ))
}
