//! Answers as words, and the reads.

use bespeak_engine::*;

use super::World;
use super::parse::{Words, meta, reservation, rule_override, units};
use super::times::time_text;

pub fn refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Expired => "EXPIRED",
        Refusal::WrongState => "WRONG_STATE",
        Refusal::OverOpenQuantity => "OVER_OPEN_QUANTITY",
        Refusal::HoldLife => "HOLD_LIFE",
        Refusal::ShipTimePast => "SHIP_TIME_PAST",
        Refusal::BeyondHorizon => "BEYOND_HORIZON",
        Refusal::CustomerLimit => "CUSTOMER_LIMIT",
        Refusal::InsufficientStock => "INSUFFICIENT_STOCK",
        Refusal::SplitLimit => "SPLIT_LIMIT",
        Refusal::OtherLine => "OTHER_LINE",
        Refusal::Conflict => "CONFLICT",
        Refusal::Limit => "LIMIT",
    }
}

fn error(error: &EngineError) -> String {
    match error {
        EngineError::InvalidArgument { field, .. } => format!("error INVALID_ARGUMENT {field}"),
        EngineError::SourceBelowWindow { window_start, .. } => {
            format!("error SOURCE_BELOW_WINDOW from {window_start}")
        }
        EngineError::CountTooOld { kept_since_ms, .. } => {
            let since = UtcMillis::new(*kept_since_ms);
            format!("error COUNT_TOO_OLD since {}", time_text(since))
        }
        EngineError::CountOvertaken { newer_ms, .. } => {
            let newer = UtcMillis::new(*newer_ms);
            format!("error COUNT_TOO_OLD after {}", time_text(newer))
        }
        other => format!("error {}", other.code()),
    }
}

impl World {
    /// Answers a line of a story.
    pub fn say(&mut self, line: &str) -> String {
        let (meta, rest) = meta(line, self.now);
        let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        if let Some(answer) = self.read(verb, rest) {
            return answer;
        }
        let command = self.command(verb, rest);
        let command = command.unwrap_or_else(|| panic!("nobody knows how to {verb}"));
        match self.step(meta, &command) {
            Ok(answer) => self.answer(&answer),
            Err(why) => error(&why),
        }
    }

    pub fn answer(&self, answer: &Answer) -> String {
        let duplicate = answer.reply == Reply::Duplicate;
        assert!(
            !duplicate || answer.replayed,
            "a duplicate has been there before"
        );
        let again = match answer.replayed && !duplicate {
            true => "again ",
            false => "",
        };
        again.to_owned()
            + &match &answer.reply {
                Reply::Hold(hold) => self.hold(hold),
                Reply::Step(step) => step_text(step),
                Reply::StepWithShocks(step, shocks) => {
                    let shocks = shocks.iter().map(|shock| format!(" shock s{}", shock.0));
                    step_text(step) + &shocks.collect::<String>()
                }
                Reply::Supply(supply) => supply_text(supply),
                Reply::Catalog => "ok".to_owned(),
                Reply::Duplicate => "duplicate".to_owned(),
            }
    }

    fn name_of(&self, location: LocationId) -> &str {
        &self.state.catalog().location(location).name
    }

    fn hold(&self, hold: &HoldReply) -> String {
        let head = match (hold.outcome, hold.reservation, hold.state) {
            (Outcome::Refused, None, _) => "refused".to_owned(),
            (outcome, Some(id), state) => {
                let part = if outcome == Outcome::Partial {
                    "partial "
                } else {
                    ""
                };
                let until = match state {
                    ReservationState::Held => {
                        format!("held r{} until {}", id.0, time_text(hold.expires_at))
                    }
                    _ => format!("confirmed r{}", id.0),
                };
                format!("{part}{until}")
            }
            other => panic!("an answer that makes no sense: {other:?}"),
        };
        let lines: Vec<String> = hold.lines.iter().map(|line| self.line(line)).collect();
        format!("{head}: {}", lines.join(" | "))
    }

    pub fn line(&self, line: &LineReply) -> String {
        let part = |part: &PartReply| {
            let place = self.name_of(part.location);
            format!(
                "{}@{place} {}",
                part.quantity.get(),
                time_text(part.ship_time)
            )
        };
        let mut words: Vec<String> =
            vec![line.parts.iter().map(part).collect::<Vec<_>>().join(" + ")];
        if let Some(why) = line.refusal {
            words.push(refusal(why).to_owned());
            if why == Refusal::InsufficientStock || why == Refusal::SplitLimit {
                words.push(format!("available {}", line.available.get()));
                words.extend(
                    line.earliest
                        .map(|at| format!("earliest {}", time_text(at))),
                );
            }
        }
        words.retain(|word| !word.is_empty());
        words.join(" ")
    }

