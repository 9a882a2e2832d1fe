//! Policies in a shortage, against all assignments of tiny batches.

mod support;

use bespeak_allocation::input::{Costs, Given, Input, NONE, Offer, Stock, Way};
use bespeak_allocation::{Floor, Policy, Problem, Terms};
use support::{Shape, every, line, ms, network, order};

/// Orders of one line each that all want one item, of which there are some units.
fn queue(units: i64, orders: &[(i64, i64, u8, u32, u32)]) -> Input {
    let mut input = Input {
        items: 1,
        locations: 1,
        services: 1,
        customers: 8,
        segments: 8,
        ..Input::default()
    };
    let mut given = Given {
        options: vec![Way {
            location: 0,
            service: 0,
            window: NONE,
        }],
        ..Given::default()
    };
    for (number, &(quantity, unfilled, tier, customer, segment)) in orders.iter().enumerate() {
        let number = number as u32;
        input.lines.push(line(0, quantity, unfilled));
        let mut of = order(number..number + 1);
        (of.tier, of.customer, of.segment) = (tier, customer, segment);
        input.orders.push(of);
        given.offers.push(Offer {
            line: number,
            option: 0,
            line_minor: 10,
        });
    }
    input.stock.push(Stock {
        item: 0,
        location: 0,
        class: 0,
        units,
    });
    input.costs = Costs::Given(given);
    input
}

fn served(input: Input, terms: &Terms) -> Vec<bool> {
    let problem = Problem::new(input).expect("numbers in range");
    let solution = problem.search(terms, &ms(30));
    assert_eq!(problem.check(&solution.choice), Ok(()));
    assert_eq!(problem.costs(&solution.choice).total, solution.cost);
    solution
        .choice
        .iter()
        .map(|&option| option != NONE)
        .collect()
}

#[test]
fn who_is_served_in_a_shortage() {
    let (yes, no) = (true, false);
    // Units there are; per order: quantity, cost of leaving it, tier, customer, segment. Policy, floors, who is served.
    let cost = Policy::Cost;
    type Row = (
        i64,
        Vec<(i64, i64, u8, u32, u32)>,
        Policy,
        Vec<(u8, u32)>,
        Vec<bool>,
    );
    let table: Vec<Row> = vec![
        // By cost the dear ones, tier or not.
        (
            1,
            vec![(1, 100, 0, 0, 0), (1, 900, 1, 1, 0)],
            cost,
            vec![],
            vec![no, yes],
        ),
        // By tier the first one, cheap or not.
        (
            1,
            vec![(1, 100, 0, 0, 0), (1, 900, 1, 1, 0)],
            Policy::Tiers,
            vec![],
            vec![yes, no],
        ),
        // Within a tier as many lines as can be, then cost.
        (
            2,
            vec![(2, 900, 0, 0, 0), (1, 20, 0, 1, 0), (1, 20, 0, 2, 0)],
            Policy::Tiers,
            vec![],
            vec![no, yes, yes],
        ),
        // Penalties of a later tier do not buy stock of an earlier one.
        (
            1,
            vec![(1, 0, 0, 0, 0), (1, 10_000_000_000, 7, 1, 0)],
            Policy::Tiers,
            vec![],
            vec![yes, no],
        ),
        // Even one that costs more than it saves is filled.
        (1, vec![(1, 5, 3, 0, 0)], Policy::Tiers, vec![], vec![yes]),
        (1, vec![(1, 5, 3, 0, 0)], cost, vec![], vec![no]),
        // Each customer gets something before one gets more.
        (
            2,
            vec![(1, 900, 0, 0, 0), (1, 900, 0, 0, 0), (1, 50, 0, 1, 0)],
            Policy::MaxMin,
            vec![],
            vec![yes, no, yes],
        ),
        // Halves for the segments, though one of them costs more to leave.
        (
            2,
            vec![
                (1, 900, 0, 0, 0),
                (1, 900, 0, 1, 0),
                (1, 50, 0, 2, 1),
                (1, 40, 0, 3, 1),
            ],
            Policy::FairShare,
            vec![],
            vec![yes, no, yes, no],
        ),
        // A floor of the tier that cost would leave out.
        (
            2,
            vec![
                (1, 900, 0, 0, 0),
                (1, 900, 0, 1, 0),
                (1, 50, 1, 2, 0),
                (1, 40, 1, 3, 0),
            ],
            cost,
            vec![(1, 500_000)],
            vec![yes, no, yes, no],
        ),
        // One that cannot be reached comes as near as can be.
        (
            1,
            vec![(1, 900, 0, 0, 0), (1, 50, 1, 2, 0), (1, 40, 1, 3, 0)],
            cost,
            vec![(1, 1_000_000)],
            vec![no, yes, no],
        ),
    ];
    for (number, (units, orders, policy, floors, expected)) in table.into_iter().enumerate() {
        let terms = Terms {
            policy,
            floors: floors
                .into_iter()
                .map(|(tier, fill_ppm)| Floor { tier, fill_ppm })
                .collect(),
            ..Terms::default()
        };
        let found = served(queue(units, &orders), &terms);
        // Which of two that are alike is open.
        let kind = |served: &[bool]| {
            let mut kind: Vec<_> = served
                .iter()
                .zip(&orders)
                .map(|(served, order)| (served, order.1, order.2, order.4))
                .collect();
            kind.sort_unstable();
            format!("{kind:?}")
        };
        assert_eq!(kind(&found), kind(&expected), "row {number}");
    }
}

