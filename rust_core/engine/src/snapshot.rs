//! The whole state as a stream of bytes, canonical: equal states give equal streams. The digest is its hash.
//!
//! The stream is a sequence of frames: a little-endian u32 length and a postcard value. A section begins with a
//! count and holds so many values, in the order of their ids. Timelines are not written: receipts and
//! reservations give them again.

use serde::{Deserialize, Serialize};

#[cfg(test)]
mod damage_tests;
mod frames;
mod restore;

use crate::catalog_types::{Item, Lane, Location, ReceiptKind, Region, StockStatus, SupplyRule};
use crate::command::RuleOverride;
use crate::ids::{
    ItemId, LocationId, PositionId, ReceiptNo, ReservationId, ShockId, Units, UtcMillis,
};
use crate::movements::History;
use crate::position::Position;
use crate::receipts::Receipt;
use crate::requests::Remembered;
use crate::reservations::Reservation;
use crate::shock::OpenShock;
use crate::sources::Sources;
use crate::state::{Settings, State};
use crate::unmet::Unmet;
use frames::{Reader, Writer};

/// Version of the stream; older ones stay readable. Version 2 adds two sections at the end, version 3 four more,
/// version 4 one.
const VERSION: u16 = 4;

/// What counts one by one is never higher: a million a second would take a hundred thousand years.
const COUNTER_MAX: u64 = 1 << 62;

/// A stream that is no snapshot, or not of a version known here.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Reading failed.
    #[error("snapshot cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// The bytes make no sense.
    #[error("snapshot is damaged: {0}")]
    Damaged(&'static str),
    /// Written by a newer version.
    #[error(
        "snapshot has version {0}, this program reads up to {VERSION}: use the version that wrote it"
    )]
    Version(u16),
}

/// Takes the bytes of a snapshot.
pub type Output<'a> = &'a mut dyn FnMut(&[u8]) -> std::io::Result<()>;
/// Gives the bytes of a snapshot, as `Read::read` does.
pub type Input<'a> = &'a mut dyn FnMut(&mut [u8]) -> std::io::Result<usize>;
/// Called between small pieces of work: whoever works beside others may rest there.
pub type Between<'a> = &'a mut dyn FnMut();

#[derive(Serialize, Deserialize)]
struct Header {
    version: u16,
    revision: u64,
    now: UtcMillis,
    next_receipt: u64,
    next_reservation: u64,
    next_shock: u64,
    forgotten_revision: u64,
}

impl Header {
    fn check(&self) -> Result<(), SnapshotError> {
        // Ids begin at 1. A receipt and a reservation are made by a record of their own: what numbers itself higher would
        // only take memory.
        let most = self.revision.saturating_add(1);
        let sound = (1..=most).contains(&self.next_receipt)
            && (1..=most).contains(&self.next_reservation)
            && (1..=COUNTER_MAX).contains(&self.next_shock)
            && self.revision <= COUNTER_MAX
            && self.forgotten_revision <= self.revision;
        sound.then_some(()).ok_or(SnapshotError::Damaged(
            "its first frame counts what cannot have been journaled",
        ))
    }
}

#[derive(Serialize, Deserialize)]
struct PositionRow {
    item: ItemId,
    location: LocationId,
    on_hand: [i64; 3],
    buffer: Units,
    version: u64,
    rule: u16,
    shock: Option<ShockId>,
}

#[derive(Serialize, Deserialize)]
struct ReceiptRow {
    no: ReceiptNo,
    name: Box<str>,
    position: PositionId,
    yield_ppm: u32,
    revision: u32,
    kind: ReceiptKind,
    overdue: bool,
    open: Units,
    received: Units,
    due: UtcMillis,
    counts_from: UtcMillis,
    overdue_at: UtcMillis,
}

