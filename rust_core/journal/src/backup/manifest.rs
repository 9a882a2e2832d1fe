//! The list of a backup's files with their hashes, as text that `b3sum --check` reads after its
//! first lines.

use crate::error::{JournalError, Result};
use crate::view::Position;

pub(crate) const MANIFEST: &str = "MANIFEST";
const TITLE: &str = "bespeak backup 1";
/// A manifest is small; anything larger is something else.
pub(crate) const MANIFEST_BYTES_MAX: u64 = 64 << 20;

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFile {
    /// Its name; that of one beside the journal begins with its directory, as in `forecasts/…`.
    pub name: String,
    /// Bytes kept of it. A segment may be kept up to its last durable frame only; what follows is
    /// zeros.
    pub bytes: u64,
    /// BLAKE3 of these bytes.
    pub hash: [u8; 32],
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Identity of the journal.
    pub journal_id: [u8; 16],
    /// The last record in it.
    pub newest: Position,
    /// Its files, segments first.
    pub files: Vec<BackupFile>,
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    // One spelling only, so that no changed byte goes unnoticed.
    let spelled = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 2 * N || !text.bytes().all(spelled) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

impl Manifest {
    pub(crate) fn encode(&self) -> String {
        let newest = &self.newest;
        let mut text = format!(
            "# {TITLE}\n# journal {}\n# newest revision {} time_ms {} epoch {} chain {}\n",
            hex(&self.journal_id),
            newest.revision,
            newest.time_ms,
            newest.epoch,
            hex(&newest.chain),
        );
        for file in &self.files {
            text.push_str(&format!(
                "# bytes {}\n{}  {}\n",
                file.bytes,
                hex(&file.hash),
                file.name
            ));
        }
        let hash = blake3::hash(text.as_bytes());
        text.push_str(&format!("# end {}\n", hex(hash.as_bytes())));
        text
    }

    pub(crate) fn decode(text: &[u8]) -> Result<Self> {
        let damaged = |what: &str| JournalError::damaged(MANIFEST, 0, what);
        let text = std::str::from_utf8(text).map_err(|_| damaged("manifest is no text"))?;
        let body_len = text
            .rfind("# end ")
            .ok_or_else(|| damaged("manifest has no end"))?;
        let (body, end) = text.split_at(body_len);
        let hash = end
            .strip_prefix("# end ")
            .and_then(|end| unhex(end.strip_suffix('\n')?));
        if hash != Some(*blake3::hash(body.as_bytes()).as_bytes()) {
            return Err(damaged("manifest hash differs"));
        }
        Self::parse(body).ok_or_else(|| damaged("manifest of an unknown form"))
    }

    fn parse(body: &str) -> Option<Self> {
        let mut lines = body.lines();
        if lines.next()?.strip_prefix("# ")? != TITLE {
            return None;
        }
        let journal_id = unhex(lines.next()?.strip_prefix("# journal ")?)?;
        let mut words = lines.next()?.strip_prefix("# newest ")?.split(' ');
        let mut value = |name: &str| {
            let found = words.next()?;
            if found == name { words.next() } else { None }
        };
        let newest = Position {
            revision: value("revision")?.parse().ok()?,
            time_ms: value("time_ms")?.parse().ok()?,
            epoch: value("epoch")?.parse().ok()?,
            chain: unhex(value("chain")?)?,
        };
        let mut files = Vec::new();
        while let Some(line) = lines.next() {
            let bytes = line.strip_prefix("# bytes ")?.parse().ok()?;
            let (hash, name) = lines.next()?.split_once("  ")?;
            // A name is never a path out of the directory: a file in it, or in one directory below.
            let parts = name.split('/');
            let plain = |part: &str| !part.is_empty() && !part.starts_with('.');
            if name.contains('\\') || parts.clone().count() > 2 || !parts.clone().all(plain) {
                return None;
            }
            files.push(BackupFile {
                name: name.to_owned(),
                bytes,
                hash: unhex(hash)?,
            });
        }
        Some(Self {
            journal_id,
            newest,
            files,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        Manifest {
            journal_id: [1; 16],
            newest: Position {
                revision: 7,
                time_ms: 8,
                epoch: 9,
                chain: [2; 32],
            },
            files: vec![BackupFile {
                name: "journal-1.seg".to_owned(),
                bytes: 12,
                hash: [3; 32],
            }],
        }
    }

    #[test]
    fn round_trips_and_refuses_every_flip() {
        let text = sample().encode();
        assert_eq!(Manifest::decode(text.as_bytes()).unwrap(), sample());
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone().into_bytes();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Manifest::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_file_may_lie_in_a_directory_below() {
        let mut manifest = sample();
        manifest.files[0].name = "forecasts/days-1.arrow".to_owned();
        assert_eq!(
            Manifest::decode(manifest.encode().as_bytes()).unwrap(),
            manifest
        );
    }

    #[test]
    fn a_name_never_leaves_the_directory() {
        for name in [
            "../x", "/etc/x", "a/b/c", "a/../x", "a/", "/", "a//b", "a/.b", "a\\b", ".hidden", "",
        ] {
            let mut manifest = sample();
            manifest.files[0].name = name.to_owned();
            assert!(
                Manifest::decode(manifest.encode().as_bytes()).is_err(),
                "{name}"
            );
        }
    }
}
