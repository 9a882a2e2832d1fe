//! Tells a story to the engine and judges every answer by the oracle.

use std::collections::VecDeque;

use bespeak_engine::limits::DAY_MS;
use bespeak_engine::*;
use proptest::prelude::*;

use crate::commands::{HOUR_MS, ITEMS, LOCATIONS, Step};
use crate::judge;
use crate::oracle::Oracle;

type Check = Result<(), TestCaseError>;

struct Story {
    settings: Settings,
    state: State,
    journal: Vec<Record>,
    /// Ids, bodies and answers that are remembered, oldest first.
    remembered: VecDeque<(u128, Command, Answer)>,
}

pub fn run(settings: Settings, steps: &[Step]) -> Check {
    let mut story = Story {
        state: State::new(settings.clone()),
        settings,
        journal: Vec::new(),
        remembered: VecDeque::new(),
    };
    let mut clock = UtcMillis::new(20_458 * DAY_MS + 7 * HOUR_MS);
    story.begin(clock)?;
    for step in steps {
        clock = clock.plus(step.wait_ms);
        story.step(clock, step)?;
        story.compare()?;
    }
    story.replay()
}

impl Story {
    fn begin(&mut self, now: UtcMillis) -> Check {
        let items = (0..ITEMS).map(|n| {
            Command::PutItem(Item {
                name: format!("item-{n}").into(),
                base_unit: "each".into(),
                units: vec![],
            })
        });
        let locations = (0..LOCATIONS).map(|n| {
            Command::PutLocation(Location {
                name: format!("location-{n}").into(),
                time_zone: "".into(),
                day_offsets: vec![],
                kind: LocationKind::Store,
            })
        });
        let region = Command::PutRegion(Region {
            name: "all".into(),
            locations: (0..LOCATIONS).map(LocationId).collect(),
        });
        for command in items.chain(locations).chain([region]) {
            prop_assert!(self.say(now, 0, &command).is_ok());
        }
        Ok(())
    }

    fn say(
        &mut self,
        now: UtcMillis,
        request_id: u128,
        command: &Command,
    ) -> Result<Answer, EngineError> {
        let meta = Meta {
            request_id,
            ..Meta::default()
        };
        let journal = &mut self.journal;
        self.state.step(meta, command, now, &mut |record| {
            journal.push(record.clone())
        })
    }

    fn step(&mut self, clock: UtcMillis, step: &Step) -> Check {
        // What is due comes first, so that the oracle judges the command by the state that the command met.
        let journal = &mut self.journal;
        self.state
            .advance(clock, &mut |record| journal.push(record.clone()));
        let now = self.state.now();
        prop_assert!(now >= clock);
        let mut oracle = self.oracle()?;
        oracle.now = now;
        let command = step.action.command(clock, oracle.made);
        let id = u128::from(step.request);
        let before = self.journal.len();
        let answer = self.say(clock, id, &command);
        let known = self
            .remembered
            .iter()
            .find(|(known, ..)| id != 0 && *known == id);
        if let Some((_, body, first)) = known.cloned() {
            prop_assert_eq!(self.journal.len(), before, "nothing happens twice");
            if body != command {
                let reused = matches!(answer, Err(EngineError::RequestIdReused(_)));
                prop_assert!(reused, "another body was taken: {:?}", answer);
                return Ok(());
            }
            let again = Answer {
                replayed: true,
                ..first
            };
            prop_assert_eq!(answer, Ok(again));
            return Ok(());
        }
        let Ok(answer) = answer else {
            prop_assert_eq!(self.journal.len(), before, "an error changes nothing");
            return judge::error(&oracle, &self.settings, &command, clock);
        };
        prop_assert!(!answer.replayed);
        judge::answer(&oracle, &self.settings, &command, &answer)?;
        let last = self.journal.last().expect("there was a beginning");
        prop_assert_eq!(answer.revision, last.revision);
        if id != 0 && self.journal.len() > before && last.is_remembered() {
            if self.remembered.len() == self.settings.remembered_requests {
                self.remembered.pop_front();
            }
            self.remembered.push_back((id, command, answer));
        }
        Ok(())
    }

    fn oracle(&self) -> Result<Oracle, TestCaseError> {
        Oracle::of(&self.journal).map_err(TestCaseError::fail)
    }

