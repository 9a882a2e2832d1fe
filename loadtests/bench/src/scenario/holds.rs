//! Reservations that a step has made and not finished. All workers share them.

use std::collections::VecDeque;

use crate::ledger::Ledger;

/// How long the server keeps a hold that nobody finishes.
pub const HOLD_MS: i64 = 30_000;
/// Holds, and confirmed reservations, that wait to be finished. More holds are left to expire.
const OPEN_MAX: usize = 1_024;

/// An order's SKUs and units.
pub type Units = Box<[(u32, u8)]>;

#[derive(Clone)]
pub struct Hold {
    pub id: u64,
    pub units: Units,
}

#[derive(Default)]
pub struct Holds {
    held: VecDeque<Hold>,
    confirmed: VecDeque<u64>,
    turn: u64,
    /// Whether any was left to expire.
    pub left: bool,
}

/// What is to be done with an open reservation.
pub enum Finish {
    Confirm(Hold),
    Release(Hold),
    Fulfil(u64),
}

impl Holds {
    pub fn add(&mut self, hold: Hold, ledger: &Ledger) {
        for &(sku, quantity) in &hold.units {
            ledger.accepted(sku, quantity);
        }
        if self.held.len() >= OPEN_MAX {
            self.left = true;
            gone(&hold.units, ledger);
        } else {
            self.held.push_back(hold);
        }
    }

    pub fn confirmed(&mut self, id: u64) {
        // What finds no place stays confirmed: its units are sold all the same.
        if self.confirmed.len() < OPEN_MAX {
            self.confirmed.push_back(id);
        }
    }

    /// The oldest of what the turn asks for, of eight: three confirmed, three fulfilled, two released.
    pub fn next(&mut self) -> Option<Finish> {
        self.turn += 1;
        match self.turn % 8 {
            2 | 5 | 7 => match self.confirmed.pop_front() {
                Some(id) => Some(Finish::Fulfil(id)),
                None => self.held.pop_front().map(Finish::Confirm),
            },
            0 | 4 => self.held.pop_front().map(Finish::Release),
            _ => self.held.pop_front().map(Finish::Confirm),
        }
    }

    /// Every hold that is open, to be released when the step is over.
    pub fn rest(&mut self) -> Vec<Hold> {
        self.held.drain(..).collect()
    }
}

/// The units of a hold that is released or expires can be had again.
pub fn gone(units: &[(u32, u8)], ledger: &Ledger) {
    for &(sku, quantity) in units {
        ledger.cancelled(sku, quantity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(id: u64) -> Hold {
        Hold {
            id,
            units: Box::new([(0, 1)]),
        }
    }

    #[test]
    fn of_eight_steps_three_confirm_three_fulfil_and_two_release() {
        let (mut holds, ledger) = (Holds::default(), Ledger::new(1));
        let mut counts = [0; 3];
        for round in 0..80u64 {
            holds.add(hold(round), &ledger);
            match holds.next().unwrap() {
                Finish::Confirm(hold) => {
                    counts[0] += 1;
                    holds.confirmed(hold.id);
                }
                Finish::Fulfil(_) => counts[1] += 1,
                Finish::Release(_) => counts[2] += 1,
            }
        }
        assert_eq!(counts, [30, 30, 20]);
    }

    #[test]
    fn holds_beyond_the_limit_are_left_and_their_units_are_there_again() {
        let (mut holds, ledger) = (Holds::default(), Ledger::new(1));
        for id in 0..OPEN_MAX as u64 + 5 {
            holds.add(hold(id), &ledger);
        }
        assert!(holds.left);
        assert_eq!(holds.rest().len(), OPEN_MAX);
        let left = 10_000 - OPEN_MAX as i64;
        assert!(ledger.verify(|_| 10_000, &[left]).is_ok());
    }

    #[test]
    fn with_nothing_open_there_is_nothing_to_finish() {
        assert!(Holds::default().next().is_none());
    }
}
