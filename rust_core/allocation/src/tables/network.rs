//! The tables of a network: `locations`, `rates` and `exclusions`.

use arrow_array::RecordBatch;
use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::columns::{Table, Texts, ids_or_empty};
use super::names::{Interned, Interner};
use super::{EXCLUSIONS_MAX, MONEY_MAX, Result, WEIGHT_MAX};
use crate::input::{Break, Exclusion, Lane, NONE, Network, TIERS_MAX};

const LOCATIONS: &[&str] = &["location", "handling_minor", "country"];
const RATES: &[&str] = &[
    "location",
    "zone",
    "service",
    "from_g",
    "package_minor",
    "minor_per_kg",
    "transit_days",
    "transit_days_p50",
    "transit_days_p80",
    "transit_days_p90",
    "transit_days_p95",
    "transit_days_p99",
    "window",
    "provides",
];
const EXCLUSIONS: &[&str] = &["item", "location", "country", "service", "zone"];
/// Quantiles of the transit time that may be given, ascending.
const LEVELS: [(&str, f64); 5] = [
    ("transit_days_p50", 0.50),
    ("transit_days_p80", 0.80),
    ("transit_days_p90", 0.90),
    ("transit_days_p95", 0.95),
    ("transit_days_p99", 0.99),
];
const TRANSIT_DAYS_MAX: i64 = 100_000;
/// A confidence of 0.95 is met by the level 0.95, whatever its last bits are.
const SAME: f64 = 1e-9;

/// What else makes a network.
#[derive(Debug)]
pub struct Others<'a> {
    pub locations: Option<&'a RecordBatch>,
    pub exclusions: Option<&'a RecordBatch>,
    /// What each tier asks for.
    pub confidence: [f64; TIERS_MAX],
}

/// Reads the tables. Lanes to zones that no order asks for are checked and left out.
///
/// # Errors
/// What is wrong with them.
pub fn read<'a>(
    rates: &'a RecordBatch,
    others: &Others<'a>,
    names: &mut Interned<'a>,
) -> Result<Network> {
    let (mut handling_minor, countries) = locations(others.locations, names)?;
    let lanes = lanes(rates, others, names)?;
    handling_minor.resize(names.locations.len() as usize, 0);
    let exclusions = exclusions(others.exclusions, names, &countries)?;
    Ok(Network {
        handling_minor,
        lanes,
        exclusions,
    })
}

/// Cost of handling and country, by location.
fn locations<'a>(
    given: Option<&'a RecordBatch>,
    names: &mut Interned<'a>,
) -> Result<(Vec<i64>, Vec<&'a str>)> {
    let Some(batch) = given else {
        return Ok((Vec::new(), Vec::new()));
    };
    let table = Table::new("locations", batch, LOCATIONS)?;
    let location = table.texts("location")?;
    let handling = table.integers_or("handling_minor", 0..=MONEY_MAX, 0)?;
    let country = table.optional_texts("country")?;
    let ids = location.ids(|name| names.locations.add(name));
    for (row, &id) in ids.iter().enumerate() {
        // Names are numbered as they come, so that the first row of each is the one of its number.
        if id as usize != row {
            let value = format!("{} again", location.get(row));
            return Err(table.wrong(row, "location", value, "each location has one row"));
        }
    }
    let country = |row| country.as_ref().map_or("", |country| country.get(row));
    Ok((handling, (0..ids.len()).map(country).collect()))
}

/// Columns of the rates that all rows of a lane must agree on.
struct Ways<'a> {
    window: Option<Texts<'a>>,
    provides: Vec<u64>,
    /// By level: its quantile and its days.
    transit: Vec<(f64, Vec<i64>)>,
    /// Index of the level that counts, by tier.
    level: [usize; TIERS_MAX],
}

