//! Measures the engine inside Rust, without journal or network. One JSON object a line.
//!
//! ```text
//! cargo run --release -p bespeak-engine --example engine_bench -- check 100000
//! cargo run --release -p bespeak-engine --example engine_bench -- batch 1000000
//! cargo run --release -p bespeak-engine --example engine_bench -- reserve 100000
//! cargo run --release -p bespeak-engine --example engine_bench -- growth 1000000
//! cargo run --release -p bespeak-engine --example engine_bench -- memory 1000000
//! cargo run --release -p bespeak-engine --example engine_bench -- snapshot 1000000
//! ```
//! Keys are uniform. Positions hold 4 receipts and 8 commitments, of reservations of 4 lines each, but for
//! `memory`: 2 receipts and 2 commitments, each a reservation of its own, which is the dearest case.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a benchmark is a shell around the engine: it reads the clock and its arguments"
)]

mod measure;
mod world;

use std::time::Instant;

use bespeak_engine::*;

use measure::{Line, Samples, cpu_time, resident_bytes};
use world::{Keys, Random};

/// As in the extension.
#[global_allocator]
static ALLOCATOR: bespeak_memory::Allocator = bespeak_memory::Allocator;

fn main() {
    bespeak_memory::keep_huge_pages_whole();
    let mut arguments = std::env::args().skip(1);
    let usage = "name one of: check, batch, reserve, growth, memory, snapshot, instructions; then a number of positions";
    let what = arguments.next().unwrap_or_default();
    let positions: u32 = arguments
        .next()
        .and_then(|n| n.replace('_', "").parse().ok())
        .unwrap_or(100_000);
    match what.as_str() {
        "check" => check(positions),
        "batch" => batch(positions),
        "reserve" => reserve(positions),
        "growth" => growth(positions),
        "memory" => memory(positions),
        "snapshot" => snapshot(positions),
        "instructions" => instructions(positions, &arguments.next().unwrap_or_default()),
        _ => {
            eprintln!("{usage}");
            std::process::exit(2);
        }
    }
}

/// A state and what may be asked of it.
struct World {
    state: State,
    keys: Keys,
}

impl World {
    fn filled(positions: u32, receipts: u32, commitments: u32, lines: u32) -> Self {
        let (mut state, keys) = (State::new(Settings::default()), Keys::new(positions));
        keys.fill(receipts, commitments, lines, &mut |command| {
            let answer = state.step(Meta::default(), command, keys.now, &mut |_| {});
            let answer = answer.expect("the command makes sense");
            if let Reply::Hold(hold) = answer.reply {
                assert_eq!(hold.outcome, Outcome::Full);
            }
        });
        Self { state, keys }
    }
}

/// Single checks of uniform keys and ship times, in runs of a thousand.
fn check(positions: u32) {
    const RUN: usize = 1_000;
    let world = World::filled(positions, 4, 8, 4);
    let mut random = Random::new(1);
    let lines: Vec<CheckLine> = (0..1_000 * RUN)
        .map(|_| world.keys.check_line(&mut random))
        .collect();
    let target = if positions > 1_000_000 { 400 } else { 100 };
    let mut sum = 0;
    let mut full = Samples::default();
    let started = cpu_time();
    for run in lines.chunks(RUN) {
        let start = Instant::now();
        for line in run {
            let answer = world.state.check(line).expect("keys are known");
            sum += answer.available.get() + u64::from(answer.in_full);
        }
        full.add(start.elapsed(), RUN);
    }
    let on_core = cpu_time() - started;
    let mut fast = Samples::default();
    for run in lines.chunks(RUN) {
        let start = Instant::now();
        for line in run {
            let at = line.ship_time.expect("it is set");
            sum += world.state.available(line.item, line.location, at).get();
        }
        fast.add(start.elapsed(), RUN);
    }
    std::hint::black_box(sum);
    Line::new("check", positions)
        .quantiles("ns", &full)
        .number("cpu_ns", on_core.as_nanos() as u64 / lines.len() as u64)
        .number("target_ns", target)
        .print();
    Line::new("available", positions)
        .quantiles("ns", &fast)
        .print();
}

