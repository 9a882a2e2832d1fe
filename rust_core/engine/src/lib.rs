//! The order-promising engine: a pure state machine.
//!
//! A command is a value, an event is a value, and [`State::step`] turns the one into the other:
//! state + command + time in, records + answer out. The engine reads no clock, file, socket or random number;
//! the shell around it (the journal) supplies the time and makes the records durable before it answers.
//!
//! ```
//! use bespeak_engine::*;
//!
//! let mut state = State::new(Settings::default());
//! let mut journal = Vec::new();
//! let mut keep = |record: &Record| journal.push(record.clone());
//! let now = UtcMillis::new(1_000);
//! let item = Item { name: "tea".into(), base_unit: "each".into(), units: vec![] };
//! state.step(Meta::default(), &Command::PutItem(item), now, &mut keep)?;
//! let tea = state.catalog().item_id("tea").expect("just put");
//! assert_eq!(journal.len(), 1);
//! # Ok::<(), EngineError>(())
//! ```

mod apply;
mod buffers;
mod catalog;
mod catalog_types;
mod command;
mod counts;
mod decide;
mod due;
mod event;
mod ids;
mod index;
mod lapsed;
pub mod limits;
mod movements;
mod name_index;
mod position;
mod position_index;
mod prefetch;
mod queue;
mod read;
mod receipts;
mod refusal;
mod reply;
mod requests;
mod reservations;
mod shock;
mod short;
mod slab;
mod snapshot;
mod sources;
mod split;
mod state;
mod stats;
mod step;
mod timeline;
mod unmet;

pub use apply::ReplayError;
pub use catalog::Catalog;
pub use catalog_types::*;
pub use command::*;
pub use event::*;
pub use ids::*;
pub use position::Position;
pub use read::check::{Binding, CheckAnswer, CheckLine};
pub use read::detail::PositionDetail;
pub use read::explain::{Explanation, LineExplanation, LocationExplanation};
pub use read::reconcile::Discrepancy;
pub use read::region::{LocationAvailability, RegionAvailability};
pub use read::report::{AvailabilityMode, AvailabilityReport, ReportBucket, availability};
pub use receipts::Receipt;
pub use refusal::{EngineError, Refusal};
pub use reply::*;
pub use requests::{Remembered, uuid_text, uuid7_time};
pub use reservations::{Line, Reservation};
pub use shock::{AtRisk, OpenShock, ShockView};
pub use short::{Short, Take};
pub use snapshot::SnapshotError;
pub use sources::SourceWindow;
pub use state::{Settings, State};
pub use stats::Stats;
pub use step::Sink;
pub use unmet::Unmet;
