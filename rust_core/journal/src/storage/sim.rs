//! A [`Storage`] in memory for tests and the simulator: seeded, single step by single step.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::sim_disk::{CrashMode, Dice, Disk, Fault, FaultRule, OpKind, SECTOR_BYTES};
use super::{Storage, StorageFile, WriterLock};

/// Which syncs the disk pretends to do, to prove that a test would notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncKind {
    /// Syncs of file content.
    Data,
    /// Syncs of the directory.
    Dir,
}

#[derive(Debug)]
struct Machine {
    disk: Disk,
    dice: Dice,
    rules: Vec<(FaultRule, u64)>,
    ignored: Vec<(SyncKind, String)>,
    capacity: u64,
    mutations: u64,
    power_off_at: Option<u64>,
    off: bool,
}

/// A simulated disk. Clones share it.
#[derive(Debug, Clone)]
pub struct SimStorage {
    machine: Arc<Mutex<Machine>>,
    locked: Arc<AtomicBool>,
}

fn power_lost() -> io::Error {
    io::Error::other("simulated power loss")
}

fn fault_error(fault: Fault) -> io::Error {
    // Linux numbers; the kinds read as real ones in messages.
    io::Error::from_raw_os_error(match fault {
        Fault::Eio => 5,
        Fault::Enospc => 28,
    })
}

impl SimStorage {
    /// An empty disk whose every toss of a coin comes from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_disk(Disk::new(), Dice::new(seed))
    }

    fn with_disk(disk: Disk, dice: Dice) -> Self {
        Self {
            machine: Arc::new(Mutex::new(Machine {
                disk,
                dice,
                rules: Vec::new(),
                ignored: Vec::new(),
                capacity: u64::MAX,
                mutations: 0,
                power_off_at: None,
                off: false,
            })),
            locked: Arc::new(AtomicBool::new(false)),
        }
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk as it is found after a power loss now. The old one keeps its state, so one
    /// history can be crashed in many ways.
    #[must_use]
    pub fn crash(&self, mode: CrashMode, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let disk = self.machine().disk.crash(mode, &mut dice);
        Self::with_disk(disk, dice)
    }

    /// Cuts the power at the `count`-th mutating operation from now (0 is the next one): that
    /// operation may reach the disk in part, everything after it fails.
    pub fn power_off_after(&self, count: u64) {
        let mut machine = self.machine();
        machine.power_off_at = Some(machine.mutations + count);
    }

    /// Number of mutating operations so far (create, write, truncate, syncs, rename, remove).
    #[must_use]
    pub fn mutations(&self) -> u64 {
        self.machine().mutations
    }

    /// Adds a fault.
    pub fn inject(&self, rule: FaultRule) {
        self.machine().rules.push((rule, 0));
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.machine().rules.clear();
    }

    /// Makes syncs of `kind` on files whose name contains `name_contains` report success without
    /// doing anything.
    pub fn ignore_syncs(&self, kind: SyncKind, name_contains: &str) {
        self.machine()
            .ignored
            .push((kind, name_contains.to_owned()));
    }

    /// Limits the sum of all file lengths, in bytes.
    pub fn set_capacity(&self, bytes: u64) {
        self.machine().capacity = bytes;
    }

    /// Sum of all file lengths, in bytes.
    #[must_use]
    pub fn used_bytes(&self) -> u64 {
        self.machine().disk.used_bytes()
    }

    /// Flips the bits of `mask` in one byte of a file, on disk and in the cache.
    ///
    /// # Errors
    /// `NotFound`, or `UnexpectedEof` when the file is shorter.
    pub fn corrupt(&self, name: &str, offset: u64, mask: u8) -> io::Result<()> {
        let mut machine = self.machine();
        let inode = machine.disk.lookup(name)?;
        if offset >= machine.disk.view(inode).len() as u64 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        machine.disk.corrupt(inode, offset as usize, mask);
        Ok(())
    }

    /// An independent copy of the disk, unsynced data included, without its faults.
    #[must_use]
    pub fn fork(&self) -> Self {
        let machine = self.machine();
        Self::with_disk(machine.disk.clone(), machine.dice.clone())
    }
}

/// Whether an operation should go on, and if not, whether it still reaches the disk in part.
enum Gate {
    Go,
    Fail { error: io::Error, in_part: bool },
}

impl Machine {
    fn gate(&mut self, op: OpKind, name: &str) -> Gate {
        if self.off {
            return Gate::Fail {
                error: power_lost(),
                in_part: false,
            };
        }
        for (rule, seen) in &mut self.rules {
            if rule.op != op || !name.contains(&rule.name_contains) {
                continue;
            }
            *seen += 1;
            if *seen > rule.after && (rule.sticky || *seen == rule.after + 1) {
                return Gate::Fail {
                    error: fault_error(rule.fault),
                    in_part: true,
                };
            }
        }
        if !matches!(op, OpKind::Open | OpKind::Read) {
            if self.power_off_at == Some(self.mutations) {
                self.off = true;
                return Gate::Fail {
                    error: power_lost(),
                    in_part: true,
                };
            }
            self.mutations += 1;
        }
        Gate::Go
    }

