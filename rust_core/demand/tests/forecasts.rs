//! Forecasts in memory and on disk: what survives, what is told, what is forgotten.

use std::path::Path;

use bespeak_demand::forecasts::{
    Block, Draft, ForecastError, Forecasts, Kind, Level, Names, Put, Truth, score,
};
use bespeak_engine::{PositionId, UtcMillis};

const DAY_MS: i64 = 86_400_000;

/// Position n is item `in` at location `l`; below `count` they are known.
struct Numbered(u32);

impl Names for Numbered {
    fn names(&self, positions: &[PositionId]) -> Result<Vec<(String, String)>, ForecastError> {
        let name = |position: &PositionId| (format!("i{}", position.0), "l".to_owned());
        Ok(positions.iter().map(name).collect())
    }

    fn find(&self, names: &[(&str, &str)]) -> Result<Vec<Option<PositionId>>, ForecastError> {
        let find = |(item, _): &(&str, &str)| {
            let number: u32 = item[1..].parse().expect("own name");
            (number < self.0).then_some(PositionId(number))
        };
        Ok(names.iter().map(find).collect())
    }
}

const ALL: Numbered = Numbered(u32::MAX);

/// Ten days of positions, whose mean is `mean` and whose quantiles are half and twice of it.
fn days(positions: std::ops::Range<u32>, first_day: i32, mean: f64, model: &str, at: i64) -> Block {
    let levels = [0.1, 0.9].map(|share| Level::from_share(share).expect("a level"));
    let mut draft = Draft::new(Kind::Days, &levels).expect("ascending");
    for position in positions {
        for day in first_day..first_day + 10 {
            let row = [mean, mean / 2.0, mean * 2.0].into_iter().map(Some);
            draft.push(PositionId(position), day, row).expect("sound");
        }
    }
    draft.finish(model, UtcMillis::new(at)).expect("sound")
}

fn open(path: &Path) -> Forecasts {
    Forecasts::open(path, 35, &ALL).expect("opens")
}

fn mean(forecasts: &Forecasts, position: u32) -> Option<(f64, String)> {
    let held = forecasts.get(Kind::Days, PositionId(position))?;
    let series = held.series();
    Some((series.mean(0), series.origin().model.clone()))
}

fn files(path: &Path, prefix: &str) -> usize {
    let names = std::fs::read_dir(path).expect("a directory");
    let names = names.map(|entry| entry.expect("an entry").file_name());
    names
        .filter(|name| name.to_string_lossy().starts_with(prefix))
        .count()
}

#[test]
fn a_push_survives_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("forecasts");
    let forecasts = open(&path);
    let put = forecasts
        .put(days(0..3_000, 100, 4.0, "m@1", 7), &ALL)
        .expect("kept");
    assert_eq!(
        put,
        Put {
            positions: 3_000,
            rows: 30_000,
            older: 0
        }
    );
    forecasts
        .put(days(5..6, 100, 9.0, "m@2", 8), &ALL)
        .expect("kept");
    for forecasts in [forecasts, open(&path)] {
        assert_eq!(mean(&forecasts, 4), Some((4.0, "m@1".to_owned())));
        assert_eq!(mean(&forecasts, 5), Some((9.0, "m@2".to_owned())));
        assert_eq!(mean(&forecasts, 3_000), None);
        let ages = forecasts.ages(Kind::Days, UtcMillis::new(8));
        assert_eq!(
            (ages.positions, ages.stale, ages.rows),
            (3_000, 2_999, 30_000)
        );
        assert_eq!(
            (ages.oldest, ages.newest),
            (Some(UtcMillis::new(7)), Some(UtcMillis::new(8)))
        );
        let (first, next) = forecasts.slice(Kind::Days, PositionId(10), 100);
        assert_eq!((first.len(), next), (100, Some(PositionId(110))));
        assert_eq!(forecasts.slice(Kind::Days, PositionId(2_999), 100).1, None);
        let series = first[0].series();
        assert_eq!(series.keys(), (100..110).collect::<Vec<_>>());
        assert_eq!(series.quantiles(9), [2.0, 8.0]);
        let levels: Vec<String> = series.levels().iter().map(Level::to_string).collect();
        assert_eq!(levels, ["0.1", "0.9"]);
        assert_eq!(forecasts.levels(Kind::Days), series.levels());
        assert_eq!(forecasts.levels(Kind::Totals), []);
    }
}

#[test]
fn an_older_forecast_changes_nothing() {
    let forecasts = Forecasts::in_memory(35);
    forecasts
        .put(days(0..2, 100, 4.0, "m@2", 8), &ALL)
        .expect("kept");
    let put = forecasts
        .put(days(0..3, 100, 9.0, "m@1", 7), &ALL)
        .expect("kept");
    assert_eq!(
        put,
        Put {
            positions: 1,
            rows: 30,
            older: 2
        }
    );
    assert_eq!(mean(&forecasts, 1), Some((4.0, "m@2".to_owned())));
    assert_eq!(mean(&forecasts, 2), Some((9.0, "m@1".to_owned())));
}

