//! Random small batches, and an oracle that tries everything.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::ops::Range;
use std::time::{Duration, Instant};

use bespeak_allocation::input::{
    Break, Costs, Exclusion, Given, Input, Lane, Line, NONE, Network, Offer, Order, Package, Stock,
    TIERS_MAX, Way,
};
use bespeak_allocation::{Budget, Problem, RowKind};

/// `SplitMix64`.
#[derive(Debug, Clone)]
pub struct Draw(pub u64);

impl Draw {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn of(&mut self, range: Range<i64>) -> i64 {
        range.start + (self.next() % (range.end - range.start) as u64) as i64
    }

    pub fn chance(&mut self, percent: i64) -> bool {
        self.of(0..100) < percent
    }
}

/// How large a random batch is.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub orders: i64,
    pub lines: i64,
    pub items: i64,
    pub locations: i64,
    pub services: i64,
}

/// An order with nothing special about it.
pub fn order(lines: Range<u32>) -> Order {
    Order {
        lines,
        zone: 0,
        due_days: None,
        late_minor: Some(0),
        tier: 0,
        class: 0,
        ship_complete: false,
        max_packages: 0,
        customer: 0,
        segment: 0,
    }
}

/// A line with nothing special about it.
pub fn line(item: u32, quantity: i64, unfilled_minor: i64) -> Line {
    Line {
        item,
        quantity,
        unfilled_minor,
        weight_g: 1000,
        requires: 0,
    }
}

fn orders(draw: &mut Draw, shape: Shape, input: &mut Input) {
    for _ in 0..shape.orders {
        let first = input.lines.len() as u32;
        let lines = draw.of(1..shape.lines + 1);
        for _ in 0..lines {
            input.lines.push(Line {
                item: draw.of(0..shape.items) as u32,
                quantity: [1, 1, 1, 2, 3][draw.of(0..5) as usize],
                unfilled_minor: draw.of(0..3000),
                weight_g: draw.of(0..4000),
                requires: u64::from(draw.chance(15)),
            });
        }
        input.orders.push(Order {
            zone: draw.of(0..2) as u32,
            due_days: draw.chance(70).then(|| draw.of(1..4) as i32),
            late_minor: (!draw.chance(10)).then(|| draw.of(0..500)),
            tier: draw.of(0..3) as u8,
            class: draw.of(0..3) as u8,
            ship_complete: draw.chance(30),
            max_packages: if draw.chance(25) {
                draw.of(1..3) as u32
            } else {
                0
            },
            customer: draw.of(0..3) as u32,
            segment: draw.of(0..2) as u32,
            ..order(first..input.lines.len() as u32)
        });
    }
}

fn stock(draw: &mut Draw, shape: Shape, input: &mut Input) {
    for item in 0..shape.items as u32 {
        for location in 0..shape.locations as u32 {
            if draw.chance(30) {
                continue;
            }
            let mut units = draw.of(0..5);
            for class in 0..3 {
                if class == 0 || draw.chance(50) {
                    input.stock.push(Stock {
                        item,
                        location,
                        class,
                        units,
                    });
                }
                units = (units - draw.of(0..2)).max(0);
            }
        }
    }
}

/// A batch by a network, with weight breaks, exclusions, windows, classes and what else there is.
pub fn network(seed: u64, shape: Shape) -> Input {
    let draw = &mut Draw(seed);
    let mut input = empty(shape);
    orders(draw, shape, &mut input);
    stock(draw, shape, &mut input);
    let mut network = Network {
        handling_minor: (0..shape.locations).map(|_| draw.of(0..50)).collect(),
        ..Network::default()
    };
    // Mostly a window for each location, sometimes one that two share.
    let windows = shape.locations;
    input.windows = (0..windows)
        .map(|_| draw.chance(60).then(|| draw.of(0..7)))
        .collect();
    for location in 0..shape.locations as u32 {
        for zone in 0..2 {
            for service in 0..shape.services as u32 {
                if draw.chance(10) {
                    continue;
                }
                let mut breaks = vec![Break {
                    from_g: 0,
                    package_minor: draw.of(100..900),
                    minor_per_kg: draw.of(0..200),
                }];
                let mut from_g = 0;
                while draw.chance(25) {
                    from_g += draw.of(1..4000);
                    breaks.push(Break {
                        from_g,
                        package_minor: draw.of(100..1500),
                        minor_per_kg: draw.of(0..200),
                    });
                }
                let window = if draw.chance(10) {
                    NONE
                } else if draw.chance(10) {
                    draw.of(0..windows) as u32
                } else {
                    location
                };
                network.lanes.push(Lane {
                    location,
                    zone,
                    service,
                    window,
                    provides: u64::from(draw.chance(60)),
                    breaks,
                    transit_days: [draw.of(1..5) as i32; TIERS_MAX],
                });
            }
        }
    }
    for _ in 0..draw.of(0..3) {
        network.exclusions.push(Exclusion {
            item: draw.chance(60).then(|| draw.of(0..shape.items) as u32),
            location: draw.chance(60).then(|| draw.of(0..shape.locations) as u32),
            service: draw.chance(40).then(|| draw.of(0..shape.services) as u32),
            zone: draw.chance(40).then(|| draw.of(0..2) as u32),
        });
    }
    input.costs = Costs::Network(network);
    input
}

