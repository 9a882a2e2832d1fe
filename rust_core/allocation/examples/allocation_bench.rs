//! Gap of the search over budgets, on instances from files.
//!
//! `allocation_bench BUDGETS_MS [--policy NAME] FILE… [--best LIST]`: budgets with commas; a file is little-endian `i64`: orders,
//! lines, locations, zones, services, items, then the arrays of `Instance` row by row (first lines, item, quantity,
//! zone, due, tier, class, complete, customer, unfilled, weight, late penalties, handling, capacity, limits,
//! package, rate, transit). `LIST` has lines `NAME BOUND COST`, the best that is known of a file of that name.
//! Building the problem counts against the budget. One line a run: name, milliseconds that it took, cost, gap to the
//! best known, gap to its own bound, gap of the rule engine.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bespeak_allocation::input::{
    Break, Costs, Input, Lane, Line, NONE, Network, Order, Stock, TIERS_MAX,
};
use bespeak_allocation::{Budget, Policy, Problem, Terms};

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Vec<i64> {
        let (now, rest) = self.rest.split_at(8 * count);
        self.rest = rest;
        now.chunks_exact(8)
            .map(|bytes| i64::from_le_bytes(bytes.try_into().expect("8 bytes")))
            .collect()
    }
}

fn read(path: &Path) -> Result<Input, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let mut from = Reader { rest: &bytes };
    let size = from.take(6);
    let [orders, lines, locations, zones, services, items] =
        [0, 1, 2, 3, 4, 5].map(|at| size[at] as usize);
    let first = from.take(orders + 1);
    let (item, quantity) = (from.take(lines), from.take(lines));
    let (zone, due, tier) = (from.take(orders), from.take(orders), from.take(orders));
    let (class, complete) = (from.take(orders), from.take(orders));
    let customer = from.take(orders);
    let (unfilled, weight) = (from.take(lines), from.take(lines));
    let late = from.take(3);
    let (handling, capacity) = (from.take(locations), from.take(locations));
    let limits = from.take(3 * items * locations);
    let size = locations * zones * services;
    let (package, rate, transit) = (from.take(size), from.take(size), from.take(size));
    let mut input = Input {
        items: items as u32,
        locations: locations as u32,
        services: services as u32,
        customers: 1 + customer.iter().copied().max().unwrap_or(0) as u32,
        segments: 1,
        windows: capacity.into_iter().map(Some).collect(),
        ..Input::default()
    };
    for order in 0..orders {
        input.orders.push(Order {
            lines: first[order] as u32..first[order + 1] as u32,
            zone: zone[order] as u32,
            due_days: Some(due[order] as i32),
            late_minor: Some(late[tier[order] as usize]),
            tier: tier[order] as u8,
            class: class[order] as u8,
            ship_complete: complete[order] != 0,
            max_packages: 0,
            customer: customer[order] as u32,
            segment: 0,
        });
    }
    for line in 0..lines {
        input.lines.push(Line {
            item: item[line] as u32,
            quantity: quantity[line],
            unfilled_minor: unfilled[line],
            weight_g: weight[line],
            requires: 0,
        });
    }
    for item in 0..items {
        for location in 0..locations {
            let units = |class: usize| limits[(class * items + item) * locations + location];
            if units(0) == 0 {
                continue;
            }
            for class in 0..3 {
                input.stock.push(Stock {
                    item: item as u32,
                    location: location as u32,
                    class: class as u8,
                    units: units(class),
                });
            }
        }
    }
    let mut network = Network {
        handling_minor: handling,
        ..Network::default()
    };
    for location in 0..locations {
        for zone in 0..zones {
            for service in 0..services {
                let at = (location * zones + zone) * services + service;
                network.lanes.push(Lane {
                    location: location as u32,
                    zone: zone as u32,
                    service: service as u32,
                    window: location as u32,
                    provides: 0,
                    breaks: vec![Break {
                        from_g: 0,
                        package_minor: package[at],
                        minor_per_kg: rate[at],
                    }],
                    transit_days: [transit[at] as i32; TIERS_MAX],
                });
            }
        }
    }
    input.costs = Costs::Network(network);
    Ok(input)
}

