//! Cases worked out by hand.

mod support;

use bespeak_allocation::input::{Break, Exclusion, Input, NONE};
use bespeak_allocation::{Broken, CostParts, InputError, Problem, RowKind, Terms};
use support::{add, exclude, lanes, limits, ms, two_places};

/// The location of each line; -1 is unfilled.
fn places(problem: &Problem, choice: &[u32]) -> Vec<i64> {
    choice
        .iter()
        .map(|&option| match option {
            NONE => -1,
            _ => i64::from(problem.options()[option as usize].location),
        })
        .collect()
}

fn solved(input: Input) -> (Problem, Vec<i64>, i64) {
    let problem = Problem::new(input).expect("numbers in range");
    let solution = problem.search(&Terms::default(), &ms(10));
    assert_eq!(problem.check(&solution.choice), Ok(()));
    assert!(solution.bound <= solution.cost);
    let places = places(&problem, &solution.choice);
    (problem, places, solution.cost)
}

type Change = fn(&mut Input);
/// Name, stock, lines of one order, a change of the input, locations, cost.
type Row<'a> = (
    &'a str,
    &'a [(u32, u32, u8, i64)],
    &'a [(u32, i64, i64)],
    Change,
    &'a [i64],
    i64,
);

#[test]
fn plans_worked_out_by_hand() {
    let both = [(0, 0, 0, 9), (0, 1, 0, 9), (1, 0, 0, 9), (1, 1, 0, 9)];
    let table: &[Row] = &[
        (
            "one line from near",
            &both,
            &[(0, 2, 900)],
            |_| (),
            &[0],
            100 + 10 + 10,
        ),
        (
            "two lines share a package",
            &both,
            &[(0, 1, 900), (1, 1, 900)],
            |_| (),
            &[0, 0],
            100 + 15 * 2,
        ),
        (
            "split where stock is",
            &[(0, 0, 0, 1), (1, 1, 0, 1)],
            &[(0, 1, 900), (1, 1, 900)],
            |_| (),
            &[0, 1],
            100 + 15 + 150 + 17,
        ),
        (
            "a split that does not pay",
            &[(0, 0, 0, 1), (1, 1, 0, 1)],
            &[(0, 1, 900), (1, 1, 160)],
            |_| (),
            &[0, -1],
            115 + 160,
        ),
        (
            "one package allowed",
            &[(0, 0, 0, 1), (1, 1, 0, 1)],
            &[(0, 1, 900), (1, 1, 900)],
            |input| input.orders[0].max_packages = 1,
            &[0, -1],
            115 + 900,
        ),
        (
            "complete or nothing",
            &[(0, 0, 0, 1)],
            &[(0, 1, 900), (1, 1, 900)],
            |input| input.orders[0].ship_complete = true,
            &[-1, -1],
            1800,
        ),
        ("too dear to serve", &both, &[(0, 1, 50)], |_| (), &[-1], 50),
        (
            "express where late costs more",
            &both,
            &[(0, 1, 900)],
            |input| {
                input.orders[0].due_days = Some(2);
                input.orders[0].late_minor = Some(150);
            },
            &[0],
            300 + 15,
        ),
        (
            "economy where late costs less",
            &both,
            &[(0, 1, 900)],
            |input| {
                input.orders[0].due_days = Some(2);
                input.orders[0].late_minor = Some(60);
            },
            &[0],
            100 + 15 + 120,
        ),
        (
            "must not be late",
            &both,
            &[(0, 1, 900)],
            |input| {
                input.orders[0].due_days = Some(2);
                input.orders[0].late_minor = None;
            },
            &[0],
            300 + 15,
        ),
        (
            "cannot be in time",
            &both,
            &[(0, 1, 900)],
            |input| {
                input.orders[0].due_days = Some(0);
                input.orders[0].late_minor = None;
            },
            &[-1],
            900,
        ),
        (
            "only the fast service provides it",
            &both,
            &[(0, 1, 900)],
            |input| input.lines[0].requires = 1,
            &[0],
            315,
        ),
        (
            "excluded at the near place",
            &both,
            &[(0, 1, 900)],
            |input| {
                exclude(
                    input,
                    Exclusion {
                        item: Some(0),
                        location: Some(0),
                        ..Exclusion::default()
                    },
                )
            },
            &[1],
            150 + 17,
        ),
        (
            "an exclusion of another item",
            &both,
            &[(0, 1, 900)],
            |input| {
                exclude(
                    input,
                    Exclusion {
                        item: Some(1),
                        location: Some(0),
                        ..Exclusion::default()
                    },
                )
            },
            &[0],
            115,
        ),
        (
            "excluded everywhere",
            &both,
            &[(0, 1, 900)],
            |input| exclude(input, Exclusion::default()),
            &[-1],
            900,
        ),
        (
            "a window without room",
            &both,
            &[(0, 1, 900)],
            |input| input.windows[0] = Some(0),
            &[1],
            167,
        ),
        (
            "a window with room for one of two lines",
            &both,
            &[(0, 1, 900), (1, 2, 900)],
            |input| input.windows[0] = Some(2),
            &[1, 1],
            150 + 17 + 24,
        ),
        (
            "a class that may not take the last unit",
            &[(0, 0, 0, 1), (0, 0, 1, 0), (0, 1, 0, 1)],
            &[(0, 1, 900)],
            |input| input.orders[0].class = 1,
            &[1],
            167,
        ),
        (
            "no stock row of class 0 is no stock",
            &[(0, 0, 1, 5)],
            &[(0, 1, 900)],
            |_| (),
            &[-1],
            900,
        ),
        (
            "a heavy package is dearer",
            &both,
            &[(0, 1, 900)],
            |input| {
                lanes(input)[0].breaks.push(Break {
                    from_g: 1000,
                    package_minor: 600,
                    minor_per_kg: 0,
                })
            },
            &[1],
            167,
        ),
        (
            "a heavier package is cheaper",
            &both,
            &[(0, 1, 900), (1, 1, 900)],
            |input| {
                lanes(input)[2].breaks.push(Break {
                    from_g: 2000,
                    package_minor: 20,
                    minor_per_kg: 0,
                })
            },
            &[1, 1],
            20 + 7 * 2,
        ),
        (
            "weight of a line is rounded down by itself",
            &both,
            &[(0, 1, 900)],
            |input| input.lines[0].weight_g = 1199,
            &[0],
            100 + 5 + 11,
        ),
    ];
    for (name, stock, lines, change, expected, cost) in table {
        let mut input = two_places(stock);
        add(&mut input, lines);
        change(&mut input);
        let (problem, found, paid) = solved(input);
        assert_eq!((&found[..], paid), (*expected, *cost), "{name}");
        let plan = problem.plan_order(0, &limits(&problem), &[]);
        assert_eq!(plan.cost, *cost, "{name}: the planner of one order");
    }
}

