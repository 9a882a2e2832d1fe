//! Degenerate batches, long orders, cancelled and continued searches.

mod support;

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use bespeak_allocation::input::{Costs, Input, Order};
use bespeak_allocation::{Budget, Plans, Problem, Terms};
use support::{Shape, add, lanes, limits, line, ms, network, order, two_places};

#[test]
fn degenerate_batches_are_planned() {
    let nothing: fn(&mut Input) = |_| ();
    for (name, stock, orders, change, cost) in [
        ("no orders", vec![], 0, nothing, 0),
        ("no stock", vec![], 3, nothing, 3 * 900),
        (
            "no capacity",
            vec![(0, 0, 0, 9)],
            3,
            |input: &mut Input| input.windows = vec![Some(0); 2],
            2700,
        ),
        (
            "no lanes",
            vec![(0, 0, 0, 9)],
            3,
            |input: &mut Input| lanes(input).clear(),
            2700,
        ),
        ("one place", vec![(0, 0, 0, 2)], 3, nothing, 900 + 2 * 115),
        (
            "all alike",
            vec![(0, 0, 0, 2), (0, 1, 0, 1)],
            3,
            |input: &mut Input| {
                for lane in lanes(input) {
                    lane.breaks[0].package_minor = 0;
                    lane.breaks[0].minor_per_kg = 0;
                }
                if let Costs::Network(network) = &mut input.costs {
                    network.handling_minor = vec![0; 2];
                }
            },
            0,
        ),
        (
            "huge penalties",
            vec![(0, 0, 0, 2)],
            3,
            |input: &mut Input| {
                for line in &mut input.lines {
                    line.unfilled_minor = 10_000_000_000;
                }
            },
            10_000_000_000 + 230,
        ),
        (
            "penalties as large as can be",
            vec![(0, 0, 0, 2)],
            3,
            |input: &mut Input| {
                for line in &mut input.lines {
                    line.unfilled_minor = 1_000_000_000_000;
                }
            },
            1_000_000_000_000 + 230,
        ),
        (
            "large quantities",
            vec![(0, 0, 0, 2_000_000_000)],
            3,
            |input: &mut Input| {
                for line in &mut input.lines {
                    line.quantity = 1_000_000_000;
                    line.unfilled_minor = 100_000_000_000;
                }
            },
            2 * (100 + 10 + 5_000_000_000) + 100_000_000_000,
        ),
    ] {
        let mut input = two_places(&stock);
        for _ in 0..orders {
            add(&mut input, &[(0, 1, 900)]);
        }
        change(&mut input);
        let problem = Problem::new(input).expect("numbers in range");
        let solution = problem.search(&Terms::default(), &ms(10));
        assert_eq!(problem.check(&solution.choice), Ok(()), "{name}");
        assert_eq!(solution.cost, cost, "{name}");
        assert!(solution.bound <= cost, "{name}");
        assert!(problem.bound(&solution.prices) <= cost, "{name}");
    }
    // Orders without lines.
    let mut input = two_places(&[]);
    add(&mut input, &[]);
    add(&mut input, &[]);
    let problem = Problem::new(input).expect("numbers in range");
    assert_eq!(problem.search(&Terms::default(), &ms(5)).cost, 0);
}

fn long_order(seed: u64, lines: u32) -> Input {
    let shape = Shape {
        orders: 1,
        lines: 1,
        items: i64::from(lines),
        locations: 50,
        services: 3,
    };
    let mut input = network(seed, shape);
    input.windows.fill(Some(40));
    input.lines = (0..lines)
        .map(|item| line(item, 1 + i64::from(item % 3), 2000))
        .collect();
    input.orders = vec![Order {
        due_days: None,
        late_minor: Some(0),
        ..order(0..lines)
    }];
    input
}

#[test]
fn orders_of_many_lines_are_planned_in_time() {
    for seed in 0..30 {
        let problem = Problem::new(long_order(seed, 200)).expect("numbers in range");
        let start = Instant::now();
        let plan = problem.plan_order(0, &limits(&problem), &[]);
        let took = start.elapsed();
        assert_eq!(problem.check(&plan.choice), Ok(()), "seed {seed}");
        assert_eq!(problem.costs(&plan.choice).total, plan.cost, "seed {seed}");
        assert!(plan.cost <= problem.greedy().cost, "seed {seed}");
        // Far more than it takes, for machines that are busy.
        assert!(took < Duration::from_millis(500), "seed {seed}: {took:?}");
        let solution = problem.search(&Terms::default(), &ms(5));
        assert_eq!(problem.check(&solution.choice), Ok(()), "seed {seed}");
        assert!(
            solution.cost <= plan.cost.max(problem.greedy().cost),
            "seed {seed}"
        );
        assert!(solution.bound <= solution.cost, "seed {seed}");
    }
}

