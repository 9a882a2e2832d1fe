//! The inner loops of the planner, compiled for what the processor has.

use crate::model::LANES;

pub(super) type Lane = [f64; LANES];

/// A slice of whole lanes, one of them.
#[inline(always)]
fn lane(from: &[f64]) -> Lane {
    from[..LANES].try_into().expect("a whole lane")
}

#[inline(always)]
fn lesser(one: f64, other: f64) -> f64 {
    if one < other { one } else { other }
}

#[inline(always)]
fn least_of(lane: &Lane) -> f64 {
    lane.iter()
        .fold(f64::INFINITY, |least, &value| lesser(value, least))
}

/// Compiles a loop for processors with AVX-512, with AVX2 and for all others.
macro_rules! vectorised {
    ($(#[$doc:meta])* $name:ident, $body:ident, ($($arg:ident: $type:ty),*) $(-> $out:ty)?) => {
        $(#[$doc])*
        pub(super) fn $name($($arg: $type),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx2,fma,bmi1,bmi2")]
                fn widest($($arg: $type),*) $(-> $out)? {
                    $body($($arg),*)
                }
                #[target_feature(enable = "avx2,bmi1,bmi2")]
                fn wide($($arg: $type),*) $(-> $out)? {
                    $body($($arg),*)
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("bmi2")
                {
                    // SAFETY: the processor has all that it is compiled for.
                    return unsafe { widest($($arg),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi2") {
                    // SAFETY: the same.
                    return unsafe { wide($($arg),*) };
                }
            }
            $body($($arg),*)
        }
    };
}

#[inline(always)]
fn single_body(cost: &[f64], package: &[f64]) -> f64 {
    let mut least = [f64::INFINITY; LANES];
    for (cost, package) in cost.chunks_exact(LANES).zip(package.chunks_exact(LANES)) {
        for at in 0..LANES {
            least[at] = lesser(cost[at] + package[at], least[at]);
        }
    }
    least_of(&least)
}

#[inline(always)]
fn subsets_body(
    cost: &[f64],
    package: &[f64],
    lines: usize,
    sums: &mut [Lane],
    least: &mut [Lane],
    best: &mut [f64],
) {
    let width = package.len();
    let size = 1usize << lines;
    let (sums, least) = (&mut sums[..size], &mut least[..size]);
    for block in (0..width).step_by(LANES) {
        sums[0] = lane(&package[block..]);
        let mut bit = 1;
        for line in 0..lines {
            let row = lane(&cost[line * width + block..]);
            let (known, new) = sums.split_at_mut(bit);
            let least = &mut least[bit..2 * bit];
            for ((sum, before), least) in new[..bit].iter_mut().zip(&*known).zip(least) {
                for at in 0..LANES {
                    sum[at] = before[at] + row[at];
                }
                if block == 0 {
                    *least = *sum;
                } else {
                    for at in 0..LANES {
                        least[at] = lesser(sum[at], least[at]);
                    }
                }
            }
            bit *= 2;
        }
    }
    best[0] = 0.0;
    for (best, least) in best[1..size].iter_mut().zip(&least[1..size]) {
        *best = if width == 0 {
            f64::INFINITY
        } else {
            least_of(least)
        };
    }
}

vectorised! {
    /// Least sum of a line's cost and a package.
    single, single_body, (cost: &[f64], package: &[f64]) -> f64
}

vectorised! {
    /// Cheapest package of every subset of lines among the candidates, by blocks of [`LANES`] of them.
    subsets, subsets_body, (
        cost: &[f64], package: &[f64], lines: usize, sums: &mut [Lane], least: &mut [Lane], best: &mut [f64]
    )
}

/// Where a line could go: cost, limit of its cell, limit of its window, by candidate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub cost: &'a [f64],
    pub slot: &'a [u32],
    pub window: &'a [u32],
}

#[inline(always)]
fn price_body(row: Row<'_>, quantity: f64, own: f64, asked: &[f64], out: &mut [f64]) {
    for (((out, &cost), &slot), &window) in
        out.iter_mut().zip(row.cost).zip(row.slot).zip(row.window)
    {
        *out = cost + quantity * (asked[slot as usize] + asked[window as usize] + own);
    }
}

#[inline(always)]
fn fit_body(row: Row<'_>, quantity: f64, free: &[f64], asked: &[f64], own: f64, out: &mut [f64]) {
    for (((out, &cost), &slot), &window) in
        out.iter_mut().zip(row.cost).zip(row.slot).zip(row.window)
    {
        let (slot, window) = (slot as usize, window as usize);
        let room = lesser(free[slot], free[window]);
        let pays = cost + quantity * (asked[slot] + asked[window] + own);
        *out = if quantity <= room {
            pays
        } else {
            f64::INFINITY
        };
    }
}

#[inline(always)]
fn pay_body(row: Row<'_>, quantity: f64, free: &[f64], asked: &[f64], own: f64, out: &mut [f64]) {
    for (((out, &cost), &slot), &window) in
        out.iter_mut().zip(row.cost).zip(row.slot).zip(row.window)
    {
        let (slot, window) = (slot as usize, window as usize);
        let in_cell = if quantity <= free[slot] {
            0.0
        } else {
            asked[slot]
        };
        let in_window = if quantity <= free[window] {
            0.0
        } else {
            asked[window]
        };
        *out = cost + quantity * (in_cell + in_window + own);
    }
}

vectorised! {
    /// Costs and what the limits ask.
    price, price_body, (row: Row<'_>, quantity: f64, own: f64, asked: &[f64], out: &mut [f64])
}

vectorised! {
    /// The same where the line fits into what is left.
    fit, fit_body, (row: Row<'_>, quantity: f64, free: &[f64], asked: &[f64], own: f64, out: &mut [f64])
}

vectorised! {
    /// Costs, and what the limits ask where the line does not fit.
    pay, pay_body, (row: Row<'_>, quantity: f64, free: &[f64], asked: &[f64], own: f64, out: &mut [f64])
}
