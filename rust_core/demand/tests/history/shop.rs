//! A random shop on the real engine, and what its demand was, worked out from the engine's state.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bespeak_demand::Fact;
use bespeak_engine::limits::DAY_MS;
use bespeak_engine::*;

/// 2026-09-21 10:00 UTC.
pub const START_MS: i64 = 1_789_984_800_000;
const ITEMS: u32 = 4;
/// Hours by which the second location is ahead of UTC.
const AHEAD_MS: i64 = 2 * 3_600_000;
const PLACES: [i64; 2] = [0, AHEAD_MS];

/// What a day says of a position: units sold, units unmet, milliseconds without stock.
pub type Said = (i64, u64, i64);

pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

fn units(n: u64) -> Units {
    Units::new(n).expect("a small number")
}

fn binds(state: ReservationState) -> bool {
    matches!(state, ReservationState::Held | ReservationState::Confirmed)
}

/// The engine, its records, and the oracle.
pub struct Shop {
    pub state: State,
    pub records: Vec<Record>,
    pub now: i64,
    rng: Rng,
    /// By item, location and day.
    pub days: BTreeMap<(u32, u32, i32), Said>,
    pub known: BTreeMap<(u32, u32), i32>,
    counted: HashMap<u64, i64>,
}

impl Shop {
    pub fn new(seed: u64) -> Self {
        let mut shop = Self {
            state: State::new(Settings::default()),
            records: Vec::new(),
            now: START_MS,
            rng: Rng::new(seed),
            days: BTreeMap::new(),
            known: BTreeMap::new(),
            counted: HashMap::new(),
        };
        for n in 0..ITEMS {
            let name = format!("i{n}").into();
            let (base_unit, units) = ("each".into(), vec![]);
            shop.say(&Command::PutItem(Item {
                name,
                base_unit,
                units,
            }));
        }
        for (n, ahead) in PLACES.iter().enumerate() {
            let offset = DayOffset {
                from: UtcMillis::ZERO,
                offset_s: i32::try_from(ahead / 1_000).expect("two hours"),
            };
            shop.say(&Command::PutLocation(Location {
                name: format!("l{n}").into(),
                time_zone: "".into(),
                day_offsets: vec![offset],
                kind: LocationKind::Store,
            }));
        }
        shop
    }

    fn day(location: u32, ms: i64) -> i32 {
        ((ms + PLACES[location as usize]).div_euclid(DAY_MS)) as i32
    }

    fn open(&self) -> BTreeMap<u64, Reservation> {
        let all = self.state.reservations();
        all.map(|(id, one)| (id.0, one.clone())).collect()
    }

    fn unmet(&self) -> BTreeMap<(u32, u32), u64> {
        let mut sums = BTreeMap::new();
        for (_, item, location, unmet) in self.state.unmet_demand() {
            *sums.entry((item.0, location.0)).or_default() += unmet.units;
        }
        sums
    }

    /// Positions of which nothing is available.
    fn out(&self) -> BTreeSet<(u32, u32)> {
        let mut left: HashMap<PositionId, i64> = HashMap::new();
        for (id, position) in self.state.positions() {
            let on_hand = position.on_hand(StockStatus::Unrestricted);
            left.insert(id, on_hand - position.buffer().balance());
        }
        for (_, one) in self
            .state
            .reservations()
            .filter(|(_, one)| binds(one.state()))
        {
            for line in one.lines() {
                *left.entry(line.position).or_default() -= line.open.balance();
            }
        }
        let none = left.into_iter().filter(|(_, left)| *left <= 0);
        let place = |id: PositionId| {
            let position = self.state.position(id);
            (position.item().0, position.location().0)
        };
        none.map(|(id, _)| place(id)).collect()
    }

    fn add(&mut self, at: (u32, u32), ms: i64, said: Said) {
        let day = Self::day(at.1, ms);
        let sum = self.days.entry((at.0, at.1, day)).or_default();
        *sum = (sum.0 + said.0, sum.1 + said.1, sum.2 + said.2);
    }

    /// Lets time pass without a word, then executes a command.
    fn say(&mut self, command: &Command) -> Option<Reply> {
        let (before, unmet) = (self.open(), self.unmet());
        let Self { state, records, .. } = self;
        let now = UtcMillis::new(self.now);
        let answer = state.step(Meta::default(), command, now, &mut |r| {
            records.push(r.clone())
        });
        let after = self.open();
        self.note_unmet(&unmet);
        for (id, one) in &after {
            let old = before.get(id);
            let confirmed = one.state() == ReservationState::Confirmed;
            if confirmed && !self.counted.contains_key(id) {
                self.counted.insert(*id, self.now);
                for line in one.lines() {
                    self.sell(line.position, self.now, line.open.balance());
                }
            }
            if let (Some(old), Some(at)) = (old, self.counted.get(id).copied()) {
                for (new, old) in one.lines().iter().zip(old.lines()) {
                    let back = new.released.balance() - old.released.balance();
                    self.sell(new.position, at, -back);
                }
            }
        }
        if let Command::Release(release) = command
            && let Some(old) = before.get(&release.reservation.0)
            && !after.contains_key(&release.reservation.0)
            && let Some(at) = self.counted.get(&release.reservation.0).copied()
        {
            for line in old.lines() {
                self.sell(line.position, at, -line.open.balance());
            }
        }
        self.note_known();
        answer.ok().map(|answer| answer.reply)
    }

