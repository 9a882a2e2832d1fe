//! Everything that can go wrong between the engine and the disk.

use std::io;

/// A failure of the journal. Refusals of the engine are never errors of this kind.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The storage refused an operation. After a failed write or sync the log is poisoned.
    #[error("cannot {action} {file}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory it was tried on.
        file: String,
        /// What the storage said.
        source: io::Error,
    },
    /// Bytes that were once durable no longer read back as they were written.
    #[error(
        "{file} is damaged at offset {offset}: {what}: restore this journal from a backup, or from the file's last good copy"
    )]
    Damaged {
        /// The segment, snapshot, index or backup file.
        file: String,
        /// Byte offset of the first damaged frame or field.
        offset: u64,
        /// What was found there.
        what: String,
    },
    /// The file was written by a later version of this format.
    #[error(
        "{file} has format version {found}, this program reads up to {known}: use a newer program"
    )]
    NewerFormat {
        /// The file.
        file: String,
        /// Version in its header.
        found: u16,
        /// Highest version understood.
        known: u16,
    },
    /// A record is larger than the configured limit. Nothing was written.
    #[error("record of {bytes} bytes exceeds the limit of {limit}: split the command")]
    RecordTooLarge {
        /// Size of the payload.
        bytes: usize,
        /// `LogConfig::max_record_bytes`.
        limit: usize,
    },
    /// A batch does not continue the log. Nothing was written.
    #[error("batch starts at revision {found}, the log expects {expected}")]
    WrongRevision {
        /// The log's next revision.
        expected: u64,
        /// The batch's first revision.
        found: u64,
    },
    /// A record's time lies before that of the record in front of it. Nothing was written.
    #[error(
        "record {revision} has time {found}, the record before it {before}: time must not fall"
    )]
    TimeFalls {
        /// The record.
        revision: u64,
        /// Time of the record before, in UTC milliseconds.
        before: u64,
        /// Its time, in UTC milliseconds.
        found: u64,
    },
    /// A record has no stored form. Nothing was written.
    #[error("record {revision} cannot be encoded: {what}")]
    Encoding {
        /// The record.
        revision: u64,
        /// What the encoder says.
        what: String,
    },
    /// An earlier write or sync failed: what is on disk is unknown, so nothing more is accepted.
    #[error("journal stopped after a failure: {cause}: restart the process to recover")]
    Poisoned {
        /// The first failure, as text.
        cause: String,
    },
    /// Another process has this journal open.
    #[error("journal {dir} is open in another process: stop it first")]
    Locked {
        /// The journal's directory.
        dir: String,
    },
    /// The asked position is no longer, or not yet, held.
    #[error("revision {asked} is outside the retained range {oldest}..={newest}")]
    OutOfRetention {
        /// The revision asked for.
        asked: u64,
        /// Oldest revision held.
        oldest: u64,
        /// Newest durable revision.
        newest: u64,
    },
    /// A target directory that must be empty is not.
    #[error("{dir} is not empty ({found}): choose an empty directory")]
    NotEmpty {
        /// The directory.
        dir: String,
        /// One entry found in it.
        found: String,
    },
    /// A setting that cannot work.
    #[error("invalid journal setting {setting}: {what}")]
    Config {
        /// Name of the setting.
        setting: &'static str,
        /// Why it cannot work.
        what: String,
    },
}

/// The result of a journal operation.
pub type Result<T> = std::result::Result<T, JournalError>;

impl JournalError {
    /// Makes a [`JournalError::Damaged`].
    pub(crate) fn damaged(file: &str, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            offset,
            what: what.into(),
        }
    }
}

/// Adds the action and the file to an I/O error.
pub(crate) trait IoContext<T> {
    /// Wraps the error as [`JournalError::Io`].
    fn doing(self, action: &'static str, file: &str) -> Result<T>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn doing(self, action: &'static str, file: &str) -> Result<T> {
        self.map_err(|source| JournalError::Io {
            action,
            file: file.to_owned(),
            source,
        })
    }
}
