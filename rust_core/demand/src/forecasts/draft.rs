//! A block in the making: nothing in what is pushed is trusted.

use bespeak_engine::{PositionId, UtcMillis};

use super::block::Head;
use super::{
    Block, CELLS_MAX, HORIZON_MAX, Kind, LEVELS_MAX, Level, Origin, ROWS_MAX, TOTALS_MAX, VALUE_MAX,
};

/// A row that cannot be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("rows[{row}].{column} is {value}: {rule}")]
pub struct BadRow {
    /// Number of the row in all that was pushed, from 0.
    pub row: usize,
    /// The column.
    pub column: String,
    /// What it holds.
    pub value: String,
    /// What it may hold.
    pub rule: &'static str,
}

/// Rows in the order in which they came.
#[derive(Debug)]
pub struct Draft {
    kind: Kind,
    levels: Box<[Level]>,
    places: Vec<(PositionId, i32)>,
    values: Vec<f32>,
    ordered: bool,
    /// Values that it may have.
    cells_max: usize,
}

impl Draft {
    /// A draft with these levels. `None` unless there are 1 to 99 of them, ascending.
    pub fn new(kind: Kind, levels: &[Level]) -> Option<Self> {
        let sound = (1..=LEVELS_MAX).contains(&levels.len()) && levels.is_sorted_by(|a, b| a < b);
        sound.then(|| Self {
            kind,
            levels: levels.into(),
            places: Vec::new(),
            values: Vec::new(),
            ordered: true,
            cells_max: CELLS_MAX,
        })
    }

    /// Levels of the columns after the mean.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }

    /// Rows taken so far.
    pub fn rows(&self) -> usize {
        self.places.len()
    }

    /// Takes a row: mean first, then the quantiles. Base units.
    ///
    /// # Errors
    /// Names the column when a number is not finite, negative or too large, or quantiles cross.
    pub fn push(
        &mut self,
        position: PositionId,
        key: i32,
        values: impl Iterator<Item = Option<f64>>,
    ) -> Result<(), BadRow> {
        let row = self.places.len();
        if row >= ROWS_MAX {
            let rule = "at most 4000000 rows are pushed at once: push in parts";
            return Err(self.bad(row, self.kind.key(), &key, rule));
        }
        if self.values.len() + self.levels.len() + 1 > self.cells_max {
            let rule =
                "at most 100000000 values, means and quantiles, are pushed at once: push in parts";
            return Err(self.bad(row, self.kind.key(), &key, rule));
        }
        let keys = match self.kind {
            Kind::Days => 0..=i32::MAX,
            Kind::Totals => 1..=HORIZON_MAX as i32,
        };
        if !keys.contains(&key) {
            let rule = match self.kind {
                Kind::Days => "it must be a day since 1970-01-01",
                Kind::Totals => "it must be 1 to 366",
            };
            return Err(self.bad(row, self.kind.key(), &key, rule));
        }
        let mut before = 0.0;
        let mut columns = 0;
        for value in values.take(self.levels.len() + 1) {
            let number = value.unwrap_or(f64::NAN);
            if !(0.0..=VALUE_MAX).contains(&number) {
                let shown = value.map_or("null".to_owned(), |value| value.to_string());
                let rule = "it must be a number of units from 0 to 1000000000000: leave the position out where the \
                            model knows nothing";
                return Err(self.bad(row, &self.column(columns), &shown, rule));
            }
            if columns > 1 && number < before {
                let shown = format!("{number} after {before}");
                let rule = "quantiles may not fall as their level rises";
                return Err(self.bad(row, &self.column(columns), &shown, rule));
            }
            before = number;
            columns += 1;
            self.values.push(number as f32);
        }
        if columns <= self.levels.len() {
            let rule = "each row needs a mean and one value a level";
            return Err(self.bad(row, &self.column(columns), &"missing", rule));
        }
        let place = (position, key);
        self.ordered &= self.places.last().is_none_or(|last| *last < place);
        self.places.push(place);
        Ok(())
    }