const TINY: Shape = Shape {
    orders: 3,
    lines: 2,
    items: 2,
    locations: 2,
    services: 1,
};

/// What a policy counts of a choice, recomputed.
fn parts(problem: &Problem, policy: Policy, floors: &[Floor], choice: &[u32]) -> Vec<i64> {
    let input = problem.input();
    let (mut by_tier, mut of_tier) = ([0i64; 8], [0i64; 8]);
    let (mut by_customer, mut of_customer) = ([0i64; 8], [0i64; 8]);
    for order in &input.orders {
        for line in order.lines.clone() {
            let filled = i64::from(choice[line as usize] != NONE);
            of_tier[order.tier as usize] += 1;
            by_tier[order.tier as usize] += filled;
            of_customer[order.customer as usize] += 1;
            by_customer[order.customer as usize] += filled;
        }
    }
    let mut parts = Vec::new();
    for floor in floors {
        let tier = floor.tier as usize;
        let needed = (of_tier[tier] * i64::from(floor.fill_ppm) + 999_999) / 1_000_000;
        parts.push((needed - by_tier[tier]).max(0));
    }
    match policy {
        Policy::Tiers => parts.extend(by_tier.iter().map(|filled| -filled)),
        Policy::MaxMin => parts.push(
            (0..8)
                .filter(|&customer| of_customer[customer] > 0)
                .map(|customer| -(by_customer[customer] * 1000 / of_customer[customer]))
                .max()
                .unwrap_or(0),
        ),
        Policy::Cost | Policy::FairShare => {}
    }
    parts.push(problem.costs(choice).total);
    parts
}

#[test]
fn policies_reach_what_all_assignments_reach() {
    for (policy, floors) in [
        (Policy::Tiers, vec![]),
        (Policy::MaxMin, vec![]),
        (
            Policy::Cost,
            vec![Floor {
                tier: 2,
                fill_ppm: 700_000,
            }],
        ),
        (
            Policy::Tiers,
            vec![Floor {
                tier: 1,
                fill_ppm: 1_000_000,
            }],
        ),
    ] {
        let (mut all, mut best) = (0, 0);
        for seed in 0..40 {
            let problem = Problem::new(network(seed, TINY)).expect("numbers in range");
            let lines = problem.input().lines.len();
            let mut least: Option<Vec<i64>> = None;
            every(
                &mut vec![NONE; lines],
                0..lines,
                problem.options().len() as u32,
                &mut |choice| {
                    if problem.check(choice).is_ok() {
                        let now = parts(&problem, policy, &floors, choice);
                        if least.as_ref().is_none_or(|least| now < *least) {
                            least = Some(now);
                        }
                    }
                },
            );
            let terms = Terms {
                policy,
                floors: floors.clone(),
                ..Terms::default()
            };
            let solution = problem.search(&terms, &ms(15));
            assert_eq!(problem.check(&solution.choice), Ok(()), "seed {seed}");
            let found = parts(&problem, policy, &floors, &solution.choice);
            let greedy = parts(&problem, policy, &floors, &problem.greedy().choice);
            assert!(
                found <= greedy,
                "seed {seed} {policy:?}: {found:?} after {greedy:?}"
            );
            assert!(Some(&found) >= least.as_ref(), "seed {seed}");
            all += 1;
            best += i32::from(Some(found) == least);
        }
        assert!(
            best * 100 >= all * 90,
            "{policy:?} {floors:?}: {best} of {all} are best"
        );
    }
}

#[test]
fn stock_that_can_serve_nobody_makes_no_item_plenty() {
    // Two units where a way goes from, and a hundred where none does.
    let mut input = queue(
        2,
        &[
            (1, 900, 0, 0, 0),
            (1, 900, 0, 1, 0),
            (1, 50, 0, 2, 1),
            (1, 40, 0, 3, 1),
        ],
    );
    input.locations = 2;
    input.stock.push(Stock {
        item: 0,
        location: 1,
        class: 0,
        units: 100,
    });
    let terms = Terms {
        policy: Policy::FairShare,
        ..Terms::default()
    };
    let served = served(input, &terms);
    assert_eq!(served[..2].iter().filter(|served| **served).count(), 1);
    assert_eq!(served[2..], [true, false]);
}
