//! The `orders` table.

use arrow_array::RecordBatch;

use super::columns::{Table, Texts, ids_or_empty};
use super::names::{Interned, Interner};
use super::{MONEY_MAX, ORDER_LINES_MAX, QUANTITY_MAX, Result, WEIGHT_MAX, WORDS_MAX};
use crate::input::{CLASSES_MAX, Line, Order, TIERS_MAX};

const COLUMNS: &[&str] = &[
    "order_id",
    "line",
    "item",
    "quantity",
    "unfilled_minor",
    "unfilled_penalty_minor",
    "weight_g",
    "requires",
    "zone",
    "due_days",
    "late_minor",
    "tier",
    "class",
    "ship_complete",
    "max_packages",
    "customer",
    "segment",
];
const DAYS_MAX: i64 = 1_000_000;

/// Orders and lines as they go into the input.
#[derive(Debug)]
pub struct Batch {
    pub orders: Vec<Order>,
    /// By order, and within it by number.
    pub lines: Vec<Line>,
    /// Number of each line.
    pub numbers: Vec<i32>,
}

impl Batch {
    /// The line of an order by its number.
    pub fn line(&self, order: u32, number: i64) -> Option<u32> {
        let lines = &self.orders.get(order as usize)?.lines;
        let within = &self.numbers[lines.start as usize..lines.end as usize];
        let at = within
            .binary_search_by(|probe| i64::from(*probe).cmp(&number))
            .ok()?;
        Some(lines.start + u32::try_from(at).ok()?)
    }
}

/// What the rows of an order must agree on.
struct Shared {
    zone: Vec<u32>,
    due_days: Vec<Option<i64>>,
    late_minor: Vec<Option<i64>>,
    tier: Vec<i64>,
    class: Vec<i64>,
    ship_complete: Vec<bool>,
    max_packages: Vec<i64>,
    customer: Vec<u32>,
    segment: Vec<u32>,
}

/// Reads the table.
///
/// # Errors
/// What is wrong with it.
pub fn read<'a>(batch: &'a RecordBatch, names: &mut Interned<'a>) -> Result<Batch> {
    let table = Table::new("orders", batch, COLUMNS)?;
    let order = table.texts("order_id")?.ids(|name| names.orders.add(name));
    let number = table.integers("line", i64::from(i32::MIN)..=i64::from(i32::MAX))?;
    let item = table.texts("item")?.ids(|name| names.items.add(name));
    let quantity = table.integers("quantity", 1..=QUANTITY_MAX)?;
    let unfilled = unfilled(table, &quantity)?;
    let weight = table.integers_or("weight_g", 0..=WEIGHT_MAX, 0)?;
    let requires = requires(table, names)?;
    let shared = Shared::read(table, names)?;

    let (starts, rows) = grouped(&order, names.orders.len(), &number);
    let mut orders = Vec::with_capacity(starts.len());
    for (at, &start) in starts.iter().enumerate() {
        let end = starts.get(at + 1).copied().unwrap_or(rows.len());
        let own = &rows[start..end];
        if let Some(&row) = own.get(ORDER_LINES_MAX) {
            let value = format!("one of {} lines of order {}", own.len(), name(names, at));
            let rule = format!("an order may have at most {ORDER_LINES_MAX} lines: split it");
            return Err(table.wrong(row as usize, "", value, rule));
        }
        for pair in own.windows(2) {
            let row = pair[1] as usize;
            if number[row] == number[pair[0] as usize] {
                let value = format!("line {} of order {} again", number[row], name(names, at));
                return Err(table.wrong(row, "", value, "add up its quantity in one row"));
            }
        }
        let first = own.iter().min().map_or(0, |row| *row as usize);
        for &row in own {
            shared.agrees(table, first, row as usize, name(names, at))?;
        }
        orders.push(shared.order(first, index(start)..index(end)));
    }
    let line = |&row: &u32| {
        let row = row as usize;
        Line {
            item: item[row],
            quantity: quantity[row],
            unfilled_minor: unfilled[row],
            weight_g: weight[row],
            requires: requires[row],
        }
    };
    Ok(Batch {
        orders,
        lines: rows.iter().map(line).collect(),
        numbers: rows
            .iter()
            .map(|&row| i32::try_from(number[row as usize]).unwrap_or(i32::MAX))
            .collect(),
    })
}

fn name<'a>(names: &Interned<'a>, order: usize) -> &'a str {
    names.orders.keys()[order]
}