/// A batch with costs said one by one.
pub fn given(seed: u64, shape: Shape) -> Input {
    let draw = &mut Draw(seed);
    let mut input = empty(shape);
    orders(draw, shape, &mut input);
    stock(draw, shape, &mut input);
    input.windows = (0..shape.locations)
        .map(|_| draw.chance(50).then(|| draw.of(0..7)))
        .collect();
    let mut given = Given::default();
    for location in 0..shape.locations as u32 {
        for service in 0..shape.services as u32 {
            given.options.push(Way {
                location,
                service,
                window: if draw.chance(20) { NONE } else { location },
            });
        }
    }
    for line in 0..input.lines.len() as u32 {
        for option in 0..given.options.len() as u32 {
            if draw.chance(70) {
                given.offers.push(Offer {
                    line,
                    option,
                    line_minor: draw.of(0..600),
                });
            }
        }
    }
    for order in 0..input.orders.len() as u32 {
        for option in 0..given.options.len() as u32 {
            if draw.chance(80) {
                given.packages.push(Package {
                    order,
                    option,
                    package_minor: draw.of(0..900),
                });
            }
        }
    }
    input.costs = Costs::Given(given);
    input
}

fn empty(shape: Shape) -> Input {
    Input {
        items: shape.items as u32,
        locations: shape.locations as u32,
        services: shape.services as u32,
        customers: 3,
        segments: 2,
        ..Input::default()
    }
}

/// A budget from now.
pub fn ms(budget: u64) -> Budget<'static> {
    Budget {
        until: Instant::now() + Duration::from_millis(budget),
        cancelled: None,
    }
}

/// Calls `visit` with every choice of options for the lines, also those that are not feasible.
pub fn every(
    choice: &mut Vec<u32>,
    lines: Range<usize>,
    options: u32,
    visit: &mut dyn FnMut(&[u32]),
) {
    if lines.is_empty() {
        visit(choice);
        return;
    }
    for option in (0..options).chain([NONE]) {
        choice[lines.start] = option;
        every(choice, lines.start + 1..lines.end, options, visit);
    }
    choice[lines.start] = NONE;
}

/// The least cost of a feasible choice.
pub fn optimum(problem: &Problem) -> i64 {
    let lines = problem.input().lines.len();
    let mut best = i64::MAX;
    let mut choice = vec![NONE; lines];
    every(
        &mut choice,
        0..lines,
        problem.options().len() as u32,
        &mut |choice| {
            let cost = problem.costs(choice).total;
            if cost < best && problem.check(choice).is_ok() {
                best = cost;
            }
        },
    );
    best
}

/// Units that the choice of one order's lines counts against a row, from the input.
pub fn used(problem: &Problem, order: usize, choice: &[u32], row: usize) -> i64 {
    let input = problem.input();
    let of_order = &input.orders[order];
    let mut units = 0;
    for (&option, number) in choice.iter().zip(of_order.lines.clone()) {
        if option == NONE {
            continue;
        }
        let line = &input.lines[number as usize];
        let way = &problem.options()[option as usize];
        let counts = match problem.rows()[row].kind {
            RowKind::Stock {
                item,
                location,
                class,
            } => item == line.item && location == way.location && of_order.class >= class,
            RowKind::Window(window) => way.window == window,
        };
        units += if counts { line.quantity } else { 0 };
    }
    units
}

/// Locations 0 (near) and 1 (far), services 0 (slow) and 1 (fast), one zone, two items.
pub fn two_places(stock: &[(u32, u32, u8, i64)]) -> Input {
    let lane = |location: u32, service: u32| Lane {
        location,
        zone: 0,
        service,
        window: location,
        provides: u64::from(service),
        breaks: vec![Break {
            from_g: 0,
            package_minor: 100 + 50 * i64::from(location) + 200 * i64::from(service),
            minor_per_kg: 10,
        }],
        transit_days: [if service == 0 { 4 } else { 1 }; TIERS_MAX],
    };
    Input {
        items: 2,
        locations: 2,
        services: 2,
        customers: 1,
        segments: 1,
        windows: vec![None, None],
        stock: stock
            .iter()
            .map(|&(item, location, class, units)| Stock {
                item,
                location,
                class,
                units,
            })
            .collect(),
        costs: Costs::Network(Network {
            handling_minor: vec![5, 7],
            lanes: vec![lane(0, 0), lane(0, 1), lane(1, 0), lane(1, 1)],
            exclusions: vec![],
        }),
        ..Input::default()
    }
}

/// Adds an order whose lines are (item, quantity, cost of leaving it), a kilogram each.
pub fn add(input: &mut Input, lines: &[(u32, i64, i64)]) -> usize {
    let first = input.lines.len() as u32;
    for &(item, quantity, unfilled) in lines {
        input.lines.push(line(item, quantity, unfilled));
    }
    input.orders.push(order(first..input.lines.len() as u32));
    input.orders.len() - 1
}

pub fn exclude(input: &mut Input, rule: Exclusion) {
    if let Costs::Network(network) = &mut input.costs {
        network.exclusions.push(rule);
    }
}

pub fn lanes(input: &mut Input) -> &mut Vec<Lane> {
    match &mut input.costs {
        Costs::Network(network) => &mut network.lanes,
        Costs::Given(_) => panic!("a network"),
    }
}

pub fn limits(problem: &Problem) -> Vec<i64> {
    problem.rows().iter().map(|row| row.limit).collect()
}
