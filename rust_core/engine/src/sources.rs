//! Event feeds: each number of a source counts once, late ones included, within a window.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_SOURCES, SOURCE_WINDOW};
use crate::refusal::EngineError;

const WORDS: usize = (SOURCE_WINDOW / 64) as usize;

/// What was seen of one source.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SourceWindow {
    /// Highest number seen.
    pub highest: u64,
    /// First number ever seen; gaps are counted from there.
    pub first: u64,
    /// Numbers above the first and below the highest that have not been seen.
    pub gaps: u64,
    /// Bit `sequence % window`.
    bits: Box<[u64]>,
}

impl SourceWindow {
    fn new(sequence: u64) -> Self {
        let mut window = Self {
            highest: sequence,
            first: sequence,
            gaps: 0,
            bits: vec![0; WORDS].into(),
        };
        window.set(sequence);
        window
    }

    /// Lowest number still taken.
    pub fn window_start(&self) -> u64 {
        (self.highest + 1).saturating_sub(SOURCE_WINDOW).max(1)
    }

    fn place(sequence: u64) -> (usize, u64) {
        let bit = sequence % SOURCE_WINDOW;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    fn seen(&self, sequence: u64) -> bool {
        let (word, mask) = Self::place(sequence);
        sequence <= self.highest && self.bits[word] & mask != 0
    }

    fn set(&mut self, sequence: u64) {
        let (word, mask) = Self::place(sequence);
        self.bits[word] |= mask;
    }

    fn take(&mut self, sequence: u64) {
        if sequence > self.highest {
            let skipped = sequence - self.highest - 1;
            self.gaps += skipped;
            if skipped >= SOURCE_WINDOW {
                self.bits.fill(0);
            } else {
                for missing in self.highest + 1..sequence {
                    let (word, mask) = Self::place(missing);
                    self.bits[word] &= !mask;
                }
            }
            self.highest = sequence;
        } else if sequence > self.first {
            self.gaps = self.gaps.saturating_sub(1);
        }
        self.set(sequence);
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sources(BTreeMap<Box<str>, SourceWindow>);

/// Whether a source event is to be applied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SourceCheck {
    New,
    Duplicate,
}

impl Sources {
    pub fn check(&self, source: &str, sequence: u64) -> Result<SourceCheck, EngineError> {
        let Some(window) = self.0.get(source) else {
            if self.0.len() >= MAX_SOURCES {
                return Err(EngineError::Full {
                    what: "event sources",
                    limit: MAX_SOURCES as u64,
                });
            }
            return Ok(SourceCheck::New);
        };
        if sequence < window.window_start() {
            return Err(EngineError::SourceBelowWindow {
                source_name: source.to_owned(),
                sequence,
                window_start: window.window_start(),
            });
        }
        Ok(if window.seen(sequence) {
            SourceCheck::Duplicate
        } else {
            SourceCheck::New
        })
    }

    pub fn take(&mut self, source: &str, sequence: u64) {
        match self.0.get_mut(source) {
            Some(window) => window.take(sequence),
            None => {
                self.0.insert(source.into(), SourceWindow::new(sequence));
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &SourceWindow)> {
        self.0.iter().map(|(name, window)| (&**name, window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_number_counts_once_within_the_window() {
        let mut sources = Sources::default();
        let mut seen = BTreeSet::new();
        let mut seed = 11u64;
        let mut at = 1_000u64;
        for _ in 0..50_000 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let sequence = (at + (seed >> 40) % 600).saturating_sub(300);
            if (seed >> 20).is_multiple_of(5_000) {
                at += 70_000;
            }
            at += 1;
            let highest = seen.last().copied().unwrap_or(sequence);
            let start = (highest + 1).saturating_sub(SOURCE_WINDOW).max(1);
            match sources.check("erp", sequence) {
                Err(error) => {
                    assert!(sequence < start, "{error}");
                }
                Ok(SourceCheck::Duplicate) => assert!(seen.contains(&sequence)),
                Ok(SourceCheck::New) => {
                    assert!(seen.is_empty() || sequence >= start);
                    assert!(seen.insert(sequence));
                    sources.take("erp", sequence);
                }
            }
        }
        let (_, window) = sources.iter().next().expect("one source");
        let first = window.first;
        let above = seen.iter().filter(|s| **s > first).count() as u64;
        let highest = *seen.last().expect("many were seen");
        assert_eq!(window.gaps, highest - first - above);
    }
}
