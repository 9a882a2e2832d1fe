//! One worker's line to a server: the operations of a step, one at a time.

use anyhow::{Context, Result, bail, ensure};
use bespeak_proto::v1::*;
use bytes::Bytes;
use prost::Message;

use super::holds::{HOLD_MS, Units};
use super::spec::{Target, Transport};
use crate::bespeak::LOCATION;
use crate::bespeak::flight::FlightClient;
use crate::bespeak::wire::{self, Requests};
use crate::connection::Connection;
use crate::grpc::{CallError, frame};
use crate::http2::{Channel, Method, Stream};
use crate::ids::Ids;

const SERVICE: &str = "/bespeak.v1.PromiseService";

/// What became of a reserve.
pub enum Reserved {
    Held(u64),
    /// There was not that much.
    Refused,
}

/// What became of a step of an open reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finished {
    Done,
    /// Its time had run out before, and its stock was no longer free.
    Expired,
}

/// A message as it went out, and to which method.
#[derive(Clone)]
pub struct Sent {
    method: usize,
    message: Bytes,
}

pub struct Client {
    channel: Channel,
    stream: Option<Stream>,
    flight: Option<FlightClient>,
    echo: bool,
    ids: Ids,
    requests: Requests,
    methods: [Method; 8],
    /// The last one.
    sent: Option<Sent>,
}

const CHECK: usize = 0;
const RESERVE: usize = 1;
const CONFIRM: usize = 2;
const FULFIL: usize = 3;
const RELEASE: usize = 4;
const ADJUST: usize = 5;
const ALLOCATE: usize = 6;
const FORECAST: usize = 7;

async fn session_on(channel: &mut Channel) -> Result<Stream> {
    let method = channel.method(&format!("{SERVICE}/Session"));
    channel.stream(&method).await
}

impl Client {
    /// # Errors
    /// The connection is lost.
    pub async fn open(
        mut channel: Channel,
        flight: Option<FlightClient>,
        transport: Transport,
        target: Target,
        salt: u64,
    ) -> Result<Self> {
        let method = |name: &str| channel.method(&format!("{SERVICE}/{name}"));
        let methods = [
            method("Check"),
            method("Reserve"),
            method("Confirm"),
            method("Fulfil"),
            method("Release"),
            channel.method("/bespeak.v1.SupplyService/AdjustOnHand"),
            channel.method("/bespeak.v1.AllocationService/Allocate"),
            channel.method("/bespeak.v1.ForecastService/Forecast"),
        ];
        let session = transport == Transport::Session;
        let stream = match session {
            true => Some(session_on(&mut channel).await?),
            false => None,
        };
        Ok(Self {
            stream,
            flight,
            echo: target.bare(),
            ids: Ids::new(salt),
            requests: Requests::holding(session, HOLD_MS),
            methods,
            sent: None,
            channel,
        })
    }

    /// Whether the connection takes no more calls.
    pub fn ends(&self) -> bool {
        self.channel.ends()
    }

    /// Goes on over another connection to the same server. What a stream had under way is lost.
    ///
    /// # Errors
    /// That one is lost too.
    pub async fn over(&mut self, mut channel: Channel) -> Result<()> {
        if self.stream.is_some() {
            self.stream = Some(session_on(&mut channel).await?);
        }
        self.channel = channel;
        Ok(())
    }

    /// The message that was sent last.
    pub fn sent(&mut self) -> Option<Sent> {
        self.sent.take()
    }

    /// The same message again.
    ///
    /// # Errors
    /// As for all of them.
    pub async fn resend(&mut self, sent: &Sent) -> Result<Bytes> {
        self.call(sent.method, sent.message.clone()).await
    }

    async fn call(&mut self, method: usize, message: Bytes) -> Result<Bytes> {
        self.sent = Some(Sent {
            method,
            message: message.clone(),
        });
        self.channel.unary(&self.methods[method], &message).await
    }

    /// A batch of orders, from bytes that are ready.
    pub async fn allocate(
        &mut self,
        request: impl FnOnce(&str) -> Bytes,
    ) -> Result<AllocateResponse> {
        let id = self.ids.next_text();
        let message = request(std::str::from_utf8(&id)?);
        Self::planned(self.call(ALLOCATE, message).await?)
    }

