//! One line from several locations: the whole of it where that can be, the most of it otherwise.

use smallvec::SmallVec;

use super::hold::Part;
use super::sourcing::Offer;
use crate::ids::{LocationId, Units};

/// What the parts of a line must keep to.
pub(super) struct Split<'a> {
    /// What each location could give, in the order of preference.
    pub offers: &'a [Offer],
    /// Locations that earlier lines of the order use: they cost no package more.
    pub used: &'a [LocationId],
    /// Packages that may still be opened.
    pub packages: usize,
    /// Units of the smallest part, at least 1.
    pub smallest: u64,
}

impl Split<'_> {
    /// The whole quantity in parts of at least the smallest, in order of preference where that works out; none when
    /// no choice of locations and parts makes it whole.
    pub fn whole(&self, quantity: Units) -> SmallVec<[Part; 1]> {
        let in_order = self.in_order(quantity.get());
        if !in_order.is_empty() {
            return in_order;
        }
        // The fewest locations that have enough are those with most. If their smallest parts together are too many,
        // so are those of more locations, and fewer do not have enough.
        let mut chosen: SmallVec<[usize; 8]> = SmallVec::new();
        let mut together = 0;
        for n in self.by_size() {
            if together >= quantity.get() {
                break;
            }
            chosen.push(n);
            together += self.offers[n].part.quantity.get();
        }
        let least = self.smallest.saturating_mul(chosen.len() as u64);
        if together < quantity.get() || least > quantity.get() {
            return SmallVec::new();
        }
        chosen.sort_unstable();
        let mut spare = quantity.get() - least;
        let sized = chosen.into_iter().map(|n| {
            let more = spare.min(self.offers[n].part.quantity.get() - self.smallest);
            spare -= more;
            (n, self.smallest + more)
        });
        self.parts(sized)
    }

    /// As much as can be had when the whole quantity cannot: the largest offers first, so that neither packages nor
    /// the smallest part leave units behind that could be held.
    pub fn most(&self, quantity: Units) -> SmallVec<[Part; 1]> {
        let mut left = quantity.get();
        let mut sized: SmallVec<[(usize, u64); 8]> = SmallVec::new();
        for n in self.by_size() {
            let take = self.offers[n].part.quantity.get().min(left);
            if take >= self.smallest {
                sized.push((n, take));
                left -= take;
            }
        }
        sized.sort_unstable();
        self.parts(sized.into_iter())
    }

    /// Each location gives what it has; a part is made smaller so that the rest is large enough.
    fn in_order(&self, quantity: u64) -> SmallVec<[Part; 1]> {
        let (mut left, mut packages) = (quantity, self.packages);
        let mut sized: SmallVec<[(usize, u64); 8]> = SmallVec::new();
        for (n, offer) in self.offers.iter().enumerate() {
            let new_package = !self.used.contains(&offer.part.location);
            if left == 0 || (new_package && packages == 0) {
                continue;
            }
            let mut take = offer.part.quantity.get().min(left);
            if left > take && left - take < self.smallest {
                take = left.saturating_sub(self.smallest);
            }
            if take >= self.smallest {
                sized.push((n, take));
                left -= take;
                packages -= usize::from(new_package);
            }
        }
        match left {
            0 => self.parts(sized.into_iter()),
            _ => SmallVec::new(),
        }
    }

    /// Places of the offers that are large enough and within the packages, the largest first, the first of equals.
    fn by_size(&self) -> SmallVec<[usize; 8]> {
        let large = |n: &usize| self.offers[*n].part.quantity.get() >= self.smallest;
        let mut places: SmallVec<[usize; 8]> = (0..self.offers.len()).filter(large).collect();
        places.sort_by_key(|n| std::cmp::Reverse(self.offers[*n].part.quantity));
        let mut packages = self.packages;
        places.retain(|n| {
            let free = self.used.contains(&self.offers[*n].part.location);
            let within = free || packages > 0;
            packages -= usize::from(within && !free);
            within
        });
        places
    }

    fn parts(&self, sized: impl Iterator<Item = (usize, u64)>) -> SmallVec<[Part; 1]> {
        let part = |(n, units): (usize, u64)| {
            let quantity = Units::new(units)?;
            Some(Part {
                quantity,
                ..self.offers[n].part
            })
        };
        sized.filter_map(part).collect()
    }
}
