//! The state of one partition: everything that an answer may depend on.

use foldhash::fast::FixedState;

use crate::buffers::Buffers;
use crate::catalog::Catalog;
use crate::catalog_types::{LateGrace, StockStatus, SupplyRule};
use crate::counts::Counts;
use crate::ids::{ItemId, LocationId, PositionId, ReservationId, ShockId, UtcMillis};
use crate::lapsed::Lapsed;
use crate::limits;
use crate::movements::Movements;
use crate::position::Position;
use crate::position_index::PositionIndex;
use crate::prefetch;
use crate::receipts::{Receipt, Receipts};
use crate::requests::{Remembered, Requests, uuid7_time};
use crate::reservations::{Reservation, Reservations};
use crate::shock::Shocks;
use crate::sources::Sources;
use crate::unmet::UnmetDemand;

/// What a deployment may set. Decisions depend on it, replay does not: the journal holds what was decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Life of a hold when a request names none.
    pub default_hold_ms: i64,
    /// A hold's total life, extensions included.
    pub max_hold_life_ms: i64,
    /// Units that one customer may have in holds that are not confirmed.
    pub max_held_units_per_customer: u64,
    /// Answers remembered in memory.
    pub remembered_requests: usize,
    /// Seed of the hash tables, from the shell's source of randomness. No result depends on it.
    pub hash_seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_hold_ms: limits::DEFAULT_HOLD_MS,
            max_hold_life_ms: limits::MAX_HOLD_LIFE_MS,
            max_held_units_per_customer: limits::MAX_HELD_UNITS_PER_CUSTOMER,
            remembered_requests: limits::REMEMBERED_REQUESTS,
            hash_seed: 0,
        }
    }
}

/// The state of one partition.
#[derive(Clone, Debug)]
pub struct State {
    pub(crate) settings: Settings,
    pub(crate) revision: u64,
    pub(crate) now: UtcMillis,
    /// Time of the last record: `now` moves past it when reads use the time, which is not part of the digest.
    pub(crate) recorded: UtcMillis,
    pub(crate) catalog: Catalog,
    /// Rules of single positions; index 0 stands for "the location's".
    pub(crate) position_rules: Vec<SupplyRule>,
    pub(crate) positions: Vec<Vec<Position>>,
    pub(crate) position_count: usize,
    index: PositionIndex,
    pub(crate) receipts: Receipts,
    pub(crate) reservations: Reservations,
    pub(crate) lapsed: Lapsed,
    pub(crate) requests: Requests,
    pub(crate) sources: Sources,
    pub(crate) unmet: UnmetDemand,
    pub(crate) shocks: Shocks,
    pub(crate) movements: Movements,
    pub(crate) counts: Counts,
    pub(crate) buffers: Buffers,
    /// Positions that the last step changed; not part of the state proper.
    pub(crate) touched: Vec<PositionId>,
    /// How many of them were there before the record that is being applied.
    pub(crate) touched_before: usize,
}

/// Positions are kept in chunks, so that growth neither copies nor doubles.
const CHUNK: usize = 4_096;

impl State {
    /// An empty state at time zero and revision zero.
    pub fn new(settings: Settings) -> Self {
        let hasher = FixedState::with_seed(settings.hash_seed);
        Self {
            revision: 0,
            now: UtcMillis::ZERO,
            recorded: UtcMillis::ZERO,
            catalog: Catalog::with_hasher(hasher.clone()),
            position_rules: vec![SupplyRule::default()],
            positions: Vec::new(),
            position_count: 0,
            index: PositionIndex::new(hasher.clone()),
            receipts: Receipts::with_hasher(hasher.clone()),
            reservations: Reservations::new(hasher.clone()),
            lapsed: Lapsed::default(),
            requests: Requests::new(settings.remembered_requests, hasher.clone()),
            sources: Sources::default(),
            unmet: UnmetDemand::default(),
            shocks: Shocks::default(),
            movements: Movements::default(),
            counts: Counts::default(),
            buffers: Buffers::default(),
            touched: Vec::new(),
            touched_before: 0,
            settings,
        }
    }

    /// Journal position of the last record applied.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Engine time: the latest time used so far.
    pub fn now(&self) -> UtcMillis {
        self.now
    }

    /// Master data.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// Positions changed by the last step, advance or apply.
    pub fn touched(&self) -> &[PositionId] {
        &self.touched
    }

    /// The position of an item at a location, if anything was ever said of it.
    #[inline]
    pub fn position_id(&self, item: ItemId, location: LocationId) -> Option<PositionId> {
        self.index.find(item, location, |id| {
            let position = self.position(id);
            position.item == item && position.location == location
        })
    }

    /// The position of an id that this state gave.
    #[inline]
    pub fn position(&self, id: PositionId) -> &Position {
        &self.positions[id.index() / CHUNK][id.index() % CHUNK]
    }

    /// Asks for the memory that finds a position.
    #[inline]
    pub(crate) fn prefetch_index(&self, item: ItemId, location: LocationId) {
        self.index.prefetch(item, location);
    }

    /// Asks for the memory of a position whose index entry is near: what a check reads, and the rest for a change.
    #[inline]
    pub(crate) fn prefetch_place(&self, item: ItemId, location: LocationId, change: bool) {
        if let Some(id) = self.index.guess(item, location) {
            self.prefetch_position(id, change);
        }
    }

    /// Asks for the memory of a position: what a check reads, and the rest for a change.
    #[inline]
    pub(crate) fn prefetch_position(&self, id: PositionId, change: bool) {
        let position = self.position(id);
        prefetch::line(position);
        if change {
            prefetch::line(&raw const position.version);
        }
    }

