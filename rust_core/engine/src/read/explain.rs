//! `Explain`: what a promise would be answered, and for every location that was tried, why.

use smallvec::SmallVec;

use crate::command::{Meta, Promise, RuleOverride};
use crate::decide::{self, Scratch, Sourced, Wanted};
use crate::ids::{LocationId, PositionId, Units, UtcMillis};
use crate::limits::DAY_MS;
use crate::read::check::Binding;
use crate::read::filtered;
use crate::refusal::{EngineError, Refusal};
use crate::reply::{HoldReply, LineReply, Outcome, Reply};
use crate::state::State;

/// Why a promise would be answered as it would.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// How much would be held.
    pub outcome: Outcome,
    /// One a line of the request, in its order.
    pub lines: Vec<LineExplanation>,
}

/// Why one line would be answered as it would.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineExplanation {
    /// Line of the request.
    pub line: u32,
    /// What `Promise` would answer.
    pub result: LineReply,
    /// One a candidate, in the order of the request.
    pub locations: Vec<LocationExplanation>,
    /// The same in one sentence.
    pub summary: String,
}

/// What one location could do for one line, after what earlier lines of the request would take there, and under
/// the rule of the request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocationExplanation {
    /// The location.
    pub location: LocationId,
    /// Something was ever said of the item here.
    pub known: bool,
    /// Stock of the statuses that count.
    pub on_hand_counted: i64,
    /// Units of receipts that count from the ship time or earlier.
    pub receipts_by_time: i64,
    /// Units of commitments that ship at the ship time or earlier, earlier lines of the request included.
    pub commitments_by_time: i64,
    /// Kept back: the position's buffer and what the request adds to it.
    pub buffer: Units,
    /// Lowest projected balance from the ship time on, net of the buffer …
    pub lowest_balance: i64,
    /// … and when it is reached.
    pub lowest_balance_time: UtcMillis,
    /// Units that can be promised for the ship time.
    pub available: Units,
    /// Earliest time for the line in full, within the horizon.
    pub earliest: Option<UtcMillis>,
    /// What keeps it from being more.
    pub binding: Binding,
    /// Units more on hand by the ship time that would make the line whole here.
    pub missing: Units,
}

/// A position's balance as one line of a request meets it.
struct Ledger {
    on_hand_counted: i64,
    receipts_by_time: i64,
    commitments_by_time: i64,
    buffer: i64,
    lowest: i64,
    /// The commitment after the ship time that takes the balance lowest.
    later: Option<UtcMillis>,
}

/// The position's own rule, unchanged.
const OWN_RULE: RuleOverride = RuleOverride {
    statuses: None,
    receipt_kinds: None,
    extra_buffer: Units::ZERO,
    on_hand_only: false,
};

impl State {
    /// What a promise would be answered now, and why. Changes nothing; call `advance` first, as before every read.
    ///
    /// # Errors
    /// Those of `Promise`, and `InvalidArgument` where more is planned at the positions than one answer may walk.
    pub fn explain(&self, promise: &Promise) -> Result<Explanation, EngineError> {
        let candidates = decide::promise::candidates(self, promise)?;
        decide::budget::of_explanation(self, promise, &candidates)?;
        let Sourced { wanted, found } = decide::promise::plan(self, promise)?;
        let rule = promise.terms.rule.as_ref();
        let mut scratch = Scratch::default();
        let mut locations = Vec::with_capacity(wanted.len());
        for (line, one) in wanted.iter().zip(&found) {
            let rows = candidates
                .iter()
                .map(|location| self.explain_location(&scratch, rule, line, *location));
            locations.push(rows.collect::<Vec<_>>());
            for part in &one.parts {
                scratch.take(part.position, part.quantity, part.ship_time);
            }
        }
        let decision =
            decide::hold::finish(self, &Meta::default(), &promise.terms, 0, &wanted, found)?;
        let Reply::Hold(HoldReply { outcome, lines, .. }) = decision.reply else {
            unreachable!("invariant: a promise is answered with a hold");
        };
        let rows = lines.into_iter().zip(locations).zip(&wanted).enumerate();
        let lines = rows.map(|(line, ((result, locations), wanted))| LineExplanation {
            line: line as u32,
            summary: self.summary(wanted, &result, &locations),
            result,
            locations,
        });
        Ok(Explanation {
            outcome,
            lines: lines.collect(),
        })
    }

    fn explain_location(
        &self,
        scratch: &Scratch,
        rule: Option<&RuleOverride>,
        line: &Wanted,
        location: LocationId,
    ) -> LocationExplanation {
        let Some(id) = self.position_id(line.item, location) else {
            return LocationExplanation {
                location,
                known: false,
                on_hand_counted: 0,
                receipts_by_time: 0,
                commitments_by_time: 0,
                buffer: Units::ZERO,
                lowest_balance: 0,
                lowest_balance_time: line.ship_time,
                available: Units::ZERO,
                earliest: None,
                binding: Binding::NoPosition,
                missing: line.quantity,
            };
        };
        let ledger = self.ledger(id, scratch, rule, line.ship_time);
        let buffer_binds = ledger.lowest <= 0 && ledger.lowest + ledger.buffer > 0;
        let (binding, lowest_balance_time) = match ledger.later {
            _ if buffer_binds => (Binding::Buffer, ledger.later.unwrap_or(line.ship_time)),
            Some(time) => (Binding::LaterCommitment, time),
            None => (Binding::Supply, line.ship_time),
        };
        let lens = decide::Lens { state: self, rule };
        let missing = line.quantity.balance() - ledger.lowest;
        // Where nothing can be promised for that time at all, what the balance would allow is not available.
        let can_ship = decide::time_refusal(lens, line, location).is_none();
        let earliest = || lens.earliest(scratch, id, line.ship_time, line.quantity);
        LocationExplanation {
            location,
            known: true,
            on_hand_counted: ledger.on_hand_counted,
            receipts_by_time: ledger.receipts_by_time,
            commitments_by_time: ledger.commitments_by_time,
            buffer: Units::from_balance(ledger.buffer),
            lowest_balance: ledger.lowest,
            lowest_balance_time,
            available: Units::from_balance(if can_ship { ledger.lowest } else { 0 }),
            earliest: can_ship.then(earliest).flatten(),
            binding,
            missing: Units::from_balance(missing),
        }
    }

