//! A reservation's life: extend, confirm, fulfil, release.

use bespeak_engine::*;

use crate::language::{World, specify};

#[test]
fn extend() {
    specify(
        "
== a hold lives so long from now
count 9 tea ams1
reserve 9 tea ams1 ; life=10m
at d0+5m
extend r1 10m                             -> held until d0+15m
at d0+14m59s999ms
check 9 tea ams1                          -> no, available 0 by supply
at d0+15m
check 9 tea ams1                          -> yes, available 9 by supply
extend r1 10m                             -> refused EXPIRED

== extending never shortens a hold
count 9 tea ams1
reserve 9 tea ams1 ; life=1h
extend r1 10m                             -> held until d0+1h
at d0+55m
extend r1 5m                              -> held until d0+1h
extend r1 5m1ms                           -> held until d0+1h1ms

== its whole life is limited to 7 days
count 9 tea ams1
reserve 9 tea ams1 ; life=1d
at d0+12h
extend r1 6d12h                           -> held until d7
extend r1 1h                              -> held until d7
extend r1 6d12h1ms                        -> refused HOLD_LIFE
extend r1 7d                              -> refused HOLD_LIFE
at d7-1ms
extend r1 1ms                             -> held until d7
extend r1 2ms                             -> refused HOLD_LIFE

== only a hold can be extended, whatever its life would be
count 9 tea ams1
reserve 3 tea ams1 ; confirm
reserve 3 tea ams1
release r2
extend r1 1m                              -> refused WRONG_STATE
extend r1 7d                              -> refused WRONG_STATE
extend r2 1m                              -> refused WRONG_STATE (finished)
extend r3 1m                              -> error UNKNOWN_RESERVATION
extend r1 0ms                             -> error INVALID_ARGUMENT expires_in_ms
extend r1 7d1ms                           -> error INVALID_ARGUMENT expires_in_ms
",
    );
}

#[test]
fn confirm() {
    specify(
        "
== a live hold is confirmed, not checked again
count 9 tea ams1
reserve 9 tea ams1
adjust -5 tea ams1 loss                   -> on hand 4 v2 shock s1
confirm r1                                -> confirmed
confirm r1                                -> refused WRONG_STATE
advance d9                                -> nothing

== after expiry the stock is taken again while it is there
count 9 tea ams1
reserve 9 tea ams1
at d0+15m
confirm r1                                -> confirmed reacquired
check 1 tea ams1                          -> no, available 0 by supply
reservation r1                            -> Confirmed d0+15m open 9 left 0 back 0

== after expiry another may have taken the stock
count 9 tea ams1
reserve 5 tea ams1
at d0+15m
reserve 5 tea ams1
confirm r1                                -> refused EXPIRED
release r2
confirm r1                                -> confirmed reacquired

== a hold under a stricter rule is taken again under it, confirmed at once it needs none
count 9 tea ams1
reserve 5 tea ams1 ; extra=4
at d0+15m
reserve 1 tea ams1
confirm r1                                -> refused EXPIRED
release r2
confirm r1                                -> confirmed reacquired
release r1
reserve 5 tea ams1 ; extra=4 confirm
check 4 tea ams1                          -> yes, available 4 by supply
reserve 3 tea ams1 ; extra=1

== all lines of an expired hold, or none
count 9 tea ams1
count 9 milk ams1
reserve 9 tea ams1 | 5 milk ams1 ship=d1
at d0+15m
reserve 5 milk ams1
confirm r1                                -> refused EXPIRED
check 9 tea ams1                          -> yes, available 9 by supply

== a ship time still to come is kept, one that has passed becomes now
count 9 tea ams1
reserve 4 tea ams1 | 5 tea ams1 ship=d1
at d0+15m
confirm r1                                -> confirmed reacquired
reservation r1                            -> Confirmed d0+15m open 4 left 0 back 0 | d1 open 5 left 0 back 0

== an expired hold can be taken again for an hour
count 9 tea ams1
reserve 3 tea ams1
reserve 4 tea ams1
at d0+1h15m-1ms
confirm r1                                -> confirmed reacquired
at d0+1h15m
confirm r2                                -> refused EXPIRED
advance                                   -> nothing

== a hold that ran out is known as expired for good, one that was fulfilled or released as finished
count 9 tea ams1
reserve 1 tea ams1
reserve 2 tea ams1 ; confirm
reserve 3 tea ams1
fulfil r2
release r3
advance d9                                -> expired r1 at d0+15m, forgotten r1 at d0+1h15m
extend r1 1m                              -> refused EXPIRED
confirm r1                                -> refused EXPIRED
fulfil r1                                 -> refused EXPIRED
release r1                                -> refused EXPIRED
extend r2 1m                              -> refused WRONG_STATE (finished)
confirm r2                                -> refused WRONG_STATE (finished)
fulfil r3                                 -> refused WRONG_STATE (finished)
release r3                                -> refused WRONG_STATE (finished)

== no reservation of this number was made
confirm r1                                -> error UNKNOWN_RESERVATION
confirm r0                                -> error UNKNOWN_RESERVATION
",
    );
}