    /// Everything that can be read, against the list of events.
    fn compare(&mut self) -> Check {
        let now = self.state.now();
        let before = self.journal.len();
        let journal = &mut self.journal;
        self.state
            .advance(now, &mut |record| journal.push(record.clone()));
        prop_assert_eq!(
            self.journal.len(),
            before,
            "an answer left something that was due"
        );
        let mut oracle = self.oracle()?;
        oracle.now = now;
        prop_assert_eq!(self.state.position_count(), oracle.places.len());
        for (place, (item, location)) in oracle.places.iter().enumerate() {
            let position = self.state.position(PositionId(place as u32));
            for status in [
                StockStatus::Unrestricted,
                StockStatus::Quality,
                StockStatus::Blocked,
            ] {
                prop_assert_eq!(position.on_hand(status), oracle.on_hand(place, status));
            }
            self.compare_availability(&oracle, place, *item, *location)?;
            let lowest = oracle.lowest(place, now, &[]) + position.buffer().get() as i64;
            prop_assert!(
                lowest >= 0 || position.shock().is_some(),
                "oversold: {} at {:?}",
                lowest,
                (item, location)
            );
        }
        for (no, receipt) in &oracle.receipts {
            let late = oracle.overdue_at(receipt) <= now;
            prop_assert_eq!(
                receipt.overdue,
                late,
                "{:?} counts when it should not, or not when it should",
                no
            );
        }
        let open: Vec<ReservationId> = self.state.reservations().map(|(id, _)| id).collect();
        prop_assert_eq!(&open, &oracle.holds.keys().copied().collect::<Vec<_>>());
        for (id, hold) in &oracle.holds {
            let found = self.state.reservation(*id).expect("it is open");
            prop_assert_eq!(found.state(), hold.state);
            let live = hold.state != ReservationState::Held || hold.expires_at > now;
            prop_assert!(live, "{:?} lives past its expiry", id);
            for (line, known) in found.lines().iter().zip(&hold.lines) {
                prop_assert_eq!(
                    (line.open.get(), line.fulfilled.get()),
                    (known.open, known.fulfilled)
                );
                prop_assert_eq!(line.ship_time, known.ship);
            }
        }
        prop_assert_eq!(self.state.open_shocks(), oracle.shocks.len());
        prop_assert_eq!(self.state.reconcile(), vec![]);
        prop_assert_eq!(self.state.oversold_units(), 0);
        Ok(())
    }

    fn compare_availability(
        &self,
        oracle: &Oracle,
        place: usize,
        item: ItemId,
        location: LocationId,
    ) -> Check {
        let now = self.state.now();
        let horizon = now.plus(oracle.rule(Some(place), location).horizon_ms);
        let mut times: Vec<UtcMillis> = (0..12).map(|n| now.plus(n * 5 * HOUR_MS)).collect();
        for line in oracle.holds.values().flat_map(|hold| &hold.lines) {
            times.extend([line.ship, line.ship.plus(-1)]);
        }
        times.extend(
            oracle
                .receipts
                .values()
                .flat_map(|one| [one.counts_from, one.counts_from.plus(-1)]),
        );
        for &at in &times {
            let expected = oracle.available(place, at, &[]);
            prop_assert_eq!(
                self.state.available(item, location, at).get(),
                expected,
                "at {:?}",
                at
            );
            let quantity = expected + 1 + (at.get() % 7) as u64;
            let line = CheckLine {
                item,
                location,
                quantity: Units::new(quantity).expect("small"),
                ship_time: Some(at),
                rule: None,
            };
            let answer = self.state.check(&line).expect("both are known");
            if at < now || at > horizon {
                prop_assert!(answer.refusal.is_some());
                continue;
            }
            prop_assert_eq!(answer.available.get(), expected);
            prop_assert!(!answer.in_full);
            let earliest = oracle.earliest(place, at, quantity, &[]);
            prop_assert_eq!(
                answer.earliest,
                earliest,
                "{} units from {:?}",
                quantity,
                at
            );
        }
        let lines: Vec<CheckLine> = times
            .iter()
            .map(|at| CheckLine {
                item,
                location,
                quantity: Units::new((at.get() % 30) as u64).expect("small"),
                ship_time: Some(*at),
                rule: None,
            })
            .collect();
        let mut many = Vec::new();
        self.state.check_many(&lines, |answer| many.push(answer));
        let single: Vec<_> = lines.iter().map(|line| self.state.check(line)).collect();
        prop_assert_eq!(many, single);
        for (from, units) in self.state.staircase(item, location, now) {
            prop_assert_eq!(units.get(), oracle.available(place, from, &[]));
        }
        Ok(())
    }

    /// Replay, snapshot, and snapshot with tail, against the live state.
    fn replay(&self) -> Check {
        let live = self.state.digest();
        let mut replayed = State::new(self.settings.clone());
        let middle = self.journal.len() / 2;
        let mut restored = None;
        for (n, record) in self.journal.iter().enumerate() {
            if n == middle {
                restored = Some(read_back(&self.settings, &replayed));
            }
            prop_assert_eq!(replayed.apply(record), Ok(()));
            if let Some(restored) = &mut restored {
                prop_assert_eq!(restored.apply(record), Ok(()));
            }
            // A record stays what it is on its way through the journal.
            let bytes = postcard::to_stdvec(record).expect("a record has a form");
            prop_assert_eq!(
                &postcard::from_bytes::<Record>(&bytes).expect("and comes back"),
                record
            );
        }
        prop_assert_eq!(replayed.digest(), live, "replay");
        prop_assert_eq!(
            restored.expect("there was a beginning").digest(),
            live,
            "snapshot and tail"
        );
        prop_assert_eq!(
            read_back(&self.settings, &self.state).digest(),
            live,
            "snapshot"
        );
        // Another seed of the hash tables changes nothing.
        let mut other = State::new(Settings {
            hash_seed: 99,
            ..self.settings.clone()
        });
        for record in &self.journal {
            prop_assert_eq!(other.apply(record), Ok(()));
        }
        prop_assert_eq!(other.digest(), live, "hash seed");
        Ok(())
    }
}

fn read_back(settings: &Settings, state: &State) -> State {
    let mut bytes = Vec::new();
    let mut write = |part: &[u8]| {
        bytes.extend_from_slice(part);
        Ok(())
    };
    state
        .write_snapshot(&mut write)
        .expect("memory does not fail");
    let mut rest = bytes.as_slice();
    let mut read = |buffer: &mut [u8]| std::io::Read::read(&mut rest, buffer);
    State::read_snapshot(settings.clone(), &mut read, &mut || ()).expect("it is sound")
}
