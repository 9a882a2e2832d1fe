//! Why an order is served as it is: its cost in parts, what its stock is worth to others, what binds, and the next best.

use std::collections::{BTreeMap, HashMap, HashSet};

use bespeak_allocation::input::{NONE, Stock};
use bespeak_allocation::{Broken, Problem, RowKind};
use bespeak_proto::v1 as pb;

use super::answer;
use super::batch::{UNITS_MAX, Used, subset};
use super::plan::{self, Prepared};
use super::seats::aside;
use super::solve::{Caller, Found};
use crate::api::Api;
use crate::error::{ApiError, shorten};

/// Alternatives when none are asked for, and at most.
const ALTERNATIVES: u32 = 3;
const ALTERNATIVES_MAX: u32 = 20;
/// Limits that are told.
const BINDING_MAX: usize = 20;
/// Ways of an order that are looked at.
const LOOKED_AT_MAX: usize = 50_000;
/// Ways times stock that is looked at for each.
const CHECKED_MAX: usize = 10_000_000;
/// Lines times ways of which it is asked whether they can be.
const SERVES_MAX: usize = 10_000_000;

/// Explains an order of a batch. Changes nothing.
///
/// # Errors
/// `InvalidArgument` for a batch that makes no sense, or has no such order.
pub fn explain(
    api: &Api,
    request: &pb::AllocationServiceExplainRequest,
    caller: &Caller<'_>,
    revision: &mut u64,
) -> Result<pb::AllocationServiceExplainResponse, ApiError> {
    let asked = super::dry(request.terms.as_ref())?;
    let count = match request.alternatives {
        0 => ALTERNATIVES,
        count if count <= ALTERNATIVES_MAX => count,
        count => {
            return Err(ApiError::invalid(
                "alternatives",
                count,
                "it must be 0 to 20",
            ));
        }
    };
    let prepared = plan::prepare(api, &asked, revision)?;
    let names = &prepared.batch.names;
    let order = names
        .orders
        .iter()
        .position(|name| *name == request.order_id);
    let Some(order) = order.and_then(|at| u32::try_from(at).ok()) else {
        let rule = "orders has no such order: name one of the batch";
        return Err(ApiError::invalid("order_id", &request.order_id, rule));
    };
    let found = plan::plan(&prepared, caller)?;
    aside(|| {
        let view = View::new(&prepared, &found, order)?;
        Ok(view.answer(count as usize))
    })?
}

/// A limit: of stock with item, location and class, or of a window.
type RowKey = (u8, u32, u32, u8);
const STOCK: u8 = 0;
const WINDOW: u8 = 1;

fn key(kind: RowKind) -> RowKey {
    match kind {
        RowKind::Stock {
            item,
            location,
            class,
        } => (STOCK, item, location, class),
        RowKind::Window(window) => (WINDOW, window, 0, 0),
    }
}

/// One order of a batch that is planned.
struct View<'a> {
    prepared: &'a Prepared,
    found: &'a Found,
    order: u32,
    /// What a unit more of each limit would save.
    prices: HashMap<RowKey, f64>,
    /// The order alone, with what the others leave.
    left: Problem,
    /// The order alone, with all that there is.
    alone: Problem,
}

/// A way to serve the order.
struct Served {
    choice: Vec<u32>,
    total: i64,
    scarcity: i64,
    /// What keeps it from being served so, after the others.
    broken: Option<Broken>,
    /// It could be served so if there were no others.
    alone: bool,
}

impl<'a> View<'a> {
    fn new(prepared: &'a Prepared, found: &'a Found, order: u32) -> Result<Self, ApiError> {
        let batch = &prepared.batch;
        let mut used = Used::default();
        for other in (0..batch.input().orders.len() as u32).filter(|other| *other != order) {
            used.add(&batch.problem, other, &found.choice);
        }
        let mut alone = subset(batch.input(), &[order]);
        let wanted: HashSet<u32> = alone.lines.iter().map(|line| line.item).collect();
        alone.stock.retain(|row| wanted.contains(&row.item));
        let mut left = alone.clone();
        used.take_from(&mut left);
        let rows = batch.problem.rows().iter().map(|row| key(row.kind));
        Ok(Self {
            prices: rows.zip(found.prices.iter().copied()).collect(),
            prepared,
            found,
            order,
            left: Problem::new(left)?,
            alone: Problem::new(alone)?,
        })
    }

