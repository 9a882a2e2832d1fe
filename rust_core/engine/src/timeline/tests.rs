//! Both forms of a timeline against sums worked out from the list of entries.

use super::*;
use proptest::prelude::*;

fn entry(time: i64, id: u64, quantity: i64) -> Entry {
    let key = if quantity >= 0 {
        EntryKey::receipt(ReceiptNo(id))
    } else {
        EntryKey::commitment(ReservationId(id), 0)
    };
    Entry {
        time: UtcMillis::new(time),
        key,
        quantity,
    }
}

/// Lowest P(u) over instants u >= t for t = -1..=41, by definition.
fn lowest_by_definition(entries: &[Entry]) -> Vec<i64> {
    let balance = |u: i64| -> i64 {
        entries
            .iter()
            .filter(|e| e.time.get() <= u)
            .map(|e| e.quantity)
            .sum()
    };
    let balances: Vec<i64> = (-1..=41).map(balance).collect();
    (0..balances.len())
        .map(|from| {
            *balances[from..]
                .iter()
                .min()
                .expect("there is always t itself")
        })
        .collect()
}

#[test]
fn worked_example_of_the_specification() {
    let mut timeline = Timeline::default();
    for (day, id, quantity) in [(3, 1, 10), (1, 2, -3), (4, 3, -15), (5, 4, 1), (6, 5, 3)] {
        timeline.insert(entry(day, id, quantity));
    }
    let atp: Vec<i64> = (1..=7)
        .map(|day| 20 + timeline.lowest_from(UtcMillis::new(day)))
        .collect();
    assert_eq!(atp, [12, 12, 12, 12, 13, 16, 16]);
    let earliest = timeline.earliest_at_least(UtcMillis::new(1), 13 - 20);
    assert_eq!(earliest, Some(UtcMillis::new(5)));
}

#[test]
fn key_round_trip() {
    let receipt = EntryKey::receipt(ReceiptNo(77));
    assert_eq!(receipt.unpack(), EntryRef::Receipt(ReceiptNo(77)));
    let commitment = EntryKey::commitment(ReservationId(1 << 40), 1_023);
    assert_eq!(
        commitment.unpack(),
        EntryRef::Commitment(ReservationId(1 << 40), 1_023)
    );
    assert!(receipt < commitment);
}

fn room(timeline: &Timeline) -> usize {
    match timeline {
        Timeline::Small(chunk) => chunk.room(),
        Timeline::Large(_) => unreachable!("it is short"),
    }
}

#[test]
fn the_room_of_a_rush_is_given_back() {
    let mut timeline = Timeline::default();
    for id in 0..12 {
        timeline.insert(entry(id as i64, id, -1));
    }
    let quiet = room(&timeline);
    for rush in 1..=200 {
        for id in 0..rush {
            timeline.insert(entry(20, 100 + id, -1));
        }
        for id in 0..rush {
            let e = entry(20, 100 + id, -1);
            assert!(timeline.remove(e.time, e.key));
        }
        assert!(
            room(&timeline) <= 12 + 6,
            "{} after {rush} more than 12",
            room(&timeline)
        );
    }
    assert!(room(&timeline) <= quiet + 1, "{quiet} before");
}

#[test]
fn what_comes_and_goes_in_a_timeline_that_was_read_moves_nothing() {
    for count in [1, 4, 7, 8, 12, 100] {
        let mut timeline = Timeline::default();
        timeline.reserve(count as usize);
        for id in 0..count {
            timeline.push(entry(id as i64, id, -1));
        }
        timeline.settle(&mut Vec::new());
        let read = room(&timeline);
        assert!(read <= count as usize * 9 / 8, "{read} for {count}");
        let e = entry(200, 1_000, -1);
        for _ in 0..3 {
            timeline.insert(e);
            assert!(timeline.remove(e.time, e.key));
        }
        assert!(count < 8 || room(&timeline) == read, "{count}");
    }
}

#[test]
fn what_comes_and_goes_moves_nothing() {
    let mut timeline = Timeline::default();
    for id in 0..12 {
        timeline.insert(entry(id as i64, id, -1));
    }
    let mut rooms = std::collections::BTreeSet::new();
    for id in 0..100 {
        let e = entry(20, 100 + id, -1);
        timeline.insert(e);
        rooms.insert(room(&timeline));
        assert!(timeline.remove(e.time, e.key));
        rooms.insert(room(&timeline));
    }
    assert_eq!(rooms.len(), 1, "{rooms:?}");
}

#[derive(Clone, Debug)]
enum Op {
    Insert(i64, i64),
    Remove(prop::sample::Index),
    Set(prop::sample::Index, i64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..40i64, -9..10i64).prop_map(|(time, quantity)| Op::Insert(time, quantity)),
        2 => any::<prop::sample::Index>().prop_map(Op::Remove),
        1 => (any::<prop::sample::Index>(), 0..9i64).prop_map(|(at, quantity)| Op::Set(at, quantity)),
    ]
}

fn run(ops: Vec<Op>, prefill: usize) -> Result<(), TestCaseError> {
    let mut timeline = Timeline::default();
    let mut entries: Vec<Entry> = Vec::new();
    let mut next = 1;
    for n in 0..prefill {
        let e = entry((n % 37) as i64, next, (n % 7) as i64 - 3);
        next += 1;
        timeline.insert(e);
        entries.push(e);
    }
    for op in ops {
        match op {
            Op::Insert(time, quantity) => {
                let e = entry(time, next, quantity);
                next += 1;
                timeline.insert(e);
                entries.push(e);
            }
            Op::Remove(at) if !entries.is_empty() => {
                let e = entries.swap_remove(at.index(entries.len()));
                prop_assert!(timeline.remove(e.time, e.key));
                prop_assert!(!timeline.remove(e.time, e.key));
            }
            Op::Set(at, quantity) if !entries.is_empty() => {
                let n = at.index(entries.len());
                let sign = if entries[n].quantity < 0 { -1 } else { 1 };
                let quantity = sign * quantity;
                entries[n].quantity = quantity;
                prop_assert!(timeline.set_quantity(entries[n].time, entries[n].key, quantity));
            }
            _ => {}
        }
        prop_assert_eq!(timeline.len(), entries.len());
    }
    let lowest = lowest_by_definition(&entries);
    for t in -1..=41i64 {
        let here = lowest[(t + 1) as usize];
        prop_assert_eq!(timeline.lowest_from(UtcMillis::new(t)), here, "at {}", t);
        let look = timeline.look(UtcMillis::new(t), here + 1);
        prop_assert_eq!(look.lowest, here);
        let later = timeline.last_low_commitment(UtcMillis::new(t), here);
        prop_assert_eq!(look.later, later, "from {}", t);
        for level in [here, here + 1, here + 5] {
            let expected = (t..=41).find(|u| lowest[(u + 1) as usize] >= level);
            let found = timeline.earliest_at_least(UtcMillis::new(t), level);
            prop_assert_eq!(
                found.map(UtcMillis::get),
                expected,
                "level {} from {}",
                level,
                t
            );
            let seen = timeline.look(UtcMillis::new(t), level).earliest;
            prop_assert_eq!(seen, found, "level {} from {}", level, t);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn small_equals_definition(ops in prop::collection::vec(op(), 0..60)) {
        run(ops, 0)?;
    }

    #[test]
    fn large_equals_definition(ops in prop::collection::vec(op(), 0..200), prefill in 200..1_400usize) {
        run(ops, prefill)?;
    }
}
