//! Exclusions, looked up by what they name: a request may have as many as it has lanes.

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use crate::input::{Exclusion, NONE};

/// Item, location, service and zone; [`NONE`] is any.
type Key = [u32; 4];

#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// Which of the four some exclusion names together, those without an item first.
    shapes: Vec<[bool; 4]>,
    /// How many of them name no item.
    general: usize,
    keys: HashSet<Key, RandomState>,
    /// By item: whether an exclusion names it.
    items: Vec<bool>,
}

impl Rules {
    pub fn new(exclusions: &[Exclusion], items: u32) -> Self {
        let mut out = Self::default();
        for rule in exclusions {
            let named = [rule.item, rule.location, rule.service, rule.zone];
            out.keys.insert(named.map(|id| id.unwrap_or(NONE)));
            let shape = named.map(|id| id.is_some());
            if !out.shapes.contains(&shape) {
                out.shapes.push(shape);
            }
            if let Some(item) = rule.item {
                out.items.resize(items as usize, false);
                out.items[item as usize] = true;
            }
        }
        out.shapes.sort_unstable();
        out.general = out.shapes.partition_point(|shape| !shape[0]);
        out
    }

    /// Whether a lane is forbidden whatever it carries.
    pub fn forbid(&self, location: u32, service: u32, zone: u32) -> bool {
        let key = [NONE, location, service, zone];
        self.any(&self.shapes[..self.general], key)
    }

    /// Whether a lane is forbidden to an item by exclusions that name it.
    pub fn forbid_item(&self, item: u32, location: u32, service: u32, zone: u32) -> bool {
        let is_named = self.items.get(item as usize).copied().unwrap_or(false);
        is_named
            && self.any(
                &self.shapes[self.general..],
                [item, location, service, zone],
            )
    }

    fn any(&self, shapes: &[[bool; 4]], key: Key) -> bool {
        shapes.iter().any(|shape| {
            let named: Key = std::array::from_fn(|at| if shape[at] { key[at] } else { NONE });
            self.keys.contains(&named)
        })
    }
}