fn best_known(path: &str) -> Result<BTreeMap<String, (i64, i64)>, Box<dyn Error>> {
    let mut out = BTreeMap::new();
    for line in fs::read_to_string(path)?.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [name, bound, cost] = words[..] {
            out.insert(name.to_owned(), (bound.parse()?, cost.parse()?));
        }
    }
    Ok(out)
}

/// Lines that are served by tier, and the lowest customer's share.
fn filled(problem: &Problem, choice: &[u32]) -> String {
    let input = problem.input();
    let mut tiers = vec![(0, 0); TIERS_MAX];
    let mut customers = vec![(0, 0); input.customers as usize];
    for order in &input.orders {
        for line in order.lines.clone() {
            let served = i32::from(choice[line as usize] != NONE);
            for count in [
                &mut tiers[order.tier as usize],
                &mut customers[order.customer as usize],
            ] {
                *count = (count.0 + served, count.1 + 1);
            }
        }
    }
    tiers.retain(|count| count.1 > 0);
    let lowest = customers
        .iter()
        .filter(|count| count.1 > 0)
        .map(|count| f64::from(count.0) / f64::from(count.1))
        .fold(1.0, f64::min);
    format!("served by tier {tiers:?}, lowest customer {lowest:.3}")
}

fn gap(cost: i64, bound: i64) -> f64 {
    100.0 * (cost - bound) as f64 / (cost as f64).max(1.0)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let budgets: Vec<u64> = words
        .next()
        .ok_or("give budgets in ms, then files")?
        .split(',')
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let mut files: Vec<String> = words.collect();
    let mut terms = Terms::default();
    if files.len() > 1 && files[0] == "--policy" {
        terms.policy = match files[1].as_str() {
            "cost" => Policy::Cost,
            "tiers" => Policy::Tiers,
            "fair-share" => Policy::FairShare,
            "max-min" => Policy::MaxMin,
            other => return Err(format!("no policy {other}").into()),
        };
        files.drain(..2);
    }
    let mut best = BTreeMap::new();
    if let Some(at) = files.iter().position(|word| word == "--best") {
        best = best_known(files.get(at + 1).ok_or("--best needs a file")?)?;
        files.truncate(at);
    }
    println!("instance budget_ms took_ms cost gap_best_pct gap_bound_pct greedy_pct");
    for file in files {
        let path = Path::new(&file);
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let input = read(path)?;
        for &budget in &budgets {
            let input = input.clone();
            let start = Instant::now();
            let problem = Problem::new(input)?;
            let built = start.elapsed();
            let budget_ms = Budget {
                until: start + Duration::from_millis(budget),
                cancelled: None,
            };
            let solution = problem.search(&terms, &budget_ms);
            let took = start.elapsed();
            problem.check(&solution.choice)?;
            let cost = problem.costs(&solution.choice).total;
            assert_eq!(cost, solution.cost, "the cost is what the choice costs");
            let greedy = problem.greedy().cost;
            let known = best.get(name.as_ref()).copied();
            let known = known.map_or(solution.bound, |(_, cost)| cost);
            assert!(solution.bound <= cost, "the bound is valid");
            println!(
                "{name} {budget} {:.1} {cost} {:.3} {:.3} {:.2} first_ms {:.2} built_ms {:.2}",
                took.as_secs_f64() * 1e3,
                gap(cost, known),
                gap(cost, solution.bound),
                gap(greedy, known),
                (built + solution.trace[0].0).as_secs_f64() * 1e3,
                built.as_secs_f64() * 1e3,
            );
            if terms.policy != Policy::Cost {
                println!("  {}", filled(&problem, &solution.choice));
                println!(
                    "  rule engine {}",
                    filled(&problem, &problem.greedy().choice)
                );
            }
        }
    }
    Ok(())
}
