//! Quantile levels as whole parts per million, so that they can be compared and named.

/// A quantile level.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Level(u32);

impl Level {
    /// As much above as below.
    pub const MEDIAN: Self = Self(500_000);

    /// A level in parts per million, strictly between 0 and 1.
    pub fn from_ppm(ppm: u32) -> Option<Self> {
        (1..1_000_000).contains(&ppm).then_some(Self(ppm))
    }

    /// A level such as 0.95; at most six decimals are told apart.
    pub fn from_share(share: f64) -> Option<Self> {
        let ppm = (share * 1e6).round();
        // A number that is none fails the comparison.
        (1.0..1e6)
            .contains(&ppm)
            .then(|| Self::from_ppm(ppm as u32))
            .flatten()
    }

    /// A level by the name of its column, such as "0.95".
    pub fn from_name(name: &str) -> Option<Self> {
        let plain = name
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        name.parse()
            .ok()
            .filter(|_| plain)
            .and_then(Self::from_share)
    }

    /// Parts per million.
    pub fn ppm(self) -> u32 {
        self.0
    }

    /// The share, such as 0.95.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// The quantile of the standard normal distribution at this level, by formula 26.2.23 of Abramowitz and Stegun,
    /// Handbook of Mathematical Functions (1964): off by less than 4.5e-4.
    pub fn z(self) -> f64 {
        let share = self.share();
        let tail = share.min(1.0 - share);
        let t = (-2.0 * tail.ln()).sqrt();
        let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
        let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
        let z = t - above / below;
        if share < 0.5 { -z } else { z }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = format!("{:06}", self.0);
        write!(f, "0.{}", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_named_as_its_column() {
        for name in ["0.1", "0.5", "0.95", "0.995", "0.000001", "0.999999"] {
            let level = Level::from_name(name).expect(name);
            assert_eq!(level.to_string(), name);
        }
        for name in [
            "0",
            "1",
            "1.5",
            "-0.1",
            "nan",
            "inf",
            "mean",
            "",
            "0.0000001",
            "1e-1",
        ] {
            assert_eq!(Level::from_name(name), None, "{name}");
        }
        assert_eq!(Level::from_name(".5"), Level::from_share(0.5));
    }

    #[test]
    fn z_is_that_of_the_tables() {
        for (share, z) in [
            (0.5, 0.0),
            (0.9, 1.2816),
            (0.95, 1.6449),
            (0.99, 2.3263),
            (0.1, -1.2816),
        ] {
            let found = Level::from_share(share).expect("a level").z();
            assert!((found - z).abs() < 5e-4, "{share}: {found}");
        }
    }
}