    fn ledger(
        &self,
        id: PositionId,
        scratch: &Scratch,
        rule: Option<&RuleOverride>,
        at: UtcMillis,
    ) -> Ledger {
        let view = filtered::View::new(self, id, rule.unwrap_or(&OWN_RULE), scratch);
        let mut ledger = Ledger {
            on_hand_counted: view.on_hand,
            receipts_by_time: 0,
            commitments_by_time: 0,
            buffer: view.buffer,
            lowest: i64::MAX,
            later: None,
        };
        let mut balance = view.on_hand - view.buffer;
        let mut lowest = None;
        for (time, change) in &view.changes {
            if *time > at {
                let here = *lowest.get_or_insert(balance);
                balance += change;
                // Of several equally low instants the last one binds: only past it is there more.
                if balance <= here {
                    lowest = Some(balance);
                    if *change < 0 {
                        ledger.later = Some(*time);
                    }
                }
                continue;
            }
            balance += change;
            let side = match *change < 0 {
                true => &mut ledger.commitments_by_time,
                false => &mut ledger.receipts_by_time,
            };
            *side += change.abs();
        }
        ledger.lowest = lowest.unwrap_or(balance);
        ledger
    }

    fn summary(
        &self,
        wanted: &Wanted,
        result: &LineReply,
        locations: &[LocationExplanation],
    ) -> String {
        let name = |location: LocationId| &*self.catalog.location(location).name;
        let item = &*self.catalog.item(wanted.item).name;
        let what = format!("{} units of {item}", wanted.quantity.get());
        let at = utc_text(wanted.ship_time);
        if let Some(refusal) = result.refusal {
            return match refusal {
                Refusal::InsufficientStock => self.shortage(&what, wanted, result, locations),
                Refusal::SplitLimit => format!(
                    "{what} are there for {at}, but only in more packages or smaller parts than the request allows"
                ),
                Refusal::OtherLine => format!(
                    "{what} could ship at {at}, but another line of the order could not, and the order takes all lines or none"
                ),
                Refusal::ShipTimePast => format!(
                    "{what} cannot ship at {at}: that is before the engine's time, {}",
                    utc_text(self.now)
                ),
                Refusal::BeyondHorizon => format!(
                    "{what} cannot be promised for {at}: that lies beyond the horizon of every location that was named"
                ),
                Refusal::CustomerLimit => format!(
                    "{what} are not held: the customer would hold more units than one customer may, confirm or release a hold first"
                ),
                other => format!("{what} are refused: {other:?}"),
            };
        }
        let part = |part: &crate::reply::PartReply| {
            format!(
                "{} from {} at {}",
                part.quantity.get(),
                name(part.location),
                utc_text(part.ship_time)
            )
        };
        let parts: SmallVec<[String; 2]> = result.parts.iter().map(part).collect();
        format!("{what} can ship: {}", parts.join(", "))
    }

    fn shortage(
        &self,
        what: &str,
        wanted: &Wanted,
        result: &LineReply,
        locations: &[LocationExplanation],
    ) -> String {
        let at = utc_text(wanted.ship_time);
        let best = locations
            .iter()
            .filter(|row| row.known)
            .min_by_key(|row| row.missing);
        let Some(best) = best else {
            return format!(
                "{what} cannot ship at {at}: no location that was named knows the item"
            );
        };
        let name = &*self.catalog.location(best.location).name;
        let why = match best.binding {
            Binding::LaterCommitment => format!(
                "the rest is promised to orders up to {}",
                utc_text(best.lowest_balance_time)
            ),
            Binding::Buffer => format!("{} units are kept back as buffer", best.buffer.get()),
            Binding::Supply | Binding::NoPosition => "no more is on hand or due by then".to_owned(),
        };
        let instead = match result.earliest {
            Some(earliest) => format!("all of it can ship at {}", utc_text(earliest)),
            None => "no planned receipt makes it whole".to_owned(),
        };
        format!(
            "{what} cannot ship at {at}: {name} comes nearest with {} available, {why}; {} units more there would do, and {instead}",
            best.available.get(),
            best.missing.get()
        )
    }
}

/// An instant as ISO 8601 in UTC, to the second, or to the millisecond where it has any.
fn utc_text(at: UtcMillis) -> String {
    let (days, ms) = (at.get().div_euclid(DAY_MS), at.get().rem_euclid(DAY_MS));
    // Days to a date of the proleptic Gregorian calendar, with years that begin in March.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    let fraction = match ms % 1_000 {
        0 => String::new(),
        rest => format!(".{rest:03}"),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}