    fn read(&mut self, verb: &str, rest: &str) -> Option<String> {
        let words = Words::new(rest, self.now);
        Some(match verb {
            "at" => {
                self.now = super::time(words.plain[0], self.now);
                "ok".to_owned()
            }
            "advance" => {
                if let Some(at) = words.plain.first() {
                    self.now = super::time(at, self.now);
                }
                self.due(|world| world.advance())
            }
            "check" => self.check(&words),
            "staircase" => {
                self.advance();
                let from = words.time("from").unwrap_or(self.now);
                let (item, place) = (self.item(words.plain[0]), self.location(words.plain[1]));
                let rule = rule_override(&words);
                let steps = self.state.staircase_by(item, place, from, rule.as_ref());
                let steps = steps
                    .iter()
                    .map(|(at, units)| format!("{} {}", time_text(*at), units.get()));
                steps.collect::<Vec<_>>().join(", ")
            }
            "reservation" => self.reservation_text(reservation(words.plain[0])),
            "position" => {
                self.advance();
                let (item, place) = (self.item(words.plain[0]), self.location(words.plain[1]));
                let Some(id) = self.state.position_id(item, place) else {
                    return Some("unknown".to_owned());
                };
                let position = self.state.position(id);
                let stock = |status| position.on_hand(status);
                let detail = self.state.position_detail(id);
                format!(
                    "{}/{}/{} v{} held {} confirmed {} receipts {}",
                    stock(StockStatus::Unrestricted),
                    stock(StockStatus::Quality),
                    stock(StockStatus::Blocked),
                    position.version(),
                    detail.held.get(),
                    detail.confirmed.get(),
                    detail.receipts.len()
                )
            }
            "buffer?" => {
                let (item, location) = words.plain[0].split_once('@').expect("a position");
                let id = self
                    .state
                    .position_id(self.item(item), self.location(location))
                    .expect("a known position");
                let units = self.state.position(id).buffer().get();
                let follows = match self.state.forecast_buffer(id) {
                    Some(_) => ", follows",
                    None => "",
                };
                match self.state.buffer_origin(id) {
                    Some((model, at)) => {
                        format!("{units} by {model} of {}{follows}", time_text(at))
                    }
                    None => format!("{units}{follows}"),
                }
            }
            "receipt?" => match self.state.receipt(words.plain[0]) {
                None => "unknown".to_owned(),
                Some(receipt) => format!(
                    "open {} received {} due {} counts {} revision {}{}",
                    receipt.open().get(),
                    receipt.received().get(),
                    time_text(receipt.due()),
                    time_text(receipt.counts_from()),
                    receipt.revision(),
                    if receipt.overdue() { " overdue" } else { "" }
                ),
            },
            "shocks" => self.shocks(),
            "unmet" => self.unmet(),
            "sources" => {
                let sources = self.state.sources();
                let text = sources.map(|(name, window)| {
                    format!("{name} to {} gaps {}", window.highest, window.gaps)
                });
                text.collect::<Vec<_>>().join(", ")
            }
            "stats" => {
                let stats = self.state.stats();
                format!(
                    "held {} confirmed {} shocks {}",
                    stats.held, stats.confirmed, stats.open_shocks
                )
            }
            _ => return None,
        })
    }

    /// What the due transitions were, in order.
    fn due(&mut self, act: impl FnOnce(&mut Self)) -> String {
        let before = self.journal.len();
        act(self);
        let events = self.journal[before..].iter().flat_map(|record| {
            record
                .events
                .iter()
                .map(|event| (record.time, event.clone()))
        });
        let text = events.map(|(at, event)| {
            let what = match event {
                Event::Expired(id) => format!("expired r{}", id.0),
                Event::Lapsed(id) => format!("forgotten r{}", id.0),
                Event::ReceiptOverdue(no) => format!("overdue receipt {}", no.0),
                Event::ShockRaised {
                    shock, shortfall, ..
                } => format!("shock s{} of {}", shock.0, shortfall.get()),
                Event::ShockResolved(shock, _) => format!("resolved s{}", shock.0),
                other => format!("{other:?}"),
            };
            format!("{what} at {}", time_text(at))
        });
        let text = text.collect::<Vec<_>>().join(", ");
        if text.is_empty() {
            "nothing".to_owned()
        } else {
            text
        }
    }

