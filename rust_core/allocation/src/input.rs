//! A batch of orders and the network that may serve them, as it comes from the tables, by number.
//!
//! Money is in minor units of one currency, weight in grams, quantities in base units. Numbers index: an `item` is
//! below [`Input::items`], a `location` below [`Input::locations`], and so on; [`Input::check`] says which is not.

/// Stands for no index.
pub const NONE: u32 = u32::MAX;
/// Classes of protection: 0 may take all, higher ones are stopped first.
pub const CLASSES_MAX: usize = 8;
/// Tiers: 0 comes first in a shortage.
pub const TIERS_MAX: usize = 8;

/// What is wanted, by whom, and what it costs to serve it or not.
#[derive(Debug, Clone, Default)]
pub struct Input {
    /// The orders.
    pub orders: Vec<Order>,
    /// Their lines: those of an order lie together, in the order of `orders`.
    pub lines: Vec<Line>,
    /// What it costs to serve them.
    pub costs: Costs,
    /// Units that lines of `class` and above may take of an item at a location together. A pair without a row of
    /// class 0 has none. Rows of the same item, location and class do not repeat.
    pub stock: Vec<Stock>,
    /// Units that may leave in a window; `None` is no limit. Indexed by `window`.
    pub windows: Vec<Option<i64>>,
    /// How many items there are.
    pub items: u32,
    /// How many locations there are.
    pub locations: u32,
    /// How many services there are.
    pub services: u32,
    /// How many customers there are.
    pub customers: u32,
    /// How many segments there are.
    pub segments: u32,
}

/// An order.
#[derive(Debug, Clone)]
pub struct Order {
    /// First line and the one behind the last.
    pub lines: std::ops::Range<u32>,
    /// Where it goes.
    pub zone: u32,
    /// Days until it is due; `None` is never late.
    pub due_days: Option<i32>,
    /// Cost of a line for each day that it is late; `None` forbids lateness.
    pub late_minor: Option<i64>,
    /// Order in a shortage, 0 first.
    pub tier: u8,
    /// Class of protection.
    pub class: u8,
    /// All lines or none.
    pub ship_complete: bool,
    /// Packages at most; 0 is no limit.
    pub max_packages: u32,
    /// Who ordered.
    pub customer: u32,
    /// Demand class, for shares.
    pub segment: u32,
}

/// An order line. It ships whole from one option, or not at all.
#[derive(Debug, Clone)]
pub struct Line {
    /// What is wanted.
    pub item: u32,
    /// Units, at least 1.
    pub quantity: i64,
    /// Cost of leaving the line unfilled.
    pub unfilled_minor: i64,
    /// Weight of the whole line.
    pub weight_g: i64,
    /// What the way must provide (cold chain, hazardous goods …), one bit a word.
    pub requires: u64,
}

/// Units of an item at a location.
#[derive(Debug, Clone)]
pub struct Stock {
    /// The item.
    pub item: u32,
    /// Where.
    pub location: u32,
    /// Lines of this class and above …
    pub class: u8,
    /// … take at most so many together.
    pub units: i64,
}

/// What it costs to serve lines.
#[derive(Debug, Clone)]
pub enum Costs {
    /// By tables of a network.
    Network(Network),
    /// Said one by one.
    Given(Given),
}

impl Default for Costs {
    fn default() -> Self {
        Self::Given(Given::default())
    }
}

/// Rates of carriers from locations to zones.
#[derive(Debug, Clone, Default)]
pub struct Network {
    /// Cost of picking and packing a unit, by location.
    pub handling_minor: Vec<i64>,
    /// The lanes. A location, zone and service occur together once.
    pub lanes: Vec<Lane>,
    /// Combinations that are not allowed.
    pub exclusions: Vec<Exclusion>,
}

/// A way from a location to a zone by a service.
#[derive(Debug, Clone)]
pub struct Lane {
    /// From.
    pub location: u32,
    /// To.
    pub zone: u32,
    /// By.
    pub service: u32,
    /// The window that it uses up; [`NONE`] is none.
    pub window: u32,
    /// What it provides, one bit a word.
    pub provides: u64,
    /// Tariff by the package's weight, ascending, the first from 0.
    pub breaks: Vec<Break>,
    /// Days until it arrives, at the confidence that each tier asks for.
    pub transit_days: [i32; TIERS_MAX],
}

/// Tariff of packages that weigh at least `from_g`.
#[derive(Debug, Clone)]
pub struct Break {
    /// Weight of the whole package from which it applies.
    pub from_g: i64,
    /// Cost of the package.
    pub package_minor: i64,
    /// Cost of a kilogram; each line is rounded down by itself.
    pub minor_per_kg: i64,
}

/// Forbids what matches all that it names.
#[derive(Debug, Clone, Default)]
pub struct Exclusion {
    /// The item, or any.
    pub item: Option<u32>,
    /// From here, or anywhere.
    pub location: Option<u32>,
    /// By this, or anyhow.
    pub service: Option<u32>,
    /// To here, or anywhere.
    pub zone: Option<u32>,
}

/// Costs said one by one.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The options.
    pub options: Vec<Way>,
    /// What may serve which line. A line and an option occur together once.
    pub offers: Vec<Offer>,
    /// What an order's package by an option costs; one that is not here costs nothing.
    pub packages: Vec<Package>,
}

/// A location and a service.
#[derive(Debug, Clone)]
pub struct Way {
    /// From.
    pub location: u32,
    /// By.
    pub service: u32,
    /// The window that it uses up; [`NONE`] is none.
    pub window: u32,
}

/// A line may be served by an option.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The line.
    pub line: u32,
    /// Index into the options.
    pub option: u32,
    /// Cost of the whole line.
    pub line_minor: i64,
}

/// Cost of a package.
#[derive(Debug, Clone)]
pub struct Package {
    /// The order.
    pub order: u32,
    /// Index into the options.
    pub option: u32,
    /// The cost, paid once.
    pub package_minor: i64,
}