    /// A forecast, from bytes that are ready.
    pub async fn forecast(&mut self, message: Bytes) -> Result<ForecastResponse> {
        Ok(ForecastResponse::decode(
            self.call(FORECAST, message).await?,
        )?)
    }

    pub fn planned(answer: Bytes) -> Result<AllocateResponse> {
        Ok(AllocateResponse::decode(answer)?)
    }

    /// What became of a reserve, and whether it had been done before.
    pub fn reserved(answer: Bytes) -> Result<(Reserved, bool)> {
        let answer = ReserveResponse::decode(answer)?;
        let replayed = answer.replayed;
        Ok((reserved(&answer)?, replayed))
    }

    pub fn confirmed(answer: Bytes, reservation: u64) -> Result<Finished> {
        finished(ConfirmResponse::decode(answer)?.refusal, reservation)
    }

    pub fn released(answer: Bytes, reservation: u64) -> Result<Finished> {
        finished(ReleaseResponse::decode(answer)?.refusal, reservation)
    }

    pub fn fulfilled(answer: Bytes, reservation: u64) -> Result<Finished> {
        finished(FulfilResponse::decode(answer)?.refusal, reservation)
    }

    pub fn adjusted(answer: Bytes) -> Result<()> {
        let result = AdjustOnHandResponse::decode(answer)?.result;
        match result.map(|result| result.refusal()) {
            Some(Refusal::Unspecified) => Ok(()),
            other => bail!("found stock was refused: {other:?}"),
        }
    }

    /// # Errors
    /// As for all of them: [`CallError`] is an answer of the server, anything else is no answer.
    pub async fn check(&mut self, skus: &[u32]) -> Result<()> {
        let message = match skus {
            [sku] => self.requests.check(*sku),
            skus => {
                let line = |&sku: &u32| CheckLine {
                    item: wire::item(sku),
                    location: LOCATION.to_owned(),
                    quantity: 1,
                    ..Default::default()
                };
                let request = CheckRequest {
                    lines: skus.iter().map(line).collect(),
                    ..Default::default()
                };
                self.framed(request, session_request::Request::Check)
            }
        };
        let answer = self.ask(CHECK, message).await?;
        let answer: CheckResponse = match answer {
            Answer::Call(bytes) => CheckResponse::decode(bytes)?,
            Answer::Session(session_response::Response::Check(answer)) => answer,
            Answer::Session(other) => bail!("the session answered a check with {other:?}"),
        };
        ensure!(
            self.echo || answer.results.len() == skus.len(),
            "{} of {} lines were answered",
            answer.results.len(),
            skus.len()
        );
        Ok(())
    }

    pub async fn reserve(&mut self, units: &[(u32, u8)]) -> Result<Reserved> {
        let id = self.ids.next_text();
        let message = match units {
            [(sku, quantity)] => self.requests.reserve(&id, *sku, *quantity),
            units => {
                let line = |&(sku, quantity): &(u32, u8)| ReserveLine {
                    item: wire::item(sku),
                    location: LOCATION.to_owned(),
                    quantity: u64::from(quantity),
                    ..Default::default()
                };
                let request = ReserveRequest {
                    context: wire::context(std::str::from_utf8(&id)?),
                    lines: units.iter().map(line).collect(),
                    expires_in_ms: HOLD_MS,
                    ..Default::default()
                };
                self.framed(request, session_request::Request::Reserve)
            }
        };
        let answer: ReserveResponse = match self.ask(RESERVE, message).await? {
            Answer::Call(bytes) => ReserveResponse::decode(bytes)?,
            Answer::Session(session_response::Response::Reserve(answer)) => answer,
            Answer::Session(other) => bail!("the session answered a reserve with {other:?}"),
        };
        reserved(&answer)
    }

    pub async fn confirm(&mut self, hold: u64) -> Result<Finished> {
        let message = self.requests.confirm(&self.ids.next_text(), hold);
        let refusal = match self.ask(CONFIRM, message).await? {
            Answer::Call(bytes) => ConfirmResponse::decode(bytes)?.refusal,
            Answer::Session(session_response::Response::Confirm(answer)) => answer.refusal,
            Answer::Session(other) => bail!("the session answered a confirm with {other:?}"),
        };
        finished(refusal, hold)
    }

