//! Whether an answer is the right one, by the definitions of the specification.

use bespeak_engine::*;
use proptest::prelude::*;

use crate::oracle::{Hold, Oracle};
use crate::replace::{self, binds, finished};

pub type Check = Result<(), TestCaseError>;
pub type Taken = Vec<(usize, UtcMillis, u64)>;

pub fn answer(oracle: &Oracle, settings: &Settings, command: &Command, answer: &Answer) -> Check {
    match (command, &answer.reply) {
        (Command::Reserve(reserve), Reply::Hold(hold)) => {
            judge_reserve(oracle, settings, reserve, hold)
        }
        (Command::Promise(promise), Reply::Hold(hold)) => judge_promise(oracle, promise, hold),
        (Command::Replace(new), Reply::Hold(hold)) => replace::judge(oracle, settings, new, hold),
        (Command::Confirm(id), Reply::Step(step)) => judge_confirm(oracle, *id, step),
        (Command::Extend(extend), Reply::Step(step)) => {
            judge_extend(oracle, settings, extend, step)
        }
        (Command::Fulfil(fulfil), Reply::Step(step) | Reply::StepWithShocks(step, _)) => {
            let lines: Vec<_> = fulfil
                .lines
                .iter()
                .map(|line| (line.line, line.quantity.get()))
                .collect();
            let hold = oracle.holds.get(&fulfil.reservation);
            let good = |hold: &Hold| hold.state == ReservationState::Confirmed;
            let gone = finished(oracle, fulfil.reservation);
            judge_taking(hold.ok_or(gone), &lines, good, step)
        }
        (Command::Release(release), Reply::Step(step)) => {
            let lines: Vec<_> = release
                .lines
                .iter()
                .map(|(line, units)| (*line, units.get()))
                .collect();
            let hold = oracle.holds.get(&release.reservation);
            let gone = finished(oracle, release.reservation);
            judge_taking(hold.ok_or(gone), &lines, binds, step)
        }
        (_, Reply::Supply(supply)) => {
            prop_assert_eq!(supply.refusal, None, "facts are not refused: {:?}", command);
            Ok(())
        }
        (_, Reply::Catalog) => Ok(()),
        other => Err(TestCaseError::fail(format!(
            "an answer of another kind: {other:?}"
        ))),
    }
}

/// An error is only right for what makes no sense.
pub fn error(oracle: &Oracle, settings: &Settings, command: &Command, clock: UtcMillis) -> Check {
    let life = |ms: Option<i64>| ms.is_some_and(|ms| ms <= 0 || ms > settings.max_hold_life_ms);
    let never_made = |id: ReservationId| id.0 > oracle.made;
    let has_line = |id: &ReservationId, line: u32| {
        oracle
            .holds
            .get(id)
            .is_none_or(|hold| (line as usize) < hold.lines.len())
    };
    let sensible = match command {
        Command::Reserve(reserve) => !life(reserve.terms.expires_in_ms),
        Command::Extend(extend) => {
            !life(Some(extend.expires_in_ms)) && !never_made(extend.reservation)
        }
        Command::Confirm(id) => !never_made(*id),
        Command::Replace(replace) => !never_made(replace.reservation),
        Command::Fulfil(fulfil) => {
            let lines = fulfil.lines.iter();
            !never_made(fulfil.reservation)
                && lines
                    .clone()
                    .all(|line| has_line(&fulfil.reservation, line.line))
        }
        Command::Release(release) => {
            let mut lines = release.lines.iter();
            !never_made(release.reservation)
                && lines.all(|(line, _)| has_line(&release.reservation, *line))
        }
        // A clock that was set back makes `happened` or a count lie after the engine's time; the rest are
        // names of receipts that are open or not, and quantities of zero.
        Command::Promise(_) | Command::PutBuffer(..) | Command::PutBufferPolicy(..) => true,
        Command::DeriveBuffers(derived) => crate::buffers::are_known(derived, oracle),
        Command::Return(_) | Command::PutRule(..) => true,
        Command::SetOnHand(count) => count.counted_at.is_none_or(|at| {
            let last = oracle.find(count.item, count.location);
            let last = last.and_then(|place| oracle.last_count(place, count.status));
            at <= oracle.now && clock <= oracle.now && last.is_none_or(|last| last <= at)
        }),
        _ => false,
    };
    prop_assert!(!sensible, "refused as an error: {:?}", command);
    Ok(())
}

/// What one line of a `Reserve` is worth.
pub struct Verdict {
    held: u64,
    pub refusal: Option<Refusal>,
    available: u64,
    earliest: Option<UtcMillis>,
}

