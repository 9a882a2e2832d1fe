//! The floor below the floor: finished answers straight on h2, without tonic's layers, with the messages of the echo
//! server.

use std::net::SocketAddr;

use anyhow::Result;
use bytes::Bytes;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use prost::Message;

use super::echo;
use crate::grpc::frame;

const WINDOW: u32 = 16 << 20;

/// Serves unary calls until the process is told to stop. Prints the address first, for port 0.
///
/// # Errors
/// The address is taken.
pub async fn serve(listen: SocketAddr) -> Result<()> {
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    let answers = Answers::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                let answers = answers.clone();
                tokio::spawn(async move {
                    // A client that goes away ends its connection, and no more.
                    let _ = connection(stream, answers).await;
                });
            }
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

#[derive(Clone)]
struct Answers {
    check: Bytes,
    reserve: Bytes,
    confirm: Bytes,
    release: Bytes,
}

impl Answers {
    fn new() -> Self {
        fn framed(message: impl Message) -> Bytes {
            frame(&message)
        }
        Self {
            check: framed(echo::check()),
            reserve: framed(echo::reserve()),
            confirm: framed(echo::confirm()),
            release: framed(echo::release()),
        }
    }

    fn of(&self, path: &str) -> Option<Bytes> {
        match path.rsplit('/').next()? {
            "Check" => Some(self.check.clone()),
            "Reserve" => Some(self.reserve.clone()),
            "Confirm" => Some(self.confirm.clone()),
            "Release" => Some(self.release.clone()),
            _ => None,
        }
    }
}

async fn connection(stream: tokio::net::TcpStream, answers: Answers) -> Result<()> {
    let mut connection = h2::server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(stream)
        .await?;
    while let Some(accepted) = connection.accept().await {
        let (request, respond) = accepted?;
        let answer = answers.of(request.uri().path());
        tokio::spawn(async move {
            let _ = call(request.into_body(), respond, answer).await;
        });
    }
    Ok(())
}

/// Reads the question to its end, as a service must before it can decode it.
async fn call(
    mut body: h2::RecvStream,
    mut respond: SendResponse<Bytes>,
    answer: Option<Bytes>,
) -> Result<()> {
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
    }
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::OK;
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    let mut send = respond.send_response(response, false)?;
    // 12: the method is not implemented.
    let status = if answer.is_some() { "0" } else { "12" };
    if let Some(answer) = answer {
        send.send_data(answer, false)?;
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(status));
    Ok(send.send_trailers(trailers)?)
}

#[cfg(test)]
mod tests {
    use bespeak_proto::v1::{CheckRequest, CheckResponse, FulfilRequest, FulfilResponse};

    use super::*;
    use crate::grpc::{CallError, Channel};

    #[tokio::test]
    async fn it_answers_what_the_benchmarks_ask_and_no_more() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            connection(stream, Answers::new()).await
        });
        let mut channel = Channel::connect(port).await.unwrap();
        let service = "/bespeak.v1.PromiseService";
        let answer: CheckResponse = channel
            .call(&format!("{service}/Check"), &CheckRequest::default())
            .await
            .unwrap();
        assert_eq!(answer, echo::check());
        let other: Result<FulfilResponse> = channel
            .call(&format!("{service}/Fulfil"), &FulfilRequest::default())
            .await;
        let error = other.unwrap_err();
        let code = error.downcast_ref::<CallError>().map(|error| error.code);
        assert_eq!(code, Some(tonic::Code::Unimplemented), "{error:#}");
    }
}
