//! Snapshots whose parts are each readable and do not fit together.

use super::*;
use crate::catalog_types::LocationKind;
use crate::event::ShockCause;

type Change = fn(&mut Header);

fn frames_of(state: &State) -> Vec<Vec<u8>> {
    let mut frames: Vec<Vec<u8>> = Vec::new();
    let mut take = |frame: &[u8]| {
        frames.push(frame.to_vec());
        Ok(())
    };
    state
        .write_snapshot(&mut take)
        .expect("memory does not fail");
    frames
}

fn read(frames: &[Vec<u8>]) -> Result<State, SnapshotError> {
    let bytes = frames.concat();
    let mut rest = bytes.as_slice();
    let mut input = |buffer: &mut [u8]| std::io::Read::read(&mut rest, buffer);
    State::read_snapshot(Settings::default(), &mut input, &mut || ())
}

/// An empty state's snapshot, read with another first frame.
fn read_with(change: Change) -> Result<State, SnapshotError> {
    let mut frames = frames_of(&State::new(Settings::default()));
    let mut header: Header = postcard::from_bytes(&frames[0][4..]).expect("it is one");
    change(&mut header);
    let header = postcard::to_stdvec(&header).expect("encodes");
    frames[0] = [&(header.len() as u32).to_le_bytes(), &header[..]].concat();
    read(&frames)
}

#[test]
fn a_shock_is_open_where_its_position_says_so() {
    let (id, at) = (PositionId(0), ShockId(1));
    let open = OpenShock {
        position: id,
        cause: ShockCause::Issue,
        raised_at: UtcMillis::ZERO,
    };
    for (said, listed) in [(false, false), (true, true), (true, false), (false, true)] {
        let mut state = State::new(Settings::default());
        let item = Item {
            name: "tea".into(),
            base_unit: "each".into(),
            units: Vec::new(),
        };
        let location = Location {
            name: "ams1".into(),
            time_zone: "".into(),
            day_offsets: Vec::new(),
            kind: LocationKind::Store,
        };
        assert!(state.catalog.put_item(ItemId(0), item));
        assert!(state.catalog.put_location(LocationId(0), location));
        let mut position = Position::new(ItemId(0), LocationId(0));
        position.shock = said.then_some(at);
        assert!(state.add_position(id, position));
        state.shocks.next_id = 2;
        if listed {
            state.shocks.open.insert(at, open);
        }
        let read = read(&frames_of(&state));
        assert_eq!(read.is_ok(), said == listed, "said {said}, listed {listed}");
    }
}

#[test]
fn a_first_frame_counts_what_may_have_been_journaled() {
    let sound: [Change; 3] = [
        |_| (),
        |header| (header.revision, header.next_receipt) = (7, 8),
        |header| (header.revision, header.forgotten_revision) = (7, 7),
    ];
    for (n, change) in sound.into_iter().enumerate() {
        let state = read_with(change).unwrap_or_else(|error| panic!("sound {n}: {error}"));
        assert_eq!(state.stats().raised_shocks, 0);
    }
    let damaged: [Change; 9] = [
        |header| header.next_receipt = 0,
        |header| header.next_reservation = 0,
        |header| header.next_shock = 0,
        |header| header.next_receipt = 2,
        |header| header.next_reservation = 2,
        |header| header.forgotten_revision = 1,
        |header| header.revision = u64::MAX,
        |header| header.next_shock = u64::MAX,
        |header| header.version = 0,
    ];
    for (n, change) in damaged.into_iter().enumerate() {
        assert!(read_with(change).is_err(), "damaged {n}");
    }
}
