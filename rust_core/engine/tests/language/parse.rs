//! Commands as words.

use bespeak_engine::*;

use super::World;
use super::times::{FIRST_DAY, span, time};

/// Words with and without a name.
pub struct Words<'a> {
    pub plain: Vec<&'a str>,
    named: Vec<(&'a str, &'a str)>,
    now: UtcMillis,
}

impl<'a> Words<'a> {
    pub fn new(text: &'a str, now: UtcMillis) -> Self {
        let mut words = Self {
            plain: Vec::new(),
            named: Vec::new(),
            now,
        };
        for word in text.split_whitespace() {
            match word.split_once('=') {
                Some(pair) => words.named.push(pair),
                None => words.plain.push(word),
            }
        }
        words
    }

    pub fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.named.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| *value)
    }

    pub fn has(&self, word: &str) -> bool {
        self.plain.contains(&word)
    }

    pub fn time(&self, name: &str) -> Option<UtcMillis> {
        self.get(name).map(|text| time(text, self.now))
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.get(name).map(|text| {
            text.parse()
                .ok()
                .unwrap_or_else(|| panic!("{name}={text} is no number"))
        })
    }
}

pub fn units(text: &str) -> Units {
    // Serde is the way in for quantities that a caller could not make: the engine must judge them itself.
    let number: u64 = text
        .parse()
        .unwrap_or_else(|_| panic!("{text} is no quantity"));
    Units::new(number).unwrap_or_else(|| {
        let bytes = postcard::to_stdvec(&number).expect("a number has a form");
        postcard::from_bytes(&bytes).expect("units are a number")
    })
}

pub fn reservation(text: &str) -> ReservationId {
    let number = text.strip_prefix('r').and_then(|n| n.parse().ok());
    ReservationId(number.unwrap_or_else(|| panic!("{text} is no reservation")))
}

pub fn status(text: Option<&str>) -> StockStatus {
    match text {
        None | Some("unrestricted") => StockStatus::Unrestricted,
        Some("quality") => StockStatus::Quality,
        Some("blocked") => StockStatus::Blocked,
        Some(other) => panic!("no status {other}"),
    }
}

fn kind(text: &str) -> ReceiptKind {
    match text {
        "po" => ReceiptKind::PurchaseOrder,
        "transfer" => ReceiptKind::Transfer,
        "production" => ReceiptKind::Production,
        "return" => ReceiptKind::Return,
        other => panic!("no kind {other}"),
    }
}

fn status_bits(text: &str) -> u8 {
    let bits = text.split('+').filter(|one| *one != "none");
    bits.map(|one| 1 << status(Some(one)) as u8).sum()
}

fn kind_bits(text: &str) -> u8 {
    let bits = text.split('+').filter(|one| *one != "none");
    bits.map(|one| 1 << kind(one) as u8).sum()
}

fn due(text: &str, now: UtcMillis) -> Due {
    match text.strip_prefix("day") {
        Some(day) => Due::Day(FIRST_DAY + day.parse::<i32>().expect("a day is a number")),
        None => Due::At(time(text, now)),
    }
}

pub fn rule_override(words: &Words<'_>) -> Option<RuleOverride> {
    let rule = RuleOverride {
        statuses: words.get("statuses").map(status_bits),
        receipt_kinds: words.get("kinds").map(kind_bits),
        extra_buffer: words.get("extra").map_or(Units::ZERO, units),
        on_hand_only: words.has("on_hand_only"),
    };
    let asked = rule.statuses.is_some()
        || rule.receipt_kinds.is_some()
        || !rule.extra_buffer.is_zero()
        || rule.on_hand_only;
    asked.then_some(rule)
}

fn terms(words: &Words<'_>) -> HoldTerms {
    HoldTerms {
        fill: if words.has("partial") {
            FillPolicy::Partial
        } else if words.has("complete") {
            FillPolicy::ShipComplete
        } else {
            FillPolicy::AllOrNone
        },
        expires_in_ms: words.get("life").map(span),
        order_ref: words.get("order").unwrap_or_default().into(),
        customer: words.get("customer").unwrap_or_default().into(),
        segment: words.get("segment").unwrap_or_default().into(),
        tier: words.number("tier").unwrap_or(0),
        rule: rule_override(words),
        confirm: words.has("confirm"),
    }
}

fn spread(words: &Words<'_>, now: UtcMillis) -> Option<ArrivalSpread> {
    if words.get("late").is_none() && words.get("yield").is_none() {
        return None;
    }
    let late = words.get("late").or(words.get("due")).expect("a late time");
    Some(ArrivalSpread {
        late: time(late, now),
        yield_ppm: words.number("yield").unwrap_or(1_000_000),
    })
}

fn supply_rule(words: &Words<'_>) -> SupplyRule {
    let mut rule = SupplyRule::default();
    if let Some(statuses) = words.get("statuses") {
        rule.statuses = statuses.parse().unwrap_or_else(|_| status_bits(statuses));
    }
    if let Some(kinds) = words.get("kinds") {
        rule.receipt_kinds = kinds.parse().unwrap_or_else(|_| kind_bits(kinds));
    }
    if let Some(grace) = words.get("grace") {
        rule.late_grace = match grace {
            "day" => LateGrace::EndOfDay,
            grace => LateGrace::Millis(span(grace)),
        };
    }
    if let Some(horizon) = words.get("horizon") {
        rule.horizon_ms = span(horizon);
    }
    rule
}

