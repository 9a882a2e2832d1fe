//! `Promise`: choose locations, check and hold, in one step.

use crate::language::specify;

#[test]
fn sourcing_in_order() {
    specify(
        "
== the first location that has the whole line
count 5 tea ams1
count 8 tea rot1
promise 5 tea from ams1 rot1              -> held r1 until d0+15m: 5@ams1 d0
promise 6 tea from ams1 rot1              -> held r2 until d0+15m: 6@rot1 d0

== lines of one order are judged in turn
count 5 tea ams1
count 5 tea rot1
promise 5 tea | 5 tea from ams1 rot1      -> held r1 until d0+15m: 5@ams1 d0 | 5@rot1 d0

== up to the latest time a location further on in time will do
receipt po-1 9 tea ams1 due=d3
receipt po-2 9 tea rot1 due=d2
promise 5 tea from ams1 rot1              -> refused: INSUFFICIENT_STOCK available 0 earliest d2
promise 5 tea latest=d5 from ams1 rot1    -> held r1 until d0+15m: 5@ams1 d3

== what has the line on time goes before what has it later
receipt po-1 9 tea ams1 due=d3
count 9 tea rot1
promise 5 tea latest=d5 from ams1 rot1    -> held r1 until d0+15m: 5@rot1 d0

== a location named twice counts once
count 5 tea ams1
promise 8 tea from ams1 ams1 ; split=1    -> refused: INSUFFICIENT_STOCK available 5

== the locations of a region, in its order
count 5 tea rot1
count 5 tea utr1
promise 5 tea from region north           -> held r1 until d0+15m: 5@rot1 d0
promise 5 tea from region north           -> held r2 until d0+15m: 5@utr1 d0
promise 5 tea from region north           -> refused: INSUFFICIENT_STOCK available 0
",
    );
}

#[test]
fn sourcing_earliest() {
    specify(
        "
== the location that can ship the line earliest
receipt po-1 9 tea ams1 due=d3
receipt po-2 9 tea rot1 due=d2
promise 5 tea latest=d5 from ams1 rot1 ; earliest -> held r1 until d0+15m: 5@rot1 d2

== of equals the first
receipt po-1 9 tea ams1 due=d2
receipt po-2 9 tea rot1 due=d2
promise 5 tea latest=d5 from rot1 ams1 ; earliest -> held r1 until d0+15m: 5@rot1 d2

== not after the latest time
receipt po-1 9 tea ams1 due=d3
promise 5 tea latest=d3-1ms from ams1 ; earliest -> refused: INSUFFICIENT_STOCK available 0 earliest d3
promise 5 tea latest=d3 from ams1 ; earliest -> held r1 until d0+15m: 5@ams1 d3
",
    );
}

#[test]
fn sourcing_fewest_packages() {
    specify(
        "
== one location for the whole order, where there is one
count 5 tea ams1
count 5 tea rot1
count 5 milk rot1
promise 1 tea | 1 milk from ams1 rot1           -> held r1 until d0+15m: 1@ams1 d0 | 1@rot1 d0
promise 1 tea | 1 milk from ams1 rot1 ; fewest  -> held r2 until d0+15m: 1@rot1 d0 | 1@rot1 d0

== two where one cannot do it, the earlier named first
count 5 tea ams1
count 5 milk rot1
count 5 tea utr1
count 5 salt utr1
promise 1 tea | 1 milk | 1 salt from ams1 rot1 utr1 ; fewest
    -> held r1 until d0+15m: 1@utr1 d0 | 1@rot1 d0 | 1@utr1 d0

== a limit of packages is kept by any policy that can
count 5 tea ams1
count 5 tea rot1
count 5 milk rot1
promise 1 tea | 1 milk from ams1 rot1 ; packages=1 -> held r1 until d0+15m: 1@rot1 d0 | 1@rot1 d0
promise 1 tea | 1 milk | 1 salt from ams1 rot1 ; fewest
    -> refused: OTHER_LINE | OTHER_LINE | INSUFFICIENT_STOCK available 0
",
    );
}