pub fn line_verdict(
    oracle: &Oracle,
    line: &ReserveLine,
    partial: bool,
    taken: &mut Taken,
) -> Verdict {
    let (ship, quantity) = (line.ship_time.expect("it is set"), line.quantity.get());
    let place = oracle.find(line.item, line.location);
    let refused = |refusal, available, earliest| Verdict {
        held: 0,
        refusal: Some(refusal),
        available,
        earliest,
    };
    if ship < oracle.now {
        return refused(Refusal::ShipTimePast, 0, None);
    }
    if ship
        > oracle
            .now
            .plus(oracle.rule(place, line.location).horizon_ms)
    {
        return refused(Refusal::BeyondHorizon, 0, None);
    }
    let Some(place) = place else {
        return refused(Refusal::InsufficientStock, 0, None);
    };
    let available = oracle.available(place, ship, taken);
    let earliest = oracle.earliest(place, ship, quantity, taken);
    if available >= quantity {
        taken.push((place, ship, quantity));
        return Verdict {
            held: quantity,
            refusal: None,
            available,
            earliest,
        };
    }
    let mut verdict = refused(Refusal::InsufficientStock, available, earliest);
    if partial {
        taken.push((place, ship, available));
        verdict.held = available;
    }
    verdict
}

pub fn judge_reserve(
    oracle: &Oracle,
    settings: &Settings,
    reserve: &Reserve,
    hold: &HoldReply,
) -> Check {
    let terms = &reserve.terms;
    if terms.fill == FillPolicy::ShipComplete {
        return judge_complete(oracle, settings, reserve, hold);
    }
    let partial = terms.fill == FillPolicy::Partial;
    let mut taken = Vec::new();
    let verdicts: Vec<Verdict> = reserve
        .lines
        .iter()
        .map(|line| line_verdict(oracle, line, partial, &mut taken))
        .collect();
    let held: u64 = verdicts.iter().map(|one| one.held).sum();
    let whole = verdicts.iter().all(|one| one.refusal.is_none());
    let asked: u64 = match partial {
        true => held,
        false => reserve.lines.iter().map(|line| line.quantity.get()).sum(),
    };
    let limited = over_limit(oracle, settings, terms, asked);
    let outcome = match whole {
        _ if limited || held == 0 || (!whole && !partial) => Outcome::Refused,
        true => Outcome::Full,
        false => Outcome::Partial,
    };
    prop_assert_eq!(hold.outcome, outcome);
    for (reply, verdict) in hold.lines.iter().zip(&verdicts) {
        let mut refusal = verdict.refusal;
        if limited {
            refusal = Some(refusal.map_or(Refusal::CustomerLimit, |one| {
                one.min(Refusal::CustomerLimit)
            }));
        } else if outcome == Outcome::Refused {
            refusal = refusal.or(Some(Refusal::OtherLine));
        }
        prop_assert_eq!(reply.refusal, refusal);
        let units: u64 = reply.parts.iter().map(|part| part.quantity.get()).sum();
        prop_assert_eq!(
            units,
            if outcome == Outcome::Refused {
                0
            } else {
                verdict.held
            }
        );
        prop_assert_eq!(reply.available.get(), verdict.available);
        prop_assert_eq!(reply.earliest, verdict.earliest);
    }
    judge_expiry(oracle, settings, terms, hold)
}

pub fn over_limit(oracle: &Oracle, settings: &Settings, terms: &HoldTerms, asked: u64) -> bool {
    !terms.confirm
        && !terms.customer.is_empty()
        && oracle.held_units(&terms.customer) + asked > settings.max_held_units_per_customer
}

pub fn judge_expiry(
    oracle: &Oracle,
    settings: &Settings,
    terms: &HoldTerms,
    hold: &HoldReply,
) -> Check {
    if hold.outcome == Outcome::Refused {
        prop_assert_eq!(hold.reservation, None);
        return Ok(());
    }
    prop_assert_eq!(hold.reservation, Some(ReservationId(oracle.made + 1)));
    let life = terms.expires_in_ms.unwrap_or(settings.default_hold_ms);
    let expires = if terms.confirm {
        UtcMillis::ZERO
    } else {
        oracle.now.plus(life)
    };
    prop_assert_eq!(hold.expires_at, expires);
    Ok(())
}

