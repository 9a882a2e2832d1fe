//! A position: one item at one location, its stock by status and its planned movements.

use crate::catalog_types::{StockStatus, SupplyRule};
use crate::ids::{ItemId, LocationId, ShockId, Units, UtcMillis};
use crate::timeline::Timeline;

/// One item at one location. Two cache lines, none shared with a neighbour; what a check reads comes first.
#[derive(Clone, Debug)]
#[repr(C, align(128))]
pub struct Position {
    pub(crate) item: ItemId,
    pub(crate) location: LocationId,
    /// Stock that counts, less the buffer: what an availability starts from.
    pub(crate) base: i64,
    /// 0 is the location's rule.
    pub(crate) rule: u16,
    pub(crate) timeline: Timeline,
    pub(crate) shock: Option<ShockId>,
    pub(crate) buffer: Units,
    /// Rises with every movement.
    pub(crate) version: u64,
    pub(crate) on_hand: [i64; 3],
}

const _: () = assert!(std::mem::size_of::<Position>() == 128);

impl Position {
    pub(crate) fn new(item: ItemId, location: LocationId) -> Self {
        Self {
            item,
            location,
            base: 0,
            timeline: Timeline::default(),
            on_hand: [0; 3],
            buffer: Units::ZERO,
            version: 0,
            rule: 0,
            shock: None,
        }
    }

    /// Its item.
    pub fn item(&self) -> ItemId {
        self.item
    }

    /// Its location.
    pub fn location(&self) -> LocationId {
        self.location
    }

    /// Stock of one status; negative after more left than was known.
    pub fn on_hand(&self, status: StockStatus) -> i64 {
        self.on_hand[status as usize]
    }

    /// Rises with every movement.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Static buffer.
    pub fn buffer(&self) -> Units {
        self.buffer
    }

    /// The shock that is open here.
    pub fn shock(&self) -> Option<ShockId> {
        self.shock
    }

    /// Lowest balance net of the buffer, from `t` on; negative in a shortage.
    #[inline]
    pub fn lowest_net(&self, t: UtcMillis) -> i64 {
        self.base + self.timeline.lowest_from(t)
    }

    /// Lowest projected balance from `t` on, the buffer included.
    pub(crate) fn lowest_balance(&self, t: UtcMillis) -> i64 {
        self.lowest_net(t) + self.buffer.balance()
    }

    /// Works `base` out anew after stock, buffer or rule changed.
    pub(crate) fn refresh_base(&mut self, rule: &SupplyRule) {
        let counted: i64 = [
            StockStatus::Unrestricted,
            StockStatus::Quality,
            StockStatus::Blocked,
        ]
        .into_iter()
        .filter(|status| rule.counts_status(*status))
        .map(|status| self.on_hand[status as usize])
        .sum();
        self.base = counted - self.buffer.balance();
    }
}