#[test]
fn splits() {
    specify(
        "
== a line is never split unless that is allowed
count 5 tea ams1
count 8 tea rot1
promise 9 tea from ams1 rot1              -> refused: SPLIT_LIMIT available 8
promise 9 tea from ams1 rot1 ; split=1    -> held r1 until d0+15m: 5@ams1 d0 + 4@rot1 d0

== no part is smaller than the smallest allowed
count 5 tea ams1
count 8 tea rot1
promise 9 tea from ams1 rot1 ; split=5    -> refused: SPLIT_LIMIT available 13
promise 10 tea from ams1 rot1 ; split=5   -> held r1 until d0+15m: 5@ams1 d0 + 5@rot1 d0

== a part is made smaller so that the rest is large enough
count 8 tea ams1
count 8 tea rot1
promise 10 tea from ams1 rot1 ; split=4   -> held r1 until d0+15m: 6@ams1 d0 + 4@rot1 d0

== earlier parts are made smaller so that all of it can be had
count 4 tea ams1
count 3 tea rot1
count 3 tea utr1
promise 9 tea from ams1 rot1 utr1 ; split=3 -> held r1 until d0+15m: 3@ams1 d0 + 3@rot1 d0 + 3@utr1 d0
release r1
promise 10 tea from ams1 rot1 utr1 ; split=4 -> refused: SPLIT_LIMIT available 10
promise 7 tea from rot1 utr1 ams1 ; split=3 packages=2 -> held r2 until d0+15m: 3@rot1 d0 + 4@ams1 d0

== a small location first does not use up the packages
count 4 tea ams1
count 9 tea rot1
count 8 tea utr1
promise 17 tea from ams1 rot1 utr1 ; split=4 packages=2 -> held r1 until d0+15m: 9@rot1 d0 + 8@utr1 d0

== partial: as much as parts that are large enough can hold
count 8 tea ams1
promise 10 tea from ams1 rot1 ; split=4 partial
    -> partial held r1 until d0+15m: 8@ams1 d0 INSUFFICIENT_STOCK available 8
release r1
adjust -4 tea ams1 correction
count 4 tea rot1
promise 9 tea from ams1 rot1 ; split=4 partial
    -> partial held r2 until d0+15m: 4@ams1 d0 + 4@rot1 d0 INSUFFICIENT_STOCK available 8
release r2
count 9 tea rot1
promise 14 tea from ams1 rot1 ; split=4 partial packages=1
    -> partial held r3 until d0+15m: 9@rot1 d0 INSUFFICIENT_STOCK available 13

== no more packages than allowed, for the whole order
count 5 tea ams1
count 8 tea rot1
count 9 milk utr1
promise 9 tea from ams1 rot1 ; split=1 packages=1          -> refused: SPLIT_LIMIT available 13
promise 9 tea | 1 milk from ams1 rot1 utr1 ; split=1 packages=2 -> refused: OTHER_LINE | SPLIT_LIMIT available 9 earliest d0
promise 9 tea | 1 milk from ams1 rot1 utr1 ; split=1 packages=3
    -> held r1 until d0+15m: 5@ams1 d0 + 4@rot1 d0 | 1@utr1 d0
promise 1 tea from ams1 rot1 ; packages=0 -> refused: SPLIT_LIMIT available 4 earliest d0

== not there at all goes before split
count 5 tea ams1
count 2 tea rot1
promise 9 tea from ams1 rot1              -> refused: INSUFFICIENT_STOCK available 5
promise 9 tea from ams1 rot1 ; split=1    -> refused: INSUFFICIENT_STOCK available 7
",
    );
}

