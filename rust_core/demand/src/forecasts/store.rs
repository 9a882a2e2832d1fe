//! Every position's newest forecast, in memory and on disk.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, Weak};

use bespeak_engine::{PositionId, UtcMillis};

use super::block::Head;
use super::directory::{self, Directory};
use super::past::Past;
use super::{Block, KEPT_ROWS_MAX, Kind, Level, Series, file};

/// Positions that are changed under one lock.
const SLICE: usize = 1_024;
/// Files of one kind beyond which what is still in use of them is made one.
const FILES_MAX: usize = 16;

/// Names of positions, as the engine knows them.
pub trait Names {
    /// Item and location of each position.
    ///
    /// # Errors
    /// When the engine has stopped.
    fn names(&self, positions: &[PositionId]) -> Result<Vec<(String, String)>, ForecastError>;

    /// The positions of these names; `None` for one that the engine does not know.
    ///
    /// # Errors
    /// When the engine has stopped.
    fn find(&self, names: &[(&str, &str)]) -> Result<Vec<Option<PositionId>>, ForecastError>;
}

/// Forecasts cannot be kept or read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ForecastError {
    /// The disk does not do what it should.
    #[error("forecasts cannot be written or read: {0}: look at the disk, then push again")]
    Disk(String),
    /// A file does not hold what it should.
    #[error("the file is damaged: {0}")]
    Damaged(String),
    /// The engine has stopped.
    #[error("the engine has stopped: {0}")]
    Stopped(String),
    /// There is no room.
    #[error(
        "{0} rows of forecasts would be kept, at most {KEPT_ROWS_MAX} are: push fewer days or levels"
    )]
    Full(usize),
}

impl From<io::Error> for ForecastError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error.to_string())
    }
}

#[derive(Clone, Debug)]
struct Entry {
    block: Arc<Block>,
    place: u32,
}

impl Entry {
    fn series(&self) -> Series<'_> {
        self.block.series(self.place as usize)
    }
}

/// A position's forecast, for as long as it is looked at.
#[derive(Clone, Debug)]
pub struct Held(Entry);

impl Held {
    /// The rows.
    pub fn series(&self) -> Series<'_> {
        self.0.series()
    }
}

#[derive(Debug, Default)]
struct Board {
    /// By position.
    entries: Vec<Option<Entry>>,
    rows: usize,
    /// Positions by the time of their forecast.
    ages: BTreeMap<UtcMillis, usize>,
    /// All that entries are of.
    blocks: Vec<Weak<Block>>,
}

impl Board {
    /// Notes a block that entries will be of, and forgets those that none is of any more.
    fn take_in(&mut self, block: &Arc<Block>) {
        self.blocks.retain(|block| block.strong_count() > 0);
        self.blocks.push(Arc::downgrade(block));
    }

    fn put(&mut self, entry: Entry) -> bool {
        let series = entry.series();
        let (position, at, rows) = (
            series.position(),
            series.origin().computed_at,
            series.keys().len(),
        );
        if self.entries.len() <= position.index() {
            self.entries.resize(position.index() + 1, None);
        }
        let place = &mut self.entries[position.index()];
        if let Some(old) = place {
            let old = old.series();
            let (made, old_rows) = (old.origin().computed_at, old.keys().len());
            if made > at {
                return false;
            }
            self.rows -= old_rows;
            if let Some(count) = self.ages.get_mut(&made) {
                *count -= 1;
                if *count == 0 {
                    self.ages.remove(&made);
                }
            }
        }
        *place = Some(entry);
        self.rows += rows;
        *self.ages.entry(at).or_default() += 1;
        true
    }
}

/// Whoever has them writes or copies files, with rests: nobody else waits for them.
#[derive(Debug)]
pub(super) struct Files {
    next: u64,
    /// How many copies are being made of them: none is removed then.
    pub(super) holds: usize,
    /// Of the blocks that are in use; without a path where there is no directory.
    used: Vec<(Kind, PathBuf, Weak<Block>)>,
}

/// What a push did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Put {
    /// Positions whose forecast is new.
    pub positions: usize,
    /// Rows pushed.
    pub rows: usize,
    /// Positions left as they were, since their forecast is of a later time.
    pub older: usize,
}

/// How old forecasts are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ages {
    /// Positions with a forecast.
    pub positions: usize,
    /// Their rows.
    pub rows: usize,
    /// Positions whose forecast was made before the time asked.
    pub stale: usize,
    /// Time of the oldest forecast.
    pub oldest: Option<UtcMillis>,
    /// Time of the newest.
    pub newest: Option<UtcMillis>,
}