    /// Asks for the memory that commands on these positions will need. Changes nothing; a table of orders goes several
    /// times faster when its rows do not wait for memory one after the other.
    pub fn prefetch(&self, places: &[(ItemId, LocationId)]) {
        for (item, location) in places {
            self.prefetch_index(*item, *location);
        }
        for (item, location) in places {
            self.prefetch_place(*item, *location, true);
        }
        let find = |(item, location): &(ItemId, LocationId)| self.position_id(*item, *location);
        for id in places.iter().filter_map(find) {
            self.position(id).timeline.prefetch(true);
        }
    }

    /// All positions, by id.
    pub fn positions(&self) -> impl Iterator<Item = (PositionId, &Position)> {
        self.positions
            .iter()
            .flatten()
            .enumerate()
            .map(|(n, position)| (PositionId(n as u32), position))
    }

    /// Number of positions.
    pub fn position_count(&self) -> usize {
        self.position_count
    }

    /// When a status of a position was last counted; `None` before its first count.
    pub fn last_count(&self, id: PositionId, status: StockStatus) -> Option<UtcMillis> {
        self.counts.last(id, status)
    }

    /// An open reservation; `None` when finished or never made.
    pub fn reservation(&self, id: ReservationId) -> Option<&Reservation> {
        self.reservations.get(id)
    }

    /// All open reservations, by id.
    pub fn reservations(&self) -> impl Iterator<Item = (ReservationId, &Reservation)> {
        self.reservations.iter()
    }

    /// Open reservations from `first` on, by id.
    pub fn reservations_from(
        &self,
        first: ReservationId,
    ) -> impl Iterator<Item = (ReservationId, &Reservation)> {
        self.reservations.iter_from(first)
    }

    /// Whether a reservation of this id was ever made.
    pub fn was_made(&self, id: ReservationId) -> bool {
        id.0 > 0 && id.0 < self.reservations.next_id
    }

    /// An open receipt by the caller's name.
    pub fn receipt(&self, name: &str) -> Option<&Receipt> {
        self.receipts.find(name).map(|(_, receipt)| receipt)
    }

    /// The answer remembered under a request id.
    pub fn remembered(&self, request_id: u128) -> Option<&Remembered> {
        self.requests.get(request_id)
    }

    /// Revision of the newest answer that is no longer in memory; 0 while none fell out.
    pub fn forgotten_revision(&self) -> u64 {
        self.requests.forgotten_revision
    }

    /// Whether the answer to a request may have fallen out of memory: its version 7 id is at most the largest that did,
    /// and it was made before the newest of those answers was given. Either alone would let one caller with a fast clock
    /// shut the others out, or a long table itself.
    pub fn may_have_forgotten(&self, request_id: u128) -> bool {
        let requests = &self.requests;
        uuid7_time(request_id).is_some_and(|made| made <= requests.forgotten_time)
            && request_id <= requests.forgotten_id
            && requests.get(request_id).is_none()
    }

    /// Whether the answer to a request id may have fallen out of memory since `forgotten_revision` was `since`.
    #[inline]
    pub fn forgot_since(&self, request_id: u128, since: u64) -> bool {
        self.requests.forgot_since(request_id, since)
    }

    /// The rule that a position follows.
    #[inline]
    pub fn rule_of(&self, position: &Position) -> &SupplyRule {
        if position.rule != 0 {
            return &self.position_rules[position.rule as usize];
        }
        self.location_rule(position.location)
    }

    /// The rule of a location's positions without one of their own.
    #[inline]
    pub fn location_rule(&self, location: LocationId) -> &SupplyRule {
        let set = self.catalog.location_rule(location);
        set.unwrap_or(&self.position_rules[0])
    }

    /// The rule of an item at a location, whether or not anything was ever said of it there.
    pub(crate) fn rule_at(&self, item: ItemId, location: LocationId) -> &SupplyRule {
        match self.position_id(item, location) {
            Some(id) => self.rule_of(self.position(id)),
            None => self.location_rule(location),
        }
    }

    pub(crate) fn position_mut(&mut self, id: PositionId) -> Option<&mut Position> {
        self.positions
            .get_mut(id.index() / CHUNK)?
            .get_mut(id.index() % CHUNK)
    }

    /// Makes room for so many more positions where growing would cost.
    pub(crate) fn reserve_positions(&mut self, more: usize) {
        self.index.reserve(more);
    }

    pub(crate) fn add_position(&mut self, id: PositionId, position: Position) -> bool {
        if id.index() != self.position_count
            || self.position_id(position.item, position.location).is_some()
        {
            return false;
        }
        self.index.insert(position.item, position.location, id);
        if self
            .positions
            .last()
            .is_none_or(|chunk| chunk.len() == CHUNK)
        {
            self.positions.push(Vec::with_capacity(CHUNK));
        }
        if let Some(chunk) = self.positions.last_mut() {
            chunk.push(position);
        }
        self.position_count += 1;
        true
    }

    pub(crate) fn touch(&mut self, position: PositionId) {
        // Each record names its positions itself: a shock is looked for at those of its own record.
        let mine = self.touched.get(self.touched_before..).unwrap_or_default();
        if mine.last() != Some(&position) {
            self.touched.push(position);
        }
    }

    /// Until when a receipt due at `due` counts at this location.
    pub(crate) fn overdue_at(
        &self,
        location: LocationId,
        counts_from: UtcMillis,
        grace: LateGrace,
    ) -> UtcMillis {
        // The grace runs out at the last instant that still counts; overdue begins right after.
        self.catalog
            .location(location)
            .grace_end(counts_from, grace)
            .plus(1)
    }

    pub(crate) fn next_shock(&self) -> ShockId {
        ShockId(self.shocks.next_id)
    }
}
