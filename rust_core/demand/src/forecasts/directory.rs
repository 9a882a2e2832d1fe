//! A directory of files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bespeak_aside::PacedFile;

const BUFFER_BYTES: usize = 256 << 10;
const ENDING: &str = ".arrow";
const UNFINISHED: &str = ".part";

/// Where forecasts lie.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Makes the directory where it is missing, and removes what a crash left unfinished.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        if let Some(parent) = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
        {
            File::open(parent)?.sync_all()?;
        }
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().ends_with(UNFINISHED) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// A directory that is there, as it is.
    pub fn existing(path: &Path) -> Self {
        let path = path.to_owned();
        Self { path }
    }

    /// Makes the removal of files survive a power loss.
    pub fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Files of a kind, oldest first.
    pub fn files(&self, prefix: &str) -> io::Result<Vec<Kept>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            files.extend(name.to_str().and_then(|name| self.known(prefix, name)));
        }
        files.sort_unstable_by(|a, b| (a.number, &a.path).cmp(&(b.number, &b.path)));
        Ok(files)
    }

    fn known(&self, prefix: &str, name: &str) -> Option<Kept> {
        let rest = name.strip_prefix(prefix)?.strip_prefix('-')?;
        let (number, checksum) = rest.strip_suffix(ENDING)?.split_once('-')?;
        Some(Kept {
            number: number.parse().ok()?,
            checksum: u32::from_str_radix(checksum, 16).ok()?,
            path: self.path.join(name),
        })
    }

    /// Writes a file aside, syncs it, and gives it its name, which holds the checksum of what was written.
    pub fn write<E: From<io::Error>>(
        &self,
        prefix: &str,
        number: u64,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let aside = self.path.join(format!("{prefix}-{number:020}{UNFINISHED}"));
        let written = File::create(&aside).map_err(E::from).and_then(|file| {
            let summed = Summed {
                file: PacedFile::new(file),
                checksum: 0,
            };
            let mut out = BufWriter::with_capacity(BUFFER_BYTES, summed);
            fill(&mut out)?;
            out.flush()?;
            out.get_ref().file.sync()?;
            Ok(out.get_ref().checksum)
        });
        let checksum = match written {
            Ok(checksum) => checksum,
            Err(error) => {
                // What is unfinished is removed at the next start, too.
                let _ = fs::remove_file(&aside);
                return Err(error);
            }
        };
        let to = self
            .path
            .join(format!("{prefix}-{number:020}-{checksum:08x}{ENDING}"));
        fs::rename(&aside, &to)?;
        self.sync()?;
        Ok(to)
    }
}

/// A finished file.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub number: u64,
    pub path: PathBuf,
    checksum: u32,
}

impl Kept {
    /// What was written; `None` when it is that no longer.
    pub fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let bytes = fs::read(&self.path)?;
        Ok((crc32c::crc32c(&bytes) == self.checksum).then_some(bytes))
    }

    /// Keeps a file that cannot be read under another name, for whoever looks into it.
    pub fn set_aside(&self) -> io::Result<PathBuf> {
        let to = self.path.with_extension("damaged");
        fs::rename(&self.path, &to)?;
        Ok(to)
    }
}

/// Removes a file; one that is gone is no failure.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Sums up what it writes, at a pace that leaves the disk to the journal.
struct Summed {
    file: PacedFile,
    checksum: u32,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.checksum = crc32c::crc32c_append(self.checksum, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
