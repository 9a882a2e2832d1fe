//! Stock by item and location, and the limits of it that can bind.

use crate::input::Input;

/// A limit of a cell: lines of `class` and above take at most `units` together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    pub class: u8,
    pub units: i64,
    /// What candidates could ask for at most.
    pub wanted: i64,
    /// Its limit in the model, where it can bind.
    pub row: u32,
}

/// Stock of an item at a location.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell {
    pub location: u32,
    /// First level and the one behind the last, by class.
    pub levels: (u32, u32),
}

/// Cells by item, then location.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    start: Vec<u32>,
    pub cells: Vec<Cell>,
    pub levels: Vec<Level>,
}

impl Cells {
    /// Keeps the items that some line wants. Returns the row that repeats another, if any does.
    pub fn new(input: &Input) -> Result<Self, usize> {
        let items = input.items as usize;
        let mut wanted = vec![false; items];
        for line in &input.lines {
            wanted[line.item as usize] = true;
        }
        let mut start = vec![0u32; items + 1];
        for row in &input.stock {
            if wanted[row.item as usize] {
                start[row.item as usize + 1] += 1;
            }
        }
        for item in 0..items {
            start[item + 1] += start[item];
        }
        let mut by_item = vec![(0u32, 0u32); start[items] as usize];
        let mut next = start.clone();
        for (row, stock) in input.stock.iter().enumerate() {
            let item = stock.item as usize;
            if wanted[item] {
                let key = stock.location * 8 + u32::from(stock.class);
                by_item[next[item] as usize] = (key, row as u32);
                next[item] += 1;
            }
        }
        let mut out = Self {
            start: Vec::with_capacity(items + 1),
            cells: Vec::new(),
            levels: Vec::with_capacity(by_item.len()),
        };
        for item in 0..items {
            out.start.push(out.cells.len() as u32);
            let rows = &mut by_item[start[item] as usize..start[item + 1] as usize];
            if !rows.is_sorted() {
                rows.sort_unstable();
            }
            let mut last = None;
            for &(key, row) in rows.iter() {
                if last == Some(key) {
                    return Err(row as usize);
                }
                last = Some(key);
                let stock = &input.stock[row as usize];
                let at = out.levels.len() as u32;
                let same = out.cells.len() > out.start[item] as usize
                    && out
                        .cells
                        .last()
                        .is_some_and(|cell| cell.location == stock.location);
                if stock.class == 0 {
                    out.cells.push(Cell {
                        location: stock.location,
                        levels: (at, at + 1),
                    });
                } else if same {
                    let cell = out.cells.len() - 1;
                    out.cells[cell].levels.1 = at + 1;
                } else {
                    // A pair without a row of class 0 has no stock.
                    continue;
                }
                out.levels.push(Level {
                    class: stock.class,
                    units: stock.units,
                    wanted: 0,
                    row: crate::model::NO,
                });
            }
        }
        out.start.push(out.cells.len() as u32);
        Ok(out)
    }

    /// Cells of an item, by location.
    pub fn of(&self, item: u32) -> std::ops::Range<usize> {
        self.start[item as usize] as usize..self.start[item as usize + 1] as usize
    }

    pub fn levels(&self, cell: usize) -> &[Level] {
        let (start, end) = self.cells[cell].levels;
        &self.levels[start as usize..end as usize]
    }

    /// Whether a line of that class fits there when it is alone.
    pub fn fits(&self, cell: usize, class: u8, quantity: i64) -> bool {
        self.levels(cell)
            .iter()
            .take_while(|level| level.class <= class)
            .all(|level| level.units >= quantity)
    }

    /// Notes that a line of that class could take units there.
    pub fn want(&mut self, cell: usize, class: u8, quantity: i64) {
        let (start, end) = self.cells[cell].levels;
        for level in &mut self.levels[start as usize..end as usize] {
            if level.class <= class {
                level.wanted += quantity;
            }
        }
    }

    /// The limit that a line of that class counts against, of those that can bind.
    pub fn slot(&self, cell: usize, class: u8) -> Option<u32> {
        self.levels(cell)
            .iter()
            .take_while(|level| level.class <= class)
            .filter(|level| level.row != crate::model::NO)
            .last()
            .map(|level| level.row)
    }
}