    fn column(&self, column: usize) -> String {
        match column.checked_sub(1).and_then(|at| self.levels.get(at)) {
            Some(level) => level.to_string(),
            None => "mean".to_owned(),
        }
    }

    fn bad(
        &self,
        row: usize,
        column: &str,
        value: &dyn std::fmt::Display,
        rule: &'static str,
    ) -> BadRow {
        BadRow {
            row,
            column: column.to_owned(),
            value: value.to_string(),
            rule,
        }
    }

    /// Orders the rows by position and key, and makes a block of them.
    ///
    /// # Errors
    /// Names the row when a position has a key twice, a day is missing between two, or there are too many.
    pub fn finish(mut self, model: &str, computed_at: UtcMillis) -> Result<Block, BadRow> {
        let order = self.order();
        let at = |n: usize| order.as_ref().map_or(n, |order| order[n] as usize);
        let mut heads: Vec<Head> = Vec::new();
        for n in 0..self.places.len() {
            let (position, key) = self.places[at(n)];
            match heads.last_mut().filter(|head| head.position == position) {
                None => heads.push(Head {
                    position,
                    origin: 0,
                    start: n as u32,
                    rows: 1,
                }),
                Some(head) => {
                    head.rows += 1;
                    let rows = head.rows as usize;
                    let before = self.places[at(n - 1)].1;
                    if let Some(rule) = self.breaks(before, key, rows) {
                        return Err(self.bad(at(n), self.kind.key(), &key, rule));
                    }
                }
            }
        }
        if let Some(order) = order {
            let width = self.levels.len() + 1;
            let values = order
                .iter()
                .flat_map(|row| &self.values[*row as usize * width..][..width])
                .copied();
            self.values = values.collect();
            self.places = order.iter().map(|row| self.places[*row as usize]).collect();
        }
        Ok(Block {
            kind: self.kind,
            levels: self.levels,
            origins: vec![Origin {
                model: model.to_owned(),
                computed_at,
            }],
            heads,
            keys: self.places.into_iter().map(|(_, key)| key).collect(),
            values: self.values,
        })
    }

    /// The rows in order; `None` when they came so.
    fn order(&self) -> Option<Vec<u32>> {
        (!self.ordered).then(|| {
            let mut order: Vec<u32> = (0..self.places.len() as u32).collect();
            // Of two rows with one key the later one is named.
            order.sort_by_key(|row| self.places[*row as usize]);
            order
        })
    }

