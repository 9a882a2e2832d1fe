//! Interned ids and the small number types of the engine.

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
        pub struct $name(pub $inner);

        impl $name {
            /// The id as an index into the table that interned it.
            #[inline]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id!(
    /// An item, in the order in which items were first put.
    ItemId(u32)
);
id!(
    /// A location, in the order in which locations were first put.
    LocationId(u32)
);
id!(
    /// A region, in the order in which regions were first put.
    RegionId(u32)
);
id!(
    /// A position, in the order in which positions were first touched.
    PositionId(u32)
);
id!(
    /// A reservation; ids rise with the journal and are never used again.
    ReservationId(u64)
);
id!(
    /// A receipt's number inside the engine; callers know it by its name.
    ReceiptNo(u64)
);
id!(
    /// A supply shock.
    ShockId(u64)
);

/// A quantity of base units. Never negative; sums are checked.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Units(u64);

impl Units {
    /// No units.
    pub const ZERO: Self = Self(0);

    /// Takes a quantity within [`crate::limits::MAX_QUANTITY`].
    #[inline]
    pub fn new(value: u64) -> Option<Self> {
        (value <= crate::limits::MAX_QUANTITY).then_some(Self(value))
    }

    /// Clips a signed balance at zero.
    #[inline]
    pub fn from_balance(balance: i64) -> Self {
        Self(balance.max(0) as u64)
    }

    /// The plain number.
    #[inline]
    pub fn get(self) -> u64 {
        self.0
    }

    /// The number as a signed balance; quantities are limited far below `i64::MAX`.
    #[inline]
    pub fn balance(self) -> i64 {
        self.0 as i64
    }

    /// `self - other`, never below zero.
    #[inline]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// `self + other`, unless it passes the limit of a quantity.
    #[inline]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(Self::new)
    }

    /// True for no units.
    #[inline]
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// An instant: milliseconds since 1970-01-01 UTC.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct UtcMillis(i64);

impl UtcMillis {
    /// The first instant of 1970.
    pub const ZERO: Self = Self(0);
    /// Later than every instant that a request may name.
    pub const MAX: Self = Self(i64::MAX);

    /// Wraps milliseconds since 1970.
    #[inline]
    pub const fn new(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since 1970.
    #[inline]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Later by `ms`, stopping at the largest instant.
    #[inline]
    pub const fn plus(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}
