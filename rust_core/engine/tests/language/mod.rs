//! A small language in which the specification is written: one line a case, `command -> answer`.
//!
//! ```text
//! == what the case shows            starts a new, empty world with the items tea, milk and salt,
//!                                   the locations ams1, rot1 and utr1 and a region north of all three
//! count 20 tea ams1                 a given: must be accepted
//! reserve 13 tea ams1 -> refused: … a case: must be answered exactly so
//! ```
//! Times are `d3` (start of day 3), `now`, and either with an offset as in `d3+5h-1ms`; day 0 is 2026-01-05 UTC.
//! After every world the journal is replayed and the snapshot read back: both must give the live digest, the state
//! must reconcile with itself and nothing may be oversold.

pub mod parse;
pub mod render;
pub mod times;

use bespeak_engine::*;

pub use times::time;

/// Items, locations and regions that every world begins with.
const ITEMS: [&str; 3] = ["tea", "milk", "salt"];
const LOCATIONS: [&str; 3] = ["ams1", "rot1", "utr1"];

/// A state, the journal that led to it and the clock of its shell.
pub struct World {
    pub settings: Settings,
    pub state: State,
    pub journal: Vec<Record>,
    pub now: UtcMillis,
}

impl World {
    /// A world with the usual items, locations and region, at the start of day 0.
    pub fn new(settings: Settings) -> Self {
        let mut world = Self {
            state: State::new(settings.clone()),
            settings,
            journal: Vec::new(),
            now: time("d0", UtcMillis::ZERO),
        };
        for name in ITEMS {
            world.must(Command::PutItem(Item {
                name: name.into(),
                base_unit: "each".into(),
                units: vec![],
            }));
        }
        for name in LOCATIONS {
            world.must(Command::PutLocation(Location {
                name: name.into(),
                time_zone: "".into(),
                day_offsets: vec![],
                kind: LocationKind::Dc,
            }));
        }
        world.must(Command::PutRegion(Region {
            name: "north".into(),
            locations: (0..LOCATIONS.len() as u32).map(LocationId).collect(),
        }));
        world
    }

    /// One step; its records go to the journal.
    pub fn step(&mut self, meta: Meta, command: &Command) -> Result<Answer, EngineError> {
        let journal = &mut self.journal;
        self.state.step(meta, command, self.now, &mut |record| {
            journal.push(record.clone())
        })
    }

    fn must(&mut self, command: Command) {
        let answer = self.step(Meta::default(), &command);
        assert!(answer.is_ok(), "{command:?}: {answer:?}");
    }

    /// Due transitions up to the clock.
    pub fn advance(&mut self) {
        let journal = &mut self.journal;
        self.state
            .advance(self.now, &mut |record| journal.push(record.clone()));
    }

    pub fn item(&self, name: &str) -> ItemId {
        let found = self.state.catalog().item_id(name);
        found.unwrap_or_else(|| {
            ItemId(
                name.strip_prefix('?')
                    .and_then(|n| n.parse().ok())
                    .unwrap_or_else(|| panic!("no item {name}")),
            )
        })
    }

    pub fn location(&self, name: &str) -> LocationId {
        let found = self.state.catalog().location_id(name);
        found.unwrap_or_else(|| {
            LocationId(
                name.strip_prefix('?')
                    .and_then(|n| n.parse().ok())
                    .unwrap_or_else(|| panic!("no location {name}")),
            )
        })
    }

    /// Replay, snapshot, snapshot and tail, and reconciliation: what must hold after every story.
    pub fn verify(&self) {
        let live = self.state.digest();
        let mut replayed = State::new(self.settings.clone());
        let half = self.journal.len() / 2;
        let mut middle = Vec::new();
        for (n, record) in self.journal.iter().enumerate() {
            if n == half {
                middle = snapshot(&replayed);
            }
            replayed.apply(record).expect("the journal replays");
        }
        assert_eq!(replayed.digest(), live, "replay gives another digest");
        let mut restored = read_back(&self.settings, &snapshot(&self.state));
        assert_eq!(restored.digest(), live, "the snapshot gives another digest");
        if !middle.is_empty() {
            restored = read_back(&self.settings, &middle);
            for record in &self.journal[half..] {
                restored.apply(record).expect("the tail replays");
            }
            assert_eq!(
                restored.digest(),
                live,
                "snapshot and tail give another digest"
            );
        }
        assert_eq!(self.state.reconcile(), []);
        assert_eq!(restored.reconcile(), []);
        assert_eq!(self.state.oversold_units(), 0);
    }
}

/// The state's snapshot as bytes.
pub fn snapshot(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    state
        .write_snapshot(&mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })
        .expect("memory does not fail");
    bytes
}

/// A state from the bytes of a snapshot.
pub fn read_back(settings: &Settings, bytes: &[u8]) -> State {
    let mut rest = bytes;
    let mut input = |buffer: &mut [u8]| std::io::Read::read(&mut rest, buffer);
    State::read_snapshot(settings.clone(), &mut input, &mut || ()).expect("the snapshot is sound")
}

/// Tells all the stories of a table.
pub fn specify(table: &str) {
    specify_with(Settings::default(), table);
}

/// The same under other settings.
pub fn specify_with(settings: Settings, table: &str) {
    let mut told = 0;
    for story in table.split("== ").skip(1) {
        let (title, body) = story.split_once('\n').unwrap_or((story, ""));
        tell(World::new(settings.clone()), title.trim(), body);
        told += 1;
    }
    assert!(told > 0, "a table without a story");
}

fn tell(mut world: World, title: &str, body: &str) {
    for line in lines(body) {
        let (command, expected) = match line.split_once("->") {
            Some((command, answer)) => (command.trim(), Some(answer.trim())),
            None => (line.trim(), None),
        };
        let answer = world.say(command);
        match expected {
            Some(expected) => assert_eq!(
                answer, expected,
                "\nin \"{title}\":\n  {command}\nanswered\n  {answer}\nnot\n  {expected}\n"
            ),
            None => assert!(
                !answer.starts_with("refused") && !answer.starts_with("error"),
                "\nin \"{title}\" a given is not accepted:\n  {command}\nanswered\n  {answer}\n"
            ),
        }
    }
    world.verify();
}

/// Lines with their comments taken off; an answer may stand on a line of its own, a long one on several.
fn lines(body: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in body.lines() {
        let line = line.split('#').next().unwrap_or("").trim();
        let continues = line.starts_with("->") || line.starts_with('&');
        match lines.last_mut() {
            Some(last) if continues => {
                last.push(' ');
                last.push_str(line.trim_start_matches('&').trim());
            }
            _ if line.is_empty() => {}
            _ => lines.push(line.to_owned()),
        }
    }
    lines
}