    fn answer(&self, count: usize) -> pb::AllocationServiceExplainResponse {
        let batch = &self.prepared.batch;
        let chosen = self.look(self.found.choice[batch.lines_of(self.order)].to_vec());
        let mut others = self.others(&chosen.choice);
        others.sort_by_key(|other| {
            (
                other.total.saturating_add(other.scarcity),
                other.choice.clone(),
            )
        });
        let binding = self.binding(&chosen, &others);
        // What there is no stock for, whoever else orders, is no alternative.
        others.retain(|other| other.alone);
        others.truncate(count);
        let chosen = self.tell(&chosen);
        let alternatives: Vec<_> = others.iter().map(|other| self.tell(other)).collect();
        pb::AllocationServiceExplainResponse {
            summary: self.summary(&chosen, &alternatives, &binding),
            chosen: Some(chosen),
            alternatives,
            binding,
            made_by: self.found.made_by.clone(),
            revision: batch.revision,
        }
    }

    fn look(&self, choice: Vec<u32>) -> Served {
        let batch = &self.prepared.batch;
        let uses = self.uses(&choice);
        let worth = |(key, units): &(RowKey, i64)| {
            self.prices.get(key).copied().unwrap_or(0.0) * *units as f64
        };
        let scarcity: f64 = uses.iter().map(worth).sum();
        Served {
            total: batch.problem.order_costs(self.order, &choice).total,
            scarcity: scarcity.round() as i64,
            broken: self.left.check(&choice).err(),
            alone: self.alone.check(&choice).is_ok(),
            choice,
        }
    }

    /// Other ways: each line moved by itself, or all that can be moved to one way, or nothing served.
    fn others(&self, chosen: &[u32]) -> Vec<Served> {
        let lines = chosen.len();
        let batch = &self.prepared.batch;
        // Each way that is looked at is checked against the stock of all that the order wants.
        let looks = lines + self.alone.input().stock.len();
        let most = (CHECKED_MAX / looks).min(LOOKED_AT_MAX);
        let ways = batch.problem.options().len() as u32;
        let serves = |line: usize, option: u32| self.serves(line, option);
        let mut options: Vec<u32> = Vec::new();
        for option in (0..ways).take(SERVES_MAX / lines.max(1)) {
            if options.len() >= most / lines.max(1) {
                break;
            }
            if (0..lines).any(|line| serves(line, option)) {
                options.push(option);
            }
        }
        let mut seen: HashSet<Vec<u32>> = HashSet::from([chosen.to_vec()]);
        let mut others = Vec::new();
        let mut add = |choice: Vec<u32>| {
            if seen.contains(&choice) || !self.is_allowed(&choice) {
                return;
            }
            seen.insert(choice.clone());
            others.push(self.look(choice));
        };
        for &option in &options {
            let mut all = chosen.to_vec();
            for line in 0..lines {
                if !serves(line, option) {
                    continue;
                }
                all[line] = option;
                let mut moved = chosen.to_vec();
                moved[line] = option;
                add(moved);
            }
            add(all);
        }
        for line in 0..lines {
            let mut without = chosen.to_vec();
            without[line] = NONE;
            add(without);
        }
        add(vec![NONE; lines]);
        others
    }

    /// Whether an option can serve a line, whatever there is of its stock.
    fn serves(&self, line: usize, option: u32) -> bool {
        let batch = &self.prepared.batch;
        let first = batch.lines_of(self.order).start;
        batch
            .problem
            .serves(self.order, (first + line) as u32, option)
    }

    /// Whether the order itself allows its lines, which options can serve, to be served so.
    fn is_allowed(&self, choice: &[u32]) -> bool {
        let order = &self.prepared.batch.input().orders[self.order as usize];
        let served = choice.iter().filter(|option| **option != NONE);
        let packages: HashSet<&u32> = served.clone().collect();
        let whole = [0, choice.len()].contains(&served.count());
        let few = order.max_packages == 0 || packages.len() <= order.max_packages as usize;
        few && (whole || !order.ship_complete)
    }

    fn tell(&self, option: &Served) -> pb::OrderAlternative {
        let batch = &self.prepared.batch;
        let parts = batch.problem.order_costs(self.order, &option.choice);
        pb::OrderAlternative {
            lines: answer::lines(batch, self.order, &option.choice),
            costs: Some(answer::costs(&parts)),
            total_minor: option.total,
            scarcity_minor: option.scarcity,
            possible: option.broken.is_none(),
        }
    }

