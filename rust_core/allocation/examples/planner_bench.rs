//! Time of planning one order over 50 locations and 3 services, by its number of lines. One line a size: lines,
//! microseconds (median of many), cost of the plan as a share of leaving it.

use std::error::Error;
use std::time::Instant;

use bespeak_allocation::Problem;
use bespeak_allocation::input::{
    Break, Costs, Input, Lane, Line, NONE, Network, Order, Stock, TIERS_MAX,
};

fn draw(state: &mut u64, end: u64) -> i64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    ((*state >> 33) % end) as i64
}

fn one_order(lines: u32, state: &mut u64) -> Input {
    let (locations, services) = (50, 3);
    let mut input = Input {
        items: lines,
        locations,
        services,
        customers: 1,
        segments: 1,
        windows: vec![Some(3 * i64::from(lines)); locations as usize],
        ..Input::default()
    };
    let mut network = Network::default();
    for location in 0..locations {
        network.handling_minor.push(40 + draw(state, 200));
        let far = 1 + draw(state, 8);
        for service in 0..i64::from(services) {
            network.lanes.push(Lane {
                location,
                zone: 0,
                service: service as u32,
                window: location,
                provides: 0,
                breaks: vec![Break {
                    from_g: 0,
                    package_minor: 350 + 35 * far + service * (130 + 60 * far),
                    minor_per_kg: 45 + 16 * far + service * (20 + 20 * far),
                }],
                transit_days: [(1 + far / (1 + service)) as i32; TIERS_MAX],
            });
        }
        for item in 0..lines {
            if draw(state, 100) < 35 {
                input.stock.push(Stock {
                    item,
                    location,
                    class: 0,
                    units: 1 + draw(state, 6),
                });
            }
        }
    }
    for item in 0..lines {
        input.lines.push(Line {
            item,
            quantity: 1 + draw(state, 2),
            unfilled_minor: 2000 + draw(state, 6000),
            weight_g: 100 + draw(state, 3000),
            requires: 0,
        });
    }
    input.orders.push(Order {
        lines: 0..lines,
        zone: 0,
        due_days: Some(3),
        late_minor: Some(1000),
        tier: 0,
        class: 0,
        ship_complete: false,
        max_packages: 0,
        customer: 0,
        segment: 0,
    });
    input.costs = Costs::Network(network);
    input
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("lines median_us worst_us new_us cost_share");
    for lines in [1u32, 2, 3, 5, 8, 12, 50, 200] {
        let mut state = u64::from(lines);
        let (mut times, mut builds, mut shares) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..101 {
            let input = one_order(lines, &mut state);
            let start = Instant::now();
            let problem = Problem::new(input)?;
            builds.push(start.elapsed().as_nanos());
            let left: Vec<i64> = problem.rows().iter().map(|row| row.limit).collect();
            let start = Instant::now();
            let plan = problem.plan_order(0, &left, &[]);
            times.push(start.elapsed().as_nanos());
            problem.check(&plan.choice)?;
            let nothing = problem.costs(&vec![NONE; lines as usize]).total;
            shares.push(plan.cost as f64 / nothing as f64);
        }
        times.sort_unstable();
        builds.sort_unstable();
        println!(
            "{lines} {:.1} {:.1} {:.1} {:.3}",
            times[50] as f64 / 1e3,
            times[100] as f64 / 1e3,
            builds[50] as f64 / 1e3,
            shares.iter().sum::<f64>() / shares.len() as f64,
        );
    }
    Ok(())
}