    fn sell(&mut self, position: PositionId, ms: i64, units: i64) {
        let position = self.state.position(position);
        let at = (position.item().0, position.location().0);
        self.add(at, ms, (units, 0, 0));
    }

    fn note_unmet(&mut self, before: &BTreeMap<(u32, u32), u64>) {
        for (at, sum) in self.unmet() {
            let new = sum - before.get(&at).copied().unwrap_or(0);
            if new > 0 {
                self.add(at, self.now, (0, new, 0));
            }
        }
    }

    fn note_known(&mut self) {
        let positions = self.state.positions();
        let places: Vec<_> = positions
            .map(|(_, one)| (one.item().0, one.location().0))
            .collect();
        let missed: Vec<_> = self.unmet().into_keys().collect();
        for at in places.into_iter().chain(missed) {
            let day = Self::day(at.1, self.now);
            self.known.entry(at).or_insert(day);
        }
    }

    /// Moves time on, a piece at a time, so that what runs out in between is seen when it does.
    fn pass(&mut self, ms: i64) {
        let until = self.now + ms;
        while self.now < until {
            let due = self.state.next_due().map_or(until, UtcMillis::get);
            let midnights =
                PLACES.map(|ahead| ((self.now + ahead).div_euclid(DAY_MS) + 1) * DAY_MS - ahead);
            let next = until
                .min(due.max(self.now + 1))
                .min(midnights[0])
                .min(midnights[1]);
            let known: Vec<_> = self.known.keys().copied().collect();
            let out = self.out();
            for at in known {
                // Where nothing was ever said of stock there is none.
                let stock = self
                    .state
                    .position_id(ItemId(at.0), LocationId(at.1))
                    .is_some();
                if !stock || out.contains(&at) {
                    self.add(at, self.now, (0, 0, next - self.now));
                }
            }
            self.now = next;
            let records = &mut self.records;
            self.state.advance(UtcMillis::new(next), &mut |record| {
                records.push(record.clone())
            });
        }
    }

    /// Something happens, then time passes.
    pub fn live(&mut self) {
        let rng = &mut self.rng;
        let item = ItemId(rng.below(u64::from(ITEMS)) as u32);
        let location = LocationId(rng.below(2) as u32);
        let quantity = units(1 + rng.below(6));
        let known: Vec<u64> = self.state.reservations().map(|(id, _)| id.0).collect();
        let some = match known.len() as u64 {
            0 => ReservationId(0),
            n => ReservationId(known[self.rng.below(n) as usize]),
        };
        let back = self.rng.below(3 * DAY_MS as u64) as i64;
        let wait = 1 + self.rng.below(4 * 3_600_000) as i64;
        let confirm = self.rng.below(2) == 0;
        let counted = units(self.rng.below(3) * 10);
        match self.rng.below(12) {
            0 => self.count(item, location, counted),
            1 | 2 => {
                let happened_at = confirm.then(|| UtcMillis::new(self.now - back));
                let said = self.say(&Command::AdjustOnHand(AdjustOnHand {
                    item,
                    location,
                    status: StockStatus::Unrestricted,
                    delta: -quantity.balance(),
                    reason: AdjustReason::Sale,
                    happened_at,
                }));
                if said.is_some() {
                    let at = happened_at.map_or(self.now, UtcMillis::get);
                    self.add((item.0, location.0), at, (quantity.balance(), 0, 0));
                }
            }
            3 => drop(self.say(&Command::Confirm(some))),
            4 => {
                let lines = Default::default();
                drop(self.say(&Command::Release(Release {
                    reservation: some,
                    lines,
                })));
            }
            5 => drop(self.say(&Command::Fulfil(Fulfil {
                reservation: some,
                lines: Default::default(),
                happened_at: None,
            }))),
            6 => drop(self.say(&Command::PutItem(Item {
                name: format!("i{}", item.0).into(),
                base_unit: "each".into(),
                units: vec![],
            }))),
            _ => {
                let line = ReserveLine {
                    item,
                    location,
                    quantity,
                    ship_time: None,
                    latest: None,
                };
                let terms = HoldTerms {
                    confirm,
                    expires_in_ms: (!confirm).then_some(3_600_000),
                    ..HoldTerms::default()
                };
                let lines = [line].into_iter().collect();
                drop(self.say(&Command::Reserve(Reserve { lines, terms })));
            }
        }
        self.pass(wait);
    }

    fn count(&mut self, item: ItemId, location: LocationId, quantity: Units) {
        self.say(&Command::SetOnHand(SetOnHand {
            item,
            location,
            status: StockStatus::Unrestricted,
            quantity,
            counted_at: None,
            expected_on_hand: None,
            expected_version: None,
        }));
    }
}

/// A record's facts.
pub fn facts(record: &Record) -> Vec<Fact> {
    let mut facts = Vec::new();
    Fact::of(record, &mut |fact| facts.push(fact));
    facts
}
