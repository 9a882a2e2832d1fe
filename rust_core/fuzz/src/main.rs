//! Seeded fuzz targets for everything that decodes foreign bytes: requests, Flight words and tables, the journal.
//!
//! ```text
//! bespeak-fuzz --seconds 20                    # all targets, from a new seed
//! bespeak-fuzz --target records --seed 77      # one round again
//! bespeak-fuzz --target tables --seconds 600   # one target for long
//! ```
//!
//! A round is a world of its own and a row of inputs, all from one seed. What panics, or takes too long, prints target,
//! seed and input, and exits with 1.

mod flight;
mod journal;
mod mutate;
mod requests;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fastrand::Rng;

/// Longest time for one input. Anything near it is a hole for a hostile caller.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an input that are printed.
const SHOWN: usize = 4_096;

/// Runs a round; tells `note` each input before it is used.
type Target = fn(rng: &mut Rng, note: &mut dyn FnMut(&str, &[u8]));

const TARGETS: [(&str, Target); 8] = [
    ("requests", requests::round),
    ("words", flight::words),
    ("tables", flight::tables),
    ("segments", journal::segments),
    ("records", journal::records),
    ("snapshots", journal::snapshots),
    ("indexes", journal::indexes),
    ("manifests", journal::manifests),
];

/// What the last panic said, on whichever thread.
static PANIC: Mutex<String> = Mutex::new(String::new());

thread_local! {
    static LAST: RefCell<(String, Vec<u8>, Option<Instant>)> = const { RefCell::new((String::new(), Vec::new(), None)) };
}

/// Keeps what a panic says to itself until it is known to matter: the decoder of tables may panic, and is stopped at.
fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| *said() = panic.to_string()));
}

fn said() -> MutexGuard<'static, String> {
    PANIC.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Remembers the input in use, and looks at the time that the one before took.
fn note(what: &str, input: &[u8]) {
    LAST.with_borrow_mut(|(last, bytes, since)| {
        let took = since.map_or(Duration::ZERO, |since| since.elapsed());
        assert!(took < PATIENCE, "the input took {took:?}");
        what.clone_into(last);
        input.clone_into(bytes);
        *since = Some(Instant::now());
    });
}

/// One round; false when it found something.
fn round(name: &str, target: Target, seed: u64) -> bool {
    LAST.with_borrow_mut(|(.., since)| *since = None);
    let done = catch_unwind(AssertUnwindSafe(|| {
        target(&mut Rng::with_seed(seed), &mut note);
        note("", &[]);
    }));
    if done.is_ok() {
        return true;
    }
    eprintln!("{}", std::mem::take(&mut *said()));
    LAST.with_borrow(|(what, input, _)| {
        let shown: String = input
            .iter()
            .take(SHOWN)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        eprintln!(
            "target {name} fails on {what}, {} bytes: {shown}",
            input.len()
        );
    });
    eprintln!("again: bespeak-fuzz --target {name} --seed {seed}");
    false
}

struct Options {
    target: Option<String>,
    seconds: u64,
    seed: Option<u64>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        target: None,
        seconds: 20,
        seed: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} needs a value"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{name} is {value}, it must be a number"))
        };
        match name.as_str() {
            "--target" => options.target = Some(value),
            "--seconds" => options.seconds = number()?,
            "--seed" => options.seed = Some(number()?),
            _ => {
                return Err(format!(
                    "{name} is not known: use --target, --seconds or --seed"
                ));
            }
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::from(2);
        }
    };
    let chosen = |name: &str| options.target.as_deref().is_none_or(|only| only == name);
    let targets: Vec<_> = TARGETS
        .into_iter()
        .filter(|(name, _)| chosen(name))
        .collect();
    if targets.is_empty() {
        let names = TARGETS.map(|(name, _)| name).join(", ");
        eprintln!("no such target: use one of {names}");
        return ExitCode::from(2);
    }
    keep_panics();
    let first = options
        .seed
        .unwrap_or_else(|| fastrand::u64(..u64::MAX >> 16));
    let each = Duration::from_secs(options.seconds) / targets.len() as u32;
    for (name, target) in targets {
        let started = Instant::now();
        let mut seed = first;
        loop {
            if !round(name, target, seed) {
                return ExitCode::FAILURE;
            }
            seed += 1;
            if options.seed.is_some() || started.elapsed() >= each {
                break;
            }
        }
        println!("{name}: {} rounds from seed {first} hold", seed - first);
    }
    ExitCode::SUCCESS
}
