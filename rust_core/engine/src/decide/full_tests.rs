//! Every table filled to its limit: the last that fits is taken, the next one is answered FULL, what is there already
//! can still be changed, and nothing was stored of what was refused.

use crate::catalog_types::{
    Item, Lane, LateGrace, Location, LocationKind, ReceiptKind, Region, RuleScope, StockStatus,
    SupplyRule,
};
use crate::command::*;
use crate::ids::{ItemId, LocationId, Units, UtcMillis};
use crate::limits::*;
use crate::refusal::EngineError;
use crate::state::{Settings, State};

const NOW: UtcMillis = UtcMillis::new(1_000);

fn units(n: usize) -> Units {
    Units::new(n as u64).expect("small")
}

fn item(n: usize) -> Command {
    Command::PutItem(Item {
        name: format!("sku-{n}").into(),
        base_unit: "each".into(),
        units: vec![],
    })
}

fn location(n: usize) -> Command {
    Command::PutLocation(Location {
        name: format!("loc-{n}").into(),
        time_zone: "".into(),
        day_offsets: vec![],
        kind: LocationKind::Store,
    })
}

fn region(n: usize) -> Command {
    Command::PutRegion(Region {
        name: format!("region-{n}").into(),
        locations: vec![LocationId(0)],
    })
}

fn lane(n: usize) -> Command {
    Command::PutLane(Lane {
        name: format!("lane-{n}").into(),
        from: LocationId(0),
        to_zone: "nl".into(),
        carrier: "post".into(),
        service: "day".into(),
        transit: vec![],
        costs: vec![],
    })
}

/// A rule of its own for each number, at a position of its own.
fn rule(n: usize) -> Command {
    Command::PutRule(
        RuleScope::Position(ItemId((n / 100) as u32), LocationId((n % 100) as u32)),
        SupplyRule {
            late_grace: LateGrace::Millis(n as i64),
            ..SupplyRule::default()
        },
    )
}

/// Positions over the first hundred locations, the last item last.
fn count(n: usize) -> Command {
    Command::SetOnHand(SetOnHand {
        item: ItemId((n / 100) as u32),
        location: LocationId((n % 100) as u32),
        status: StockStatus::Unrestricted,
        quantity: units(MAX_RESERVATIONS),
        counted_at: None,
        expected_on_hand: None,
        expected_version: None,
    })
}

fn receipt(n: usize) -> Command {
    Command::ScheduleReceipt(ScheduleReceipt {
        receipt: format!("po-{n}").into(),
        item: ItemId(0),
        location: LocationId((n % 100) as u32),
        quantity: units(1),
        due: Due::At(NOW.plus(1)),
        kind: ReceiptKind::PurchaseOrder,
        spread: None,
    })
}

fn reserve(n: usize) -> Command {
    Command::Reserve(Reserve {
        lines: [ReserveLine {
            item: ItemId(0),
            location: LocationId((n % 100) as u32),
            quantity: units(1),
            ship_time: None,
            latest: None,
        }]
        .into_iter()
        .collect(),
        terms: HoldTerms::default(),
    })
}

/// A state with a hundred locations and so many items, and a clock that stands.
struct World {
    state: State,
    records: u64,
}

impl World {
    fn new(items: usize) -> Self {
        let mut world = Self {
            state: State::new(Settings::default()),
            records: 0,
        };
        for n in 0..100 {
            world.say(&location(n)).expect("a location");
        }
        for n in 0..items {
            world.say(&item(n)).expect("an item");
        }
        world
    }

    fn say(&mut self, command: &Command) -> Result<(), EngineError> {
        let records = &mut self.records;
        self.state
            .step(Meta::default(), command, NOW, &mut |_| *records += 1)
            .map(|_| ())
    }
}

/// Fills a table from `from` entries that are there to its limit, and asks for one more.
fn fills(world: &mut World, what: &str, from: usize, limit: usize, put: fn(usize) -> Command) {
    for n in from..limit {
        let told = world.say(&put(n));
        assert_eq!(told, Ok(()), "{what} {n}");
    }
    let (digest, records) = (world.state.digest(), world.records);
    let told = world.say(&put(limit));
    let full = matches!(&told, Err(EngineError::Full { what: table, limit: told })
        if table.contains(what) && *told == limit as u64);
    assert!(full, "{what}: {told:?}");
    assert_eq!(world.records, records, "{what}: something was written");
    assert_eq!(world.state.digest(), digest, "{what}: something changed");
    assert_eq!(world.state.reconcile(), [], "{what}");
}