fn buffer_policy(verb: &str, words: &Words<'_>) -> BufferPolicy {
    match verb {
        "static" => BufferPolicy::Static,
        "inherit" => BufferPolicy::Inherit,
        _ => BufferPolicy::Forecast(ForecastBuffer {
            level: words
                .number("ppm")
                .map_or(ServiceLevel::Default, ServiceLevel::Ppm),
            lead_time_days: words.number("lead").unwrap_or(2),
            review_days: words.number("review").unwrap_or(1),
            cap: words.get("cap").map_or(Units::ZERO, units),
        }),
    }
}

impl World {
    /// The command that a line says; `None` for lines that only read.
    pub fn command(&self, verb: &str, rest: &str) -> Option<Command> {
        let (main, after) = rest.split_once(';').unwrap_or((rest, ""));
        let words = Words::new(main, self.now);
        let p = |n: usize| {
            let word = words.plain.get(n).copied();
            word.unwrap_or_else(|| panic!("{verb} {rest}: word {} is missing", n + 1))
        };
        Some(match verb {
            "reserve" => Command::Reserve(Reserve {
                lines: main
                    .split('|')
                    .filter(|l| !l.trim().is_empty())
                    .map(|l| self.reserve_line(l))
                    .collect(),
                terms: terms(&Words::new(after, self.now)),
            }),
            "replace" => {
                let (old, lines) = main.trim().split_once(' ').unwrap_or((main, ""));
                Command::Replace(Replace {
                    reservation: reservation(old),
                    lines: lines.split('|').map(|l| self.reserve_line(l)).collect(),
                })
            }
            "promise" => self.promise(main, &Words::new(after, self.now)),
            "extend" => Command::Extend(Extend {
                reservation: reservation(p(0)),
                expires_in_ms: span(p(1)),
            }),
            "confirm" => Command::Confirm(reservation(p(0))),
            "fulfil" => Command::Fulfil(Fulfil {
                reservation: reservation(p(0)),
                lines: words.plain[1..]
                    .iter()
                    .map(|line| self.fulfil_line(line))
                    .collect(),
                happened_at: words.time("happened"),
            }),
            "release" => Command::Release(Release {
                reservation: reservation(p(0)),
                lines: words.plain[1..].iter().map(|line| line_of(line)).collect(),
            }),
            "buffer" => Command::PutBuffer(self.item(p(1)), self.location(p(2)), units(p(0))),
            "rule" => {
                let rule = supply_rule(&words);
                Command::PutRule(self.scope(p(0)), rule)
            }
            "follow" | "static" | "inherit" => {
                Command::PutBufferPolicy(self.scope(p(0)), buffer_policy(verb, &words))
            }
            "derive" => Command::DeriveBuffers(DerivedBuffers {
                model: words.get("model").unwrap_or("patch@1").into(),
                computed_at: words.time("computed").unwrap_or(self.now),
                buffers: words.plain.iter().map(|word| self.derived(word)).collect(),
            }),
            _ => return self.supply_command(verb, &words),
        })
    }

    /// `tea@ams1` or `ams1`.
    fn scope(&self, text: &str) -> RuleScope {
        match text.split_once('@') {
            Some((item, location)) => RuleScope::Position(self.item(item), self.location(location)),
            None => RuleScope::Location(self.location(text)),
        }
    }

    /// `tea@ams1:5`.
    fn derived(&self, text: &str) -> (PositionId, Units) {
        let (place, quantity) = text.split_once(':').expect("a position and a quantity");
        let (item, location) = place.split_once('@').expect("a position");
        let id = self
            .state
            .position_id(self.item(item), self.location(location));
        (id.unwrap_or(PositionId(u32::MAX)), units(quantity))
    }