#[test]
fn fulfil() {
    specify(
        "
== all that is open
count 9 tea ams1
reserve 5 tea ams1 ship=d2 | 2 tea ams1 ; confirm
fulfil r1                                 -> fulfilled
reservation r1                            -> finished
position tea ams1                         -> 2/0/0 v3 held 0 confirmed 0 receipts 0
check 2 tea ams1                          -> yes, available 2 by supply
fulfil r1                                 -> refused WRONG_STATE (finished)

== in parts
count 9 tea ams1
reserve 5 tea ams1 | 2 tea ams1 ; confirm
fulfil r1 0:3                             -> confirmed
reservation r1                            -> Confirmed d0 open 2 left 3 back 0 | d0 open 2 left 0 back 0
check 2 tea ams1                          -> yes, available 2 by supply
fulfil r1 0:2 1:2                         -> fulfilled

== from another location than planned
count 9 tea ams1
count 9 tea rot1
reserve 5 tea ams1 ; confirm
fulfil r1 0:5@rot1                        -> fulfilled
check 9 tea ams1                          -> yes, available 9 by supply
check 4 tea rot1                          -> yes, available 4 by supply

== from a location where nothing is known of the item: a fact is never refused for balance
count 9 tea ams1
reserve 5 tea ams1 ; confirm
fulfil r1 0:5@rot1                        -> fulfilled shock s1
position tea rot1                         -> -5/0/0 v1 held 0 confirmed 0 receipts 0
shocks                                    -> s1 Fulfilment tea@rot1 short 5 until never risks []

== more than is open
count 9 tea ams1
reserve 5 tea ams1 ; confirm
fulfil r1 0:6                             -> refused OVER_OPEN_QUANTITY
fulfil r1 0:3 0:3                         -> refused OVER_OPEN_QUANTITY
fulfil r1 0:3
fulfil r1 0:3                             -> refused OVER_OPEN_QUANTITY
fulfil r1 0:2                             -> fulfilled

== only what is confirmed; that goes before the quantity
count 9 tea ams1
reserve 5 tea ams1
fulfil r1 0:6                             -> refused WRONG_STATE
fulfil r1                                 -> refused WRONG_STATE
at d0+15m
fulfil r1 0:6                             -> refused EXPIRED

== what makes no sense
count 9 tea ams1
reserve 5 tea ams1 ; confirm
fulfil r2                                 -> error UNKNOWN_RESERVATION
fulfil r1 1:1                             -> error UNKNOWN_LINE
fulfil r1 0:0                             -> error INVALID_ARGUMENT quantity
fulfil r1 0:1@?9                          -> error UNKNOWN_LOCATION
fulfil r1 happened=now+1ms                -> error INVALID_ARGUMENT happened_at_ms
fulfil r1 happened=now-7d-1ms             -> error INVALID_ARGUMENT happened_at_ms
fulfil r1 happened=now-7d                 -> fulfilled

== what was promised for friday leaves today, and breaks a promise for tomorrow
count 5 tea ams1
receipt po-1 5 tea ams1 due=d3
reserve 5 tea ams1 ship=d4 ; confirm
reserve 5 tea ams1 ship=d1 ; confirm
fulfil r1                                 -> fulfilled shock s1
shocks                                    -> s1 Fulfilment tea@ams1 short 5 until d3 risks [r2:0 of 5]
",
    );
}

/// A reservation whose lines were split may have 1,024 of them, and each can be named.
#[test]
fn as_many_lines_as_a_reservation_has() {
    let mut world = World::new(Settings::default());
    world.say("count 9 tea ams1");
    world.say("reserve 9 tea ams1 ; confirm");
    let one = FulfilLine {
        line: 0,
        quantity: Units::new(1).expect("small"),
        location: None,
    };
    for (lines, field) in [(1_024, None), (1_025, Some("lines"))] {
        let fulfil = Command::Fulfil(Fulfil {
            reservation: ReservationId(1),
            lines: std::iter::repeat_n(one, lines).collect(),
            happened_at: None,
        });
        let release = Command::Release(Release {
            reservation: ReservationId(1),
            lines: std::iter::repeat_n((0, one.quantity), lines).collect(),
        });
        for command in [fulfil, release] {
            let answer = world.step(Meta::default(), &command);
            let refused = answer.as_ref().err().map(|error| match error {
                EngineError::InvalidArgument { field, .. } => *field,
                other => panic!("another error: {other}"),
            });
            assert_eq!(refused, field, "{lines} lines: {answer:?}");
        }
    }
    world.verify();
}

#[test]
fn release() {
    specify(
        "
== all of a hold, and of what is confirmed
count 9 tea ams1
reserve 5 tea ams1
reserve 4 tea ams1 ; confirm
release r1                                -> released
release r2                                -> released
check 9 tea ams1                          -> yes, available 9 by supply
release r1                                -> refused WRONG_STATE (finished)

== in parts
count 9 tea ams1
reserve 5 tea ams1 | 4 tea ams1
release r1 0:2                            -> held until d0+15m
release r1 0:3 1:3                        -> held until d0+15m
check 8 tea ams1                          -> yes, available 8 by supply
release r1 1:1                            -> released

== a reservation of which anything left is fulfilled, though the rest was given back
count 9 tea ams1
reserve 5 tea ams1 ; confirm
fulfil r1 0:1                             -> confirmed
release r1                                -> fulfilled
check 8 tea ams1                          -> yes, available 8 by supply

== more than is open, and holds that have run out
count 9 tea ams1
reserve 5 tea ams1
release r1 0:6                            -> refused OVER_OPEN_QUANTITY
release r1 0:5 0:1                        -> refused OVER_OPEN_QUANTITY
at d0+15m
release r1 0:6                            -> refused EXPIRED
release r1                                -> refused EXPIRED

== what makes no sense
count 9 tea ams1
reserve 5 tea ams1
release r2                                -> error UNKNOWN_RESERVATION
release r1 7:1                            -> error UNKNOWN_LINE
release r1 0:0                            -> error INVALID_ARGUMENT quantity
",
    );
}
