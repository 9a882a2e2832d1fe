//! The rows of one push, position by position.

use std::ops::Range;

use bespeak_engine::{PositionId, UtcMillis};

use super::Level;

/// What the rows of a table are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Demand of single days; the key is the day, since 1970-01-01.
    Days,
    /// Demand over several days from the first one on; the key is their number.
    Totals,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Days, Self::Totals];

    /// Name of its table.
    pub fn table(self) -> &'static str {
        match self {
            Self::Days => "forecasts",
            Self::Totals => "forecast_totals",
        }
    }

    /// Name of the key's column.
    pub fn key(self) -> &'static str {
        match self {
            Self::Days => "day",
            Self::Totals => "horizon_days",
        }
    }
}

/// Who made a forecast, and when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Such as "patch-nano@2".
    pub model: String,
    /// When it was made.
    pub computed_at: UtcMillis,
}

/// Where the rows of a position lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub position: PositionId,
    /// Place in the block's origins.
    pub origin: u32,
    pub start: u32,
    pub rows: u32,
}

/// Rows of many positions, all with the same levels. Never changes once made.
#[derive(Debug)]
pub struct Block {
    pub(super) kind: Kind,
    pub(super) levels: Box<[Level]>,
    pub(super) origins: Vec<Origin>,
    /// In the order of their positions.
    pub(super) heads: Vec<Head>,
    pub(super) keys: Vec<i32>,
    /// Mean and levels of each row, row after row.
    pub(super) values: Vec<f32>,
}

impl Block {
    /// Numbers of one row.
    pub(super) fn width(&self) -> usize {
        self.levels.len() + 1
    }

    /// Rows of all positions.
    pub fn rows(&self) -> usize {
        self.keys.len()
    }

    /// Number of positions.
    pub fn positions(&self) -> usize {
        self.heads.len()
    }

    /// The series of a place below [`Block::positions`].
    pub fn series(&self, place: usize) -> Series<'_> {
        let head = self.heads[place];
        Series {
            block: self,
            head,
            range: head.start as usize..(head.start + head.rows) as usize,
        }
    }
}

/// The rows of one position.
#[derive(Clone, Debug)]
pub struct Series<'a> {
    block: &'a Block,
    head: Head,
    range: Range<usize>,
}

impl<'a> Series<'a> {
    /// The position.
    pub fn position(&self) -> PositionId {
        self.head.position
    }

    /// Who made it and when.
    pub fn origin(&self) -> &'a Origin {
        &self.block.origins[self.head.origin as usize]
    }

    /// Quantile levels, ascending.
    pub fn levels(&self) -> &'a [Level] {
        &self.block.levels
    }

    /// Days or horizons, ascending.
    pub fn keys(&self) -> &'a [i32] {
        &self.block.keys[self.range.clone()]
    }

    /// Mean, then one value a level, of a row below the number of keys.
    pub fn row(&self, row: usize) -> &'a [f32] {
        let width = self.block.width();
        let at = (self.range.start + row) * width;
        &self.block.values[at..at + width]
    }

    /// Mean of a row.
    pub fn mean(&self, row: usize) -> f64 {
        f64::from(self.row(row)[0])
    }

    /// Values of the levels of a row, ascending.
    pub fn quantiles(&self, row: usize) -> &'a [f32] {
        &self.row(row)[1..]
    }
}
