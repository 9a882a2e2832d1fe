//! Every call of a step by itself, for whoever looks at a moment of it.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

/// Names that are written as numbers, in the order in which they were first seen.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Names(Vec<String>);

impl Names {
    /// The number of a name. What comes after the 255th shares a number.
    pub fn number(&mut self, name: &str) -> u8 {
        let known = self.0.iter().position(|known| known == name);
        let at = known.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        });
        u8::try_from(at).unwrap_or(u8::MAX)
    }
}

/// One call. Nanoseconds from the beginning of the measured time.
#[derive(Clone, Copy)]
pub struct Sample {
    pub due_ns: u64,
    pub took_ns: u64,
    pub op: u8,
    /// 0 is a good answer, 1 a refusal, else one more than the number of the failure.
    pub outcome: u8,
    /// 0 is nobody, else the number of who made the answer.
    pub by: u8,
}

/// Calls of one allocation.
const CHUNK: usize = 4_096;

/// Calls in the order in which they ended. One list, copied whole each time that it is full, kept the generator from its
/// work for up to 75 ms, which looked like the server's.
#[derive(Default)]
pub struct Samples(Vec<Vec<Sample>>);

impl Samples {
    pub fn push(&mut self, sample: Sample) {
        match self.0.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(sample),
            _ => {
                let mut next = Vec::with_capacity(CHUNK);
                next.push(sample);
                self.0.push(next);
            }
        }
    }

    /// 24 bytes a call, little-endian: due, took, op, outcome, by, and five zeros.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut out = BufWriter::new(file);
        for sample in self.0.iter().flatten() {
            out.write_all(&sample.due_ns.to_le_bytes())?;
            out.write_all(&sample.took_ns.to_le_bytes())?;
            out.write_all(&[sample.op, sample.outcome, sample.by, 0, 0, 0, 0, 0])?;
        }
        Ok(out.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_24_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("samples");
        let sample = Sample {
            due_ns: 1,
            took_ns: 258,
            op: 3,
            outcome: 2,
            by: 1,
        };
        let mut samples = Samples::default();
        for _ in 0..=CHUNK {
            samples.push(sample);
        }
        samples.write(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 24 * (CHUNK + 1));
        assert_eq!(
            bytes[..24],
            [
                1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 3, 2, 1, 0, 0, 0, 0, 0
            ]
        );
    }

    #[test]
    fn a_name_keeps_its_number() {
        let mut names = Names::default();
        assert_eq!(["a", "b", "a"].map(|name| names.number(name)), [0, 1, 0]);
        for number in 0..300 {
            names.number(&format!("n{number}"));
        }
        assert_eq!(names.number("another"), 255);
        assert_eq!(names.number("b"), 1);
    }
}
