//! Demand that was not met, by position and day, told apart from retries.

use crate::language::specify;

#[test]
fn unmet_demand() {
    specify(
        "
== a refused line counts in full, a shortened one with what is missing
count 3 tea ams1
reserve 5 tea ams1                        -> refused: INSUFFICIENT_STOCK available 3
unmet                                     -> d0 tea@ams1: 5 in 1
reserve 5 tea ams1 ship=d1 ; partial
unmet                                     -> d0 tea@ams1: 5 in 1, d1 tea@ams1: 2 in 1

== a line that could be had is not unmet demand, nor is what is refused for another reason
count 3 tea ams1
rule ams1 horizon=2d
reserve 3 tea ams1 | 1 milk ams1          -> refused: OTHER_LINE | INSUFFICIENT_STOCK available 0
reserve 9 tea ams1 ship=d3                -> refused: BEYOND_HORIZON
unmet                                     -> d0 milk@ams1: 1 in 1

== a retry under the same order or request id is counted once
count 3 tea ams1
id=1 reserve 5 tea ams1
    -> refused: INSUFFICIENT_STOCK available 3
id=1 reserve 5 tea ams1
    -> refused: INSUFFICIENT_STOCK available 3
id=2 reserve 5 tea ams1 ; order=o-1 customer=ann
    -> refused: INSUFFICIENT_STOCK available 3
id=3 reserve 4 tea ams1 ; order=o-1 customer=ann
    -> refused: INSUFFICIENT_STOCK available 3
unmet                                     -> d0 tea@ams1: 10 in 2
reserve 5 tea ams1 ; order=o-1 customer=bob
    -> refused: INSUFFICIENT_STOCK available 3
reserve 5 tea ams1
    -> refused: INSUFFICIENT_STOCK available 3
reserve 5 tea ams1
    -> refused: INSUFFICIENT_STOCK available 3
unmet                                     -> d0 tea@ams1: 25 in 5

== a promise counts it at the first candidate
count 3 tea ams1
promise 5 tea from rot1 ams1              -> refused: INSUFFICIENT_STOCK available 3
unmet                                     -> d0 tea@rot1: 5 in 1

== days of the past are kept for a quarter
reserve 5 tea ams1                        -> refused: INSUFFICIENT_STOCK available 0
at d92
reserve 4 tea ams1                        -> refused: INSUFFICIENT_STOCK available 0
unmet                                     -> d0 tea@ams1: 5 in 1, d92 tea@ams1: 4 in 1
at d93
reserve 3 tea ams1                        -> refused: INSUFFICIENT_STOCK available 0
unmet                                     -> d92 tea@ams1: 4 in 1, d93 tea@ams1: 3 in 1
",
    );
}
