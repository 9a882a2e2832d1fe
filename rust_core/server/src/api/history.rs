//! The past, and what operators do with the journal.

use std::path::{Component, Path, PathBuf};

use bespeak_engine::UtcMillis;
use bespeak_journal::{Discrepancy, JournalError, Moment, ReconcileReport};
use bespeak_proto::v1 as pb;

use super::Api;
use crate::backup::{self, BackupError};
use crate::convert::{check, fields, line_count};
use crate::error::ApiError;
use crate::store::Seen;

/// Bytes of a backup's name.
const BACKUP_NAME_BYTES_MAX: usize = 256;

impl Api {
    /// What `Check` would have answered at an earlier journal position or time. Builds that state aside.
    pub fn as_of(&self, mut request: pb::AsOfRequest) -> Seen<pb::AsOfResponse> {
        use pb::as_of_request::At;
        let built = line_count(request.lines.len()).and_then(|()| {
            let moment = match request.at {
                Some(At::Revision(revision)) => Moment::Revision(revision),
                Some(At::TimeMs(ms)) => Moment::Time(fields::required_time("time_ms", ms)?),
                None => {
                    return Err(ApiError::invalid(
                        "at",
                        "missing",
                        "give a revision or a time",
                    ));
                }
            };
            Ok(self.store.partition().as_of(moment)?)
        });
        let state = match built {
            Ok(state) => state,
            Err(error) => return Seen::failed(error),
        };
        let mut results = Vec::with_capacity(request.lines.len());
        for (index, line) in request.lines.iter_mut().enumerate() {
            match check::answer(&state, line, None, request.with_staircase) {
                Ok(result) => results.push(result),
                Err(error) => return Seen::failed(error.inside("lines", index)),
            }
        }
        let (revision, engine_time_ms) = (state.revision(), state.now().get());
        Seen {
            result: Ok(pb::AsOfResponse {
                results,
                revision,
                engine_time_ms,
            }),
            revision,
        }
    }

    /// Proves conservation over the retained journal; in memory, over the state alone.
    pub fn reconcile(&self) -> Seen<pb::ReconcileResponse> {
        if self.store.partition().journal().is_none() {
            return self.reconcile_state();
        }
        let result = self
            .store
            .partition()
            .reconcile()
            .map(reconciled)
            .map_err(ApiError::from);
        Seen {
            result,
            revision: 0,
        }
    }

    fn reconcile_state(&self) -> Seen<pb::ReconcileResponse> {
        self.store.read(|state| {
            let name = |item: bespeak_engine::ItemId| state.catalog().item(item).name.to_string();
            let place =
                |id: bespeak_engine::LocationId| state.catalog().location(id).name.to_string();
            let discrepancies = state.reconcile().into_iter().map(|found| pb::Discrepancy {
                item: found
                    .position
                    .map_or_else(String::new, |(item, _)| name(item)),
                location: found
                    .position
                    .map_or_else(String::new, |(_, location)| place(location)),
                what: found.what.to_owned(),
                expected: found.expected,
                found: found.found,
                revision: 0,
            });
            Ok(pb::ReconcileResponse {
                revision: state.revision(),
                positions_checked: state.position_count() as u64,
                records_checked: 0,
                oversold_units: state.oversold_units(),
                discrepancies: discrepancies.collect(),
            })
        })
    }

    /// Makes a snapshot while promises go on.
    pub fn snapshot(&self) -> Seen<pb::SnapshotResponse> {
        let result = self
            .store
            .partition()
            .snapshot()
            .map_err(ApiError::from)
            .map(|info| pb::SnapshotResponse {
                revision: info.position.revision,
                size_bytes: info.content_bytes,
            });
        Seen {
            result,
            revision: 0,
        }
    }

    /// Copies the journal, and what is kept beside it, to a new directory below the backup root while promises go on.
    pub fn backup(&self, request: &pb::BackupRequest) -> Seen<pb::BackupResponse> {
        Seen {
            result: self.back_up(&request.directory),
            revision: 0,
        }
    }

    fn back_up(&self, directory: &str) -> Result<pb::BackupResponse, ApiError> {
        let Some(root) = &self.backup_root else {
            let hint = "set backup_root to a directory of the server";
            return Err(ApiError::NotConfigured {
                what: "backup_root",
                hint,
            });
        };
        let path = below(root, directory)?;
        if self.store.partition().journal().is_none() {
            let hint = "a partition in memory has nothing to back up: set journal.mode to group";
            return Err(ApiError::NotConfigured {
                what: "the journal",
                hint,
            });
        }
        let made = backup::back_up(&self.store, self.forecasts(), self.desk(), &path);
        let manifest = made.map_err(|error| match error {
            BackupError::Journal(JournalError::NotEmpty { .. }) => {
                ApiError::invalid("directory", directory, "it must not exist yet, or be empty")
            }
            other => other.into(),
        })?;
        Ok(pb::BackupResponse {
            revision: manifest.newest.revision,
            size_bytes: manifest.files.iter().map(|file| file.bytes).sum(),
        })
    }

    /// Promises again after a jump of the clock.
    pub fn confirm_clock(
        &self,
        _request: &pb::ConfirmClockRequest,
    ) -> Seen<pb::ConfirmClockResponse> {
        let result = self
            .store
            .partition()
            .confirm_clock()
            .map_err(ApiError::from);
        let answer = result.map(|time: UtcMillis| pb::ConfirmClockResponse {
            engine_time_ms: time.get(),
        });
        Seen {
            result: answer,
            revision: 0,
        }
    }
}

/// A directory below the root; nothing in its name may lead out of there.
fn below(root: &Path, name: &str) -> Result<PathBuf, ApiError> {
    let rule = "it must be a relative path of plain names below the backup root";
    let path = Path::new(name);
    let plain = path
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if name.is_empty() || name.len() > BACKUP_NAME_BYTES_MAX || name.contains('\0') || !plain {
        return Err(ApiError::invalid("directory", name, rule));
    }
    Ok(root.join(path))
}

fn reconciled(report: ReconcileReport) -> pb::ReconcileResponse {
    let discrepancy = |found: Discrepancy| pb::Discrepancy {
        item: found.item,
        location: found.location,
        what: found.what.to_owned(),
        expected: found.expected,
        found: found.found,
        revision: found.revision,
    };
    pb::ReconcileResponse {
        revision: report.revision,
        positions_checked: report.positions_checked,
        records_checked: report.records_checked,
        oversold_units: report.oversold_units,
        discrepancies: report.discrepancies.into_iter().map(discrepancy).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_stay_below_their_root() {
        let root = Path::new("backups");
        assert_eq!(
            below(root, "monday/full").ok(),
            Some(root.join("monday/full"))
        );
        let long = "x".repeat(300);
        for bad in ["", "/etc", "../up", "a/../../b", "./a/..", "a\0b", &long] {
            assert!(below(root, bad).is_err(), "{bad}");
        }
    }
}