#[test]
fn fill_policies() {
    specify(
        "
== all or none over locations
count 5 tea ams1
count 1 milk rot1
promise 5 tea | 2 milk from ams1 rot1     -> refused: OTHER_LINE | INSUFFICIENT_STOCK available 1
promise 5 tea | 1 milk from ams1 rot1     -> held r1 until d0+15m: 5@ams1 d0 | 1@rot1 d0

== partial: the location with most, or all of them where splits are allowed
count 5 tea ams1
count 8 tea rot1
promise 9 tea from ams1 rot1 ; partial    -> partial held r1 until d0+15m: 8@rot1 d0 SPLIT_LIMIT available 8
release r1
promise 20 tea from ams1 rot1 ; partial   -> partial held r2 until d0+15m: 8@rot1 d0 INSUFFICIENT_STOCK available 8
release r2
promise 20 tea from ams1 rot1 ; partial split=1
    -> partial held r3 until d0+15m: 5@ams1 d0 + 8@rot1 d0 INSUFFICIENT_STOCK available 13
promise 1 tea from ams1 rot1 ; partial    -> refused: INSUFFICIENT_STOCK available 0

== ship complete: the first date that is good for all lines
count 5 tea ams1
receipt po-1 10 tea ams1 due=d3
count 9 milk rot1
promise 8 tea latest=d2 | 2 milk latest=d5 from ams1 rot1 ; complete
    -> refused: INSUFFICIENT_STOCK available 5 earliest d3 | OTHER_LINE
promise 8 tea latest=d5 | 2 milk latest=d5 from ams1 rot1 ; complete
    -> held r1 until d0+15m: 8@ams1 d3 | 2@rot1 d3

== ship complete: a latest time beyond the horizon does not hide the dates before it
count 5 tea ams1
receipt po-1 10 tea ams1 due=d3
rule ams1 horizon=5d
rule rot1 horizon=4d
promise 8 tea latest=d30 from ams1 rot1 ; complete -> held r1 until d0+15m: 8@ams1 d3

== ship complete: no line ships after its own latest time
count 1 milk ams1
receipt po-1 5 tea ams1 due=d4
promise 1 milk latest=d2 | 5 tea latest=d9 from ams1 ; complete
    -> refused: OTHER_LINE | INSUFFICIENT_STOCK available 0 earliest d4

== ship complete: a line that names no latest time goes with the order
count 9 milk ams1
receipt po-1 10 tea ams1 due=d3
promise 2 milk | 8 tea latest=d5 from ams1 ; complete
    -> held r1 until d0+15m: 2@ams1 d3 | 8@ams1 d3

== ship complete: a latest time is kept where it is the ship time itself
count 1 milk ams1
count 5 tea ams1
promise 1 milk ship=d1 latest=d1 | 5 tea ship=d2 latest=d5 from ams1 ; complete
    -> refused: INSUFFICIENT_STOCK available 1 earliest d2 | OTHER_LINE
promise 1 milk ship=d1 | 5 tea ship=d2 latest=d5 from ams1 ; complete
    -> held r1 until d0+15m: 1@ams1 d2 | 5@ams1 d2
",
    );
}

#[test]
fn times() {
    specify(
        "
== past
count 5 tea ams1
at d1
promise 1 tea ship=d0 from ams1           -> refused: SHIP_TIME_PAST
promise 1 tea ship=d0 latest=d5 from ams1 ; complete -> refused: SHIP_TIME_PAST

== beyond every horizon, and beyond one
count 5 tea ams1
count 5 tea rot1
rule ams1 horizon=1d
promise 1 tea ship=d2 from ams1           -> refused: BEYOND_HORIZON
promise 1 tea ship=d2 from ams1 rot1      -> held r1 until d0+15m: 1@rot1 d2
",
    );
}

#[test]
fn errors() {
    specify(
        "
== what makes no sense
count 9 tea ams1
promise 1 tea from                        -> error INVALID_ARGUMENT locations
promise 1 tea from ?9                     -> error UNKNOWN_LOCATION
promise 1 tea from region south           -> error UNKNOWN_REGION
promise 1 ?9 from ams1                    -> error UNKNOWN_ITEM
promise 0 tea from ams1                   -> error INVALID_ARGUMENT quantity
promise from ams1                         -> error INVALID_ARGUMENT lines
promise 1 tea latest=d0-1ms from ams1        -> error INVALID_ARGUMENT latest_ship_time_ms
promise 1 tea from ams1 ; statuses=blocked -> error LOOSER_RULE
promise 1 tea from ams1 ; life=8d         -> error INVALID_ARGUMENT expires_in_ms
stats                                     -> held 0 confirmed 0 shocks 0
",
    );
}
