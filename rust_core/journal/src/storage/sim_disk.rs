//! What a disk in memory knows: what was written, what of it is durable, and what a power loss
//! leaves. [`super::SimStorage`] puts the [`super::Storage`] trait on top.

use std::collections::BTreeMap;
use std::io;

/// Writes survive or vanish in units of this size.
pub const SECTOR_BYTES: usize = 512;

/// A kind of storage operation, for fault rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpKind {
    /// Create with zeros.
    Create,
    /// Open.
    Open,
    /// Positional read.
    Read,
    /// Positional write.
    Write,
    /// Cut or extend.
    Truncate,
    /// Sync of one file's content.
    SyncData,
    /// Sync of the directory.
    SyncDir,
    /// Rename.
    Rename,
    /// Remove.
    Remove,
}

/// An injected failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Input/output error. A failed sync leaves the cache looking clean, as kernels do: later
    /// reads return the data, later syncs succeed, and the disk may not hold it.
    Eio,
    /// No space left; a write may have happened in part.
    Enospc,
}

/// Fails the operations that match.
#[derive(Debug, Clone)]
pub struct FaultRule {
    /// Kind of operation.
    pub op: OpKind,
    /// Only files whose name contains this; empty for all.
    pub name_contains: String,
    /// How many matching operations succeed first.
    pub after: u64,
    /// Whether every later match fails too.
    pub sticky: bool,
    /// What happens.
    pub fault: Fault,
}

/// What of the unsynced data a power loss leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashMode {
    /// Nothing that was not synced.
    LoseUnsynced,
    /// All of it, as after `kill -9`.
    KeepAll,
    /// Each sector and each directory operation by the toss of a coin: torn and reordered.
    Shuffle,
}

/// A small deterministic generator (splitmix64).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

#[derive(Debug, Clone)]
enum Pending {
    Data { offset: usize, data: Vec<u8> },
    Len(usize),
}

#[derive(Debug, Clone, Default)]
struct Inode {
    durable: Vec<u8>,
    view: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Debug, Clone)]
enum DirOp {
    Link {
        name: String,
        inode: usize,
    },
    Unlink {
        name: String,
    },
    Rename {
        from: String,
        to: String,
        inode: usize,
    },
}

/// The disk.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    dir_ops: Vec<DirOp>,
}

fn put(target: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if target.len() < end {
        target.resize(end, 0);
    }
    target[offset..end].copy_from_slice(data);
}