/// A table of rows, answered in one go.
fn batch(positions: u32) {
    const ROWS: usize = 1_000_000;
    const RUNS: usize = 9;
    let world = World::filled(positions, 4, 8, 4);
    let mut random = Random::new(2);
    let lines: Vec<CheckLine> = (0..ROWS)
        .map(|_| world.keys.check_line(&mut random))
        .collect();
    let mut available = vec![0; ROWS];
    let mut rates = Samples::default();
    let started = cpu_time();
    for _ in 0..RUNS {
        let mut row = available.iter_mut();
        let start = Instant::now();
        world.state.check_many(&lines, |answer| {
            let answer = answer.expect("keys are known");
            if let Some(row) = row.next() {
                *row = answer.available.get() << 1 | u64::from(answer.in_full);
            }
        });
        rates.add(start.elapsed(), ROWS);
    }
    let on_core = cpu_time() - started;
    std::hint::black_box(&available);
    Line::new("batch_check", positions)
        .number("rows_per_s", (1e9 / rates.quantile(0.5)) as u64)
        .number("best_rows_per_s", (1e9 / rates.quantile(0.0)) as u64)
        .number(
            "rows_per_cpu_s",
            ((ROWS * RUNS) as f64 / on_core.as_secs_f64()) as u64,
        )
        .number("target_rows_per_s", 8_000_000)
        .print();
}

/// Reserve and confirm in turn, one command after the other and as a table of orders is worked on: with the memory of
/// the next orders asked for ahead. What a block has reserved is released after it, so that the state stays as it is.
fn reserve(positions: u32) {
    const BLOCK: usize = 1_024;
    const BLOCKS: usize = 300;
    let World { mut state, keys } = World::filled(positions, 4, 8, 4);
    let mut random = Random::new(3);
    let mut request_id = 0;
    for (bench, ahead) in [("reserve_confirm", 1), ("reserve_confirm_table", 32)] {
        let mut samples = Samples::default();
        let mut on_core = std::time::Duration::ZERO;
        // The first blocks fill the memory of answers.
        for block in 0..2 * BLOCKS {
            let commands: Vec<Command> = (0..BLOCK).map(|_| keys.reserve(&mut random, 1)).collect();
            let mut made = Vec::with_capacity(BLOCK);
            let started = cpu_time();
            let start = Instant::now();
            for slice in commands.chunks(ahead) {
                if ahead > 1 {
                    let places: Vec<_> = slice.iter().map(place).collect();
                    state.prefetch(&places);
                }
                for command in slice {
                    request_id += 1;
                    let meta = Meta {
                        request_id,
                        ..Meta::default()
                    };
                    made.push(reserve_and_confirm(&mut state, meta, command, keys.now));
                }
            }
            if block >= BLOCKS {
                samples.add(start.elapsed(), BLOCK);
                on_core += cpu_time() - started;
            }
            for reservation in made {
                let lines = Default::default();
                let release = Command::Release(Release { reservation, lines });
                let released = state.step(Meta::default(), &release, keys.now, &mut |_| {});
                released.expect("it is confirmed");
            }
        }
        Line::new(bench, positions)
            .number("pairs_per_s", (1e9 / samples.quantile(0.5)) as u64)
            .number(
                "pairs_per_cpu_s",
                ((BLOCK * BLOCKS) as f64 / on_core.as_secs_f64()) as u64,
            )
            .number("target_pairs_per_s", 1_500_000)
            .print();
    }
}

fn place(command: &Command) -> (ItemId, LocationId) {
    let Command::Reserve(reserve) = command else {
        panic!("only reservations are made here");
    };
    (reserve.lines[0].item, reserve.lines[0].location)
}

fn reserve_and_confirm(
    state: &mut State,
    meta: Meta,
    command: &Command,
    now: UtcMillis,
) -> ReservationId {
    let mut records = 0;
    let mut sink = |_: &Record| records += 1;
    let answer = state.step(meta, command, now, &mut sink);
    let Ok(Answer {
        reply: Reply::Hold(HoldReply {
            reservation: Some(id),
            ..
        }),
        ..
    }) = answer
    else {
        panic!("the stock is there: {answer:?}");
    };
    let confirmed = state.step(Meta::default(), &Command::Confirm(id), now, &mut sink);
    confirmed.expect("it was held");
    assert_eq!(records, 2);
    id
}

/// The longest single command while a state is filled and orders come: what a caller waits for whose command finds a
/// table full. A shared machine that stands still now and then is in it: the least of some runs is the engine's.
fn growth(positions: u32) {
    const ORDERS: u128 = 400_000;
    let (mut state, keys) = (State::new(Settings::default()), Keys::new(positions));
    let mut random = Random::new(4);
    let mut step = |command: &Command, request_id| {
        let meta = Meta {
            request_id,
            ..Meta::default()
        };
        let started = Instant::now();
        let answer = state.step(meta, command, keys.now, &mut |_| {});
        let took = started.elapsed();
        answer.expect("the command makes sense");
        took
    };
    let (mut filling, mut ordering) = (Longest::default(), Longest::default());
    keys.fill(4, 8, 4, &mut |command| filling.add(step(command, 0)));
    for request_id in 1..=ORDERS {
        ordering.add(step(&keys.reserve(&mut random, 1), request_id));
    }
    Line::new("growth", positions)
        .number("fill_longest_us", filling.longest.as_micros() as u64)
        .number("fill_over_1ms", filling.over_1ms)
        .number("reserve_longest_us", ordering.longest.as_micros() as u64)
        .number("target_reserve_longest_us", 1_000)
        .number("reserve_over_1ms", ordering.over_1ms)
        .print();
}

