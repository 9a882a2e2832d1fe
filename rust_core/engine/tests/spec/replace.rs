//! `Replace`: another reservation in the place of an open one, in one step.

use bespeak_engine::*;

use crate::language::{specify, specify_with};

#[test]
fn one_step() {
    specify(
        "
== stock that the old one holds may be held by the new one
count 5 tea ams1
count 5 tea rot1
reserve 5 tea ams1 | 3 tea rot1 ; life=1h order=o1 customer=c1
at d0+10m
replace r1 4 tea ams1 | 4 tea rot1            -> held r2 until d0+1h: 4@ams1 d0+10m | 4@rot1 d0+10m
check 1 tea ams1                              -> yes, available 1 by supply
check 1 tea rot1                              -> yes, available 1 by supply
release r1                                    -> refused WRONG_STATE (finished)
release r2                                    -> released
check 5 tea ams1                              -> yes, available 5 by supply

== a hold under a stricter rule is replaced under it, and taken again under it
count 9 tea ams1
count 9 tea rot1
reserve 5 tea ams1 ; extra=4
replace r1 6 tea ams1                         -> refused: INSUFFICIENT_STOCK available 5
replace r1 5 tea rot1                         -> held r2 until d0+15m: 5@rot1 d0
at d0+15m
reserve 1 tea rot1
confirm r2                                    -> refused EXPIRED
release r3
confirm r2                                    -> confirmed reacquired

== a confirmed one is replaced by a confirmed one
count 5 tea ams1
count 5 tea rot1
reserve 5 tea ams1 ; confirm
replace r1 5 tea rot1                         -> confirmed r2: 5@rot1 d0
check 5 tea ams1                              -> yes, available 5 by supply
fulfil r2                                     -> fulfilled

== what does not fit leaves the old one as it was, and is no demand that was not met
count 5 tea ams1
count 2 tea rot1
reserve 5 tea ams1
replace r1 3 tea rot1                         -> refused: INSUFFICIENT_STOCK available 2
replace r1 6 tea ams1                         -> refused: INSUFFICIENT_STOCK available 5
replace r1 2 tea ams1 | 3 tea rot1            -> refused: OTHER_LINE | INSUFFICIENT_STOCK available 2
unmet                                         -> none
check 1 tea ams1                              -> no, available 0 by supply
confirm r1                                    -> confirmed

== only what is whole and open is replaced
count 9 tea ams1
reserve 2 tea ams1 ; confirm
fulfil r1 0:1
replace r1 2 tea ams1                         -> refused: WRONG_STATE
reserve 2 tea ams1
release r2 0:1
replace r2 1 tea ams1                         -> refused: WRONG_STATE
release r2
replace r2 1 tea ams1                         -> refused: WRONG_STATE
reserve 2 tea ams1 ; life=1m
at d0+2m
replace r3 2 tea ams1                         -> refused: EXPIRED
at d0+3h
replace r3 2 tea ams1                         -> refused: EXPIRED
replace r9 1 tea ams1                         -> error UNKNOWN_RESERVATION

== the same request gives the same answer
count 9 tea ams1
reserve 2 tea ams1
id=7 replace r1 3 tea ams1                    -> held r2 until d0+15m: 3@ams1 d0
id=7 replace r1 3 tea ams1                    -> again held r2 until d0+15m: 3@ams1 d0
id=7 replace r1 4 tea ams1                    -> error REQUEST_ID_REUSED
",
    );
}

#[test]
fn the_limit_of_a_customer_does_not_count_what_is_given_back() {
    let settings = Settings {
        max_held_units_per_customer: 5,
        ..Settings::default()
    };
    specify_with(
        settings,
        "
== four of five held are replaced by five, and not by six
count 9 tea ams1
reserve 4 tea ams1 ; customer=c1
replace r1 6 tea ams1                         -> refused: CUSTOMER_LIMIT
replace r1 5 tea ams1                         -> held r2 until d0+15m: 5@ams1 d0
reserve 1 tea ams1 ; customer=c1              -> refused: CUSTOMER_LIMIT
",
    );
}

#[test]
fn a_hold_that_is_moved_lives_no_longer() {
    let settings = Settings {
        max_hold_life_ms: 60 * 60 * 1_000,
        ..Settings::default()
    };
    specify_with(
        settings,
        "
== an hour from the first hold, however often it moves
count 9 tea ams1
count 9 tea rot1
reserve 2 tea ams1 ; life=30m
at d0+20m
replace r1 2 tea rot1                         -> held r2 until d0+30m: 2@rot1 d0+20m
extend r2 45m                                 -> refused HOLD_LIFE
extend r2 30m                                 -> held until d0+50m
at d0+40m
replace r2 2 tea ams1                         -> held r3 until d0+50m: 2@ams1 d0+40m
extend r3 21m                                 -> refused HOLD_LIFE
extend r3 20m                                 -> held until d0+1h
",
    );
}

#[test]
fn what_is_given_back_for_later_is_not_taken_before() {
    specify(
        "
== it counts from its ship time on
count 5 tea ams1
receipt po-1 5 tea ams1 due=d2
reserve 10 tea ams1 ship=d2
replace r1 5 tea ams1 | 5 tea ams1 ship=d2
    -> refused: INSUFFICIENT_STOCK available 0 earliest d2 | OTHER_LINE
replace r1 6 tea ams1 ship=d2 | 4 tea ams1 ship=d3 -> held r2 until d0+15m: 6@ams1 d2 | 4@ams1 d3
reserve 1 tea ams1 ship=d9                    -> refused: INSUFFICIENT_STOCK available 0
",
    );
}