impl Disk {
    pub(super) fn new() -> Self {
        Self {
            inodes: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            dir_ops: Vec::new(),
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.names.keys().cloned().collect()
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.names
            .values()
            .map(|&inode| self.inodes[inode].view.len() as u64)
            .sum()
    }

    pub(super) fn lookup(&self, name: &str) -> io::Result<usize> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    pub(super) fn create(&mut self, name: &str, len: usize) -> io::Result<usize> {
        if self.names.contains_key(name) {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists));
        }
        let inode = self.inodes.len();
        self.inodes.push(Inode::default());
        self.names.insert(name.to_owned(), inode);
        self.dir_ops.push(DirOp::Link {
            name: name.to_owned(),
            inode,
        });
        if len > 0 {
            self.write(inode, 0, vec![0; len]);
        }
        Ok(inode)
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let inode = self.lookup(from)?;
        self.names.remove(from);
        self.names.insert(to.to_owned(), inode);
        self.dir_ops.push(DirOp::Rename {
            from: from.to_owned(),
            to: to.to_owned(),
            inode,
        });
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.lookup(name)?;
        self.names.remove(name);
        self.dir_ops.push(DirOp::Unlink {
            name: name.to_owned(),
        });
        Ok(())
    }

    pub(super) fn sync_dir(&mut self) {
        self.durable_names = self.names.clone();
        self.dir_ops.clear();
    }

    pub(super) fn view(&self, inode: usize) -> &[u8] {
        &self.inodes[inode].view
    }

    /// Changes a byte both on disk and in the cache, as rot does.
    pub(super) fn corrupt(&mut self, inode: usize, offset: usize, mask: u8) {
        let file = &mut self.inodes[inode];
        file.view[offset] ^= mask;
        if let Some(byte) = file.durable.get_mut(offset) {
            *byte ^= mask;
        }
    }

    pub(super) fn write(&mut self, inode: usize, offset: usize, data: Vec<u8>) {
        let file = &mut self.inodes[inode];
        put(&mut file.view, offset, &data);
        file.pending.push(Pending::Data { offset, data });
    }

    pub(super) fn truncate(&mut self, inode: usize, len: usize) {
        let file = &mut self.inodes[inode];
        file.view.resize(len, 0);
        file.pending.push(Pending::Len(len));
    }

    pub(super) fn sync_data(&mut self, inode: usize) {
        let file = &mut self.inodes[inode];
        for op in file.pending.drain(..) {
            match op {
                Pending::Data { offset, data } => put(&mut file.durable, offset, &data),
                Pending::Len(len) => file.durable.resize(len, 0),
            }
        }
    }

    /// A sync that failed: some of it may have reached the disk, and the cache now looks clean.
    pub(super) fn fail_sync(&mut self, inode: usize, dice: &mut Dice) {
        let file = &mut self.inodes[inode];
        let pending = std::mem::take(&mut file.pending);
        settle(&mut file.durable, &pending, CrashMode::Shuffle, dice);
    }

    /// What the disk holds after a power loss.
    pub(super) fn crash(&self, mode: CrashMode, dice: &mut Dice) -> Self {
        let mut names = self.durable_names.clone();
        for op in &self.dir_ops {
            let keep = match mode {
                CrashMode::LoseUnsynced => false,
                CrashMode::KeepAll => true,
                CrashMode::Shuffle => dice.below(2) == 0,
            };
            if !keep {
                continue;
            }
            match op {
                DirOp::Link { name, inode } => {
                    names.insert(name.clone(), *inode);
                }
                DirOp::Unlink { name } => {
                    names.remove(name);
                }
                DirOp::Rename { from, to, inode } => {
                    // Another file may carry the old name by now.
                    if names.get(from) == Some(inode) {
                        names.remove(from);
                    }
                    names.insert(to.clone(), *inode);
                }
            }
        }
        let inodes = self
            .inodes
            .iter()
            .map(|file| {
                let mut durable = file.durable.clone();
                settle(&mut durable, &file.pending, mode, dice);
                Inode {
                    view: durable.clone(),
                    durable,
                    pending: Vec::new(),
                }
            })
            .collect();
        Self {
            inodes,
            durable_names: names.clone(),
            names,
            dir_ops: Vec::new(),
        }
    }
}

/// Applies pending writes to `durable` as far as `mode` lets them through.
fn settle(durable: &mut Vec<u8>, pending: &[Pending], mode: CrashMode, dice: &mut Dice) {
    if mode == CrashMode::LoseUnsynced {
        return;
    }
    // Half of the shuffles are mild (one in eight sectors goes missing), half are coin tosses.
    let survive_of_eight = if dice.below(2) == 0 { 7 } else { 4 };
    for op in pending {
        match op {
            Pending::Data { offset, data } => {
                let mut at = 0;
                while at < data.len() {
                    let position = offset + at;
                    let to_boundary = SECTOR_BYTES - position % SECTOR_BYTES;
                    let piece = to_boundary.min(data.len() - at);
                    if mode == CrashMode::KeepAll || dice.below(8) < survive_of_eight {
                        put(durable, position, &data[at..at + piece]);
                    }
                    at += piece;
                }
            }
            Pending::Len(len) => {
                if mode == CrashMode::KeepAll || dice.below(2) == 0 {
                    durable.resize(*len, 0);
                }
            }
        }
    }
}
