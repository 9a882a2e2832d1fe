//! Demand history: units sold, unmet units and time without stock, by position and day.

pub mod backup;
mod book;
mod checkpoint;
mod fact;
mod files;
mod place;
mod row;
mod rows;
mod shelf;
mod table;
mod today;
mod truth;

use std::path::Path;

use bespeak_engine::State;

use book::Book;
pub use checkpoint::Checkpoint;
pub use fact::Fact;
pub use rows::{Filter, Rows, context_schema};
use shelf::Shelf;
pub use today::{Outlooks, nowcast_schema};
pub use truth::Demanded;

use crate::limits::CHECKPOINT_RECORDS;

/// The file that says where the fold stands.
const CHECKPOINT: &str = "checkpoint";

/// A history that cannot be kept or read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file system said no.
    #[error("cannot {doing} {path}: {what}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: String,
        /// What it said.
        what: String,
    },
    /// Something could not be written as bytes.
    #[error("demand history cannot be encoded: {0}")]
    Encoding(String),
    /// A file is not what was written.
    #[error(
        "the demand of day {day} is damaged ({what}): it is made again from the journal, ask again"
    )]
    Damaged {
        /// Days since 1970-01-01.
        day: i32,
        /// What is wrong.
        what: String,
    },
    /// A level, a range or a list that cannot be answered.
    #[error("{0}")]
    Question(String),
}

impl HistoryError {
    fn io(doing: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self::Io {
            doing,
            path: path.display().to_string(),
            what: error.to_string(),
        }
    }
}

/// The history of one partition.
#[derive(Debug)]
pub struct History {
    book: Book,
    shelf: Shelf,
    /// Records since the last checkpoint, and whether a day has ended since.
    since: u64,
    day_ended: bool,
}

impl History {
    /// A history that is gone with the process.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            book: Book::default(),
            shelf: Shelf::in_memory(),
            since: 0,
            day_ended: false,
        }
    }

    /// Opens the history of a journal whose last durable record is `newest`. The flag says that its checkpoint is missing
    /// or of no use, or that a day was torn: then [`History::restart`] it.
    ///
    /// # Errors
    /// `Io`.
    pub fn open(dir: &Path, journal: [u8; 16], newest: u64) -> Result<(Self, bool), HistoryError> {
        let (shelf, torn) = Shelf::open(dir, journal, newest)?;
        let read = std::fs::read(dir.join(CHECKPOINT)).ok();
        let book: Option<Book> = read
            .as_deref()
            .and_then(|bytes| files::unframe(&journal, bytes))
            .and_then(|content| postcard::from_bytes(content).ok());
        let mut history = Self {
            shelf,
            ..Self::in_memory()
        };
        match book {
            Some(mut book) if book.revision() <= newest && !torn => {
                book.reindex();
                history.book = book;
                Ok((history, false))
            }
            _ => Ok((history, true)),
        }
    }

    /// Begins anew from the oldest state that the journal still gives; records from there on are to be added. Days that
    /// are kept stay.
    ///
    /// # Errors
    /// `Damaged`, `Io`.
    pub fn restart(&mut self, state: &State) -> Result<(), HistoryError> {
        self.book = Book::from_state(state);
        self.since = 0;
        if state.revision() > 0 {
            let days: Vec<i32> = self.shelf.days().collect();
            for day in days {
                let Some(table) = self.shelf.get(day)? else {
                    continue;
                };
                for (item, location) in table.item.iter().zip(&table.location) {
                    self.book.known_since(*item, *location, day);
                }
            }
        }
        Ok(())
    }

    /// Lets go of a day that is damaged.
    ///
    /// # Errors
    /// `Io`.
    pub fn drop_day(&mut self, day: i32) -> Result<(), HistoryError> {
        self.shelf.forget(day)
    }

    /// Journal position of the last record added.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.book.revision()
    }

    /// Things that were not counted because a limit was reached.
    #[must_use]
    pub fn untracked(&self) -> u64 {
        self.book.untracked()
    }

    /// Adds a record's facts, in order of revision. One that was added before is passed over.
    ///
    /// # Errors
    /// A day that is over could not be written. It is kept in memory, and written with the next checkpoint.
    pub fn add(
        &mut self,
        revision: u64,
        time_ms: i64,
        facts: impl IntoIterator<Item = Fact>,
    ) -> Result<(), HistoryError> {
        if revision <= self.book.revision() {
            return Ok(());
        }
        let mut over = Vec::new();
        self.book
            .begin(revision, time_ms, &mut |table| over.push(table));
        for fact in facts {
            self.book.count(fact);
        }
        // The record that ends a day may already change it.
        let mut result = Ok(());
        for table in over {
            self.day_ended = true;
            result = result.and(self.shelf.put(table));
        }
        for (day, slot, units) in self.book.take_told_late() {
            // What a kept day has already is told again when the journal is read again.
            if self
                .shelf
                .revision(day)
                .is_some_and(|known| known < revision)
            {
                self.book.keep_late(day, slot, units);
            }
        }
        self.since += 1;
        result
    }

    /// Whether a checkpoint would spare a restart much.
    #[must_use]
    pub fn checkpoint_due(&self) -> bool {
        self.day_ended || self.since >= CHECKPOINT_RECORDS
    }

    /// Writes what late facts changed in days that are over, and gives where the fold stands, to be written next; `None`
    /// where there is no directory.
    ///
    /// # Errors
    /// `Io`, `Damaged`, `Encoding`; all is still there, to be tried again.
    pub fn checkpoint(&mut self) -> Result<Option<Checkpoint>, HistoryError> {
        self.shelf.write_again()?;
        for day in self.book.late_days() {
            if let Some(known) = self.shelf.get(day)? {
                let mut table = (*known).clone();
                self.amend(&mut table);
                table.revision = self.book.revision();
                self.shelf.put(table)?;
            }
            self.book.forget_late(day);
        }
        let home = self.shelf.home();
        let checkpoint = home.map(|home| Checkpoint::of(&self.book, home));
        let checkpoint = checkpoint.transpose()?;
        self.since = 0;
        self.day_ended = false;
        Ok(checkpoint)
    }

    /// Has a checkpoint made again that could not be written.
    pub fn checkpoint_failed(&mut self) {
        self.since = CHECKPOINT_RECORDS;
    }

    /// Adds what late facts changed to a day's table.
    fn amend(&self, table: &mut table::DayTable) {
        let rows = table.item.iter().zip(&table.location).zip(0usize..);
        let at: hashbrown::HashMap<(u32, u32), usize, foldhash::fast::FixedState> = rows
            .map(|((item, place), row)| ((*item, *place), row))
            .collect();
        for (slot, units) in self.book.late(table.day) {
            let Some(slot) = self.book.slots().get(slot as usize) else {
                continue;
            };
            match at.get(&(slot.item, slot.location)) {
                Some(row) => {
                    table.sold[*row] = table.sold[*row].saturating_add_signed(units);
                }
                None => table.push((slot.item, slot.location), units, 0, 0),
            }
        }
    }
}
