//! `Replace`: a reservation in the place of another.

use bespeak_engine::*;
use proptest::prelude::*;

use crate::commands::units;
use crate::judge::{self, Check, Taken};
use crate::oracle::{Hold, Oracle};

/// Item and location, units, and when they ship from now.
pub type Line = ((u32, u32), u64, i64);

pub fn line(
    ((item, location), quantity, ship_ms): Line,
    now: UtcMillis,
    latest_ms: Option<i64>,
) -> ReserveLine {
    let ship = now.plus(ship_ms);
    ReserveLine {
        item: ItemId(item),
        location: LocationId(location),
        quantity: units(quantity),
        ship_time: Some(ship),
        latest: latest_ms.map(|ms| ship.plus(ms)),
    }
}

pub fn command(reservation: ReservationId, lines: &[Line], now: UtcMillis) -> Command {
    let lines = lines.iter().map(|one| line(*one, now, None));
    Command::Replace(Replace {
        reservation,
        lines: lines.collect(),
    })
}

/// Whether it takes stock.
pub fn binds(hold: &Hold) -> bool {
    matches!(
        hold.state,
        ReservationState::Held | ReservationState::Confirmed
    )
}

/// Why nothing can be done with a reservation that has left memory.
pub fn finished(oracle: &Oracle, id: ReservationId) -> Refusal {
    match oracle.lapsed.contains(&id) {
        true => Refusal::Expired,
        false => Refusal::WrongState,
    }
}

/// As a reservation in a world without the old one, which ends as that one would have.
pub fn judge(oracle: &Oracle, settings: &Settings, replace: &Replace, hold: &HoldReply) -> Check {
    let gone = match oracle.holds.get(&replace.reservation) {
        Some(old) if binds(old) && !old.touched => None,
        Some(old) if old.state == ReservationState::Expired => Some(Refusal::Expired),
        Some(_) => Some(Refusal::WrongState),
        None => Some(finished(oracle, replace.reservation)),
    };
    if let Some(refusal) = gone {
        prop_assert_eq!(hold.reservation, None);
        for line in &hold.lines {
            prop_assert_eq!((line.refusal, line.parts.len()), (Some(refusal), 0));
        }
        return Ok(());
    }
    let mut without = oracle.clone();
    let old = without.holds.remove(&replace.reservation);
    let old = old.expect("it was looked at");
    let confirm = old.state == ReservationState::Confirmed;
    let terms = HoldTerms {
        expires_in_ms: (!confirm).then(|| old.expires_at.get() - oracle.now.get()),
        customer: old.customer.as_str().into(),
        confirm,
        ..HoldTerms::default()
    };
    let ship = |line: &ReserveLine| line.ship_time.expect("it is set");
    let first = replace.lines.iter().map(ship).min();
    let first = first.expect("there is a line");
    if old.lines.iter().all(|line| line.ship <= first) {
        let lines = replace.lines.clone();
        return judge::judge_reserve(&without, settings, &Reserve { lines, terms }, hold);
    }
    // What is given back for later may be seen from then on only: never too much, and never less than without it.
    let mut least = without.clone();
    let mut kept = old;
    kept.lines.retain(|line| line.ship > first);
    least.holds.insert(replace.reservation, kept);
    let asked = replace.lines.iter().map(|line| line.quantity.get()).sum();
    let limited = judge::over_limit(&without, settings, &terms, asked);
    match hold.outcome == Outcome::Full {
        true => prop_assert!(fit(&without, replace) && !limited, "oversold: {:?}", hold),
        false => prop_assert!(!fit(&least, replace) || limited, "it fits: {:?}", hold),
    }
    judge::judge_expiry(oracle, settings, &terms, hold)
}

/// Whether all lines can be had together.
fn fit(oracle: &Oracle, replace: &Replace) -> bool {
    let mut taken = Taken::new();
    let mut lines = replace.lines.iter();
    lines.all(|line| {
        let verdict = judge::line_verdict(oracle, line, false, &mut taken);
        verdict.refusal.is_none()
    })
}
