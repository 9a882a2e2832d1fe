//! Allocation: which order line is served from where. A plan reserves nothing.
//!
//! The formulation and the tables are in `docs/reference/allocation.md`. Everything here is by number; names are
//! the business of whoever reads the tables.
//!
//! How it goes: [`Problem::new`] expands the tables into candidates (an option for an order) and the limits that can
//! bind. One order is planned exactly by dynamic programming over the subsets of its lines. For a batch, prices of the
//! limits come from the Lagrangian dual, which also bounds the cost; plans built at these prices are improved by taking
//! orders that compete out together and planning them anew, and by ejection, until the time is up. Policies in a shortage
//! are the same search with other costs of leaving lines unfilled.

mod bound;
mod check;
mod costs;
mod duals;
mod greedy;
pub mod input;
mod model;
mod narrow;
mod near;
mod planner;
mod problem;
mod search;
mod single;
mod solution;
pub mod tables;
mod validate;

pub use bound::PRICE_PARTS;
pub use check::Broken;
pub use costs::CostParts;
pub use input::Input;
pub use model::EXACT_LINES;
pub use problem::{Problem, Row, RowKind};
pub use single::SingleOffer;
pub use solution::{Budget, Floor, OrderPlan, Plans, Policy, Solution, Terms};
pub use validate::{COST_MAX, InputError, QUANTITY_MAX};