    /// Limits that keep the order from what would have cost it less, and those of its own stock that have a price.
    fn binding(&self, chosen: &Served, others: &[Served]) -> Vec<pb::BindingLimit> {
        let batch = &self.prepared.batch;
        let mut limits: BTreeMap<RowKey, ()> = BTreeMap::new();
        for other in others.iter().filter(|other| other.total < chosen.total) {
            match other.broken {
                Some(Broken::Stock {
                    item,
                    location,
                    class,
                    ..
                }) => limits.insert((STOCK, item, location, class), ()),
                Some(Broken::Window { window, .. }) => limits.insert((WINDOW, window, 0, 0), ()),
                _ => None,
            };
        }
        for (key, _) in self.uses(&chosen.choice) {
            if self.prices.get(&key).is_some_and(|price| *price > 0.0) {
                limits.insert(key, ());
            }
        }
        let mut used = Used::default();
        for order in 0..batch.input().orders.len() as u32 {
            used.add(&batch.problem, order, &self.found.choice);
        }
        let mut binding: Vec<_> = limits.keys().map(|key| self.limit(key, &used)).collect();
        // Where there never was any comes last.
        binding.sort_by(|a, b| {
            let worth = |limit: &pb::BindingLimit| (limit.limit > 0, limit.price_minor);
            let ((a_any, a_price), (b_any, b_price)) = (worth(a), worth(b));
            b_any.cmp(&a_any).then(b_price.total_cmp(&a_price))
        });
        binding.truncate(BINDING_MAX);
        binding
    }

    /// What a choice takes of each limit.
    fn uses(&self, choice: &[u32]) -> Vec<(RowKey, i64)> {
        let problem = &self.prepared.batch.problem;
        let order = &problem.input().orders[self.order as usize];
        let lines = &problem.input().lines[order.lines.start as usize..order.lines.end as usize];
        let mut uses = Vec::new();
        for (line, option) in lines
            .iter()
            .zip(choice)
            .filter(|(_, option)| **option != NONE)
        {
            let way = &problem.options()[*option as usize];
            for class in 0..=order.class {
                uses.push(((STOCK, line.item, way.location, class), line.quantity));
            }
            if way.window != NONE {
                uses.push(((WINDOW, way.window, 0, 0), line.quantity));
            }
        }
        uses
    }

    fn limit(&self, key: &RowKey, used: &Used) -> pb::BindingLimit {
        let (names, input) = (&self.prepared.batch.names, self.prepared.batch.input());
        let price_minor = self.prices.get(key).copied().unwrap_or(0.0);
        match *key {
            (STOCK, item, location, class) => {
                let is_it =
                    |row: &&Stock| (row.item, row.location, row.class) == (item, location, class);
                pb::BindingLimit {
                    kind: if class == 0 { "stock" } else { "protection" }.to_owned(),
                    item: names.items[item as usize].clone(),
                    location: names.locations[location as usize].clone(),
                    class: class.into(),
                    window: String::new(),
                    limit: input.stock.iter().find(is_it).map_or(0, |row| row.units),
                    used: used.of(item, location, class),
                    price_minor,
                }
            }
            (_, window, ..) => {
                let (location, name) = &names.windows[window as usize];
                pb::BindingLimit {
                    kind: "capacity".to_owned(),
                    item: String::new(),
                    location: names.locations[*location as usize].clone(),
                    class: 0,
                    window: name.clone(),
                    limit: input.windows[window as usize].unwrap_or(UNITS_MAX),
                    used: used.window(window),
                    price_minor,
                }
            }
        }
    }

    fn summary(
        &self,
        chosen: &pb::OrderAlternative,
        alternatives: &[pb::OrderAlternative],
        binding: &[pb::BindingLimit],
    ) -> String {
        let mut places: Vec<&str> = Vec::new();
        for line in &chosen.lines {
            if !line.location.is_empty() && !places.contains(&line.location.as_str()) {
                places.push(&line.location);
            }
        }
        let unfilled = chosen
            .lines
            .iter()
            .filter(|line| line.location.is_empty())
            .count();
        let mut text = match places.is_empty() {
            true => format!("Nothing is served, at a cost of {}.", chosen.total_minor),
            false => format!(
                "Served from {} at a cost of {}.",
                places.join(", "),
                chosen.total_minor
            ),
        };
        if unfilled > 0 && !places.is_empty() {
            text.push_str(&format!(
                " {unfilled} of {} lines are not served.",
                chosen.lines.len()
            ));
        }
        if let Some(next) = alternatives.first() {
            // Prices times units may be as large as can be.
            let costs = |one: &pb::OrderAlternative| {
                i128::from(one.total_minor) + i128::from(one.scarcity_minor)
            };
            let more = costs(next) - costs(chosen);
            text.push_str(&format!(
                " The next best costs the batch {more} more at the prices of its stock."
            ));
        }
        for limit in binding.iter().take(3) {
            let what = match limit.kind.as_str() {
                "capacity" => format!("capacity of {} {}", limit.location, limit.window),
                _ => format!("{} of {} at {}", limit.kind, limit.item, limit.location),
            };
            text.push_str(&format!(
                " {} is used up: {} of {}.",
                shorten(&what),
                limit.used,
                limit.limit
            ));
        }
        text
    }
}