#[test]
fn cancelling_ends_the_search_with_a_feasible_plan() {
    let shape = Shape {
        orders: 300,
        lines: 4,
        items: 40,
        locations: 10,
        services: 2,
    };
    let problem = Problem::new(network(5, shape)).expect("numbers in range");
    let cancelled = AtomicBool::new(true);
    let far = Instant::now() + Duration::from_secs(3600);
    let budget = Budget {
        until: far,
        cancelled: Some(&cancelled),
    };
    let solution = problem.search(&Terms::default(), &budget);
    assert_eq!(problem.check(&solution.choice), Ok(()));
    cancelled.store(false, std::sync::atomic::Ordering::Relaxed);
    let found = std::thread::scope(|scope| {
        let search = scope.spawn(|| problem.search(&Terms::default(), &budget));
        cancelled.store(true, std::sync::atomic::Ordering::Relaxed);
        search.join().expect("no panic")
    });
    assert_eq!(problem.check(&found.choice), Ok(()));
    assert!(found.cost <= problem.greedy().cost);
    // A budget that has ended before it began.
    let ended = problem.search(&Terms::default(), &ms(0));
    assert_eq!(problem.check(&ended.choice), Ok(()));
}

#[test]
fn a_search_that_is_cut_short_anywhere_is_sound() {
    let shape = Shape {
        orders: 600,
        lines: 4,
        items: 60,
        locations: 10,
        services: 2,
    };
    for seed in 0..3 {
        println!("seed {seed}");
        let problem = Problem::new(network(seed, shape)).expect("numbers in range");
        let greedy = problem.greedy();
        let good = problem.search(&Terms::default(), &ms(400));
        let bound = problem.bound(&good.prices);
        assert!(good.bound <= good.cost && bound <= good.cost);
        // Within the first passes over all orders, between them, and in building and exchanging.
        for micros in (0..60).map(|step| 25 * step * step) {
            let budget = Budget {
                until: Instant::now() + Duration::from_micros(micros),
                cancelled: None,
            };
            let found = problem.search(&Terms::default(), &budget);
            assert_eq!(problem.check(&found.choice), Ok(()), "{micros} µs");
            assert_eq!(problem.costs(&found.choice).total, found.cost);
            assert!(found.cost <= greedy.cost, "{micros} µs");
            assert!(found.bound <= good.cost, "{micros} µs");
            assert!(problem.bound(&found.prices) <= good.cost, "{micros} µs");
        }
    }
}

#[test]
fn a_search_goes_on_from_what_it_is_given() {
    let shape = Shape {
        orders: 60,
        lines: 3,
        items: 20,
        locations: 6,
        services: 2,
    };
    for seed in 0..5 {
        let problem = Problem::new(network(seed, shape)).expect("numbers in range");
        let first = problem.search(&Terms::default(), &ms(40));
        let mut plans = Plans::default();
        problem.best_plans(&first.prices, &mut plans);
        let terms = Terms {
            prices: Some(first.prices.clone()),
            start: Some(first.choice.clone()),
            bias: Some(
                (0..60)
                    .map(|order| {
                        let lines = problem.input().orders[order].lines.clone();
                        let choice = &plans.choice[lines.start as usize..lines.end as usize];
                        (order as u32, choice.to_vec(), 1.0)
                    })
                    .collect(),
            ),
            ..Terms::default()
        };
        let second = problem.search(&terms, &ms(5));
        assert_eq!(problem.check(&second.choice), Ok(()), "seed {seed}");
        assert!(second.cost <= first.cost, "seed {seed}");
        // Prices, bias and a start that fit nothing are passed over.
        let wrong = Terms {
            prices: Some(vec![f64::NAN, -1.0]),
            start: Some(vec![0; 3]),
            bias: Some(vec![(9999, vec![], 1.0), (0, vec![7; 9], f64::NAN)]),
            ..Terms::default()
        };
        let third = problem.search(&wrong, &ms(5));
        assert_eq!(problem.check(&third.choice), Ok(()), "seed {seed}");
    }
}

#[test]
fn a_search_ends_where_nothing_is_left_to_gain() {
    let mut input = two_places(&[(0, 0, 0, 3), (1, 1, 0, 3)]);
    for _ in 0..3 {
        add(&mut input, &[(0, 1, 900), (1, 1, 900)]);
    }
    let problem = Problem::new(input).expect("numbers in range");
    let start = Instant::now();
    let solution = problem.search(&Terms::default(), &ms(60_000));
    assert!(start.elapsed() < Duration::from_secs(30));
    assert_eq!((solution.cost, solution.bound), (3 * 282, 3 * 282));
    assert_eq!(solution.trace.last().map(|last| last.1), Some(3 * 282));
}
