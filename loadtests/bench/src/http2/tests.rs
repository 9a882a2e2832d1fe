//! Against servers of others: h2, and tonic.

use bytes::Bytes;
use h2::server::{self, SendResponse};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::grpc::CallError;

/// Serves one connection with h2: each call gets what `answer` makes of its path and question.
async fn serve<F>(builder: server::Builder, answer: F) -> u16
where
    F: Fn(&str, &[u8]) -> (Vec<Bytes>, &'static str) + Send + Sync + Clone + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = builder.handshake::<TcpStream, Bytes>(stream).await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            tokio::spawn(call(request, respond, answer.clone()));
        }
    });
    port
}

async fn call(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    answer: impl Fn(&str, &[u8]) -> (Vec<Bytes>, &'static str),
) {
    let path = request.uri().path().to_owned();
    let mut body = request.into_body();
    let mut question = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        question.extend_from_slice(&data);
    }
    let (parts, status) = answer(&path, &question);
    let mut send = respond.send_response(Response::new(()), false).unwrap();
    for part in parts {
        send.send_data(part, false).unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    trailers.insert("grpc-message", "no%20room".parse().unwrap());
    send.send_trailers(trailers).unwrap();
}

fn framed(message: &[u8]) -> Bytes {
    let mut out = vec![0];
    out.extend((message.len() as u32).to_be_bytes());
    out.extend(message);
    out.into()
}

#[tokio::test]
async fn many_calls_at_once_get_their_own_answers() {
    // The server's windows are far smaller than what is sent, so that calls have to wait for them.
    let mut builder = server::Builder::new();
    builder
        .initial_window_size(17_000)
        .initial_connection_window_size(70_000);
    let echo = |path: &str, question: &[u8]| {
        assert!(path == "/s/One" || path == "/s/Two", "{path}");
        (vec![Bytes::copy_from_slice(question)], "0")
    };
    let channel = Channel::connect(serve(builder, echo).await, None)
        .await
        .unwrap();
    let methods = [channel.method("/s/One"), channel.method("/s/Two")];
    let mut tasks = Vec::new();
    for caller in 0..40u32 {
        let (mut channel, methods) = (channel.clone(), methods.clone());
        tasks.push(tokio::spawn(async move {
            for turn in 0..25 {
                let mut message = vec![caller as u8; 1 + (caller * 397 % 9_000) as usize];
                message[0] = turn as u8;
                let method = &methods[turn % 2];
                let answer = channel.unary(method, &framed(&message)).await.unwrap();
                assert_eq!(answer, message);
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_message_in_pieces_is_one_and_a_status_is_an_error() {
    let large = framed(&[7; 40_000]);
    let answer = move |path: &str, _: &[u8]| match path {
        "/s/Pieces" => (
            (0..4)
                .map(|n| large.slice(n * 10_002..((n + 1) * 10_002).min(40_005)))
                .collect(),
            "0",
        ),
        "/s/Refused" => (Vec::new(), "8"),
        "/s/Twice" => (vec![framed(b"a"), framed(b"b")], "0"),
        "/s/Torn" => (vec![framed(b"whole").slice(..7)], "0"),
        _ => (Vec::new(), "0"),
    };
    let port = serve(server::Builder::new(), answer).await;
    let mut channel = Channel::connect(port, None).await.unwrap();
    let ask = async |path: &str, channel: &mut Channel| {
        let method = channel.method(path);
        channel.unary(&method, &framed(b"?")).await
    };
    for _ in 0..3 {
        assert_eq!(
            ask("/s/Pieces", &mut channel).await.unwrap(),
            vec![7; 40_000]
        );
        let refused = ask("/s/Refused", &mut channel).await.unwrap_err();
        let error = refused.downcast_ref::<CallError>().unwrap();
        assert_eq!(
            (error.code, error.message.as_str()),
            (tonic::Code::ResourceExhausted, "no room")
        );
        for (path, why) in [
            ("/s/Twice", "two answers"),
            ("/s/Torn", "inside a message"),
            ("/s/None", "without an answer"),
        ] {
            let error = ask(path, &mut channel).await.unwrap_err().to_string();
            assert!(error.contains(why), "{path}: {error}");
        }
    }
    let method = channel.method("/s/Pieces");
    let error = channel.unary(&method, &[0; 20_000]).await.unwrap_err();
    assert!(error.to_string().contains("20000 bytes"), "{error}");
}

#[tokio::test]
async fn a_stream_carries_messages_both_ways_until_the_server_is_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = server::handshake(stream).await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        let mut send = respond.send_response(Response::new(()), false).unwrap();
        let mut body = request.into_body();
        let echo = async {
            for _ in 0..2_000 {
                let data = body.data().await.unwrap().unwrap();
                body.flow_control().release_capacity(data.len()).unwrap();
                send.send_data(data, false).unwrap();
            }
        };
        tokio::select! {
            () = echo => {}
            _ = connection.accept() => panic!("the connection ended first"),
        }
        // What is sent goes out before the connection is dropped.
        std::future::poll_fn(|context| {
            let _ = connection.poll_closed(context);
            std::task::Poll::Ready(())
        })
        .await;
    });
    let mut channel = Channel::connect(port, None).await.unwrap();
    let method = channel.method("/s/Session");
    let mut stream = channel.stream(&method).await.unwrap();
    for turn in 0..2_000u32 {
        let message = [turn.to_be_bytes(); 40].concat();
        stream.send(&framed(&message)).unwrap();
        if turn < 1_999 {
            assert_eq!(stream.receive().await.unwrap(), message);
        }
    }
    server.await.unwrap();
    let error = loop {
        if let Err(error) = stream.receive().await {
            break error;
        }
    };
    assert!(
        error.downcast_ref::<std::io::Error>().is_some(),
        "{error:?}"
    );
    let after = channel.unary(&method, &framed(b"x")).await.unwrap_err();
    assert!(
        after.downcast_ref::<std::io::Error>().is_some(),
        "{after:?}"
    );
}

#[tokio::test]
async fn a_server_that_breaks_the_protocol_ends_the_call_with_why() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let broken: [(&[u8], &str); 6] = [
        (b"\0\0\0\x01\0\0\0\0\x01", "headers of several frames"),
        (b"\xff\0\0\0\0\0\0\0\x01", "frame of 16711680 bytes"),
        (
            b"\0\0\x06\x04\0\0\0\0\0\0\x01\0\0\0\x10",
            "keeps 16 bytes of headers",
        ),
        (
            b"\0\0\x01\x08\0\0\0\0\0\x01",
            "frame of 1 bytes where a number",
        ),
        (b"\0\0\x01\0\x08\0\0\0\x01\x05", "more padding than bytes"),
        (
            b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0",
            "ends the connection",
        ),
    ];
    for (bytes, why) in broken {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(bytes).await.unwrap();
            // Until the client has had enough of it.
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
        });
        let mut channel = Channel::connect(port, None).await.unwrap();
        let method = channel.method("/s/Any");
        let error = channel.unary(&method, &framed(b"x")).await.unwrap_err();
        assert!(format!("{error:#}").contains(why), "{error:#}");
        drop(channel);
        server.await.unwrap();
    }
}
