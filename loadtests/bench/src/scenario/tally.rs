//! What a step measured. An operation belongs to the measured time when it was due in it, whenever it ended.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::arrivals::Op;
use super::samples::{Names, Sample, Samples};
use super::spec::Step;
use crate::latency::{self, Latency, histogram};

/// Points of a timeline at most, and how far apart they are at least.
const POINTS_MAX: f64 = 120.0;
const POINT_S_MIN: f64 = 0.25;
const CURVE: [f64; 17] = [
    0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999,
    0.99999, 1.0,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// An answer all the same: there was not enough stock, or a hold had expired.
    Refused,
    /// Not answered, or with this gRPC code.
    Failed(&'static str),
}

struct Counts {
    /// From when a call was due.
    latency: Histogram<u32>,
    /// From when the generator was able to begin it.
    begun: Histogram<u32>,
    /// What lies between the two: how late the generator itself was.
    lag: Histogram<u32>,
    calls: u64,
    refused: u64,
    failed: BTreeMap<&'static str, u64>,
    /// Answered before the measured time was over.
    in_time: u64,
    /// Answers by who made them, where they say.
    made_by: BTreeMap<String, u64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            latency: histogram(),
            begun: histogram(),
            lag: histogram(),
            calls: 0,
            refused: 0,
            failed: BTreeMap::new(),
            in_time: 0,
            made_by: BTreeMap::new(),
        }
    }
}

/// A call that a worker has taken up.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    pub op: Op,
    pub intended: Instant,
    /// When the generator was able to begin it.
    pub able: Instant,
}

impl Begun {
    /// The generator was not late.
    pub fn on_time(op: Op, intended: Instant) -> Self {
        Self {
            op,
            intended,
            able: intended,
        }
    }
}

struct Point {
    latency: Histogram<u32>,
    due: u64,
    failed: u64,
}

pub struct Tally {
    begin: Instant,
    measured: Duration,
    point: Duration,
    counts: BTreeMap<&'static str, Counts>,
    points: Vec<Point>,
    /// Begun and not ended, by place.
    running: Vec<Option<Begun>>,
    free: Vec<usize>,
    samples: Option<Samples>,
    /// What the numbers in the samples stand for.
    pub codes: Names,
    pub makers: Names,
}

/// One method's, or all.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    pub calls: u64,
    pub refused: u64,
    /// Calls without a good answer, by gRPC code; `Unanswered` and `ConnectionLost` are no codes.
    pub failed: BTreeMap<&'static str, u64>,
    pub failed_share: f64,
    /// Answers by who made them, where they say.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub made_by: BTreeMap<String, u64>,
    /// Of calls that were answered, refusals included, and of those that never were. Left out when the generator could
    /// not keep up.
    pub latency: Option<Latency>,
    /// Of the same calls, from when the generator was able to begin them: without what it was late by itself.
    pub begun: Option<Latency>,
    /// How late it was.
    pub lag: Latency,
    /// Quantiles and microseconds.
    pub curve: Vec<(f64, f64)>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Moment {
    /// From the beginning of the measured time.
    pub at_s: f64,
    pub calls: u64,
    pub failed: u64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
}

impl Tally {
    pub fn new(step: &Step) -> Self {
        let point = (step.measure_s / POINTS_MAX).max(POINT_S_MIN);
        let points = (step.measure_s / point).ceil() as usize;
        let new = || Point {
            latency: Histogram::new_with_bounds(1_000, 60_000_000_000, 2).expect("valid constants"),
            due: 0,
            failed: 0,
        };
        Self {
            // Set when the measured time is known.
            begin: Instant::now(),
            measured: step.measure(),
            point: Duration::from_secs_f64(point),
            counts: BTreeMap::new(),
            points: (0..points.max(1)).map(|_| new()).collect(),
            running: Vec::new(),
            free: Vec::new(),
            samples: step.samples.is_some().then(Samples::default),
            codes: Names::default(),
            makers: Names::default(),
        }
    }

    /// The measured time begins then.
    pub fn begins(&mut self, begin: Instant) {
        self.begin = begin;
    }

    /// The measured time is over before it was meant to be.
    pub fn ends(&mut self, end: Instant) {
        self.measured = self.measured.min(end.saturating_duration_since(self.begin));
    }

    fn measured(&self, intended: Instant) -> bool {
        intended >= self.begin && intended < self.begin + self.measured
    }