/// One date for all: the first at which every position has what all its lines ask together.
fn judge_complete(
    oracle: &Oracle,
    settings: &Settings,
    reserve: &Reserve,
    hold: &HoldReply,
) -> Check {
    let start = reserve
        .lines
        .iter()
        .filter_map(|line| line.ship_time)
        .max()
        .expect("there is a line");
    let in_time = reserve.lines.iter().all(|line| {
        let ship = line.ship_time.expect("it is set");
        let place = oracle.find(line.item, line.location);
        ship >= oracle.now
            && ship
                <= oracle
                    .now
                    .plus(oracle.rule(place, line.location).horizon_ms)
    });
    let latest = |line: &ReserveLine| match line.latest {
        Some(latest) => latest,
        // Says no latest time: goes with the order, up to the first latest time that another line names.
        None => reserve
            .lines
            .iter()
            .filter_map(|one| one.latest)
            .min()
            .unwrap_or(start)
            .max(start),
    };
    let good = |date: UtcMillis| {
        let mut taken = Vec::new();
        reserve.lines.iter().all(|line| {
            let Some(place) = oracle.find(line.item, line.location) else {
                return false;
            };
            let fits = oracle.available(place, date, &taken) >= line.quantity.get();
            taken.push((place, date, line.quantity.get()));
            let within = date
                <= oracle
                    .now
                    .plus(oracle.rule(Some(place), line.location).horizon_ms);
            fits && within && date <= latest(line)
        })
    };
    let mut dates: Vec<UtcMillis> = oracle
        .receipts
        .values()
        .map(|one| one.counts_from)
        .collect();
    dates.extend(
        oracle
            .holds
            .values()
            .flat_map(|hold| &hold.lines)
            .map(|line| line.ship),
    );
    dates.push(start);
    dates.retain(|date| *date >= start);
    dates.sort();
    let date = dates
        .into_iter()
        .find(|date| good(*date))
        .filter(|_| in_time);
    let asked = reserve.lines.iter().map(|line| line.quantity.get()).sum();
    let limited = over_limit(oracle, settings, &reserve.terms, asked);
    let outcome = if date.is_some() && !limited {
        Outcome::Full
    } else {
        Outcome::Refused
    };
    prop_assert_eq!(hold.outcome, outcome);
    if outcome == Outcome::Full {
        for part in hold.lines.iter().flat_map(|line| &line.parts) {
            prop_assert_eq!(Some(part.ship_time), date);
        }
    }
    judge_expiry(oracle, settings, &reserve.terms, hold)
}

/// Whatever the sourcing chose: no oversell, all limits of the request kept, and no refusal of what one location has.
fn judge_promise(oracle: &Oracle, promise: &Promise, hold: &HoldReply) -> Check {
    let mut taken: Taken = Vec::new();
    let mut locations = Vec::new();
    let mut dates = Vec::new();
    for (reply, line) in hold.lines.iter().zip(&promise.lines) {
        let ship = line.ship_time.expect("it is set");
        let units: u64 = reply.parts.iter().map(|part| part.quantity.get()).sum();
        prop_assert!(units <= line.quantity.get());
        prop_assert_eq!(units == line.quantity.get(), reply.refusal.is_none());
        if promise.terms.fill != FillPolicy::Partial && hold.outcome != Outcome::Refused {
            prop_assert_eq!(units, line.quantity.get());
        }
        prop_assert!(promise.min_split.is_some() || reply.parts.len() <= 1);
        for part in &reply.parts {
            let place = oracle
                .find(line.item, part.location)
                .expect("stock comes from somewhere");
            let available = oracle.available(place, part.ship_time, &taken);
            prop_assert!(part.quantity.get() <= available, "oversold at {:?}", part);
            taken.push((place, part.ship_time, part.quantity.get()));
            let smallest = promise.min_split.map_or(1, Units::get);
            prop_assert!(reply.parts.len() == 1 || part.quantity.get() >= smallest);
            let rule = oracle.rule(Some(place), part.location);
            prop_assert!(part.ship_time <= oracle.now.plus(rule.horizon_ms));
            let order = promise.terms.fill == FillPolicy::ShipComplete;
            let latest = line
                .latest
                .unwrap_or(if order { part.ship_time } else { ship });
            prop_assert!(part.ship_time >= ship && part.ship_time <= latest);
            dates.push(part.ship_time);
            if !locations.contains(&part.location) {
                locations.push(part.location);
            }
        }
    }
    if let Some(most) = promise.max_packages {
        prop_assert!(locations.len() <= most as usize);
    }
    if promise.terms.fill == FillPolicy::ShipComplete {
        prop_assert!(dates.windows(2).all(|pair| pair[0] == pair[1]));
    }
    if let ([line], [reply]) = (&promise.lines[..], &hold.lines[..]) {
        let held: u64 = reply.parts.iter().map(|part| part.quantity.get()).sum();
        let (most, asked) = (most_at_once(oracle, promise, line), line.quantity.get());
        prop_assert!(
            held == asked || most < asked,
            "{} could be had of {:?}",
            most,
            reply
        );
        if promise.terms.fill == FillPolicy::Partial {
            prop_assert!(held >= most, "{} could be had of {:?}", most, reply);
        }
    }
    if hold.outcome == Outcome::Refused
        && promise.lines.len() == 1
        && promise.max_packages != Some(0)
    {
        let line = &promise.lines[0];
        let ship = line.ship_time.expect("it is set");
        for place in (0..oracle.places.len())
            .filter(|place| oracle.places[*place].0 == line.item && ship >= oracle.now)
        {
            let horizon = oracle
                .now
                .plus(oracle.rule(Some(place), oracle.places[place].1).horizon_ms);
            let earliest = oracle.earliest(place, ship, line.quantity.get(), &[]);
            let late = earliest.is_none_or(|at| at > line.latest.unwrap_or(ship) || at > horizon);
            prop_assert!(
                late,
                "{:?} has all of it at {:?}",
                oracle.places[place],
                earliest
            );
        }
    }
    Ok(())
}

