//! One step: due transitions first, then one command. Decides, then applies what was decided.

mod fingerprint;
mod shocks;

use smallvec::SmallVec;

use crate::command::{Command, Meta};
use crate::decide::{self, Decision};
use crate::event::{Event, Record, ShockCause};
use crate::ids::{PositionId, ReservationId, Units, UtcMillis};
use crate::limits::{MAX_EXPIRED_KEPT, REQUEST_WINDOW_MS};
use crate::refusal::EngineError;
use crate::reply::{Answer, Outcome, Reply, ReservationState};
use crate::requests::{uuid_text, uuid7_time};
use crate::sources::SourceCheck;
use crate::state::State;

/// Where records go, in order; each is already applied.
pub type Sink<'a> = &'a mut dyn FnMut(&Record);

impl State {
    /// Fingerprint of a command: two requests under one id must agree in it.
    pub fn fingerprint(command: &Command) -> u64 {
        fingerprint::of(command)
    }

    /// Fingerprint of a request as it was sent, for [`Meta::sent`].
    pub fn fingerprint_sent(bytes: &[u8]) -> u64 {
        fingerprint::of(&bytes).max(1)
    }

    /// What a retry of a request must agree in.
    #[inline]
    pub fn fingerprint_of(meta: &Meta, command: &Command) -> u64 {
        match meta.sent {
            0 => Self::fingerprint(command),
            sent => sent,
        }
    }