#[test]
fn what_the_engine_no_longer_knows_is_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    open(dir.path())
        .put(days(0..10, 100, 4.0, "m@1", 7), &ALL)
        .expect("kept");
    let again = Forecasts::open(dir.path(), 35, &Numbered(4)).expect("opens");
    assert_eq!(again.ages(Kind::Days, UtcMillis::ZERO).positions, 4);
}

#[test]
fn files_that_nothing_is_left_of_go_and_many_become_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let forecasts = open(dir.path());
    for n in 0..5 {
        forecasts
            .put(days(0..10, 100, 4.0, "m@1", n), &ALL)
            .expect("kept");
    }
    assert_eq!(
        files(dir.path(), "forecasts-"),
        1,
        "each push replaced the one before"
    );
    for n in 0..100u32 {
        let block = days(
            n..n + 1,
            100,
            f64::from(n),
            &format!("m@{n}"),
            10 + i64::from(n),
        );
        forecasts.put(block, &ALL).expect("kept");
        assert!(files(dir.path(), "forecasts-") <= 16 && files(dir.path(), "past-") <= 65);
    }
    for forecasts in [forecasts, open(dir.path())] {
        for n in 0..100 {
            assert_eq!(mean(&forecasts, n), Some((f64::from(n), format!("m@{n}"))));
        }
    }
}

/// Bytes of the files that begin so.
fn bytes(path: &Path, prefix: &str) -> u64 {
    let entries = std::fs::read_dir(path).expect("a directory");
    let entries = entries.map(|entry| entry.expect("an entry"));
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.metadata().expect("a file").len())
        .sum()
}

#[test]
fn days_gone_by_are_forgotten_however_often_forecasts_come() {
    let dir = tempfile::tempdir().expect("a directory");
    let forecasts = open(dir.path());
    let mut most = [0, 0];
    for push in 0..600 {
        // Six a day, of which each has a sixth of the positions.
        let (day, part) = (push / 6, push as u32 % 6);
        let at = i64::from(day) * DAY_MS + i64::from(part);
        let block = days(part * 50..part * 50 + 50, day, 4.0, "m@1", at);
        forecasts.put(block, &ALL).expect("kept");
        let late = usize::from(day >= 50);
        most[late] = most[late].max(bytes(dir.path(), "past-"));
    }
    // 35 days, and what came since the last time that files became one.
    assert!(most[1] < most[0] * 5 / 4, "{most:?} bytes");
}

#[test]
fn a_past_file_that_cannot_be_read_stays() {
    let dir = tempfile::tempdir().expect("a directory");
    let forecasts = open(dir.path());
    let put = |n: u32| {
        let block = days(n..n + 1, 100, 4.0, "m@1", 10 + i64::from(n));
        forecasts.put(block, &ALL).expect("kept");
    };
    put(0);
    let past = |dir: &Path| -> Vec<_> {
        let entries = std::fs::read_dir(dir).expect("a directory");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths
            .filter(|path| path.to_string_lossy().contains("/past-"))
            .collect()
    };
    let damaged = past(dir.path()).remove(0);
    std::fs::write(&damaged, b"nothing of the kind").expect("written");
    (1..80).for_each(put);
    let left = past(dir.path());
    assert!(left.contains(&damaged), "{left:?}");
    assert!(left.len() < 40, "the others became one: {left:?}");
}

#[test]
fn a_damaged_file_is_set_aside_and_the_rest_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let forecasts = open(dir.path());
    forecasts
        .put(days(0..2, 100, 4.0, "m@1", 7), &ALL)
        .expect("kept");
    forecasts
        .put(days(5..7, 100, 5.0, "m@1", 7), &ALL)
        .expect("kept");
    drop(forecasts);
    let mut paths: Vec<_> = std::fs::read_dir(dir.path())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().contains("forecasts-"))
        .collect();
    paths.sort();
    let first = &paths[0];
    let sound = std::fs::read(first).expect("read");
    let seed = 0x5eed;
    println!("seed {seed}");
    let mut random = seed;
    for _ in 0..300 {
        // Any byte, any value: what opens must still hold sound forecasts, and the other file's in any case.
        let mut bytes = sound.clone();
        for _ in 0..3 {
            random = (random as u64)
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1) as i64;
            let at = (random as u64 >> 33) as usize % bytes.len();
            bytes[at] = (random >> 20) as u8;
        }
        std::fs::write(first, bytes).expect("written");
        let again = open(dir.path());
        assert!(mean(&again, 5).is_some());
        let (held, _) = again.slice(Kind::Days, PositionId(0), 100);
        for one in held {
            let series = one.series();
            for row in 0..series.keys().len() {
                assert!(
                    series
                        .row(row)
                        .iter()
                        .all(|value| value.is_finite() && *value >= 0.0)
                );
                assert!(series.quantiles(row).is_sorted());
            }
        }
    }
    std::fs::write(first, b"nothing of the kind").expect("written");
    assert_eq!(
        open(dir.path()).ages(Kind::Days, UtcMillis::ZERO).positions,
        2
    );
    assert!(!first.exists());
}

