//! The table of rules of single positions, which many of them share.

use crate::ids::PositionId;
use crate::limits::MAX_RULES;
use crate::state::State;

impl State {
    /// A place for a new rule of a position: at the end of the table, and when that is full, one whose rule no other
    /// position follows any more. `None` when there is none.
    pub(crate) fn free_rule(&self, of: Option<PositionId>) -> Option<usize> {
        let count = self.position_rules.len();
        if count <= MAX_RULES {
            return Some(count);
        }
        let mut followed = vec![false; count];
        followed[0] = true;
        for (_, position) in self.positions().filter(|(id, _)| Some(*id) != of) {
            followed[position.rule as usize] = true;
        }
        followed.iter().position(|followed| !followed)
    }
}
