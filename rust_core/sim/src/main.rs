//! Runs seeded histories of a partition on a simulated disk and holds each against an oracle.
//!
//! ```text
//! bespeak-sim --seeds 10000           # seeds 0 to 9999
//! bespeak-sim --from 500 --seeds 100  # seeds 500 to 599
//! bespeak-sim --seed 77 --steps 40    # one history, shortened
//! ```
//!
//! A failure prints the seed and the shortest history that still fails, and exits with 1.

mod machine;
mod model;
mod workload;

use std::process::ExitCode;

use crate::machine::{Faults, run};

/// Commands of one history.
const STEPS: usize = 120;

struct Options {
    from: u64,
    seeds: u64,
    steps: usize,
    faults: Faults,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        from: 0,
        seeds: 1_000,
        steps: STEPS,
        faults: Faults::default(),
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--lose-data-syncs" {
            options.faults.lose_data_syncs = true;
            continue;
        }
        if name == "--lose-directory-syncs" {
            options.faults.lose_directory_syncs = true;
            continue;
        }
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} needs a number"))?;
        let number: u64 = value
            .parse()
            .map_err(|_| format!("{name} is {value}, it must be a number"))?;
        match name.as_str() {
            "--from" => options.from = number,
            "--seeds" => options.seeds = number,
            "--steps" => options.steps = number as usize,
            "--seed" => (options.from, options.seeds) = (number, 1),
            _ => {
                return Err(format!(
                    "{name} is not known: use --from, --seeds, --seed, --steps, --lose-data-syncs or \
                     --lose-directory-syncs"
                ));
            }
        }
    }
    Ok(options)
}

/// The fewest steps with which the seed still fails.
fn shrink(seed: u64, steps: usize, faults: Faults) -> (usize, String) {
    let mut failing = (steps, String::new());
    for fewer in 1..=steps {
        if let Err(what) = run(seed, fewer, faults) {
            failing = (fewer, what);
            break;
        }
    }
    failing
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::from(2);
        }
    };
    let mut totals = machine::Totals::default();
    for seed in options.from..options.from + options.seeds {
        match run(seed, options.steps, options.faults) {
            Ok(one) => totals.add(&one),
            Err(what) => {
                eprintln!("seed {seed} fails: {what}");
                let (steps, what) = shrink(seed, options.steps, options.faults);
                eprintln!("shortest: bespeak-sim --seed {seed} --steps {steps}: {what}");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{} histories hold: {totals}", options.seeds);
    ExitCode::SUCCESS
}
