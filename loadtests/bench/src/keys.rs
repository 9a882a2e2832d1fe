//! Which SKU each operation asks for. Draws are made before a round, so that drawing costs the
//! measured loop one array read.

use std::sync::Arc;

use crate::rng::Rng;

/// Draws prepared for one round; clients walk it from different starting points.
const RING_LEN: usize = 1 << 20;

#[derive(
    Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Every SKU alike.
    Uniform,
    /// Zipf with exponent 1.0: the SKU of rank k is asked for in proportion to 1 / k.
    Zipf,
    /// Half of all draws hit one SKU, the rest are uniform.
    OneHot,
    /// One SKU alone: for a generator that sends the same bytes again and again.
    Single,
}

/// A draw of SKUs, in the order in which one round asks for them.
#[derive(Clone)]
pub struct KeyRing(Arc<[u32]>);

impl KeyRing {
    pub fn new(shape: Shape, skus: u32, seed: u64) -> Self {
        Self::with_len(shape, skus, seed, RING_LEN)
    }

    fn with_len(shape: Shape, skus: u32, seed: u64, len: usize) -> Self {
        assert!(skus > 0, "a key ring needs at least one sku");
        let mut rng = Rng::new(seed);
        let keys: Vec<u32> = match shape {
            Shape::Uniform => (0..len).map(|_| rng.below(skus)).collect(),
            Shape::OneHot => {
                let hot = scatter(0, skus);
                let mut draw = || {
                    if rng.next_u64() & 1 == 0 {
                        hot
                    } else {
                        rng.below(skus)
                    }
                };
                (0..len).map(|_| draw()).collect()
            }
            Shape::Single => vec![scatter(0, skus)],
            Shape::Zipf => {
                let zipf = Zipf::new(skus);
                (0..len)
                    .map(|_| scatter(zipf.rank(&mut rng), skus))
                    .collect()
            }
        };
        Self(keys.into())
    }

    /// The same draws over other SKUs: `first` and those after it.
    pub fn shifted(&self, first: u32) -> Self {
        Self(self.0.iter().map(|key| key + first).collect())
    }

    /// An endless walk for client `index` of `clients`.
    pub fn walk(&self, index: usize, clients: usize) -> Walk {
        Walk {
            ring: self.clone(),
            at: index * self.0.len() / clients.max(1),
        }
    }
}

pub struct Walk {
    ring: KeyRing,
    at: usize,
}

impl Walk {
    pub fn next_sku(&mut self) -> u32 {
        self.at = if self.at + 1 >= self.ring.0.len() {
            0
        } else {
            self.at + 1
        };
        self.ring.0[self.at]
    }
}

/// Spreads ranks over the SKUs, so that the popular ones are no neighbours in any server's tables.
fn scatter(rank: u32, skus: u32) -> u32 {
    // A prime above every SKU count in use is coprime with all of them, hence a permutation.
    const STEP: u64 = 2_654_435_761;
    ((u64::from(rank) * STEP) % u64::from(skus)) as u32
}

/// Exact Zipf draws by Walker's alias method.
struct Zipf {
    /// For each column: probability of staying, and the rank taken otherwise.
    columns: Vec<(f64, u32)>,
}

impl Zipf {
    fn new(n: u32) -> Self {
        let total: f64 = (1..=n).map(|k| 1.0 / f64::from(k)).sum();
        let mut share: Vec<f64> = (1..=n)
            .map(|k| f64::from(n) / (f64::from(k) * total))
            .collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..n).partition(|&k| share[k as usize] < 1.0);
        let mut columns: Vec<(f64, u32)> = (0..n).map(|k| (1.0, k)).collect();
        while let (Some(&under), Some(&over)) = (small.last(), large.last()) {
            small.pop();
            columns[under as usize] = (share[under as usize], over);
            share[over as usize] -= 1.0 - share[under as usize];
            if share[over as usize] < 1.0 {
                large.pop();
                small.push(over);
            }
        }
        Self { columns }
    }

    fn rank(&self, rng: &mut Rng) -> u32 {
        let column = rng.below(self.columns.len() as u32);
        let (stay, other) = self.columns[column as usize];
        if rng.unit() < stay { column } else { other }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: usize = 400_000;

    fn counts(shape: Shape, skus: u32, seed: u64) -> Vec<u64> {
        let mut counts = vec![0; skus as usize];
        for &key in KeyRing::with_len(shape, skus, seed, DRAWS).0.iter() {
            counts[key as usize] += 1;
        }
        counts
    }

    #[test]
    fn zipf_follows_one_over_rank() {
        let skus = 1_000;
        let counts = counts(Shape::Zipf, skus, 7);
        let harmonic: f64 = (1..=skus).map(|k| 1.0 / f64::from(k)).sum();
        for rank in [0, 1, 2, 9, 99] {
            let expected = DRAWS as f64 / (f64::from(rank + 1) * harmonic);
            let found = counts[scatter(rank, skus) as usize] as f64;
            // Five standard deviations of a Poisson count: a wrong exponent is far outside.
            assert!(
                (found - expected).abs() < 5.0 * expected.sqrt(),
                "rank {rank}: {found} draws, {expected} expected"
            );
        }
    }

    #[test]
    fn zipf_over_one_sku_draws_it() {
        assert_eq!(counts(Shape::Zipf, 1, 3), [DRAWS as u64]);
    }

    #[test]
    fn one_hot_puts_half_on_one_sku() {
        let skus = 1_000;
        let counts = counts(Shape::OneHot, skus, 11);
        let hot = counts[scatter(0, skus) as usize] as f64 / DRAWS as f64;
        assert!((0.495..0.507).contains(&hot), "hot share {hot}");
        let others = counts.iter().filter(|&&c| c > 0).count();
        assert!(others > 900, "only {others} SKUs were drawn");
    }

    #[test]
    fn uniform_reaches_every_sku_about_alike() {
        let counts = counts(Shape::Uniform, 100, 5);
        let expected = DRAWS as f64 / 100.0;
        for count in counts {
            assert!(
                (count as f64 - expected).abs() < 6.0 * expected.sqrt(),
                "{count}"
            );
        }
    }

    #[test]
    fn scatter_is_a_permutation() {
        for skus in [1, 10, 1_000, 100_000] {
            let mut seen = vec![false; skus as usize];
            for rank in 0..skus {
                assert!(!std::mem::replace(
                    &mut seen[scatter(rank, skus) as usize],
                    true
                ));
            }
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_keys_and_another_does_not() {
        let ring = |seed| KeyRing::with_len(Shape::Zipf, 100, seed, 1_000).0;
        assert_eq!(ring(1), ring(1));
        assert_ne!(ring(1), ring(2));
    }

    #[test]
    fn clients_walk_apart_and_round_the_ring() {
        let ring = KeyRing(Arc::from([0, 1, 2, 3]));
        let mut second = ring.walk(1, 2);
        assert_eq!([0; 5].map(|_| second.next_sku()), [3, 0, 1, 2, 3]);
    }
}