#[test]
fn the_last_unit_goes_to_who_needs_it_most() {
    let mut input = two_places(&[(0, 0, 0, 1)]);
    add(&mut input, &[(0, 1, 300)]);
    add(&mut input, &[(0, 1, 900)]);
    let (problem, found, cost) = solved(input);
    assert_eq!((found, cost), (vec![-1, 0], 300 + 115));
    assert_eq!(problem.rows().len(), 1);
    assert_eq!(
        problem.rows()[0].kind,
        RowKind::Stock {
            item: 0,
            location: 0,
            class: 0
        }
    );
    // One that could go elsewhere steps aside.
    let mut input = two_places(&[(0, 0, 0, 1), (1, 0, 0, 1), (0, 1, 0, 1)]);
    add(&mut input, &[(0, 1, 900)]);
    add(&mut input, &[(0, 1, 900), (1, 1, 900)]);
    assert_eq!(problem.greedy().cost, 115 + 900);
    let (_, found, cost) = solved(input);
    assert_eq!((found, cost), (vec![1, 0, 0], 167 + 130));
}

#[test]
fn parts_of_the_cost_are_told_apart() {
    let mut input = two_places(&[(0, 0, 0, 5), (1, 1, 0, 5)]);
    add(&mut input, &[(0, 2, 900), (1, 1, 900)]);
    add(&mut input, &[(1, 9, 700)]);
    input.orders[0].due_days = Some(3);
    input.orders[0].late_minor = Some(11);
    let problem = Problem::new(input).expect("numbers in range");
    let solution = problem.search(&Terms::default(), &ms(5));
    let parts = CostParts {
        package: 250,
        freight: 20,
        handling: 17,
        late: 22,
        unfilled: 700,
        lines: 0,
        total: 1009,
    };
    assert_eq!(problem.costs(&solution.choice), parts);
}

