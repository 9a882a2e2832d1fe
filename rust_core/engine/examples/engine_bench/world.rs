//! Commands that make a state of a given size, as a deployment would send them, and requests to it.

use bespeak_engine::limits::DAY_MS;
use bespeak_engine::*;

/// A small generator of uniform numbers; the same seed gives the same world.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Uniform below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((u128::from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)) * u128::from(n)) >> 64) as u64
    }
}

/// Which positions there are, and what may be asked of them.
pub struct Keys {
    pub now: UtcMillis,
    positions: u32,
    locations: u32,
}

fn units(n: u64) -> Units {
    Units::new(n).expect("small")
}

const HORIZON_DAYS: u64 = 28;

impl Keys {
    pub fn new(positions: u32) -> Self {
        Self {
            now: UtcMillis::new(20_458 * DAY_MS),
            positions,
            locations: 100.min(positions),
        }
    }

    /// Says what makes so many positions with stock, receipts and confirmed commitments, the last of reservations of
    /// `lines` lines.
    pub fn fill(&self, receipts: u32, commitments: u32, lines: u32, say: &mut dyn FnMut(&Command)) {
        let positions = self.positions;
        for n in 0..positions.div_ceil(self.locations) {
            say(&Command::PutItem(Item {
                name: format!("sku-{n}").into(),
                base_unit: "each".into(),
                units: vec![],
            }));
        }
        for n in 0..self.locations {
            say(&Command::PutLocation(Location {
                name: format!("loc-{n}").into(),
                time_zone: "".into(),
                day_offsets: vec![],
                kind: LocationKind::Store,
            }));
        }
        let mut random = Random::new(99);
        for n in 0..positions {
            let (item, location) = self.key(n);
            say(&Command::SetOnHand(SetOnHand {
                item,
                location,
                status: StockStatus::Unrestricted,
                quantity: units(1_000),
                counted_at: None,
                expected_on_hand: None,
                expected_version: None,
            }));
            for receipt in 0..receipts {
                let due = self.later(&mut random);
                say(&Command::ScheduleReceipt(ScheduleReceipt {
                    receipt: format!("po-{n}-{receipt}").into(),
                    item,
                    location,
                    quantity: units(10 + random.below(40)),
                    due: Due::At(due),
                    kind: ReceiptKind::PurchaseOrder,
                    spread: None,
                }));
            }
        }
        // Walks the positions in an order that scatters the lines of one reservation, so many times round.
        let stride = (positions / 2 + 7) | 1;
        let mut made = 0u64;
        let wanted = u64::from(positions) * u64::from(commitments);
        while made < wanted {
            let mut reserve = self.reserve_at(&mut random, &[]);
            if let Command::Reserve(reserve) = &mut reserve {
                for _ in 0..lines.min((wanted - made) as u32) {
                    let n =
                        (made % u64::from(positions)) * u64::from(stride) % u64::from(positions);
                    reserve.lines.push(self.line(&mut random, n as u32));
                    made += 1;
                }
                reserve.terms.confirm = true;
            }
            say(&reserve);
        }
    }

    fn key(&self, n: u32) -> (ItemId, LocationId) {
        (ItemId(n / self.locations), LocationId(n % self.locations))
    }

    fn later(&self, random: &mut Random) -> UtcMillis {
        let ms = random.below(HORIZON_DAYS * DAY_MS as u64);
        self.now.plus(ms as i64 + 1)
    }

    fn line(&self, random: &mut Random, n: u32) -> ReserveLine {
        let (item, location) = self.key(n);
        ReserveLine {
            item,
            location,
            quantity: units(1 + random.below(3)),
            ship_time: Some(self.later(random)),
            latest: None,
        }
    }

    fn reserve_at(&self, random: &mut Random, positions: &[u32]) -> Command {
        Command::Reserve(Reserve {
            lines: positions.iter().map(|n| self.line(random, *n)).collect(),
            terms: HoldTerms::default(),
        })
    }

    /// A reservation of so many lines at uniform positions.
    pub fn reserve(&self, random: &mut Random, lines: usize) -> Command {
        let positions: Vec<u32> = (0..lines)
            .map(|_| random.below(u64::from(self.positions)) as u32)
            .collect();
        self.reserve_at(random, &positions)
    }

    pub fn check_line(&self, random: &mut Random) -> CheckLine {
        let n = random.below(u64::from(self.positions)) as u32;
        let (item, location) = self.key(n);
        CheckLine {
            item,
            location,
            quantity: units(1 + random.below(5)),
            ship_time: Some(self.later(random)),
            rule: None,
        }
    }
}
