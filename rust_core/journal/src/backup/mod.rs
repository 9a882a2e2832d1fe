//! Backup of a journal that is being written, and restore from it, to its end or to an earlier
//! moment.

mod beside;
mod manifest;
mod restore;
mod verify;

use std::sync::Arc;

use crate::error::{IoContext, JournalError, Result};
use crate::snapshot::{list_snapshots, snapshot_name};
use crate::storage::{Storage, StorageFile};
use crate::view::{LogView, Pin, Published, Shared};

pub use beside::{Beside, copy_beside, restore_beside};
pub use manifest::{BackupFile, Manifest};
pub use restore::{RestoreReport, RestoreTo, restore};
pub use verify::{DirStats, VerifyReport, dir_stats, verify, verify_backup};

use manifest::{MANIFEST, MANIFEST_BYTES_MAX};

const COPY_BYTES: usize = 1 << 20;

/// A moment of a journal that is being written. Nothing that it needs is removed while it is held.
pub struct BackupPoint {
    shared: Arc<Shared>,
    published: Published,
    _pin: Pin,
}

impl LogView {
    /// What is durable now, to be copied at leisure.
    #[must_use]
    pub fn backup_point(&self) -> BackupPoint {
        let pin = Pin::new(&self.shared);
        BackupPoint {
            shared: Arc::clone(&self.shared),
            published: self.shared.published().clone(),
            _pin: pin,
        }
    }

    /// Copies the journal as it is durable now into an empty directory, while it is being written:
    /// all segments kept, the active one up to its last durable frame, and all snapshots. The
    /// manifest is written last; without it a backup is not one.
    ///
    /// # Errors
    /// `NotEmpty`, I/O errors on either side.
    pub fn backup(&self, to: &dyn Storage) -> Result<Manifest> {
        self.backup_point().copy(to, Vec::new())
    }
}

impl BackupPoint {
    /// Copies the journal as in [`LogView::backup`]; the manifest names what was copied beside it, too.
    ///
    /// # Errors
    /// As [`LogView::backup`].
    pub fn copy(self, to: &dyn Storage, beside: Vec<BackupFile>) -> Result<Manifest> {
        must_be_empty(to)?;
        let from = self.shared.storage.as_ref();
        let published = &self.published;
        let mut files = Vec::new();
        let last = published.segments.len().saturating_sub(1);
        for (at, segment) in published.segments.iter().enumerate() {
            let bytes = if at == last {
                published.durable_end
            } else {
                segment.bytes
            };
            files.push(copy(from, to, &segment.name, bytes, bytes)?);
        }
        for revision in list_snapshots(from)? {
            // Snapshots may be newer than the segments just copied, or go away while we look.
            if revision > published.newest.revision {
                continue;
            }
            let name = snapshot_name(revision);
            let file = match from.open(&name, false) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                other => other.doing("open", &name)?,
            };
            let bytes = file.size().doing("measure", &name)?;
            files.push(copy_file(file.as_ref(), to, &name, bytes, bytes)?);
        }
        files.extend(beside);
        let manifest = Manifest {
            journal_id: self.shared.journal_id,
            newest: published.newest,
            files,
        };
        write_manifest(to, &manifest)?;
        Ok(manifest)
    }
}

fn write_manifest(to: &dyn Storage, manifest: &Manifest) -> Result<()> {
    let aside = format!("{MANIFEST}.tmp");
    let file = to.create(&aside, 0).doing("create", &aside)?;
    file.write_all_at(manifest.encode().as_bytes(), 0)
        .doing("write", &aside)?;
    file.sync_data().doing("sync", &aside)?;
    // Everything that the manifest names is durable before its own name is.
    to.sync_dir().doing("sync", &to.describe())?;
    to.rename(&aside, MANIFEST).doing("name", MANIFEST)?;
    to.sync_dir().doing("sync", &to.describe())
}

/// Reads the manifest of a backup.
///
/// # Errors
/// `Damaged`; an I/O error when there is none.
pub fn read_manifest(backup: &dyn Storage) -> Result<Manifest> {
    let file = backup.open(MANIFEST, false).doing("open", MANIFEST)?;
    let size = file.size().doing("measure", MANIFEST)?;
    if size > MANIFEST_BYTES_MAX {
        return Err(JournalError::damaged(
            MANIFEST,
            0,
            format!("{size} bytes are no manifest"),
        ));
    }
    let text = crate::storage::read_file(file.as_ref(), size).doing("read", MANIFEST)?;
    Manifest::decode(&text)
}

fn must_be_empty(to: &dyn Storage) -> Result<()> {
    let dir = to.describe();
    match to.list().doing("list", &dir)?.into_iter().next() {
        Some(found) => Err(JournalError::NotEmpty { dir, found }),
        None => Ok(()),
    }
}

/// Copies the first `bytes` of a file into one of `len` bytes, the rest zeros, and syncs it.
fn copy(
    from: &dyn Storage,
    to: &dyn Storage,
    name: &str,
    bytes: u64,
    len: u64,
) -> Result<BackupFile> {
    let source = from.open(name, false).doing("open", name)?;
    copy_file(source.as_ref(), to, name, bytes, len)
}

fn copy_file(
    source: &dyn StorageFile,
    to: &dyn Storage,
    name: &str,
    bytes: u64,
    len: u64,
) -> Result<BackupFile> {
    // Zeros are only written where no copy follows.
    let target = to
        .create(name, if len > bytes { len } else { 0 })
        .doing("create", name)?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; COPY_BYTES.min(usize::try_from(bytes).unwrap_or(COPY_BYTES))];
    let mut offset = 0;
    while offset < bytes {
        let len = (bytes - offset).min(COPY_BYTES as u64) as usize;
        source
            .read_exact_at(&mut piece[..len], offset)
            .doing("read", name)?;
        hasher.update(&piece[..len]);
        target
            .write_all_at(&piece[..len], offset)
            .doing("write", name)?;
        offset += len as u64;
    }
    target.sync_data().doing("sync", name)?;
    let hash = *hasher.finalize().as_bytes();
    Ok(BackupFile {
        name: name.to_owned(),
        bytes,
        hash,
    })
}