#[test]
fn broken_limits_are_named() {
    let mut input = two_places(&[(0, 0, 0, 2), (0, 0, 1, 1), (1, 0, 0, 9)]);
    add(&mut input, &[(0, 2, 900), (1, 1, 900)]);
    input.windows[0] = Some(4);
    let choices = |change: fn(&mut Input), choice: [u32; 2]| {
        let mut input = input.clone();
        change(&mut input);
        let problem = Problem::new(input).expect("numbers in range");
        problem.check(&choice).expect_err("a broken limit")
    };
    let slow = 0;
    for (change, choice, what) in [
        (
            (|input| input.orders[0].ship_complete = true) as fn(&mut Input),
            [slow, NONE],
            "complete",
        ),
        (
            |input| input.orders[0].class = 1,
            [slow, NONE],
            "class 1 and above take 2",
        ),
        (
            |input| input.lines[0].quantity = 3,
            [slow, NONE],
            "take 3 of item 0",
        ),
        (
            |input| input.lines[1].quantity = 4,
            [slow, slow],
            "6 units leave in window 0",
        ),
        (
            |input| input.orders[0].max_packages = 1,
            [slow, 1],
            "2 packages",
        ),
        (|_| (), [2, NONE], "item 0 at location 1"),
        (|_| (), [9, NONE], "no such option"),
        (
            |input| input.lines[0].requires = 1,
            [slow, NONE],
            "requires",
        ),
        (|input| input.orders[0].zone = 5, [slow, NONE], "no lane"),
    ] {
        let said = choices(change, choice).to_string();
        assert!(said.contains(what), "{said:?} does not say {what:?}");
    }
    let problem = Problem::new(input.clone()).expect("numbers in range");
    assert_eq!(
        problem.check(&[0]),
        Err(Broken::Length { given: 1, lines: 2 })
    );
}

#[test]
fn numbers_out_of_range_are_refused() {
    let good = || {
        let mut input = two_places(&[(0, 0, 0, 2)]);
        add(&mut input, &[(0, 2, 900)]);
        input
    };
    assert!(good().check().is_ok());
    for (change, what) in [
        (
            (|input| input.lines[0].item = 2) as fn(&mut Input),
            "line 0 has item 2, there are 2",
        ),
        (|input| input.lines[0].quantity = 0, "quantity 0: give 1 to"),
        (
            |input| input.lines[0].unfilled_minor = -1,
            "unfilled_minor -1",
        ),
        (|input| input.orders[0].lines = 0..2, "lines 0 to 2"),
        (|input| input.orders[0].class = 8, "class 8"),
        (|input| input.stock[0].location = 2, "location 2"),
        (
            |input| input.stock.push(input.stock[0].clone()),
            "stock 1 repeats",
        ),
        (|input| lanes(input)[1].service = 0, "repeats"),
        (
            |input| lanes(input)[1].breaks[0].from_g = 1,
            "no tariff that ascends from 0 g",
        ),
        (|input| lanes(input)[1].window = 2, "window 2"),
        (
            |input| {
                lanes(input)[0].breaks[0].minor_per_kg = 1_000_000_000;
                input.lines[0].weight_g = 1_000_000_000;
            },
            "cost of serving it",
        ),
    ] {
        let mut input = good();
        change(&mut input);
        let said: InputError = Problem::new(input).expect_err("out of range");
        assert!(
            said.to_string().contains(what),
            "{said} does not say {what:?}"
        );
    }
}