    fn ignores(&self, kind: SyncKind, name: &str) -> bool {
        self.ignored
            .iter()
            .any(|(which, part)| *which == kind && name.contains(part))
    }

    fn check_space(&self, more: u64) -> io::Result<()> {
        if self.disk.used_bytes().saturating_add(more) > self.capacity {
            return Err(fault_error(Fault::Enospc));
        }
        Ok(())
    }
}

impl Storage for SimStorage {
    fn describe(&self) -> String {
        "simulated disk".to_owned()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let machine = self.machine();
        if machine.off {
            return Err(power_lost());
        }
        Ok(machine.disk.names())
    }

    fn create(&self, name: &str, len: u64) -> io::Result<Box<dyn StorageFile>> {
        let mut machine = self.machine();
        if let Gate::Fail { error, in_part } = machine.gate(OpKind::Create, name) {
            if in_part {
                // The entry exists, the zeros do not.
                machine.disk.create(name, 0)?;
            }
            return Err(error);
        }
        machine.check_space(len)?;
        let inode = machine.disk.create(name, len as usize)?;
        Ok(Box::new(SimFile {
            storage: self.clone(),
            name: name.to_owned(),
            inode,
        }))
    }

    fn open(&self, name: &str, _write: bool) -> io::Result<Box<dyn StorageFile>> {
        let mut machine = self.machine();
        if let Gate::Fail { error, .. } = machine.gate(OpKind::Open, name) {
            return Err(error);
        }
        let inode = machine.disk.lookup(name)?;
        Ok(Box::new(SimFile {
            storage: self.clone(),
            name: name.to_owned(),
            inode,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut machine = self.machine();
        if let Gate::Fail { error, in_part } = machine.gate(OpKind::Rename, from) {
            if in_part && machine.off {
                machine.disk.rename(from, to)?;
            }
            return Err(error);
        }
        machine.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut machine = self.machine();
        if let Gate::Fail { error, in_part } = machine.gate(OpKind::Remove, name) {
            if in_part && machine.off {
                machine.disk.remove(name)?;
            }
            return Err(error);
        }
        machine.disk.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut machine = self.machine();
        if let Gate::Fail { error, .. } = machine.gate(OpKind::SyncDir, "") {
            return Err(error);
        }
        if !machine.ignores(SyncKind::Dir, "") {
            machine.disk.sync_dir();
        }
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn WriterLock>> {
        if self.locked.swap(true, Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::WouldBlock));
        }
        Ok(Box::new(SimLock {
            locked: Arc::clone(&self.locked),
        }))
    }
}

struct SimLock {
    locked: Arc<AtomicBool>,
}

impl WriterLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.locked.store(false, Ordering::SeqCst);
    }
}

struct SimFile {
    storage: SimStorage,
    name: String,
    inode: usize,
}

impl StorageFile for SimFile {
    fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let mut machine = self.storage.machine();
        if let Gate::Fail { error, .. } = machine.gate(OpKind::Read, &self.name) {
            return Err(error);
        }
        let view = machine.disk.view(self.inode);
        let start = offset as usize;
        let end = start + buf.len();
        if end > view.len() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        buf.copy_from_slice(&view[start..end]);
        Ok(())
    }

    fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let mut machine = self.storage.machine();
        let start = offset as usize;
        match machine.gate(OpKind::Write, &self.name) {
            Gate::Go => {}
            Gate::Fail { error, in_part } => {
                if in_part {
                    // A write cut short by a fault stops at some sector; by a power loss it is
                    // queued whole and the crash decides.
                    let keep = if machine.off {
                        buf.len()
                    } else {
                        let sectors = buf.len().div_ceil(SECTOR_BYTES) as u64;
                        (machine.dice.below(sectors) as usize * SECTOR_BYTES).min(buf.len())
                    };
                    machine.disk.write(self.inode, start, buf[..keep].to_vec());
                }
                return Err(error);
            }
        }
        let len = machine.disk.view(self.inode).len();
        machine.check_space((start + buf.len()).saturating_sub(len) as u64)?;
        machine.disk.write(self.inode, start, buf.to_vec());
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut machine = self.storage.machine();
        if let Gate::Fail { error, in_part } = machine.gate(OpKind::SyncData, &self.name) {
            if in_part && !machine.off {
                let Machine { disk, dice, .. } = &mut *machine;
                disk.fail_sync(self.inode, dice);
            }
            return Err(error);
        }
        if !machine.ignores(SyncKind::Data, &self.name) {
            machine.disk.sync_data(self.inode);
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let machine = self.storage.machine();
        if machine.off {
            return Err(power_lost());
        }
        Ok(machine.disk.view(self.inode).len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut machine = self.storage.machine();
        if let Gate::Fail { error, .. } = machine.gate(OpKind::Truncate, &self.name) {
            return Err(error);
        }
        machine.disk.truncate(self.inode, len as usize);
        Ok(())
    }
}
