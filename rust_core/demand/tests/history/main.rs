//! The history against an oracle that works demand out from the engine's state, across kills and torn files.

mod shop;

use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, UInt64Type};
use bespeak_demand::forecasts::Truth;
use bespeak_demand::{Checkpoint, Demanded, Filter, History, Outlooks, Rows};
use bespeak_engine::{PositionId, Record, Settings, State};
use shop::{Rng, Shop, facts};

const JOURNAL: [u8; 16] = [7; 16];
const DAY_MINUTES: f64 = 24.0 * 60.0;

/// By item, location and day: units sold, units unmet, minutes without stock.
type Table = BTreeMap<(String, i32), (u64, u64, u64)>;

fn told(history: &History, filter: &Filter, now: i64) -> Table {
    let mut rows = Rows::new(history, filter, now);
    let mut table = Table::new();
    while let Some(batch) = rows.next(history).expect("is whole") {
        let id = batch.column(0).as_string::<i32>();
        let day = batch.column(1).as_primitive::<Date32Type>();
        let target = batch.column(2).as_primitive::<UInt64Type>();
        let stockout = batch.column(3).as_primitive::<Float64Type>();
        let unmet = batch.column(4).as_primitive::<UInt64Type>();
        for n in 0..batch.num_rows() {
            let minutes = (stockout.value(n) * DAY_MINUTES).round() as u64;
            let said = (target.value(n), unmet.value(n), minutes);
            let known = table.insert((id.value(n).to_owned(), day.value(n)), said);
            assert_eq!(
                known,
                None,
                "{} has day {} twice",
                id.value(n),
                day.value(n)
            );
        }
    }
    table
}

/// What the oracle says of all days that are over.
fn expected(shop: &Shop) -> Table {
    let mut table = Table::new();
    for ((item, location), first) in &shop.known {
        let ahead = i64::from(*location) * 2 * 3_600_000;
        let today = ((shop.now + ahead).div_euclid(86_400_000)) as i32;
        for day in *first..today {
            let said = shop.days.get(&(*item, *location, day));
            let (sold, unmet, out) = said.copied().unwrap_or_default();
            let minutes = (out + 30_000) / 60_000;
            let said = (sold.max(0).unsigned_abs(), unmet, minutes.unsigned_abs());
            table.insert((format!("i{item}@l{location}"), day), said);
        }
    }
    table
}

fn add(history: &mut History, records: &[Record]) {
    for record in records {
        history
            .add(record.revision, record.time.get(), facts(record))
            .expect("is written");
    }
}

fn open(dir: &Path, newest: u64) -> (History, bool) {
    History::open(dir, JOURNAL, newest).expect("opens")
}

fn differences(got: &Table, wanted: &Table) -> Vec<String> {
    let keys = got.keys().chain(wanted.keys());
    let mut lines: Vec<String> = keys
        .filter(|key| got.get(*key) != wanted.get(*key))
        .map(|key| format!("{key:?}: {:?}, not {:?}", got.get(key), wanted.get(key)))
        .collect();
    lines.dedup();
    lines
}

fn checkpoint(history: &mut History) {
    if let Some(made) = history.checkpoint().expect("its days are whole") {
        made.write().expect("is written");
    }
}

#[test]
fn history_is_what_happened() {
    for seed in 1..=12 {
        let mut shop = Shop::new(seed);
        for _ in 0..300 {
            shop.live();
        }
        let mut history = History::in_memory();
        add(&mut history, &shop.records);
        let none = Vec::<String>::new();
        let got = told(&history, &Filter::default(), shop.now);
        assert_eq!(differences(&got, &expected(&shop)), none, "seed {seed}");
        // Late changes brought to their days say the same.
        checkpoint(&mut history);
        let got = told(&history, &Filter::default(), shop.now);
        assert_eq!(
            differences(&got, &expected(&shop)),
            none,
            "seed {seed}, folded"
        );
        let some: u64 = got.values().map(|said| said.0).sum();
        assert!(
            some > 0 && got.values().any(|said| said.2 > 0),
            "seed {seed} sells nothing"
        );
    }
}

#[test]
fn the_demand_of_a_day_is_known_where_it_was_in_stock() {
    for seed in 41..=46 {
        let mut shop = Shop::new(seed);
        for _ in 0..250 {
            shop.live();
        }
        let mut history = History::in_memory();
        add(&mut history, &shop.records);
        let wanted = expected(&shop);
        let first = (shop::START_MS / 86_400_000) as i32;
        let last = (shop.now / 86_400_000) as i32;
        let mut demanded = Demanded::default();
        for day in first - 2..=last + 2 {
            demanded.add(&history, day, shop.now).expect("is whole");
        }
        let mut known = 0;
        for (id, position) in shop.state.positions() {
            let name = format!("i{}@l{}", position.item().0, position.location().0);
            for day in first - 3..=last + 3 {
                let said = wanted.get(&(name.clone(), day));
                let said = said.filter(|(_, _, out)| *out == 0);
                let said = said.map(|(sold, ..)| *sold as f64);
                assert_eq!(demanded.demand(id, day), said, "seed {seed}, {name}, {day}");
                known += usize::from(said.is_some());
            }
        }
        assert!(known > 0, "seed {seed} has no day in stock");
        assert_eq!(demanded.demand(PositionId(1_000), first), None);
    }
}