    fn breaks(&self, before: i32, key: i32, rows: usize) -> Option<&'static str> {
        if key == before {
            return Some("the position has it already: send each once");
        }
        match self.kind {
            Kind::Days if key != before + 1 => {
                Some("the days of a position follow one another: one is missing before it")
            }
            Kind::Days if rows > HORIZON_MAX => Some("at most 366 days of a position are kept"),
            Kind::Totals if rows > TOTALS_MAX => Some("at most 32 horizons of a position are kept"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(kind: Kind) -> Draft {
        let levels = [0.1, 0.9].map(|share| Level::from_share(share).expect("a level"));
        Draft::new(kind, &levels).expect("ascending")
    }

    fn push(draft: &mut Draft, position: u32, key: i32, values: [f64; 3]) -> Result<(), BadRow> {
        draft.push(PositionId(position), key, values.into_iter().map(Some))
    }

    #[test]
    fn rows_may_come_in_any_order() {
        let mut sorted = draft(Kind::Days);
        let mut shuffled = draft(Kind::Days);
        let rows = [
            (0, 10, 1.0),
            (0, 11, 2.0),
            (3, 5, 3.0),
            (3, 6, 4.0),
            (3, 7, 5.0),
        ];
        for (position, day, mean) in rows {
            push(&mut sorted, position, day, [mean, 0.0, 9.0]).expect("sound");
        }
        for n in [4, 0, 3, 1, 2] {
            let (position, day, mean) = rows[n];
            push(&mut shuffled, position, day, [mean, 0.0, 9.0]).expect("sound");
        }
        let made = |draft: Draft| draft.finish("m", UtcMillis::ZERO).expect("sound");
        let (sorted, shuffled) = (made(sorted), made(shuffled));
        assert_eq!(
            (sorted.keys, sorted.values),
            (shuffled.keys.clone(), shuffled.values.clone())
        );
        assert_eq!(shuffled.positions(), 2);
        let series = shuffled.series(1);
        assert_eq!(
            (series.position(), series.keys()),
            (PositionId(3), &[5, 6, 7][..])
        );
        assert_eq!([0, 1, 2].map(|row| series.mean(row)), [3.0, 4.0, 5.0]);
    }

    #[test]
    fn what_cannot_be_names_its_row_and_column() {
        for (values, column, word) in [
            ([f64::NAN, 0.0, 1.0], "mean", "NaN"),
            ([1.0, f64::INFINITY, 1.0], "0.1", "inf"),
            ([1.0, -0.5, 1.0], "0.1", "-0.5"),
            ([1.0, 2.0, 1.5], "0.9", "1.5 after 2"),
            ([1e13, 0.0, 1.0], "mean", "10000000000000"),
        ] {
            let mut draft = draft(Kind::Days);
            push(&mut draft, 0, 1, [1.0, 0.0, 2.0]).expect("sound");
            let told = push(&mut draft, 0, 2, values).expect_err(word);
            assert_eq!(
                (told.row, told.column.as_str(), told.value.as_str()),
                (1, column, word)
            );
        }
        let mut empty = draft(Kind::Days);
        let told = empty.push(PositionId(0), 1, [Some(1.0), None, None].into_iter());
        assert_eq!(told.expect_err("null").value, "null");
    }

    #[test]
    fn wide_rows_are_fewer() {
        let mut draft = draft(Kind::Days);
        assert_eq!(draft.cells_max, CELLS_MAX);
        draft.cells_max = 7;
        for day in [1, 2] {
            push(&mut draft, 0, day, [1.0, 0.0, 2.0]).expect("two rows of three are six");
        }
        let told = push(&mut draft, 0, 3, [1.0, 0.0, 2.0]).expect_err("nine");
        assert_eq!((told.row, told.column.as_str()), (2, "day"));
        assert!(told.rule.contains("push in parts"), "{told}");
    }

    #[test]
    fn keys_are_whole_and_each_there_once() {
        for (kind, keys, row) in [
            (Kind::Days, &[1, 2, 2][..], Some(2)),
            (Kind::Days, &[3, 1, 2], None),
            (Kind::Days, &[1, 3], Some(1)),
            (Kind::Days, &[-1], Some(0)),
            (Kind::Totals, &[1, 3, 7], None),
            (Kind::Totals, &[7, 1, 7], Some(2)),
            (Kind::Totals, &[0], Some(0)),
            (Kind::Totals, &[367], Some(0)),
        ] {
            let mut draft = draft(kind);
            let pushed = keys
                .iter()
                .try_for_each(|key| push(&mut draft, 0, *key, [1.0, 0.0, 2.0]));
            let made = pushed.and_then(|()| draft.finish("m", UtcMillis::ZERO).map(|_| ()));
            assert_eq!(made.err().map(|bad| bad.row), row, "{kind:?} {keys:?}");
        }
        let mut long = draft(Kind::Days);
        for day in 0..=HORIZON_MAX as i32 {
            push(&mut long, 0, day, [1.0, 0.0, 2.0]).expect("sound by itself");
        }
        assert_eq!(
            long.finish("m", UtcMillis::ZERO).expect_err("long").row,
            HORIZON_MAX
        );
    }
}