#[test]
fn tables_of_the_catalog() {
    let mut world = World::new(0);
    fills(&mut world, "items", 0, MAX_ITEMS, item);
    fills(&mut world, "locations", 100, MAX_LOCATIONS, location);
    fills(&mut world, "regions", 0, MAX_REGIONS, region);
    fills(&mut world, "lanes", 0, MAX_LANES, lane);
    for known in [item(0), location(0), region(0), lane(0)] {
        assert_eq!(world.say(&known), Ok(()), "what is known can be replaced");
    }
}

#[test]
fn rules_are_kept_once_and_have_a_limit() {
    let mut world = World::new(MAX_RULES / 100 + 1);
    fills(&mut world, "rules", 0, MAX_RULES, rule);
    // A rule that is there already takes no further place, whichever position it is for.
    let Command::PutRule(_, known) = rule(7) else {
        unreachable!("it makes rules");
    };
    let other = RuleScope::Position(ItemId(0), LocationId(99));
    assert_eq!(world.say(&Command::PutRule(other, known)), Ok(()));
}

#[test]
fn positions() {
    let mut world = World::new(MAX_POSITIONS / 100 + 1);
    fills(&mut world, "positions", 0, MAX_POSITIONS, count);
    assert_eq!(world.say(&count(0)), Ok(()), "a known position is counted");
    let beyond = rule(0);
    assert_eq!(world.say(&beyond), Ok(()), "its rule is set");
}

#[test]
fn receipts() {
    let mut world = World::new(1);
    fills(&mut world, "receipts", 0, MAX_RECEIPTS, receipt);
    let cancel = Command::CancelReceipt(CancelReceipt {
        receipt: "po-0".into(),
        expected_revision: None,
    });
    assert_eq!(world.say(&cancel), Ok(()));
    assert_eq!(world.say(&receipt(0)), Ok(()), "there is room again");
}

#[test]
fn reservations() {
    let mut world = World::new(1);
    for n in 0..100 {
        world.say(&count(n)).expect("a count");
    }
    fills(&mut world, "reservations", 0, MAX_RESERVATIONS, reserve);
    let release = Command::Release(Release {
        reservation: crate::ids::ReservationId(1),
        lines: Default::default(),
    });
    assert_eq!(world.say(&release), Ok(()));
    assert_eq!(world.say(&reserve(0)), Ok(()), "there is room again");
}

#[test]
fn sources() {
    let mut world = World::new(1);
    let mut tell = |n: usize, sequence| {
        let meta = Meta {
            source: Some((format!("feed-{n}").into(), sequence)),
            ..Meta::default()
        };
        let told = world.state.step(meta, &count(0), NOW, &mut |_| {});
        told.map(|_| ())
    };
    for n in 0..MAX_SOURCES {
        assert_eq!(tell(n, 1), Ok(()));
    }
    let told = tell(MAX_SOURCES, 1);
    assert!(matches!(told, Err(EngineError::Full { limit, .. }) if limit == MAX_SOURCES as u64));
    assert_eq!(tell(0, 2), Ok(()), "a known source goes on");
}

/// Unmet demand is a record of what was not sold, not a promise: the oldest rows make room.
#[test]
fn unmet_demand_forgets_the_oldest() {
    let mut world = World::new(MAX_UNMET_ROWS / 100 + 1);
    let late = NOW.plus(DAY_MS);
    let refused = |n: usize, at| {
        let Command::Reserve(mut reserve) = reserve(n) else {
            unreachable!("it reserves");
        };
        reserve.lines[0].item = ItemId((n / 100) as u32);
        reserve.lines[0].ship_time = Some(at);
        Command::Reserve(reserve)
    };
    let rows = |world: &World| -> Vec<u32> { world.state.unmet.iter().map(|row| row.0).collect() };
    for n in 0..MAX_UNMET_ROWS {
        world.say(&refused(n, NOW)).expect("an answer");
    }
    let first = rows(&world);
    assert_eq!(first.len(), MAX_UNMET_ROWS);
    for n in 0..3 {
        world.say(&refused(n, late)).expect("an answer");
    }
    let kept = rows(&world);
    assert_eq!(kept.len(), MAX_UNMET_ROWS);
    let tomorrow = kept.iter().filter(|day| **day == first[0] + 1).count();
    assert_eq!(tomorrow, 3, "the newest are there");
}