    /// Notes what a worker has begun, and how late the generator was able to begin it.
    pub fn started(&mut self, begun: Begun) -> usize {
        if self.measured(begun.intended) {
            let counts = self.counts.entry(begun.op.name()).or_default();
            latency::record(&mut counts.lag, begun.able - begun.intended);
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.running.push(None);
            self.running.len() - 1
        });
        self.running[place] = Some(begun);
        place
    }

    pub fn done(&mut self, place: usize) {
        self.running[place] = None;
        self.free.push(place);
    }

    /// What was begun and never ended has failed now. Tells whether any of it was a write.
    pub fn unanswered(&mut self, now: Instant) -> bool {
        let mut writes = false;
        for begun in std::mem::take(&mut self.running).into_iter().flatten() {
            self.ended(begun, now, Outcome::Failed("Unanswered"), None);
            writes |= begun.op.writes();
        }
        writes
    }

    pub fn ended(&mut self, begun: Begun, now: Instant, outcome: Outcome, by: Option<&str>) {
        let Begun { op, intended, able } = begun;
        if !self.measured(intended) {
            return;
        }
        let took = now - intended;
        if let Some(samples) = &mut self.samples {
            samples.push(Sample {
                due_ns: (intended - self.begin).as_nanos() as u64,
                took_ns: took.as_nanos() as u64,
                op: op as u8,
                outcome: match outcome {
                    Outcome::Done => 0,
                    Outcome::Refused => 1,
                    Outcome::Failed(code) => self.codes.number(code).saturating_add(2),
                },
                by: by.map_or(0, |by| self.makers.number(by).saturating_add(1)),
            });
        }
        let in_time = now < self.begin + self.measured;
        let last = self.points.len() - 1;
        let index = ((intended - self.begin).as_nanos() / self.point.as_nanos()) as usize;
        let point = &mut self.points[index.min(last)];
        let counts = self.counts.entry(op.name()).or_default();
        counts.calls += 1;
        if let Some(by) = by {
            *counts.made_by.entry(by.to_owned()).or_default() += 1;
        }
        point.due += 1;
        let counted = match outcome {
            Outcome::Done => true,
            Outcome::Refused => {
                counts.refused += 1;
                true
            }
            Outcome::Failed(code) => {
                *counts.failed.entry(code).or_default() += 1;
                point.failed += 1;
                // An error that comes fast must not make the service look fast.
                code == "Unanswered"
            }
        };
        if counted {
            latency::record(&mut counts.latency, took);
            latency::record(&mut counts.begun, now - able);
            latency::record(&mut point.latency, took);
        }
        counts.in_time += u64::from(in_time && !matches!(outcome, Outcome::Failed(_)));
    }

    /// Every call by itself, where they were asked for.
    pub fn samples(&self) -> Option<&Samples> {
        self.samples.as_ref()
    }

    /// How late the generator was, with all methods.
    pub fn lag(&self) -> Histogram<u32> {
        self.all(|counts| &counts.lag)
    }

    /// All methods together.
    pub fn latency(&self) -> Histogram<u32> {
        self.all(|counts| &counts.latency)
    }

    fn all(&self, of: impl Fn(&Counts) -> &Histogram<u32>) -> Histogram<u32> {
        let mut all = histogram();
        for counts in self.counts.values() {
            all.add(of(counts))
                .expect("histograms have the same bounds");
        }
        all
    }

    pub fn calls(&self) -> u64 {
        self.counts.values().map(|counts| counts.calls).sum()
    }

    /// Calls answered within the measured time, by those that were due in it.
    pub fn achieved_share(&self) -> f64 {
        let in_time: u64 = self.counts.values().map(|counts| counts.in_time).sum();
        in_time as f64 / self.calls().max(1) as f64
    }

    /// One summary a method, and one of all. Latencies only when they can be believed.
    pub fn summaries(&self, believed: bool) -> BTreeMap<&'static str, Summary> {
        let mut found: BTreeMap<&'static str, Summary> = self
            .counts
            .iter()
            .map(|(name, counts)| (*name, summary(counts, believed)))
            .collect();
        let mut all = Counts {
            latency: self.latency(),
            begun: self.all(|counts| &counts.begun),
            lag: self.lag(),
            calls: self.calls(),
            ..Counts::default()
        };
        for counts in self.counts.values() {
            all.refused += counts.refused;
            for (code, count) in &counts.failed {
                *all.failed.entry(code).or_default() += count;
            }
        }
        found.insert("all", summary(&all, believed));
        found
    }

    pub fn timeline(&self) -> Vec<Moment> {
        let moment = |(index, point): (usize, &Point)| {
            let latency = Latency::from(&point.latency);
            Moment {
                at_s: index as f64 * self.point.as_secs_f64(),
                calls: point.due,
                failed: point.failed,
                p50_us: latency.p50_us,
                p99_us: latency.p99_us,
                max_us: latency.max_us,
            }
        };
        self.points.iter().enumerate().map(moment).collect()
    }
}