    pub async fn release(&mut self, hold: u64) -> Result<Finished> {
        let message = self.requests.release(&self.ids.next_text(), hold);
        let refusal = match self.ask(RELEASE, message).await? {
            Answer::Call(bytes) => ReleaseResponse::decode(bytes)?.refusal,
            Answer::Session(session_response::Response::Release(answer)) => answer.refusal,
            Answer::Session(other) => bail!("the session answered a release with {other:?}"),
        };
        finished(refusal, hold)
    }

    /// The echo server knows no fulfilment: it is asked to confirm, which is as long.
    pub async fn fulfil(&mut self, reservation: u64) -> Result<Finished> {
        if self.echo {
            return self.confirm(reservation).await;
        }
        let message = self.requests.fulfil(&self.ids.next_text(), reservation);
        let refusal = match self.ask(FULFIL, message).await? {
            Answer::Call(bytes) => FulfilResponse::decode(bytes)?.refusal,
            Answer::Session(session_response::Response::Fulfil(answer)) => answer.refusal,
            Answer::Session(other) => bail!("the session answered a fulfilment with {other:?}"),
        };
        finished(refusal, reservation)
    }

    /// Stock that was found. The echo server knows no supply: it is asked to check.
    pub async fn found(&mut self, sku: u32, quantity: u8) -> Result<()> {
        if self.echo {
            return self.check(&[sku]).await;
        }
        let request = AdjustOnHandRequest {
            context: wire::context(std::str::from_utf8(&self.ids.next_text())?),
            item: wire::item(sku),
            location: LOCATION.to_owned(),
            status: StockStatus::Unrestricted.into(),
            delta: i64::from(quantity),
            reason: AdjustReason::Found.into(),
            ..Default::default()
        };
        Self::adjusted(self.call(ADJUST, frame(&request)).await?)
    }

    /// Each row by itself; tells which were held.
    pub async fn batch(&mut self, units: &Units) -> Result<Vec<bool>> {
        let flight = self
            .flight
            .as_mut()
            .context("a batch was asked of a client without a Flight stream")?;
        flight.reserve_batch(units).await
    }

    fn framed<M: Message>(
        &self,
        request: M,
        of_session: impl FnOnce(M) -> session_request::Request,
    ) -> Bytes {
        match self.stream {
            None => frame(&request),
            Some(_) => wire::wrap(of_session(request)),
        }
    }

    async fn ask(&mut self, method: usize, message: Bytes) -> Result<Answer> {
        let Some(stream) = &mut self.stream else {
            return Ok(Answer::Call(self.call(method, message).await?));
        };
        stream.send(&message)?;
        let answer = SessionResponse::decode(stream.receive().await?)?;
        match answer.response.context("the session answered nothing")? {
            session_response::Response::Error(error) => Err(CallError {
                code: tonic::Code::from_i32(error.status),
                message: format!("{}: {}", error.code, error.message),
            }
            .into()),
            response => Ok(Answer::Session(response)),
        }
    }
}

enum Answer {
    Call(Bytes),
    Session(session_response::Response),
}

fn reserved(answer: &ReserveResponse) -> Result<Reserved> {
    if answer.outcome() == Outcome::Full {
        ensure!(
            answer.reservation_id != 0,
            "a full answer without a reservation id"
        );
        return Ok(Reserved::Held(answer.reservation_id));
    }
    let known = |line: &LineResult| {
        matches!(
            line.refusal(),
            Refusal::InsufficientStock | Refusal::OtherLine
        )
    };
    ensure!(
        answer.lines.iter().all(known),
        "a reserve was refused for something else than stock: {answer:?}"
    );
    Ok(Reserved::Refused)
}

fn finished(refusal: i32, reservation: u64) -> Result<Finished> {
    match Refusal::try_from(refusal) {
        Ok(Refusal::Unspecified) => Ok(Finished::Done),
        Ok(Refusal::Expired | Refusal::WrongState) => Ok(Finished::Expired),
        other => bail!("reservation {reservation} was not finished: {other:?}"),
    }
}