impl State {
    /// BLAKE3 of the canonical stream. Replay and snapshot of the same history give the same digest.
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        let mut out = |bytes: &[u8]| {
            hasher.update(bytes);
            Ok(())
        };
        self.write_snapshot(&mut out)
            .expect("invariant: hashing does not fail");
        *hasher.finalize().as_bytes()
    }

    /// Writes the whole state.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn write_snapshot(&self, out: Output<'_>) -> std::io::Result<()> {
        let mut writer = Writer::new(out);
        writer.frame(&Header {
            version: VERSION,
            revision: self.revision,
            now: self.recorded,
            next_receipt: self.receipts.next_no,
            next_reservation: self.reservations.next_id,
            next_shock: self.shocks.next_id,
            forgotten_revision: self.requests.forgotten_revision,
        })?;
        let catalog = &self.catalog;
        writer.section(catalog.items().len(), catalog.items().iter())?;
        writer.section(catalog.locations().len(), catalog.locations().iter())?;
        let locations = (0..catalog.locations().len()).map(|n| LocationId(n as u32));
        writer.section(
            catalog.locations().len(),
            locations.map(|id| catalog.location_rule(id)),
        )?;
        writer.section(catalog.regions().len(), catalog.regions().iter())?;
        writer.section(catalog.lane_count(), catalog.lanes())?;
        writer.section(self.position_rules.len(), self.position_rules.iter())?;
        writer.section(
            self.position_count,
            self.positions().map(|(_, position)| position_row(position)),
        )?;
        writer.section(
            self.receipts.len(),
            self.receipts
                .iter()
                .map(|(no, receipt)| receipt_row(no, receipt)),
        )?;
        writer.section(self.reservations.len(), self.reservations.iter())?;
        writer.section(self.requests.len(), self.requests.iter())?;
        writer.frame(&self.sources)?;
        writer.section(self.unmet.iter().count(), self.unmet.iter())?;
        writer.section(self.unmet.keys().count(), self.unmet.keys())?;
        writer.section(self.shocks.open.len(), self.shocks.open.iter())?;
        let moved = self.movements.known_at(self.recorded).count();
        writer.section(moved, self.movements.known_at(self.recorded))?;
        writer.section(self.counts.len(), self.counts.iter())?;
        writer.section(self.lapsed.len(), self.lapsed.iter())?;
        let buffers = &self.buffers;
        writer.section(buffers.locations.len(), buffers.locations.iter())?;
        writer.section(buffers.positions.len(), buffers.positions.iter())?;
        writer.section(buffers.models.len(), buffers.models.iter())?;
        writer.section(buffers.derived.len(), buffers.derived.iter())?;
        let rules = self.reservations.rules();
        writer.section(rules.len(), rules.iter())
    }

    /// Reads a state back.
    ///
    /// # Errors
    /// When reading fails or the stream is no snapshot.
    pub fn read_snapshot(
        settings: Settings,
        input: Input<'_>,
        between: Between<'_>,
    ) -> Result<Self, SnapshotError> {
        let mut reader = Reader::new(input, between);
        let header: Header = reader.frame()?;
        if header.version == 0 || header.version > VERSION {
            return Err(SnapshotError::Version(header.version));
        }
        header.check()?;
        let mut state = Self::new(settings);
        state.revision = header.revision;
        state.now = header.now;
        state.recorded = header.now;
        state.read_catalog(&mut reader)?;
        state.position_rules.clear();
        reader.section(|rule: SupplyRule| {
            state.position_rules.push(rule);
            Some(())
        })?;
        if state.position_rules.is_empty() {
            return Err(SnapshotError::Damaged("it has no default rule"));
        }
        let (count, room) = reader.count()?;
        state.reserve_positions(room);
        let mut shocked = 0;
        reader.values(count, |row: PositionRow| {
            shocked += usize::from(row.shock.is_some());
            state.restore_position(row)
        })?;
        let mut planned = vec![0; state.position_count];
        let (count, room) = reader.count()?;
        state.receipts.reserve(room);
        reader.values(count, |row: ReceiptRow| {
            (row.no.0 < header.next_receipt).then_some(())?;
            state.restore_receipt(row, &mut planned)
        })?;
        reader.section(|(id, reservation): (ReservationId, Reservation)| {
            (id.0 < header.next_reservation).then_some(())?;
            state.restore_reservation(id, reservation, &mut planned)
        })?;
        restore::timelines(&mut state, &planned, &mut reader)
            .ok_or(SnapshotError::Damaged("a plan has no position"))?;
        reader.section(|(id, answer): (u128, Remembered)| {
            state.requests.insert(id, answer);
            Some(())
        })?;
        state.sources = reader.frame::<Sources>()?;
        reader.section(
            |(day, item, location, unmet): (u32, ItemId, LocationId, Unmet)| {
                state.unmet.restore_row(day, item, location, unmet);
                Some(())
            },
        )?;
        reader.section(|key: u64| {
            state.unmet.restore_key(key);
            Some(())
        })?;
        reader.section(|(id, shock): (ShockId, OpenShock)| {
            let known = id.0 < header.next_shock
                && shock.position.index() < state.position_count
                && state.position(shock.position).shock == Some(id);
            known.then(|| state.shocks.open.insert(id, shock))?;
            Some(())
        })?;
        if state.shocks.open.len() != shocked {
            return Err(SnapshotError::Damaged(
                "a position has a shock that is not open",
            ));
        }
        reader.section(|(position, history): (PositionId, History)| {
            state.movements.restore(position, history);
            Some(())
        })?;
        if header.version >= 2 {
            let positions = state.position_count;
            reader.section(|(id, status, at): (PositionId, StockStatus, UtcMillis)| {
                (id.index() < positions).then(|| state.counts.set(id, status, at))
            })?;
            reader.section(|(block, bits): (u64, Box<[u64]>)| state.lapsed.restore(block, bits))?;
        }
        if header.version >= 3 {
            restore::buffers(&mut state, &mut reader)?;
        }
        if header.version >= 4 {
            reader.section(|(id, rule): (ReservationId, RuleOverride)| {
                state.reservations.set_rule(id, rule)
            })?;
        }
        state.receipts.next_no = header.next_receipt;
        state.reservations.next_id = header.next_reservation;
        state.shocks.next_id = header.next_shock;
        state.requests.forgotten_revision = state
            .requests
            .forgotten_revision
            .max(header.forgotten_revision);
        state.touched.clear();
        Ok(state)
    }

    fn read_catalog(&mut self, reader: &mut Reader<'_>) -> Result<(), SnapshotError> {
        let mut next = 0;
        let (count, room) = reader.count()?;
        self.catalog.reserve_items(room);
        reader.values(count, |item: Item| {
            next += 1;
            self.catalog.put_item(ItemId(next - 1), item).then_some(())
        })?;
        next = 0;
        reader.section(|location: Location| {
            next += 1;
            self.catalog
                .put_location(LocationId(next - 1), location)
                .then_some(())
        })?;
        next = 0;
        reader.section(|rule: Option<SupplyRule>| {
            next += 1;
            match rule {
                Some(rule) => self
                    .catalog
                    .put_location_rule(LocationId(next - 1), rule)
                    .then_some(()),
                None => Some(()),
            }
        })?;
        next = 0;
        reader.section(|region: Region| {
            next += 1;
            self.catalog
                .put_region(crate::ids::RegionId(next - 1), region)
                .then_some(())
        })?;
        reader.section(|lane: Lane| self.catalog.put_lane(lane).then_some(()))
    }

    fn restore_position(&mut self, row: PositionRow) -> Option<()> {
        let known = row.item.index() < self.catalog.items().len()
            && row.location.index() < self.catalog.locations().len()
            && (row.rule as usize) < self.position_rules.len()
            && row.version <= COUNTER_MAX;
        if !known {
            return None;
        }
        let mut position = Position::new(row.item, row.location);
        position.on_hand = row.on_hand;
        position.buffer = row.buffer;
        position.version = row.version;
        position.rule = row.rule;
        position.shock = row.shock;
        let rule = self.rule_of(&position);
        position.refresh_base(rule);
        let id = PositionId(self.position_count as u32);
        self.add_position(id, position).then_some(())
    }

    /// Takes a receipt, and counts the entries planned at its position.
    fn restore_receipt(&mut self, row: ReceiptRow, planned: &mut [u32]) -> Option<()> {
        *planned.get_mut(row.position.index())? += 1;
        let receipt = Receipt {
            name: row.name,
            position: row.position,
            yield_ppm: row.yield_ppm,
            revision: row.revision,
            kind: row.kind,
            overdue: row.overdue,
            open: row.open,
            received: row.received,
            due: row.due,
            counts_from: row.counts_from,
            overdue_at: row.overdue_at,
        };
        self.receipts.insert(row.no, receipt);
        Some(())
    }

    fn restore_reservation(
        &mut self,
        id: ReservationId,
        reservation: Reservation,
        planned: &mut [u32],
    ) -> Option<()> {
        for line in &reservation.lines {
            let planned = planned.get_mut(line.position.index())?;
            *planned += u32::from(reservation.binds() && !line.open.is_zero());
        }
        self.reservations.insert(id, reservation);
        Some(())
    }
}

fn position_row(position: &Position) -> PositionRow {
    PositionRow {
        item: position.item,
        location: position.location,
        on_hand: position.on_hand,
        buffer: position.buffer,
        version: position.version,
        rule: position.rule,
        shock: position.shock,
    }
}

fn receipt_row(no: ReceiptNo, receipt: &Receipt) -> ReceiptRow {
    ReceiptRow {
        no,
        name: receipt.name.clone(),
        position: receipt.position,
        yield_ppm: receipt.yield_ppm,
        revision: receipt.revision,
        kind: receipt.kind,
        overdue: receipt.overdue,
        open: receipt.open,
        received: receipt.received,
        due: receipt.due,
        counts_from: receipt.counts_from,
        overdue_at: receipt.overdue_at,
    }
}