#[test]
fn what_a_crash_left_unfinished_is_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let part = dir.path().join("forecasts-00000000000000000000.part");
    std::fs::write(&part, b"half").expect("written");
    open(dir.path());
    assert!(!part.exists());
}

/// Every position sold `sold` on every day but the stocked-out ones.
struct Sold {
    sold: f64,
    unknown: Vec<i32>,
}

impl Truth for Sold {
    fn demand(&self, _: PositionId, day: i32) -> Option<f64> {
        (!self.unknown.contains(&day)).then_some(self.sold)
    }
}

#[test]
fn past_forecasts_are_scored_one_and_seven_days_ahead() {
    let dir = tempfile::tempdir().expect("a directory");
    for forecasts in [Forecasts::in_memory(35), open(dir.path())] {
        for origin in 100..110 {
            let at = i64::from(origin) * DAY_MS;
            forecasts
                .put(days(0..2, origin, 4.0, "m@1", at), &ALL)
                .expect("kept");
            // Made later in the day, it no longer counts for the days that had a forecast.
            forecasts
                .put(days(0..2, origin, 400.0, "m@1", at + 1), &ALL)
                .expect("kept");
        }
        let truth = Sold {
            sold: 5.0,
            unknown: vec![103],
        };
        let found = score(&forecasts, &ALL, &truth, 100..=109, &|_| Some(0)).expect("scored");
        let leads: Vec<_> = found.keys().map(|group| group.lead_days).collect();
        assert_eq!(leads, [1, 7]);
        let day_ahead = &found.values().next().expect("a score");
        assert_eq!((day_ahead.days(), day_ahead.demand()), (18, 90.0));
        assert!((day_ahead.bias().expect("demand") + 0.2).abs() < 1e-9);
        // Levels .1 and .9 at 2 and 8 against 5: losses of .1 × 3 and .1 × 3 a day.
        assert!((day_ahead.wql().expect("demand") - 2.0 * 0.3 / 5.0).abs() < 1e-6);
        assert_eq!(day_ahead.coverage_80(), Some(1.0));
        let coverage: Vec<f64> = day_ahead.coverage().map(|(_, share)| share).collect();
        assert_eq!(coverage, [0.0, 1.0]);
        // Seven days ahead of 106 to 109 only: the first forecast is of day 100.
        assert_eq!(found.values().nth(1).map(|score| score.days()), Some(8));
        let nothing = Sold {
            sold: 0.0,
            unknown: vec![],
        };
        let found = score(&forecasts, &ALL, &nothing, 105..=105, &|at| {
            (at.0 == 0).then_some(3)
        });
        let found = found.expect("scored");
        let (group, score) = found.iter().next().expect("a score");
        assert_eq!(
            (group.place, score.days(), score.wql(), score.bias()),
            (3, 1, None, None)
        );
    }
}

#[test]
fn a_day_of_a_forecast_has_a_mean_and_a_dispersion() {
    // Of a normal variable of mean 40 and deviation 20, of a Poisson variable of mean 2, and of what is always the same.
    let cases: [(&[f64], [f64; 4], f64); 6] = [
        (&[0.1, 0.5, 0.9], [40.0, 14.37, 40.0, 65.63], 10.0),
        (&[0.05, 0.1, 0.95], [40.0, 7.1, 14.37, 72.9], 10.0),
        (&[0.5, 0.6, 0.9], [40.0, 40.0, 45.07, 65.63], 10.0),
        (&[0.1, 0.2, 0.5], [40.0, 14.37, 23.17, 40.0], 10.0),
        (&[0.1, 0.5, 0.9], [2.0, 0.0, 2.0, 4.0], 1.22),
        (&[0.1, 0.5, 0.9], [7.0, 7.0, 7.0, 7.0], 1.0),
    ];
    for (levels, row, wanted) in cases {
        let shares = levels.iter().map(|share| Level::from_share(*share));
        let levels: Vec<Level> = shares.map(|level| level.expect("a level")).collect();
        let mut draft = Draft::new(Kind::Days, &levels).expect("ascending");
        for (day, times) in [(100, 1.0), (101, 2.0)] {
            let row = row.into_iter().map(|value| Some(value * times));
            draft.push(PositionId(3), day, row).expect("sound");
        }
        let forecasts = Forecasts::in_memory(35);
        let block = draft.finish("m@1", UtcMillis::new(0)).expect("sound");
        forecasts.put(block, &ALL).expect("kept");
        let held = forecasts.get(Kind::Days, PositionId(3)).expect("kept");
        let first = held.series().outlook(100).expect("a row");
        assert_eq!(first.mean, row[0]);
        assert!(
            (first.dispersion - wanted).abs() < 0.02 * wanted,
            "{row:?}: {first:?}"
        );
        // Twice of everything is twice as dispersed.
        let second = held.series().outlook(101).expect("a row");
        assert_eq!(second.mean, 2.0 * row[0]);
        let twice = (2.0 * wanted).max(1.0);
        let spread = row[1] != row[3];
        assert!(
            !spread || (second.dispersion - twice).abs() < 0.02 * twice,
            "{second:?}"
        );
        assert_eq!(held.series().outlook(99), None);
        assert_eq!(held.series().outlook(102), None);
    }
}
