//! Options of a network or of costs said one by one, indexed for looking up.

use super::rules::Rules;
use crate::input::{Costs, Given, Input, NONE, Network, TIERS_MAX, Way};
use crate::validate::InputError;

/// Lanes from one location in a zone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    pub location: u32,
    /// Into [`Lanes::sorted`].
    pub lanes: (u32, u32),
}

/// What expanding asks of a lane, close together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hop {
    pub lane: u32,
    pub option: u32,
    pub service: u32,
    pub window: u32,
    /// Units that its window takes at most.
    pub room: i64,
    pub provides: u64,
    /// Its first tariff.
    pub package: i64,
    pub per_kg: i64,
    /// It has further ones.
    pub breaks: bool,
    pub transit_days: [i32; TIERS_MAX],
}

/// Lanes by zone, location and service.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    /// Lanes without those that no item may use.
    pub sorted: Vec<Hop>,
    /// By lane.
    pub option: Vec<u32>,
    groups: Vec<Group>,
    /// By zone, into `groups`.
    zones: Vec<u32>,
    /// What is not allowed.
    pub rules: Rules,
}

impl Lanes {
    pub fn new(input: &Input, network: &Network) -> Result<(Self, Vec<Way>), InputError> {
        let mut out = Self {
            rules: Rules::new(&network.exclusions, input.items),
            ..Self::default()
        };
        let mut order: Vec<u32> = (0..network.lanes.len() as u32).collect();
        let key = |&lane: &u32| {
            let lane = &network.lanes[lane as usize];
            (lane.zone, lane.location, lane.service)
        };
        order.sort_by_key(key);
        if let Some(pair) = order.windows(2).find(|pair| key(&pair[0]) == key(&pair[1])) {
            return Err(InputError::Repeated {
                what: "lane",
                row: pair[1] as usize,
            });
        }
        let way = |lane: u32| {
            let lane = &network.lanes[lane as usize];
            (lane.location, lane.service, lane.window)
        };
        let mut ways: Vec<_> = order.iter().map(|&lane| way(lane)).collect();
        ways.sort_unstable();
        ways.dedup();
        out.option = (0..network.lanes.len() as u32)
            .map(|lane| ways.partition_point(|known| *known < way(lane)) as u32)
            .collect();
        for lane in order {
            let row = &network.lanes[lane as usize];
            if out.rules.forbid(row.location, row.service, row.zone) {
                continue;
            }
            while out.zones.len() <= row.zone as usize {
                out.zones.push(out.groups.len() as u32);
            }
            let at = out.sorted.len() as u32;
            out.sorted.push(Hop {
                lane,
                option: out.option[lane as usize],
                service: row.service,
                window: row.window,
                room: capacity(input, row.window).unwrap_or(i64::MAX),
                provides: row.provides,
                package: row.breaks[0].package_minor,
                per_kg: row.breaks[0].minor_per_kg,
                breaks: row.breaks.len() > 1,
                transit_days: row.transit_days,
            });
            let known = out.groups.len() > out.zones[row.zone as usize] as usize;
            match out.groups.last_mut() {
                Some(group) if known && group.location == row.location => group.lanes.1 = at + 1,
                _ => out.groups.push(Group {
                    location: row.location,
                    lanes: (at, at + 1),
                }),
            }
        }
        out.zones.push(out.groups.len() as u32);
        let ways = ways
            .into_iter()
            .map(|(location, service, window)| Way {
                location,
                service,
                window,
            })
            .collect();
        Ok((out, ways))
    }

    /// Locations that serve a zone, ascending.
    pub fn groups(&self, zone: u32) -> &[Group] {
        let zone = zone as usize;
        match self.zones.get(zone + 1) {
            Some(&end) => &self.groups[self.zones[zone] as usize..end as usize],
            None => &[],
        }
    }

    /// The lane by which an option serves a zone.
    pub fn find(&self, zone: u32, option: u32, way: &Way) -> Option<u32> {
        let groups = self.groups(zone);
        let at = groups
            .binary_search_by_key(&way.location, |group| group.location)
            .ok()?;
        let (start, end) = groups[at].lanes;
        let hops = &self.sorted[start as usize..end as usize];
        let at = hops.binary_search_by_key(&way.service, |hop| hop.service);
        let hop = &hops[at.ok()?];
        (hop.option == option).then_some(hop.lane)
    }
}

/// Offers by line and packages by order, each by option.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    offers: Vec<(u32, u32, i64)>,
    lines: Vec<u32>,
    packages: Vec<(u32, u32, i64)>,
    orders: Vec<u32>,
}

/// What, by which option, at which cost.
type Priced = (u32, u32, i64);

/// Rows by what they are about and option, and where those of each start.
fn sort(
    mut rows: Vec<Priced>,
    what: &'static str,
    count: usize,
) -> Result<(Vec<Priced>, Vec<u32>), InputError> {
    if !rows.is_sorted() {
        rows.sort_unstable();
    }
    if let Some(row) = rows
        .windows(2)
        .position(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1))
    {
        return Err(InputError::Repeated { what, row: row + 1 });
    }
    let mut start = vec![0u32; count + 1];
    for row in &rows {
        start[row.0 as usize + 1] += 1;
    }
    for at in 0..count {
        start[at + 1] += start[at];
    }
    Ok((rows, start))
}

impl Offers {
    pub fn new(input: &Input, given: &Given) -> Result<Self, InputError> {
        let offers = given
            .offers
            .iter()
            .map(|offer| (offer.line, offer.option, offer.line_minor))
            .collect();
        let packages = given
            .packages
            .iter()
            .map(|package| (package.order, package.option, package.package_minor))
            .collect();
        let (offers, lines) = sort(offers, "offer", input.lines.len())?;
        let (packages, orders) = sort(packages, "package", input.orders.len())?;
        Ok(Self {
            offers,
            lines,
            packages,
            orders,
        })
    }

    /// Offers of a line as (line, option, cost), by option.
    pub fn of(&self, line: usize) -> &[(u32, u32, i64)] {
        &self.offers[self.lines[line] as usize..self.lines[line + 1] as usize]
    }

    /// What a line costs by an option.
    pub fn find(&self, line: usize, option: u32) -> Option<i64> {
        let offers = self.of(line);
        offers
            .binary_search_by_key(&option, |offer| offer.1)
            .ok()
            .map(|at| offers[at].2)
    }

    /// What an order's package costs by an option.
    pub fn package(&self, order: usize, option: u32) -> i64 {
        let packages = &self.packages[self.orders[order] as usize..self.orders[order + 1] as usize];
        packages
            .binary_search_by_key(&option, |package| package.1)
            .map_or(0, |at| packages[at].2)
    }
}

/// How the options are said.
#[derive(Debug)]
pub(crate) enum Ways {
    Network(Lanes),
    Given(Offers),
}

impl Ways {
    pub fn new(input: &Input) -> Result<(Self, Vec<Way>), InputError> {
        match &input.costs {
            Costs::Network(network) => {
                let (lanes, ways) = Lanes::new(input, network)?;
                Ok((Self::Network(lanes), ways))
            }
            Costs::Given(given) => {
                let offers = Offers::new(input, given)?;
                Ok((Self::Given(offers), given.options.clone()))
            }
        }
    }
}

/// The capacity of a window; none is no limit.
pub(crate) fn capacity(input: &Input, window: u32) -> Option<i64> {
    if window == NONE {
        return None;
    }
    input.windows[window as usize]
}