    fn supply_command(&self, verb: &str, words: &Words<'_>) -> Option<Command> {
        let p = |n: usize| words.plain[n];
        let happened_at = words.time("happened");
        Some(match verb {
            "count" => Command::SetOnHand(SetOnHand {
                quantity: units(p(0)),
                item: self.item(p(1)),
                location: self.location(p(2)),
                status: status(words.get("status")),
                counted_at: words.time("counted"),
                expected_on_hand: words.number("expect"),
                expected_version: words.number("version"),
            }),
            "adjust" => Command::AdjustOnHand(AdjustOnHand {
                delta: p(0).parse().expect("a signed number"),
                item: self.item(p(1)),
                location: self.location(p(2)),
                status: status(words.get("status")),
                reason: match p(3) {
                    "sale" => AdjustReason::Sale,
                    "loss" => AdjustReason::Loss,
                    "damage" => AdjustReason::Damage,
                    "found" => AdjustReason::Found,
                    "correction" => AdjustReason::Correction,
                    other => panic!("no reason {other}"),
                },
                happened_at,
            }),
            "move" => {
                let (from, to) = p(3).split_once('>').expect("from>to");
                Command::MoveStatus(MoveStatus {
                    quantity: units(p(0)),
                    item: self.item(p(1)),
                    location: self.location(p(2)),
                    from: status(Some(from)),
                    to: status(Some(to)),
                    happened_at,
                })
            }
            "return" => Command::Return(Return {
                quantity: units(p(0)),
                item: self.item(p(1)),
                location: self.location(p(2)),
                status: status(words.get("status")),
                reservation: words.get("of").map(reservation),
                happened_at,
            }),
            "transfer" => {
                let (from, to) = p(2).split_once('>').expect("from>to");
                Command::Transfer(Transfer {
                    quantity: units(p(0)),
                    item: self.item(p(1)),
                    from: self.location(from),
                    to: self.location(to),
                    receipt: words.get("as").expect("as=receipt").into(),
                    due: words.time("due").expect("due=time"),
                    happened_at,
                })
            }
            "receipt" => Command::ScheduleReceipt(ScheduleReceipt {
                receipt: p(0).trim_matches('\'').into(),
                quantity: units(p(1)),
                item: self.item(p(2)),
                location: self.location(p(3)),
                due: due(words.get("due").expect("due=time"), self.now),
                kind: words.get("kind").map_or(ReceiptKind::PurchaseOrder, kind),
                spread: spread(words, self.now),
            }),
            "change" => Command::ChangeReceipt(ChangeReceipt {
                receipt: p(0).into(),
                quantity: words.get("quantity").map(units),
                due: words.get("due").map(|text| due(text, self.now)),
                spread: spread(words, self.now),
                expected_revision: words.number("revision"),
            }),
            "receive" => Command::Receive(Receive {
                quantity: units(p(0)),
                receipt: p(1).into(),
                status: status(words.get("status")),
                last: words.has("last"),
                happened_at,
            }),
            "cancel" => Command::CancelReceipt(CancelReceipt {
                receipt: p(0).into(),
                expected_revision: words.number("revision"),
            }),
            _ => return None,
        })
    }

    fn reserve_line(&self, text: &str) -> ReserveLine {
        let words = Words::new(text, self.now);
        ReserveLine {
            quantity: units(words.plain[0]),
            item: self.item(words.plain[1]),
            location: self.location(words.plain[2]),
            ship_time: words.time("ship"),
            latest: words.time("latest"),
        }
    }

    /// `3 tea ship=d1 | 2 milk from ams1 rot1` or `… from region north`.
    pub fn promise(&self, main: &str, after: &Words<'_>) -> Command {
        let (lines, from) = main.split_once("from").expect("from …");
        let from: Vec<&str> = from.split_whitespace().collect();
        let candidates = match from.as_slice() {
            ["region", name] => Candidates::Region(match self.state.catalog().region_id(name) {
                Some(id) => id,
                None => RegionId(99),
            }),
            names => Candidates::Locations(names.iter().map(|name| self.location(name)).collect()),
        };
        let line = |text: &str| {
            let words = Words::new(text, self.now);
            PromiseLine {
                quantity: units(words.plain[0]),
                item: self.item(words.plain[1]),
                ship_time: words.time("ship"),
                latest: words.time("latest"),
            }
        };
        Command::promise(Promise {
            lines: lines
                .split('|')
                .filter(|l| !l.trim().is_empty())
                .map(line)
                .collect(),
            candidates,
            sourcing: if after.has("earliest") {
                SourcingPolicy::Earliest
            } else if after.has("fewest") {
                SourcingPolicy::FewestPackages
            } else {
                SourcingPolicy::InOrder
            },
            max_packages: after.number("packages"),
            min_split: after.get("split").map(units),
            terms: terms(after),
        })
    }

    fn fulfil_line(&self, text: &str) -> FulfilLine {
        let (line, from) = text.split_once('@').unwrap_or((text, ""));
        let (line, quantity) = line_of(line);
        FulfilLine {
            line,
            quantity,
            location: (!from.is_empty()).then(|| self.location(from)),
        }
    }
}

/// `0:3`: 3 units of line 0.
fn line_of(text: &str) -> (u32, Units) {
    let (line, quantity) = text.split_once(':').expect("line:quantity");
    (line.parse().expect("a line number"), units(quantity))
}

/// `id=7`, `v7=d0-25h` and `src=erp:5` at the start of a line; what follows them.
pub fn meta(text: &str, now: UtcMillis) -> (Meta, &str) {
    let mut meta = Meta::default();
    let mut rest = text.trim();
    while let Some((word, after)) = rest.split_once(' ') {
        match word.split_once('=') {
            Some(("id", id)) => meta.request_id = id.parse().expect("a number"),
            Some(("v7", made)) => {
                let made = time(made, now).get() as u128;
                meta.request_id = (made << 80) | (7 << 76) | (0b10 << 62) | 1;
            }
            Some(("src", source)) => {
                let (name, sequence) = source.split_once(':').expect("source:sequence");
                meta.source = Some((name.into(), sequence.parse().expect("a number")));
            }
            _ => break,
        }
        rest = after.trim();
    }
    (meta, rest)
}