fn summary(counts: &Counts, believed: bool) -> Summary {
    let us = |q: f64| (q, counts.latency.value_at_quantile(q) as f64 / 1_000.0);
    let told = believed && !counts.latency.is_empty();
    let failed = counts.failed.values().sum::<u64>();
    Summary {
        calls: counts.calls,
        refused: counts.refused,
        failed_share: failed as f64 / counts.calls.max(1) as f64,
        failed: counts.failed.clone(),
        made_by: counts.made_by.clone(),
        latency: told.then(|| Latency::from(&counts.latency)),
        begun: told.then(|| Latency::from(&counts.begun)),
        lag: Latency::from(&counts.lag),
        curve: if told {
            CURVE.map(us).into()
        } else {
            Vec::new()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(begin: Instant) -> Tally {
        let step = r#"{"name": "s", "mix": {"check": 1}, "rate": 10, "measure_s": 2}"#;
        let mut tally = Tally::new(&serde_json::from_str(step).unwrap());
        tally.begins(begin);
        tally
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn only_what_was_due_in_the_measured_time_counts_whenever_it_ended() {
        let begin = Instant::now() + 10 * MS;
        let mut tally = tally(begin);
        tally.ended(
            Begun::on_time(Op::Check, begin - MS),
            begin + MS,
            Outcome::Done,
            None,
        );
        tally.ended(
            Begun::on_time(Op::Check, begin),
            begin + 5 * MS,
            Outcome::Done,
            None,
        );
        tally.ended(
            Begun::on_time(Op::Check, begin + 1_999 * MS),
            begin + 3_999 * MS,
            Outcome::Done,
            None,
        );
        tally.ended(
            Begun::on_time(Op::Check, begin + 2_000 * MS),
            begin + 2_001 * MS,
            Outcome::Done,
            None,
        );
        let all = &tally.summaries(true)["all"];
        assert_eq!(all.calls, 2);
        assert!((all.latency.unwrap().max_us - 2e6).abs() < 2e3);
        assert_eq!(tally.achieved_share(), 0.5, "the late one was not in time");
    }

    #[test]
    fn errors_are_counted_by_code_and_their_speed_is_not() {
        let begin = Instant::now();
        let mut tally = tally(begin);
        for _ in 0..9 {
            tally.ended(
                Begun::on_time(Op::Reserve, begin),
                begin + 10 * MS,
                Outcome::Refused,
                None,
            );
        }
        tally.ended(
            Begun::on_time(Op::Reserve, begin),
            begin + MS / 10,
            Outcome::Failed("Unavailable"),
            None,
        );
        let found = &tally.summaries(true)["reserve"];
        assert_eq!(
            (found.calls, found.refused, found.failed["Unavailable"]),
            (10, 9, 1)
        );
        assert_eq!(found.failed_share, 0.1);
        assert!(found.latency.unwrap().p50_us > 9_900.0);
        assert!(found.curve[0].1 > 9_900.0);
        assert_eq!(tally.timeline()[0].failed, 1);
    }

    #[test]
    fn what_is_never_answered_has_waited_all_the_time() {
        let begin = Instant::now();
        let mut tally = tally(begin);
        let place = tally.started(Begun::on_time(Op::Check, begin));
        tally.started(Begun::on_time(Op::Check, begin + MS));
        tally.ended(
            Begun::on_time(Op::Check, begin),
            begin + MS,
            Outcome::Done,
            None,
        );
        tally.done(place);
        tally.unanswered(begin + 20_000 * MS);
        let all = &tally.summaries(true)["all"];
        assert_eq!((all.calls, all.failed["Unanswered"]), (2, 1));
        assert!(all.latency.unwrap().max_us > 19e6);
        assert_eq!(tally.achieved_share(), 0.5);
    }

    #[test]
    fn no_latency_is_told_that_is_not_believed() {
        let begin = Instant::now();
        let mut tally = tally(begin);
        tally.ended(
            Begun::on_time(Op::Check, begin),
            begin + MS,
            Outcome::Done,
            None,
        );
        let all = &tally.summaries(false)["all"];
        assert!(all.latency.is_none() && all.curve.is_empty());
        assert_eq!(all.calls, 1);
    }

    #[test]
    fn what_the_generator_was_late_is_told_by_itself() {
        let begin = Instant::now();
        let mut tally = tally(begin);
        for (op, late) in [(Op::Check, 0), (Op::Check, 3), (Op::Reserve, 7)] {
            let begun = Begun {
                op,
                intended: begin,
                able: begin + late * MS,
            };
            let place = tally.started(begun);
            tally.ended(begun, begin + 10 * MS, Outcome::Done, None);
            tally.done(place);
        }
        let found = tally.summaries(true);
        let near = |us: f64, ms: f64| (us / 1_000.0 - ms).abs() < 0.02;
        for (method, late, begun) in [
            ("check", 3.0, 10.0),
            ("reserve", 7.0, 3.0),
            ("all", 7.0, 10.0),
        ] {
            let told = &found[method];
            assert!(near(told.latency.unwrap().max_us, 10.0), "{method}");
            assert!(near(told.begun.unwrap().max_us, begun), "{method}");
            assert!(near(told.lag.max_us, late), "{method}");
        }
        assert!(near(Latency::from(&tally.lag()).p50_us, 3.0));
    }
}