/// The forecasts of a partition.
#[derive(Debug)]
pub struct Forecasts {
    days: RwLock<Board>,
    totals: RwLock<Board>,
    files: Mutex<Files>,
    directory: Option<Directory>,
    past: Past,
}

impl Forecasts {
    /// In memory only. Past forecasts are kept for so many days.
    pub fn in_memory(past_days: u16) -> Self {
        Self::with(None, past_days)
    }

    /// Reads what a directory holds. A damaged file is set aside and told in the log: forecasts can be made again.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(path: &Path, past_days: u16, names: &dyn Names) -> Result<Self, ForecastError> {
        let directory = Directory::open(path)?;
        let forecasts = Self::with(Some(directory.clone()), past_days);
        let mut files = forecasts.files();
        let past = directory.files("past")?;
        files.next = past.last().map_or(0, |last| last.number + 1);
        for kind in Kind::ALL {
            for kept in directory.files(kind.table())? {
                files.next = files.next.max(kept.number + 1);
                match file::read(&kept, kind, names) {
                    Ok(block) => {
                        let block = Arc::new(block);
                        forecasts.swap(&block);
                        files.used.push((kind, kept.path, Arc::downgrade(&block)));
                    }
                    Err(ForecastError::Damaged(what)) => {
                        let file = kept.set_aside()?;
                        tracing::error!(file = %file.display(), what, "forecasts are damaged: push them again");
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        drop(files);
        Ok(forecasts)
    }

    fn with(directory: Option<Directory>, past_days: u16) -> Self {
        Self {
            days: RwLock::default(),
            totals: RwLock::default(),
            files: Mutex::new(Files {
                next: 0,
                holds: 0,
                used: Vec::new(),
            }),
            past: Past::new(directory.clone(), past_days),
            directory,
        }
    }

    pub(super) fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether they are in files.
    pub fn is_on_disk(&self) -> bool {
        self.directory.is_some()
    }

    pub(super) fn directory(&self) -> Option<&Directory> {
        self.directory.as_ref()
    }

    pub(super) fn past(&self) -> &Past {
        &self.past
    }

    fn board(&self, kind: Kind) -> &RwLock<Board> {
        match kind {
            Kind::Days => &self.days,
            Kind::Totals => &self.totals,
        }
    }

    fn look(&self, kind: Kind) -> RwLockReadGuard<'_, Board> {
        self.board(kind)
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a block: durable first, then for all to see. A position whose forecast is of a later time keeps it.
    ///
    /// # Errors
    /// When there is no room, or the disk fails; nothing has changed then.
    pub fn put(&self, block: Block, names: &dyn Names) -> Result<Put, ForecastError> {
        let kind = block.kind;
        let mut files = self.files();
        self.check_room(&block)?;
        let number = files.next;
        files.next += 1;
        let path = match &self.directory {
            Some(directory) => {
                directory.write(kind.table(), number, |out| file::write(&block, names, out))?
            }
            None => PathBuf::new(),
        };
        // What is only for scores, and what is only in the way, is no reason to refuse what is kept already.
        if kind == Kind::Days
            && let Err(error) = self.past.keep(&block, number, names, files.holds > 0)
        {
            tracing::warn!(%error, "a forecast will not be scored");
        }
        let block = Arc::new(block);
        let positions = self.swap(&block);
        let put = Put {
            positions,
            rows: block.rows(),
            older: block.positions() - positions,
        };
        files.used.push((kind, path, Arc::downgrade(&block)));
        drop(block);
        if let Err(error) = self.tidy(&mut files, kind, names) {
            tracing::warn!(%error, "files of older forecasts stay");
        }
        Ok(put)
    }

    fn check_room(&self, block: &Block) -> Result<(), ForecastError> {
        let board = self.look(block.kind);
        let old = |head: &Head| {
            let entry = board.entries.get(head.position.index())?.as_ref()?;
            Some(entry.series().keys().len())
        };
        let gone: usize = block.heads.iter().filter_map(old).sum();
        match board.rows + block.rows() - gone.min(board.rows) {
            rows if rows > KEPT_ROWS_MAX => Err(ForecastError::Full(rows)),
            _ => Ok(()),
        }
    }

    /// Gives positions their new series, a slice under one lock; returns how many took it.
    fn swap(&self, block: &Arc<Block>) -> usize {
        let mut taken = 0;
        let lock = || {
            let board = self.board(block.kind).write();
            board.unwrap_or_else(PoisonError::into_inner)
        };
        lock().take_in(block);
        for from in (0..block.positions()).step_by(SLICE) {
            let mut board = lock();
            for place in from..(from + SLICE).min(block.positions()) {
                let entry = Entry {
                    block: Arc::clone(block),
                    place: place as u32,
                };
                taken += usize::from(board.put(entry));
            }
        }
        taken
    }

    /// Removes files that nothing is left of, and makes one of too many; the next push does while they are held.
    fn tidy(&self, files: &mut Files, kind: Kind, names: &dyn Names) -> Result<(), ForecastError> {
        let Some(directory) = &self.directory else {
            files.used.retain(|(.., block)| block.strong_count() > 0);
            return Ok(());
        };
        if files.holds > 0 {
            return Ok(());
        }
        drop_dead(files)?;
        if files.used.iter().filter(|(of, ..)| *of == kind).count() <= FILES_MAX {
            return Ok(());
        }
        for block in self.gathered(kind) {
            let number = files.next;
            files.next += 1;
            let path =
                directory.write(kind.table(), number, |out| file::write(&block, names, out))?;
            let block = Arc::new(block);
            self.swap(&block);
            files.used.push((kind, path, Arc::downgrade(&block)));
        }
        drop_dead(files)
    }

    /// All that is in use, one block for each set of levels.
    fn gathered(&self, kind: Kind) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let board = self.look(kind);
        for entry in board.entries.iter().flatten() {
            let series = entry.series();
            let known = blocks
                .iter()
                .position(|block| *block.levels == *series.levels());
            let at = known.unwrap_or_else(|| {
                blocks.push(Block {
                    kind,
                    levels: series.levels().into(),
                    origins: Vec::new(),
                    heads: Vec::new(),
                    keys: Vec::new(),
                    values: Vec::new(),
                });
                blocks.len() - 1
            });
            let block = &mut blocks[at];
            // Neighbours mostly come from one push.
            if block.origins.last() != Some(series.origin()) {
                block.origins.push(series.origin().clone());
            }
            block.heads.push(Head {
                position: series.position(),
                origin: block.origins.len() as u32 - 1,
                start: block.keys.len() as u32,
                rows: series.keys().len() as u32,
            });
            block.keys.extend_from_slice(series.keys());
            for row in 0..series.keys().len() {
                block.values.extend_from_slice(series.row(row));
            }
        }
        blocks
    }

    /// A position's forecast.
    pub fn get(&self, kind: Kind, position: PositionId) -> Option<Held> {
        let board = self.look(kind);
        board.entries.get(position.index())?.clone().map(Held)
    }

    /// Forecasts from a position on, at most so many; the position to go on from when there may be more.
    pub fn slice(
        &self,
        kind: Kind,
        from: PositionId,
        most: usize,
    ) -> (Vec<Held>, Option<PositionId>) {
        let board = self.look(kind);
        let rest = board.entries.iter().enumerate().skip(from.index());
        let mut found = Vec::with_capacity(most);
        for (number, entry) in rest {
            let Some(entry) = entry else {
                continue;
            };
            if found.len() == most {
                return (found, Some(PositionId(number as u32)));
            }
            found.push(Held(entry.clone()));
        }
        (found, None)
    }

    /// Levels of any forecast kept, ascending.
    pub fn levels(&self, kind: Kind) -> Vec<Level> {
        let board = self.look(kind);
        let blocks = board.blocks.iter().filter_map(Weak::upgrade);
        let mut levels: Vec<Level> = blocks.flat_map(|block| block.levels.to_vec()).collect();
        levels.sort_unstable();
        levels.dedup();
        levels
    }

    /// How old the forecasts are; those made before `stale_before` are stale.
    pub fn ages(&self, kind: Kind, stale_before: UtcMillis) -> Ages {
        let board = self.look(kind);
        Ages {
            positions: board.ages.values().sum(),
            rows: board.rows,
            stale: board
                .ages
                .range(..stale_before)
                .map(|(_, count)| count)
                .sum(),
            oldest: board.ages.keys().next().copied(),
            newest: board.ages.keys().next_back().copied(),
        }
    }
}

fn drop_dead(files: &mut Files) -> Result<(), ForecastError> {
    let mut failed = Ok(());
    files.used.retain(|(_, path, block)| {
        let dead = block.strong_count() == 0;
        if dead && let Err(error) = directory::remove(path) {
            failed = Err(error.into());
        }
        !dead
    });
    failed
}