/// The most of a line that can ship at its wanted time, over all sets of locations.
fn most_at_once(oracle: &Oracle, promise: &Promise, line: &PromiseLine) -> u64 {
    let ship = line.ship_time.expect("it is set");
    let (smallest, locations) = match promise.min_split {
        Some(least) => (least.get(), oracle.places.len()),
        None => (1, 1),
    };
    let packages = promise.max_packages.map_or(locations, |most| most as usize);
    let places = (0..oracle.places.len()).filter(|place| oracle.places[*place].0 == line.item);
    let offers: Vec<u64> = places
        .filter(|place| {
            let rule = oracle.rule(Some(*place), oracle.places[*place].1);
            ship >= oracle.now && ship <= oracle.now.plus(rule.horizon_ms)
        })
        .map(|place| oracle.available(place, ship, &[]))
        .collect();
    let of_set = |set: u32| {
        let chosen = (0..offers.len()).filter(|n| set & (1 << n) != 0);
        let chosen: Vec<u64> = chosen.map(|n| offers[n]).collect();
        let least = smallest * chosen.len() as u64;
        let whole = chosen.len() == 1 && chosen[0] >= line.quantity.get();
        let fits = least <= line.quantity.get() && chosen.iter().all(|offer| *offer >= smallest);
        match (whole || fits) && chosen.len() <= packages.min(locations) {
            true => line.quantity.get().min(chosen.iter().sum()),
            false => 0,
        }
    };
    (0..1 << offers.len()).map(of_set).max().unwrap_or(0)
}

fn judge_confirm(oracle: &Oracle, id: ReservationId, step: &StepReply) -> Check {
    let (refusal, reacquired) = match oracle.holds.get(&id) {
        None => (Some(finished(oracle, id)), false),
        Some(hold) => match hold.state {
            ReservationState::Held => (None, false),
            ReservationState::Expired => {
                let mut taken: Taken = Vec::new();
                let fits = hold.lines.iter().filter(|line| line.open > 0).all(|line| {
                    let ship = line.ship.max(oracle.now);
                    let fits = oracle.available(line.position, ship, &taken) >= line.open;
                    taken.push((line.position, ship, line.open));
                    fits
                });
                ((!fits).then_some(Refusal::Expired), fits)
            }
            _ => (Some(Refusal::WrongState), false),
        },
    };
    prop_assert_eq!((step.refusal, step.reacquired), (refusal, reacquired));
    Ok(())
}

fn judge_extend(oracle: &Oracle, settings: &Settings, extend: &Extend, step: &StepReply) -> Check {
    let expires = oracle.now.plus(extend.expires_in_ms);
    let refusal = match oracle
        .holds
        .get(&extend.reservation)
        .map(|hold| (hold.state, hold))
    {
        Some((ReservationState::Held, hold)) => {
            let last = hold.created_at.plus(settings.max_hold_life_ms);
            (expires > last).then_some(Refusal::HoldLife)
        }
        Some((ReservationState::Expired, _)) => Some(Refusal::Expired),
        Some(_) => Some(Refusal::WrongState),
        None => Some(finished(oracle, extend.reservation)),
    };
    prop_assert_eq!(step.refusal, refusal);
    if refusal.is_none() {
        let before = oracle.holds[&extend.reservation].expires_at;
        prop_assert_eq!(step.expires_at, expires.max(before));
    }
    Ok(())
}

fn judge_taking(
    hold: Result<&Hold, Refusal>,
    lines: &[(u32, u64)],
    good: impl Fn(&Hold) -> bool,
    step: &StepReply,
) -> Check {
    let over = |hold: &Hold| {
        lines
            .iter()
            .any(|(line, units)| *units > hold.lines[*line as usize].open)
    };
    let refusal = match hold {
        Err(gone) => Some(gone),
        Ok(hold) if hold.state == ReservationState::Expired => Some(Refusal::Expired),
        Ok(hold) if !good(hold) => Some(Refusal::WrongState),
        Ok(hold) => over(hold).then_some(Refusal::OverOpenQuantity),
    };
    prop_assert_eq!(step.refusal, refusal);
    Ok(())
}