fn lanes<'a>(
    rates: &'a RecordBatch,
    others: &Others<'a>,
    names: &mut Interned<'a>,
) -> Result<Vec<Lane>> {
    let table = Table::new("rates", rates, RATES)?;
    let place = table.texts("location")?;
    let known = names.locations.len();
    let location = place.ids(|name| names.locations.add(name));
    if others.locations.is_some()
        && let Some(row) = location.iter().position(|id| *id >= known)
    {
        let rule = "locations has no such row: add it";
        return Err(table.wrong(row, "location", place.get(row), rule));
    }
    let zone = table.texts("zone")?.ids(|name| names.zones.get(name));
    let service = table.optional_texts("service")?;
    let service = ids_or_empty(service.as_ref(), table.rows(), |name| {
        names.services.add(name)
    });
    let from_g = table.integers_or("from_g", 0..=WEIGHT_MAX, 0)?;
    let package = table.integers("package_minor", 0..=MONEY_MAX)?;
    let per_kg = table.integers_or("minor_per_kg", 0..=MONEY_MAX, 0)?;
    let ways = Ways::read(table, &others.confidence, names)?;

    let mut keys: Interner<(u32, u32, u32)> = Interner::default();
    let mut lanes: Vec<Lane> = Vec::new();
    let mut entries: Vec<(u32, i64, usize)> = Vec::new();
    for row in 0..table.rows() {
        let window = ways.window(row, location[row], names);
        if zone[row] == NONE {
            continue;
        }
        let id = keys.add((location[row], zone[row], service[row]));
        entries.push((id, from_g[row], row));
        let transit_days = ways.transit_days(row);
        let Some(lane) = lanes.get(id as usize) else {
            lanes.push(Lane {
                location: location[row],
                zone: zone[row],
                service: service[row],
                window,
                provides: ways.provides[row],
                breaks: Vec::new(),
                transit_days,
            });
            continue;
        };
        let different = [
            ("transit_days", lane.transit_days != transit_days),
            ("window", lane.window != window),
            ("provides", lane.provides != ways.provides[row]),
        ];
        if let Some((column, _)) = different.iter().find(|(_, differs)| *differs) {
            let rule = "give all rows of a lane the same";
            return Err(table.wrong(row, column, "not what the lane has above", rule));
        }
    }
    entries.sort_unstable();
    for (id, from_g, row) in entries {
        let lane = &mut lanes[id as usize];
        let what = || format!("{from_g} as the lane's next");
        match lane.breaks.last() {
            None if from_g > 0 => {
                let rule = "each lane has a row from 0: add it";
                return Err(table.wrong(
                    row,
                    "from_g",
                    format!("{from_g} as the lane's least"),
                    rule,
                ));
            }
            Some(last) if last.from_g == from_g => {
                let rule = "a lane has one row from each weight: keep one, or name its service";
                return Err(table.wrong(row, "from_g", what(), rule));
            }
            _ => lane.breaks.push(Break {
                from_g,
                package_minor: package[row],
                minor_per_kg: per_kg[row],
            }),
        }
    }
    Ok(lanes)
}

impl<'a> Ways<'a> {
    fn read(table: Table<'a>, confidence: &[f64; TIERS_MAX], names: &Interned<'a>) -> Result<Self> {
        let bounds = 0..=TRANSIT_DAYS_MAX;
        let given = LEVELS.iter().filter(|(column, _)| table.has(column));
        let mut transit = Vec::new();
        for &(column, level) in given {
            if table.has("transit_days") {
                let rule = "send transit_days or its quantiles, not both";
                return Err(table.wrong(0, column, "there beside transit_days", rule));
            }
            transit.push((level, table.integers(column, bounds.clone())?));
        }
        if transit.is_empty() {
            transit.push((1.0, table.integers_or("transit_days", bounds, 0)?));
        }
        let enough = |asked: &f64| {
            let found = transit.iter().position(|(level, _)| level + SAME >= *asked);
            found.unwrap_or(transit.len() - 1)
        };
        let mut level = [0; TIERS_MAX];
        for (level, asked) in level.iter_mut().zip(confidence) {
            *level = enough(asked);
        }
        Ok(Self {
            window: table.optional_texts("window")?,
            provides: provides(table, names)?,
            transit,
            level,
        })
    }

