//! Limits of what candidates could ask for together.

use super::expand::Expansion;
use super::{Row, RowKind};
use crate::model::NO;

impl Expansion<'_> {
    /// Makes limits of what can bind, and says of every candidate what it counts against.
    pub fn bind(&mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        let model = &mut self.model;
        let mut add = |kind, limit: i64, first: u32| {
            rows.push(Row { kind, limit });
            model.limit.push(limit as f64);
            model.first.push(first);
            model.end.push(0);
            rows.len() as u32 - 1
        };
        let mut items = vec![0u32; self.cells.cells.len()];
        for item in 0..self.input.items {
            for cell in self.cells.of(item) {
                items[cell] = item;
            }
        }
        let mut spans = Vec::new();
        for (cell, &item) in items.iter().enumerate() {
            let place = self.cells.cells[cell];
            let mut least = i64::MAX;
            let mut first = NO;
            for level in &mut self.cells.levels[place.levels.0 as usize..place.levels.1 as usize] {
                // What classes below it may not exceed either needs no limit of its own.
                if level.wanted <= level.units || level.units >= least {
                    continue;
                }
                least = level.units;
                let kind = RowKind::Stock {
                    item,
                    location: place.location,
                    class: level.class,
                };
                level.row = add(kind, level.units, first);
                if first == NO {
                    first = level.row;
                }
                spans.push((first, level.row));
            }
        }
        let windows: Vec<u32> = self
            .wanted
            .iter()
            .enumerate()
            .map(|(window, &(wanted, _))| match self.input.windows[window] {
                Some(room) if wanted > room => {
                    let row = add(RowKind::Window(window as u32), room, NO);
                    spans.push((row, row));
                    row
                }
                _ => NO,
            })
            .collect();
        for (first, row) in spans {
            model.first[row as usize] = first;
            for at in first..=row {
                model.end[at as usize] = row + 1;
            }
        }
        let free = rows.len() as u32;
        model.limit.push(f64::INFINITY);
        model.first.push(free);
        model.end.push(free + 1);
        model.own = vec![free; model.quantity.len()];
        model.window = self
            .window_of
            .iter()
            .map(|&window| match windows.get(window as usize) {
                Some(&row) if row != NO => row,
                _ => free,
            })
            .collect();
        model.slot = vec![free; self.cell_of.len()];
        for order in 0..model.orders.len() {
            let class = self.input.orders[order].class;
            for place in model.orders[order].matrix_range() {
                let cell = self.cell_of[place];
                if cell != NO {
                    model.slot[place] = self.cells.slot(cell as usize, class).unwrap_or(free);
                }
            }
        }
        rows
    }
}
