//! Against all assignments of tiny batches.

mod support;

use bespeak_allocation::input::{Input, NONE};
use bespeak_allocation::{Problem, Terms};
use support::{Draw, Shape, every, given, ms, network, optimum, used};

const TINY: Shape = Shape {
    orders: 3,
    lines: 2,
    items: 3,
    locations: 2,
    services: 2,
};

fn inputs(count: u64, shape: Shape) -> impl Iterator<Item = (u64, Input)> {
    (0..count).flat_map(move |seed| [(seed, network(seed, shape)), (seed, given(seed, shape))])
}

#[test]
fn the_search_finds_the_optimum_of_tiny_batches_and_never_breaks_a_limit() {
    let (mut all, mut optimal) = (0, 0);
    for (seed, input) in inputs(60, TINY) {
        let problem = Problem::new(input).expect("numbers in range");
        let best = optimum(&problem);
        let solution = problem.search(&Terms::default(), &ms(10));
        let broken = problem.check(&solution.choice);
        assert_eq!(broken, Ok(()), "seed {seed}");
        assert_eq!(
            problem.costs(&solution.choice).total,
            solution.cost,
            "seed {seed}"
        );
        assert!(
            solution.cost >= best,
            "seed {seed}: {} < {best}",
            solution.cost
        );
        assert!(
            solution.bound <= best,
            "seed {seed}: bound {} > {best}",
            solution.bound
        );
        assert!(solution.cost <= problem.greedy().cost, "seed {seed}");
        all += 1;
        optimal += i32::from(solution.cost == best);
    }
    assert!(optimal * 100 >= all * 97, "{optimal} of {all} are optimal");
}

#[test]
fn the_rule_engine_keeps_every_limit() {
    let shape = Shape {
        orders: 12,
        lines: 4,
        items: 5,
        locations: 4,
        services: 2,
    };
    for (seed, input) in inputs(150, shape) {
        let problem = Problem::new(input).expect("numbers in range");
        let greedy = problem.greedy();
        assert_eq!(problem.check(&greedy.choice), Ok(()), "seed {seed}");
        assert_eq!(
            problem.costs(&greedy.choice).total,
            greedy.cost,
            "seed {seed}"
        );
    }
}

#[test]
fn bounds_at_any_prices_are_below_the_optimum() {
    for (seed, input) in inputs(60, TINY) {
        let problem = Problem::new(input).expect("numbers in range");
        let best = optimum(&problem);
        let draw = &mut Draw(seed);
        for scale in [0, 1, 700, 5000, 1_000_000_000_000i64] {
            let prices: Vec<f64> = problem
                .rows()
                .iter()
                .map(|_| {
                    draw.of(-1000..1000) as f64 / 700.0
                        * f64::from(draw.of(0..2) as i32)
                        * scale as f64
                })
                .collect();
            let bound = problem.bound(&prices);
            assert!(
                bound <= best,
                "seed {seed} scale {scale}: bound {bound} > {best}"
            );
        }
    }
}

#[test]
fn one_order_is_planned_exactly() {
    let shape = Shape {
        orders: 2,
        lines: 4,
        items: 4,
        locations: 3,
        services: 2,
    };
    for (seed, input) in inputs(150, shape) {
        let problem = Problem::new(input).expect("numbers in range");
        let draw = &mut Draw(seed ^ 77);
        let left: Vec<i64> = problem
            .rows()
            .iter()
            .map(|row| (row.limit - draw.of(0..3)).max(0))
            .collect();
        let prices: Vec<f64> = left.iter().map(|_| draw.of(0..400) as f64).collect();
        for order in 0..2 {
            let lines = problem.input().orders[order].lines.clone();
            let range = lines.start as usize..lines.end as usize;
            let mut best = f64::INFINITY;
            let mut whole = vec![NONE; problem.input().lines.len()];
            every(
                &mut whole,
                range.clone(),
                problem.options().len() as u32,
                &mut |whole| {
                    let choice = &whole[range.clone()];
                    let mut value = problem.order_costs(order as u32, choice).total as f64;
                    let mut fits = true;
                    for row in 0..left.len() {
                        let units = used(&problem, order, choice, row);
                        fits &= units <= left[row];
                        value += units as f64 * prices[row];
                    }
                    if fits && value < best && problem.check(whole).is_ok() {
                        best = value;
                    }
                },
            );
            let plan = problem.plan_order(order as u32, &left, &prices);
            assert!(
                (plan.value - best).abs() < 1e-6,
                "seed {seed} order {order}: {} is not {best}",
                plan.value
            );
            assert_eq!(
                problem.order_costs(order as u32, &plan.choice).total,
                plan.cost,
                "seed {seed}"
            );
            let mut uses = Vec::new();
            problem.use_of(order as u32, &plan.choice, &mut uses);
            let mut paid = 0.0;
            for (row, price) in prices.iter().enumerate() {
                let units = used(&problem, order, &plan.choice, row);
                let said = uses
                    .iter()
                    .find(|said| said.0 as usize == row)
                    .map_or(0, |said| said.1);
                assert_eq!(said, units, "seed {seed} row {row}");
                paid += units as f64 * price;
            }
            assert!(
                (plan.cost as f64 + paid - plan.value).abs() < 1e-6,
                "seed {seed}"
            );
        }
    }
}