    fn check(&mut self, words: &Words<'_>) -> String {
        self.advance();
        let line = CheckLine {
            quantity: units(words.plain[0]),
            item: self.item(words.plain[1]),
            location: self.location(words.plain[2]),
            ship_time: words.time("ship"),
            rule: rule_override(words),
        };
        let answer = match self.state.check(&line) {
            Ok(answer) => answer,
            Err(why) => return error(&why),
        };
        let mut text = match answer.refusal {
            Some(why) => format!("refused {}", refusal(why)),
            None if answer.in_full => format!("yes, available {}", answer.available.get()),
            None => format!("no, available {}", answer.available.get()),
        };
        if let Some(at) = answer.earliest.filter(|_| !answer.in_full) {
            text += &format!(" earliest {}", time_text(at));
        }
        match answer.binding {
            _ if answer.refusal.is_some() => {}
            Binding::Supply => text += " by supply",
            Binding::LaterCommitment => {
                text += &format!(" by a commitment of {}", time_text(answer.binding_time));
            }
            Binding::Buffer => text += " by the buffer",
            Binding::NoPosition => text += " by no position",
        }
        if answer.hypothetical {
            text += " (hypothetical)";
        }
        text
    }

    fn reservation_text(&mut self, id: ReservationId) -> String {
        self.advance();
        let Some(found) = self.state.reservation(id) else {
            return if self.state.was_made(id) {
                "finished"
            } else {
                "never made"
            }
            .to_owned();
        };
        let lines = found.lines().iter().map(|line| {
            format!(
                "{} open {} left {} back {}",
                time_text(line.ship_time),
                line.open.get(),
                line.fulfilled.get(),
                line.released.get()
            )
        });
        format!(
            "{:?} {}",
            found.state(),
            lines.collect::<Vec<_>>().join(" | ")
        )
    }

    fn shocks(&self) -> String {
        let open = self.state.shocks_after(ShockId(0));
        let text = open.map(|(id, _)| {
            let view = self.state.shock(id).expect("it is open");
            let position = self.state.position(view.shock.position);
            let risks = view.at_risk.iter().map(|risk| {
                format!(
                    "r{}:{} of {}",
                    risk.reservation.0,
                    risk.line,
                    risk.quantity.get()
                )
            });
            let recovery = view.recovery.map_or("never".to_owned(), time_text);
            format!(
                "s{} {:?} {}@{} short {} until {recovery} risks [{}]",
                id.0,
                view.shock.cause,
                self.state.catalog().item(position.item()).name,
                self.name_of(position.location()),
                view.shortfall.get(),
                risks.collect::<Vec<_>>().join(", ")
            )
        });
        let text = text.collect::<Vec<_>>().join("; ");
        if text.is_empty() {
            "none".to_owned()
        } else {
            text
        }
    }

    fn unmet(&self) -> String {
        let rows = self
            .state
            .unmet_demand()
            .map(|(day, item, location, unmet)| {
                let day = day as i32 - super::times::FIRST_DAY;
                let item = &self.state.catalog().item(item).name;
                format!(
                    "d{day} {item}@{}: {} in {}",
                    self.name_of(location),
                    unmet.units,
                    unmet.lines
                )
            });
        let text = rows.collect::<Vec<_>>().join(", ");
        if text.is_empty() {
            "none".to_owned()
        } else {
            text
        }
    }
}

fn step_text(step: &StepReply) -> String {
    if let Some(why) = step.refusal {
        let finished = step.state == ReservationState::Finished;
        return format!(
            "refused {}{}",
            refusal(why),
            if finished { " (finished)" } else { "" }
        );
    }
    let mut text = format!("{:?}", step.state).to_lowercase();
    if step.state == ReservationState::Held {
        text += &format!(" until {}", time_text(step.expires_at));
    }
    if step.reacquired {
        text += " reacquired";
    }
    text
}

fn supply_text(supply: &SupplyReply) -> String {
    let mut text = match supply.refusal {
        Some(why) => format!("refused {}: ", refusal(why)),
        None => String::new(),
    };
    text += &format!("on hand {} v{}", supply.on_hand, supply.version);
    if supply.receipt_revision > 0 {
        text += &format!(
            " receipt {} open {}",
            supply.receipt_revision,
            supply.receipt_open.get()
        );
    }
    if let Some(shock) = supply.shock {
        text += &format!(" shock s{}", shock.0);
    }
    text
}
