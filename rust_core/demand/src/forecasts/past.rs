//! What was forecast of days that have come since, to be held against the truth: one and seven days ahead.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bespeak_engine::{PositionId, UtcMillis};

use super::block::Head;
use super::directory::{self, Directory, Kept};
use super::store::{ForecastError, Names};
use super::{Block, Kind, Origin, Series, file};

/// Days ahead that are kept; the second is there when a series reaches so far.
pub(super) const LEADS: [usize; 2] = [1, 7];
/// Files beyond which they are made one.
const FILES_MAX: usize = 64;
/// What their files begin with.
pub(super) const PREFIX: &str = "past";

/// Forecasts of days gone by.
#[derive(Debug)]
pub(super) struct Past {
    directory: Option<Directory>,
    /// Where there is no directory.
    memory: Mutex<Vec<Arc<Block>>>,
    days: i32,
}

impl Past {
    pub fn new(directory: Option<Directory>, days: u16) -> Self {
        Self {
            directory,
            memory: Mutex::default(),
            days: i32::from(days),
        }
    }

    /// Keeps what is to be held against the truth; forgets what is older than the days that are kept, unless files are
    /// held.
    pub fn keep(
        &self,
        block: &Block,
        number: u64,
        names: &dyn Names,
        held: bool,
    ) -> Result<(), ForecastError> {
        let kept = leads(block);
        let today = day_of(kept.origins.iter().map(|origin| origin.computed_at).max());
        let Some(directory) = &self.directory else {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.push(Arc::new(kept));
            memory.retain(|block| !self.is_over(block, today));
            return Ok(());
        };
        directory.write(PREFIX, number, |out| file::write(&kept, names, out))?;
        let files = directory.files(PREFIX)?;
        if files.len() > FILES_MAX && !held {
            self.merge(directory, &files, today, names)?;
        }
        Ok(())
    }

    fn is_over(&self, block: &Block, today: i32) -> bool {
        let last = block.keys.iter().max();
        last.is_none_or(|day| *day < today - self.days)
    }

    /// Gives every block, oldest first.
    pub fn each(
        &self,
        names: &dyn Names,
        take: &mut dyn FnMut(&Block),
    ) -> Result<(), ForecastError> {
        let Some(directory) = &self.directory else {
            let memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.iter().for_each(|block| take(block));
            return Ok(());
        };
        for kept in directory.files(PREFIX)? {
            match file::read(&kept, Kind::Days, names) {
                Ok(block) => take(&block),
                Err(error) => left_out(&kept, &error),
            }
        }
        Ok(())
    }

    fn merge(
        &self,
        directory: &Directory,
        files: &[Kept],
        today: i32,
        names: &dyn Names,
    ) -> Result<(), ForecastError> {
        let mut by_levels: Vec<Block> = Vec::new();
        let mut merged = Vec::new();
        for kept in files {
            let block = match file::read(kept, Kind::Days, names) {
                Ok(block) => block,
                // It stays: a disk that does not answer now may later.
                Err(error) => {
                    left_out(kept, &error);
                    continue;
                }
            };
            merged.push(&kept.path);
            let known = by_levels
                .iter_mut()
                .find(|known| known.levels == block.levels);
            match known {
                Some(known) => append(known, &block, today - self.days),
                None => {
                    let mut first = like(&block);
                    append(&mut first, &block, today - self.days);
                    by_levels.push(first);
                }
            }
        }
        by_levels.retain(|block| !block.heads.is_empty());
        // They take the number of the newest, and are read in its place; a crash before the others are gone leaves some
        // twice, of which the first counts.
        let newest = files.last().map_or(0, |kept| kept.number);
        let mut made = Vec::new();
        for block in &by_levels {
            made.push(directory.write(PREFIX, newest, |out| file::write(block, names, out))?);
        }
        for path in merged.into_iter().filter(|path| !made.contains(path)) {
            directory::remove(path)?;
        }
        Ok(())
    }
}

fn day_of(at: Option<UtcMillis>) -> i32 {
    let ms = at.map_or(0, UtcMillis::get);
    i32::try_from(ms.div_euclid(bespeak_engine::limits::DAY_MS)).unwrap_or(0)
}

fn like(block: &Block) -> Block {
    Block {
        kind: block.kind,
        levels: block.levels.clone(),
        origins: Vec::new(),
        heads: Vec::new(),
        keys: Vec::new(),
        values: Vec::new(),
    }
}

/// Puts the rows of positions whose last day is not before `first_day` behind those that are there.
fn append(to: &mut Block, from: &Block, first_day: i32) {
    let width = from.width();
    let mut origins: Vec<Option<u32>> = vec![None; from.origins.len()];
    for head in &from.heads {
        let rows = head.start as usize..(head.start + head.rows) as usize;
        if from.keys[rows.clone()]
            .last()
            .is_none_or(|day| *day < first_day)
        {
            continue;
        }
        let own = head.origin as usize;
        let origin = *origins[own].get_or_insert_with(|| {
            to.origins.push(from.origins[own].clone());
            to.origins.len() as u32 - 1
        });
        to.heads.push(Head {
            origin,
            start: to.keys.len() as u32,
            ..*head
        });
        to.keys.extend_from_slice(&from.keys[rows.clone()]);
        to.values
            .extend_from_slice(&from.values[rows.start * width..rows.end * width]);
    }
}

fn left_out(kept: &Kept, error: &ForecastError) {
    tracing::warn!(file = %kept.path.display(), %error, "a past forecast is left out");
}

/// The rows of a block that are kept.
fn leads(block: &Block) -> Block {
    let mut kept = like(block);
    kept.origins.clone_from(&block.origins);
    for head in &block.heads {
        let start = kept.keys.len() as u32;
        for lead in LEADS.iter().filter(|lead| **lead <= head.rows as usize) {
            let row = head.start as usize + lead - 1;
            let width = block.width();
            kept.keys.push(block.keys[row]);
            kept.values
                .extend_from_slice(&block.values[row * width..(row + 1) * width]);
        }
        kept.heads.push(Head {
            start,
            rows: kept.keys.len() as u32 - start,
            ..*head
        });
    }
    kept
}

/// The first forecast of each position, day, lead and model: what came later knew more.
#[derive(Debug, Default)]
pub(super) struct Firsts {
    models: Vec<String>,
    seen: HashSet<(PositionId, i32, usize, usize)>,
}

impl Firsts {
    pub fn is_first(&mut self, series: &Series<'_>, row: usize) -> bool {
        let Origin { model, .. } = series.origin();
        let known = self.models.iter().position(|known| known == model);
        let model = known.unwrap_or_else(|| {
            self.models.push(model.clone());
            self.models.len() - 1
        });
        self.seen
            .insert((series.position(), series.keys()[row], row, model))
    }
}
