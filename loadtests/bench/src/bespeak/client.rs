//! One client of Bespeak: a call an operation, or one long-lived session stream, the like of a
//! connection to Redis.

use anyhow::{Context, Result, bail, ensure};
use bespeak_proto::v1::{
    CheckResponse, ConfirmResponse, Outcome, Refusal, ReleaseResponse, ReserveResponse,
    SessionResponse, session_response,
};
use bytes::Bytes;
use prost::Message;

use super::wire::Requests;
use crate::connection::{Connection, Settle};
use crate::grpc::CallError;
use crate::http2::{Channel, Method, Stream};
use crate::ids::Ids;

pub struct UnaryClient {
    channel: Channel,
    ids: Ids,
    requests: Requests,
    reserve: Method,
    confirm: Method,
    release: Method,
    check: Method,
}

impl UnaryClient {
    pub fn new(channel: Channel, salt: u64) -> Self {
        let method = |name| channel.method(&format!("/bespeak.v1.PromiseService/{name}"));
        Self {
            ids: Ids::new(salt),
            requests: Requests::new(false),
            reserve: method("Reserve"),
            confirm: method("Confirm"),
            release: method("Release"),
            check: method("Check"),
            channel,
        }
    }
}

impl Connection for UnaryClient {
    type Hold = u64;

    async fn reserve(&mut self, sku: u32, quantity: u8) -> Result<Option<u64>> {
        let request = self.requests.reserve(&self.ids.next_text(), sku, quantity);
        let answer = self.channel.unary(&self.reserve, &request).await?;
        held(&ReserveResponse::decode(answer)?)
    }

    async fn settle(&mut self, hold: u64, how: Settle) -> Result<()> {
        let id = self.ids.next_text();
        let refusal = match how {
            Settle::Confirm => {
                let request = self.requests.confirm(&id, hold);
                let answer = self.channel.unary(&self.confirm, &request).await?;
                ConfirmResponse::decode(answer)?.refusal
            }
            Settle::Cancel => {
                let request = self.requests.release(&id, hold);
                let answer = self.channel.unary(&self.release, &request).await?;
                ReleaseResponse::decode(answer)?.refusal
            }
        };
        accepted(refusal, hold)
    }

    async fn check(&mut self, sku: u32) -> Result<u64> {
        let answer = self
            .channel
            .unary(&self.check, &self.requests.check(sku))
            .await?;
        available(CheckResponse::decode(answer)?)
    }
}

pub struct SessionClient {
    stream: Stream,
    ids: Ids,
    requests: Requests,
}

impl SessionClient {
    /// # Errors
    /// The connection is lost.
    pub async fn open(channel: &mut Channel, salt: u64) -> Result<Self> {
        let method = channel.method("/bespeak.v1.PromiseService/Session");
        let stream = channel.stream(&method).await?;
        Ok(Self {
            stream,
            ids: Ids::new(salt),
            requests: Requests::new(true),
        })
    }

    async fn ask(&mut self, request: Bytes) -> Result<session_response::Response> {
        self.stream.send(&request)?;
        let answer = SessionResponse::decode(self.stream.receive().await?)?;
        match answer.response.context("the session answered nothing")? {
            session_response::Response::Error(error) => Err(CallError {
                code: tonic::Code::from_i32(error.status),
                message: format!("{}: {}", error.code, error.message),
            }
            .into()),
            response => Ok(response),
        }
    }
}

impl Connection for SessionClient {
    type Hold = u64;

    async fn reserve(&mut self, sku: u32, quantity: u8) -> Result<Option<u64>> {
        let request = self.requests.reserve(&self.ids.next_text(), sku, quantity);
        match self.ask(request).await? {
            session_response::Response::Reserve(response) => held(&response),
            other => bail!("the session answered a reserve with {other:?}"),
        }
    }

    async fn settle(&mut self, hold: u64, how: Settle) -> Result<()> {
        let id = self.ids.next_text();
        let request = match how {
            Settle::Confirm => self.requests.confirm(&id, hold),
            Settle::Cancel => self.requests.release(&id, hold),
        };
        match (self.ask(request).await?, how) {
            (session_response::Response::Confirm(response), Settle::Confirm) => {
                accepted(response.refusal, hold)
            }
            (session_response::Response::Release(response), Settle::Cancel) => {
                accepted(response.refusal, hold)
            }
            (other, _) => bail!("the session answered {how:?} with {other:?}"),
        }
    }

    async fn check(&mut self, sku: u32) -> Result<u64> {
        match self.ask(self.requests.check(sku)).await? {
            session_response::Response::Check(response) => available(response),
            other => bail!("the session answered a check with {other:?}"),
        }
    }
}

/// Only want of stock is a refusal that the job knows.
fn held(response: &ReserveResponse) -> Result<Option<u64>> {
    if response.outcome() == Outcome::Full {
        ensure!(
            response.reservation_id != 0,
            "a full answer without a reservation id"
        );
        return Ok(Some(response.reservation_id));
    }
    match response.lines.first().map(|line| line.refusal()) {
        Some(Refusal::InsufficientStock) => Ok(None),
        refusal => bail!("a reserve was refused for {refusal:?}: {response:?}"),
    }
}

fn accepted(refusal: i32, hold: u64) -> Result<()> {
    match Refusal::try_from(refusal) {
        Ok(Refusal::Unspecified) => Ok(()),
        other => bail!("reservation {hold} was not settled: {other:?}"),
    }
}

fn available(response: CheckResponse) -> Result<u64> {
    Ok(response
        .results
        .first()
        .context("a check without a result")?
        .available)
}