#[test]
fn a_history_that_is_killed_says_the_same() {
    for seed in 21..=32 {
        let dir = tempfile::tempdir().expect("a directory");
        let mut rng = Rng::new(seed);
        let mut shop = Shop::new(seed);
        for _ in 0..250 {
            shop.live();
        }
        let (records, newest) = (&shop.records, shop.records.len() as u64);
        let mut at = 0;
        while at < records.len() {
            // What is durable has every record up to here. Of a history the disk has what it wrote.
            let (mut history, anew) = open(dir.path(), at as u64);
            if anew {
                history
                    .restart(&State::new(Settings::default()))
                    .expect("has no days");
            }
            let until = records.len().min(at + 1 + rng.below(120) as usize);
            let mut made: Option<Checkpoint> = None;
            for (n, record) in records[..until].iter().enumerate() {
                add(&mut history, std::slice::from_ref(record));
                // The history goes on before it is written, or falls before that.
                if let Some(made) = made.take_if(|_| rng.below(2) == 0) {
                    made.write().expect("is written");
                }
                if history.checkpoint_due() && n >= at && rng.below(2) == 0 {
                    made = history.checkpoint().expect("its days are whole");
                }
            }
            at = until;
        }
        damage(dir.path(), &mut rng, seed);
        let (mut history, anew) = open(dir.path(), newest);
        assert!(anew || seed % 3 == 0, "seed {seed}: damage was not noticed");
        if anew {
            history
                .restart(&State::new(Settings::default()))
                .expect("its days are whole");
        }
        add(&mut history, records);
        let mut whole = History::in_memory();
        add(&mut whole, records);
        let all = Filter::default();
        let (got, wanted) = (told(&history, &all, shop.now), told(&whole, &all, shop.now));
        assert_eq!(
            differences(&got, &wanted),
            Vec::<String>::new(),
            "seed {seed}"
        );
        let mut outlooks = (Outlooks::default(), Outlooks::default());
        let nowcast = |history: &History, outlooks| {
            history
                .nowcast(outlooks, &(), shop.now, &[0.5, 0.9], &all)
                .expect("is whole")
        };
        let got = nowcast(&history, &mut outlooks.0);
        assert_eq!(got, nowcast(&whole, &mut outlooks.1), "seed {seed}");
    }
}

/// Tears a day, removes the checkpoint, or leaves all as it is.
fn damage(dir: &Path, rng: &mut Rng, seed: u64) {
    match seed % 3 {
        0 => {}
        1 => {
            let days = std::fs::read_dir(dir)
                .expect("lists")
                .map(|entry| entry.expect("is there").path());
            let mut days: Vec<_> = days.filter(|path| path.extension().is_some()).collect();
            days.sort();
            let day = &days[rng.below(days.len() as u64) as usize];
            let bytes = std::fs::read(day).expect("reads");
            let cut = rng.below(bytes.len() as u64) as usize;
            std::fs::write(day, &bytes[..cut]).expect("writes");
        }
        _ => std::fs::remove_file(dir.join("checkpoint")).expect("was written"),
    }
}

#[test]
fn days_that_the_journal_no_longer_has_stay() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut shop = Shop::new(99);
    let mut middle = None;
    for n in 0..400 {
        if n == 200 {
            middle = Some((shop.state.clone(), shop.records.len()));
        }
        shop.live();
    }
    let (state, at) = middle.expect("was half way");
    let newest = shop.records.len() as u64;
    let (mut history, anew) = open(dir.path(), 0);
    assert!(anew);
    add(&mut history, &shop.records);
    checkpoint(&mut history);
    let before = told(&history, &Filter::default(), shop.now);
    std::fs::remove_file(dir.path().join("checkpoint")).expect("was written");

    let (mut history, anew) = open(dir.path(), newest);
    assert!(anew);
    history.restart(&state).expect("its days are whole");
    add(&mut history, &shop.records[at..]);
    let got = told(&history, &Filter::default(), shop.now);
    assert_eq!(differences(&got, &before), Vec::<String>::new());

    // Without the days it knows only those that it saw whole, and says nothing of the others.
    let (mut history, _) = (History::in_memory(), ());
    history.restart(&state).expect("has no days");
    add(&mut history, &shop.records[at..]);
    let got = told(&history, &Filter::default(), shop.now);
    assert!(!got.is_empty() && got.len() < before.len());
    for (key, said) in &got {
        assert_eq!(Some(said), before.get(key), "{key:?}");
    }
}

#[test]
fn a_filter_gives_its_rows_only() {
    let mut shop = Shop::new(5);
    for _ in 0..200 {
        shop.live();
    }
    let mut history = History::in_memory();
    add(&mut history, &shop.records);
    let all = told(&history, &Filter::default(), shop.now);
    let (first, last) = (
        shop::START_MS / 86_400_000 + 2,
        shop::START_MS / 86_400_000 + 5,
    );
    let filter = Filter {
        from: Some(first as i32),
        to: Some(last as i32),
        items: Some([1].into_iter().collect()),
        locations: Some([0].into_iter().collect()),
    };
    let got = told(&history, &filter, shop.now);
    let wanted: Table = all
        .into_iter()
        .filter(|((id, day), _)| id == "i1@l0" && (first..=last).contains(&i64::from(*day)))
        .collect();
    assert!(!wanted.is_empty());
    assert_eq!(got, wanted);
}