    fn window(&self, row: usize, location: u32, names: &mut Interned<'a>) -> u32 {
        let name = self.window.as_ref().map_or("", |window| window.get(row));
        names.windows.add((location, name))
    }

    fn transit_days(&self, row: usize) -> [i32; TIERS_MAX] {
        self.level
            .map(|level| i32::try_from(self.transit[level].1[row]).unwrap_or(i32::MAX))
    }
}

/// What each row provides of what lines require.
fn provides<'a>(table: Table<'a>, names: &Interned<'a>) -> Result<Vec<u64>> {
    let Some(texts) = table.optional_texts("provides")? else {
        return Ok(vec![0; table.rows()]);
    };
    let mut sets: Interner<&str> = Interner::default();
    let set = texts.ids(|words| sets.add(words));
    let mut masks = Vec::with_capacity(sets.keys().len());
    for words in sets.keys() {
        let bits = words
            .split_ascii_whitespace()
            .map(|word| names.words.get(word));
        masks.push(
            bits.filter(|bit| *bit != NONE)
                .fold(0u64, |all, bit| all | 1 << bit),
        );
    }
    Ok(set.into_iter().map(|set| masks[set as usize]).collect())
}

/// Exclusions; those that match nothing in the batch are left out.
fn exclusions(
    given: Option<&RecordBatch>,
    names: &Interned<'_>,
    countries: &[&str],
) -> Result<Vec<Exclusion>> {
    let Some(batch) = given else {
        return Ok(Vec::new());
    };
    let table = Table::new("exclusions", batch, EXCLUSIONS)?;
    let mut columns = Vec::with_capacity(EXCLUSIONS.len());
    for column in EXCLUSIONS {
        columns.push(table.optional_texts(column)?);
    }
    let text = |column: usize, row| columns[column].as_ref().map_or("", |texts| texts.get(row));
    let mut in_country: HashMap<&str, Vec<u32>, RandomState> = HashMap::default();
    for (number, country) in (0u32..).zip(countries) {
        in_country.entry(country).or_default().push(number);
    }
    let mut all = Vec::new();
    for row in 0..table.rows() {
        let [item, location, country, service, zone] = std::array::from_fn(|at| text(at, row));
        if [item, location, country, service, zone]
            .iter()
            .all(|name| name.is_empty())
        {
            let rule =
                "it would forbid everything: name an item, location, country, service or zone";
            return Err(table.wrong(row, "", "empty", rule));
        }
        let one = |interner: &Interner<&str>, name| match name {
            "" => Some(None),
            _ => Some(interner.get(name)).filter(|id| *id != NONE).map(Some),
        };
        // What names something that the batch has not matches nothing.
        let (Some(item), Some(at), Some(service), Some(zone)) = (
            one(&names.items, item),
            one(&names.locations, location),
            one(&names.services, service),
            one(&names.zones, zone),
        ) else {
            continue;
        };
        if all.len() > EXCLUSIONS_MAX {
            let value = format!("one of more than {EXCLUSIONS_MAX}");
            let rule = "each country counts as its locations: split the batch, or exclude by service or provides";
            return Err(table.wrong(row, "", value, rule));
        }
        let exclusion = |location| Exclusion {
            item,
            location,
            service,
            zone,
        };
        if country.is_empty() {
            all.push(exclusion(at));
            continue;
        }
        match at {
            Some(at) if countries.get(at as usize) == Some(&country) => {
                all.push(exclusion(Some(at)));
            }
            Some(_) => {}
            None => {
                let there = in_country.get(country).into_iter().flatten();
                all.extend(there.map(|at| exclusion(Some(*at))));
            }
        }
    }
    Ok(all)
}