    /// Earliest transition that time brings: a hold that runs out, a receipt that falls overdue.
    #[inline]
    pub fn next_due(&self) -> Option<UtcMillis> {
        let hold = self.reservations.first_due().map(|(at, _)| at);
        let receipt = self.receipts.first_due().map(|(at, _)| at);
        match (hold, receipt) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Moves engine time on and applies every transition due by then, in order of (time, id), one record each.
    pub fn advance(&mut self, now: UtcMillis, sink: Sink<'_>) {
        self.touched.clear();
        self.run_due(now, sink);
    }

    /// Notes that engine time was used up to now, so that it never runs backwards after a restart.
    pub fn tick(&mut self, now: UtcMillis, sink: Sink<'_>) {
        self.advance(now, sink);
        self.commit(
            Meta::default(),
            0,
            SmallVec::from_buf([Event::Ticked]),
            None,
            sink,
        );
    }

    /// Applies one command.
    ///
    /// Refusals are answers. Nothing has changed when an error is returned, but for time having moved on.
    ///
    /// # Errors
    /// A request that makes no sense; see [`EngineError`].
    pub fn step(
        &mut self,
        meta: Meta,
        command: &Command,
        now: UtcMillis,
        sink: Sink<'_>,
    ) -> Result<Answer, EngineError> {
        self.touched.clear();
        self.run_due(now, sink);
        let mut fingerprint = 0;
        if meta.request_id != 0 {
            fingerprint = Self::fingerprint_of(&meta, command);
            if let Some(first) = self.requests.get(meta.request_id) {
                if first.fingerprint != fingerprint {
                    return Err(EngineError::RequestIdReused(uuid_text(meta.request_id)));
                }
                return Ok(Answer {
                    reply: first.reply.clone(),
                    revision: first.revision,
                    replayed: true,
                    time: first.time,
                });
            }
        }
        // After the request id: a retry of an event gets its first answer again, not that of a duplicate.
        if let Some((source, sequence)) = &meta.source
            && self.sources.check(source, *sequence)? == SourceCheck::Duplicate
        {
            return Ok(self.answer(Reply::Duplicate, true));
        }
        if uuid7_time(meta.request_id).is_some_and(|made| made.plus(REQUEST_WINDOW_MS) < self.now) {
            return Err(EngineError::RequestIdTooOld(uuid_text(meta.request_id)));
        }
        let Decision {
            mut events,
            reply,
            shock_cause,
        } = decide::decide(self, &meta, command)?;
        if events.is_empty() {
            return Ok(self.answer(reply, false));
        }
        // What was not met is counted, but a refused request has not taken place: its event may come again.
        if meta.source.is_some()
            && matches!(&reply, Reply::Hold(hold) if hold.outcome == Outcome::Refused)
        {
            events.push(Event::NumberKept);
        }
        let reply = self.apply_decision(meta, fingerprint, events, reply, shock_cause, sink);
        Ok(self.answer(reply, false))
    }

    fn answer(&self, reply: Reply, replayed: bool) -> Answer {
        Answer {
            reply,
            revision: self.revision,
            replayed,
            time: self.now,
        }
    }

    fn run_due(&mut self, now: UtcMillis, sink: Sink<'_>) {
        while let Some(at) = self.next_due().filter(|at| *at <= now) {
            let hold = self
                .reservations
                .first_due()
                .filter(|(time, _)| *time == at);
            let receipt = self.receipts.first_due().filter(|(time, _)| *time == at);
            let mut events: SmallVec<[Event; 1]> = SmallVec::new();
            let mut cause = None;
            match (hold, receipt) {
                // At the same instant receipts come first: they were known before any promise made on them.
                (_, Some((_, no))) => {
                    events.push(Event::ReceiptOverdue(no));
                    cause = Some(ShockCause::ReceiptLate);
                }
                (Some((_, id)), None) => self.expiry_events(id, &mut events),
                (None, None) => break,
            }
            self.now = self.now.max(at);
            self.apply_and_emit(Meta::default(), 0, events, None, cause, sink);
        }
        self.now = self.now.max(now);
    }

    fn expiry_events(&self, id: ReservationId, events: &mut SmallVec<[Event; 1]>) {
        let held = self
            .reservations
            .get(id)
            .is_some_and(|found| found.state() == ReservationState::Held);
        if held {
            events.push(Event::Expired(id));
        }
        // Expired holds are kept so that they can be taken again, but never so many that they fill the memory.
        if !held || self.reservations.expired >= MAX_EXPIRED_KEPT {
            events.push(Event::Lapsed(id));
        }
    }

    fn apply_decision(
        &mut self,
        meta: Meta,
        fingerprint: u64,
        events: SmallVec<[Event; 1]>,
        reply: Reply,
        cause: Option<ShockCause>,
        sink: Sink<'_>,
    ) -> Reply {
        let reply = self.apply_and_emit(meta, fingerprint, events, Some(reply), cause, sink);
        reply.expect("invariant: a decision's reply comes back")
    }

    /// Applies events, looks whether they broke or mended promises, and emits the whole as one record.
    fn apply_and_emit(
        &mut self,
        meta: Meta,
        fingerprint: u64,
        mut events: SmallVec<[Event; 1]>,
        reply: Option<Reply>,
        cause: Option<ShockCause>,
        sink: Sink<'_>,
    ) -> Option<Reply> {
        let short = match cause {
            Some(_) if self.open_shocks() > 0 => self.end_healed(&mut events),
            _ => shocks::Short::new(),
        };
        let revision = self.revision + 1;
        let before = self.touched.len();
        self.touched_before = before;
        for event in &events {
            self.apply_event(event, revision)
                .expect("invariant: a decided event applies");
        }
        let mut record = Record {
            revision,
            time: self.now,
            meta,
            fingerprint,
            events,
            reply,
        };
        for n in before..self.touched.len() {
            let Some(event) = self.shock_event(self.touched[n], cause) else {
                continue;
            };
            self.apply_event(&event, revision)
                .expect("invariant: a shock applies");
            record.events.push(event);
        }
        if cause.is_some() {
            self.tell_shocks(&mut record, &short);
        }
        self.finish_record(&record);
        sink(&record);
        record.reply
    }

    fn commit(
        &mut self,
        meta: Meta,
        fingerprint: u64,
        events: SmallVec<[Event; 1]>,
        reply: Option<Reply>,
        sink: Sink<'_>,
    ) {
        self.apply_and_emit(meta, fingerprint, events, reply, None, sink);
    }

    fn shock_event(&self, id: PositionId, cause: Option<ShockCause>) -> Option<Event> {
        let position = self.position(id);
        // Most steps can neither raise a shock nor end one.
        if position.shock.is_none() && cause.is_none() {
            return None;
        }
        let lowest = position.lowest_balance(self.now);
        match (position.shock, cause) {
            (None, Some(cause)) if lowest < 0 => Some(Event::ShockRaised {
                shock: self.next_shock(),
                position: id,
                cause,
                shortfall: Units::from_balance(-lowest),
            }),
            (Some(shock), _) if lowest >= 0 => Some(Event::ShockResolved(shock, id)),
            _ => None,
        }
    }
}