#[derive(Default)]
struct Longest {
    longest: std::time::Duration,
    over_1ms: u64,
}

impl Longest {
    fn add(&mut self, took: std::time::Duration) {
        self.longest = self.longest.max(took);
        self.over_1ms += u64::from(took.as_millis() > 0);
    }
}

/// Resident memory of positions with 2 receipts and 2 commitments each.
fn memory(positions: u32) {
    let before = resident_bytes();
    let world = World::filled(positions, 2, 2, 1);
    let bytes = resident_bytes() - before;
    Line::new("memory", positions)
        .number("bytes_per_position", bytes / u64::from(positions))
        .number("mib", bytes >> 20)
        .number("target_bytes_per_position", (8 << 30) / 10_000_000)
        .print();
    let mut random = Random::new(4);
    let mut sum = 0;
    let mut samples = Samples::default();
    for _ in 0..1_000 {
        let lines: Vec<CheckLine> = (0..1_000)
            .map(|_| world.keys.check_line(&mut random))
            .collect();
        let start = Instant::now();
        for line in &lines {
            sum += world
                .state
                .check(line)
                .expect("keys are known")
                .available
                .get();
        }
        samples.add(start.elapsed(), lines.len());
    }
    std::hint::black_box(sum);
    Line::new("check_2_receipts_2_commitments", positions)
        .quantiles("ns", &samples)
        .print();
}

/// Time to write a snapshot to memory and to read it back.
fn snapshot(positions: u32) {
    let world = World::filled(positions, 2, 2, 1);
    let mut bytes = Vec::new();
    let start = Instant::now();
    world
        .state
        .write_snapshot(&mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })
        .expect("memory does not fail");
    let written = start.elapsed();
    let started = cpu_time();
    let start = Instant::now();
    let mut rest = bytes.as_slice();
    let mut input = |buffer: &mut [u8]| std::io::Read::read(&mut rest, buffer);
    let restored =
        State::read_snapshot(Settings::default(), &mut input, &mut || ()).expect("it is sound");
    let read = start.elapsed();
    let on_core = cpu_time() - started;
    assert_eq!(restored.position_count(), positions as usize);
    Line::new("snapshot", positions)
        .number("write_ms", written.as_millis() as u64)
        .number("read_ms", read.as_millis() as u64)
        .number("read_cpu_ms", on_core.as_millis() as u64)
        .number("mib", bytes.len() as u64 >> 20)
        .print();
}

/// A fixed amount of one kind of work, for a count of instructions; "nothing" does all but the work.
fn instructions(positions: u32, what: &str) {
    const TIMES: usize = 10_000;
    let mut world = World::filled(positions, 4, 8, 4);
    let mut random = Random::new(5);
    let lines: Vec<CheckLine> = (0..TIMES)
        .map(|_| world.keys.check_line(&mut random))
        .collect();
    let commands: Vec<Command> = (0..TIMES)
        .map(|_| world.keys.reserve(&mut random, 1))
        .collect();
    let now = world.keys.now;
    let mut sum = 0;
    match what {
        "check" => {
            for line in &lines {
                sum += world
                    .state
                    .check(line)
                    .expect("keys are known")
                    .available
                    .get();
            }
        }
        "reserve_confirm" => {
            for command in &commands {
                let answer = world.state.step(Meta::default(), command, now, &mut |_| {});
                let Ok(Answer {
                    reply:
                        Reply::Hold(HoldReply {
                            reservation: Some(id),
                            ..
                        }),
                    ..
                }) = answer
                else {
                    panic!("the stock is there: {answer:?}");
                };
                let confirm = Command::Confirm(id);
                let answer = world
                    .state
                    .step(Meta::default(), &confirm, now, &mut |_| {});
                sum += answer.expect("it was held").revision;
            }
        }
        "reserve" => {
            for command in &commands {
                let answer = world.state.step(Meta::default(), command, now, &mut |_| {});
                sum += answer.expect("it makes sense").revision;
            }
        }
        _ => {}
    }
    std::hint::black_box(sum);
}