/// Rows and lines are counted in 32 bits: tables are too short for more.
fn index(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Rows by order, and within it by number: where each order starts, and the rows.
fn grouped(order: &[u32], orders: u32, number: &[i64]) -> (Vec<usize>, Vec<u32>) {
    let mut starts = vec![0usize; orders as usize];
    for &order in order {
        starts[order as usize] += 1;
    }
    let mut before = 0;
    for start in &mut starts {
        before += std::mem::replace(start, before);
    }
    let mut next = starts.clone();
    let mut rows = vec![0u32; order.len()];
    for (row, &order) in order.iter().enumerate() {
        let at = &mut next[order as usize];
        rows[*at] = index(row);
        *at += 1;
    }
    for (at, &start) in starts.iter().enumerate() {
        rows[start..next[at]].sort_by_key(|&row| number[row as usize]);
    }
    (starts, rows)
}

/// Cost of leaving each line unfilled.
fn unfilled(table: Table<'_>, quantity: &[i64]) -> Result<Vec<i64>> {
    let fixed = table.integers_or("unfilled_minor", 0..=MONEY_MAX, 0)?;
    let each = table.integers_or("unfilled_penalty_minor", 0..=MONEY_MAX, 0)?;
    let mut all = Vec::with_capacity(fixed.len());
    for (row, fixed) in fixed.into_iter().enumerate() {
        let total = quantity[row]
            .checked_mul(each[row])
            .and_then(|penalty| penalty.checked_add(fixed))
            .filter(|total| *total <= MONEY_MAX);
        let Some(total) = total else {
            let value = format!("{} for each of {} units", each[row], quantity[row]);
            let rule = format!("leaving a line unfilled may cost at most {MONEY_MAX} minor units");
            return Err(table.wrong(row, "unfilled_penalty_minor", value, rule));
        };
        all.push(total);
    }
    Ok(all)
}

/// What each line requires, one bit a word.
fn requires<'a>(table: Table<'a>, names: &mut Interned<'a>) -> Result<Vec<u64>> {
    let Some(texts) = table.optional_texts("requires")? else {
        return Ok(vec![0; table.rows()]);
    };
    let mut sets: Interner<&str> = Interner::default();
    let set = texts.ids(|words| sets.add(words));
    let mut bits = Vec::with_capacity(sets.keys().len());
    for (number, words) in (0u32..).zip(sets.keys()) {
        let mut mask = 0;
        for word in words.split_ascii_whitespace() {
            let bit = names.words.add(word);
            if bit as usize >= WORDS_MAX {
                let row = set.iter().position(|one| *one == number).unwrap_or(0);
                let rule = format!("at most {WORDS_MAX} words may be required in one batch");
                return Err(table.wrong(row, "requires", word, rule));
            }
            mask |= 1 << bit;
        }
        bits.push(mask);
    }
    Ok(set.into_iter().map(|set| bits[set as usize]).collect())
}

impl Shared {
    fn read<'a>(table: Table<'a>, names: &mut Interned<'a>) -> Result<Self> {
        let rows = table.rows();
        let text = |column| -> Result<Option<Texts<'a>>> { table.optional_texts(column) };
        let tier_max = TIERS_MAX as i64 - 1;
        let class_max = CLASSES_MAX as i64 - 1;
        Ok(Self {
            zone: ids_or_empty(text("zone")?.as_ref(), rows, |name| names.zones.add(name)),
            due_days: table.nullable_integers_or("due_days", -DAYS_MAX..=DAYS_MAX, None)?,
            late_minor: table.nullable_integers_or("late_minor", 0..=MONEY_MAX, Some(0))?,
            tier: table.integers_or("tier", 0..=tier_max, 0)?,
            class: table.integers_or("class", 0..=class_max, 0)?,
            ship_complete: table.flags("ship_complete")?,
            max_packages: table.integers_or("max_packages", 0..=i64::from(u32::MAX), 0)?,
            customer: ids_or_empty(text("customer")?.as_ref(), rows, |name| {
                names.customers.add(name)
            }),
            segment: ids_or_empty(text("segment")?.as_ref(), rows, |name| {
                names.segments.add(name)
            }),
        })
    }

    /// Refuses a row that says something else of its order than the first one.
    fn agrees(&self, table: Table<'_>, first: usize, row: usize, order: &str) -> Result<()> {
        let different = [
            ("zone", self.zone[first] != self.zone[row]),
            ("due_days", self.due_days[first] != self.due_days[row]),
            ("late_minor", self.late_minor[first] != self.late_minor[row]),
            ("tier", self.tier[first] != self.tier[row]),
            ("class", self.class[first] != self.class[row]),
            (
                "ship_complete",
                self.ship_complete[first] != self.ship_complete[row],
            ),
            (
                "max_packages",
                self.max_packages[first] != self.max_packages[row],
            ),
            ("customer", self.customer[first] != self.customer[row]),
            ("segment", self.segment[first] != self.segment[row]),
        ];
        match different.iter().find(|(_, differs)| *differs) {
            Some((column, _)) => {
                let value = format!("not what row {first} of order {order} has");
                Err(table.wrong(row, column, value, "give all rows of an order the same"))
            }
            None => Ok(()),
        }
    }

    fn order(&self, row: usize, lines: std::ops::Range<u32>) -> Order {
        let small = |value: i64| u8::try_from(value).unwrap_or(u8::MAX);
        Order {
            lines,
            zone: self.zone[row],
            due_days: self.due_days[row].and_then(|days| i32::try_from(days).ok()),
            late_minor: self.late_minor[row],
            tier: small(self.tier[row]),
            class: small(self.class[row]),
            ship_complete: self.ship_complete[row],
            max_packages: u32::try_from(self.max_packages[row]).unwrap_or(0),
            customer: self.customer[row],
            segment: self.segment[row],
        }
    }
}
