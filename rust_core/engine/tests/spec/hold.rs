//! `Reserve`: check and hold at given locations.

use bespeak_engine::*;

use crate::language::{World, specify, specify_with};

#[test]
fn look_ahead() {
    specify(
        "
== the worked example: what is promised at t breaks no promise already made
count 20 tea ams1
receipt po-1 10 tea ams1 due=d3
reserve 3 tea ams1 ship=d1 ; confirm
reserve 15 tea ams1 ship=d4 ; confirm
receipt po-2 1 tea ams1 due=d5
receipt po-3 3 tea ams1 due=d6
staircase tea ams1 from=d1      -> d1 12, d5 13, d6 16
check 12 tea ams1 ship=d1       -> yes, available 12 by a commitment of d4
check 13 tea ams1 ship=d1       -> no, available 12 earliest d5 by a commitment of d4
reserve 13 tea ams1 ship=d1     -> refused: INSUFFICIENT_STOCK available 12 earliest d5
reserve 12 tea ams1 ship=d1     -> held r3 until d0+15m: 12@ams1 d1

== a receipt and a shipment of the same instant: both count
receipt po-1 10 tea ams1 due=d3
reserve 10 tea ams1 ship=d3-1ms -> refused: INSUFFICIENT_STOCK available 0 earliest d3
reserve 10 tea ams1 ship=d3     -> held r1 until d0+15m: 10@ams1 d3

== a promise for later does not take what is shipped before a receipt replaces it
count 5 tea ams1
receipt po-1 5 tea ams1 due=d2
reserve 5 tea ams1 ship=d2      -> held r1 until d0+15m: 5@ams1 d2
reserve 5 tea ams1              -> held r2 until d0+15m: 5@ams1 d0
reserve 1 tea ams1 ship=d9      -> refused: INSUFFICIENT_STOCK available 0
",
    );
}

#[test]
fn fill_policies() {
    specify(
        "
== all or none
count 5 tea ams1
count 2 milk ams1
reserve 5 tea ams1 | 3 milk ams1 -> refused: OTHER_LINE | INSUFFICIENT_STOCK available 2
reserve 5 tea ams1 | 2 milk ams1 -> held r1 until d0+15m: 5@ams1 d0 | 2@ams1 d0

== partial: each line takes what there is
count 5 tea ams1
count 2 milk ams1
reserve 5 tea ams1 | 3 milk ams1 ; partial
    -> partial held r1 until d0+15m: 5@ams1 d0 | 2@ams1 d0 INSUFFICIENT_STOCK available 2
reserve 1 tea ams1 | 1 milk ams1 ; partial
    -> refused: INSUFFICIENT_STOCK available 0 | INSUFFICIENT_STOCK available 0

== partial: a line without any is refused, the others are held
count 5 tea ams1
reserve 1 salt ams1 | 3 tea ams1 ; partial
    -> partial held r1 until d0+15m: INSUFFICIENT_STOCK available 0 | 3@ams1 d0

== ship complete: one date for the order, the first that is good for all lines
count 5 tea ams1
receipt po-1 10 tea ams1 due=d3
count 9 milk ams1
reserve 8 tea ams1 latest=d2 | 2 milk ams1 latest=d5 ; complete
    -> refused: INSUFFICIENT_STOCK available 5 earliest d3 | OTHER_LINE
reserve 2 milk ams1 latest=d5 | 8 tea ams1 latest=d5 ; complete
    -> held r1 until d0+15m: 2@ams1 d3 | 8@ams1 d3

== ship complete: the date is never before the last line's wanted time
count 5 tea ams1
count 5 milk ams1
reserve 1 tea ams1 ship=d1 latest=d5 | 1 milk ams1 ship=d2 latest=d5 ; complete
    -> held r1 until d0+15m: 1@ams1 d2 | 1@ams1 d2

== ship complete: no line ships after its own latest time
count 5 tea ams1
count 5 milk ams1
receipt po-1 5 tea ams1 due=d4
reserve 1 milk ams1 latest=d2 | 8 tea ams1 latest=d9 ; complete
    -> refused: OTHER_LINE | INSUFFICIENT_STOCK available 5 earliest d4

== ship complete: a line that names no latest time goes with the order
count 9 milk ams1
receipt po-1 10 tea ams1 due=d3
reserve 2 milk ams1 | 8 tea ams1 ; complete
    -> refused: OTHER_LINE | INSUFFICIENT_STOCK available 0 earliest d3
reserve 2 milk ams1 latest=d2 | 8 tea ams1 ; complete
    -> refused: OTHER_LINE | INSUFFICIENT_STOCK available 0 earliest d3
reserve 2 milk ams1 | 8 tea ams1 latest=d5 ; complete
    -> held r1 until d0+15m: 2@ams1 d3 | 8@ams1 d3

== ship complete: no line ships beyond the horizon of its position
count 5 milk ams1
receipt po-1 5 tea ams1 due=d3
rule milk@ams1 horizon=2d
reserve 5 tea ams1 latest=d9 | 1 milk ams1 latest=d9 ; complete
    -> refused: OTHER_LINE | BEYOND_HORIZON
",
    );
}

#[test]
fn lines_are_judged_in_turn() {
    specify(
        "
== two lines of one position share its stock
count 5 tea ams1
reserve 3 tea ams1 | 3 tea ams1           -> refused: OTHER_LINE | INSUFFICIENT_STOCK available 2
reserve 3 tea ams1 | 3 tea ams1 ; partial
    -> partial held r1 until d0+15m: 3@ams1 d0 | 2@ams1 d0 INSUFFICIENT_STOCK available 2

== two lines of one position on different days
count 5 tea ams1
receipt po-1 5 tea ams1 due=d2
reserve 5 tea ams1 ship=d2 | 5 tea ams1 | 1 tea ams1 ship=d2
    -> refused: OTHER_LINE | OTHER_LINE | INSUFFICIENT_STOCK available 0
reserve 5 tea ams1 ship=d2 | 5 tea ams1   -> held r1 until d0+15m: 5@ams1 d2 | 5@ams1 d0

== two lines of one position in one delivery
count 5 tea ams1
receipt po-1 5 tea ams1 due=d2
reserve 4 tea ams1 latest=d5 | 4 tea ams1 latest=d5 ; complete
    -> held r1 until d0+15m: 4@ams1 d2 | 4@ams1 d2

== lines at several locations are taken together or not at all
count 5 tea ams1
count 5 tea rot1
reserve 5 tea ams1 | 6 tea rot1           -> refused: OTHER_LINE | INSUFFICIENT_STOCK available 5
check 5 tea ams1                          -> yes, available 5 by supply
reserve 5 tea ams1 | 5 tea rot1           -> held r1 until d0+15m: 5@ams1 d0 | 5@rot1 d0
check 1 tea ams1                          -> no, available 0 by supply
check 1 tea rot1                          -> no, available 0 by supply
",
    );
}

#[test]
fn expiry_is_exact() {
    specify(
        "
== a hold lives until the millisecond before it expires
count 10 tea ams1
reserve 10 tea ams1 ; life=10m            -> held r1 until d0+10m: 10@ams1 d0
at d0+9m59s999ms
check 1 tea ams1                          -> no, available 0 by supply
reserve 1 tea ams1                        -> refused: INSUFFICIENT_STOCK available 0
reservation r1                            -> Held d0 open 10 left 0 back 0
at d0+10m
reserve 10 tea ams1                       -> held r2 until d0+25m: 10@ams1 d0+10m
reservation r1                            -> Expired d0 open 10 left 0 back 0

== a read at the time of expiry sees the stock free
count 10 tea ams1
reserve 10 tea ams1 ; life=1ms            -> held r1 until d0+1ms: 10@ams1 d0
check 10 tea ams1                         -> no, available 0 by supply
at d0+1ms
check 10 tea ams1                         -> yes, available 10 by supply

== holds expire in order of time and then of id
count 9 tea ams1
reserve 1 tea ams1 ; life=2m
reserve 1 tea ams1 ; life=1m
reserve 1 tea ams1 ; life=1m
advance d0+5m -> expired r2 at d0+1m, expired r3 at d0+1m, expired r1 at d0+2m

== life of a hold: 15 minutes unless it is said, at most 7 days
count 9 tea ams1
reserve 1 tea ams1                        -> held r1 until d0+15m: 1@ams1 d0
reserve 1 tea ams1 ; life=7d              -> held r2 until d7: 1@ams1 d0
reserve 1 tea ams1 ; life=7d1ms           -> error INVALID_ARGUMENT expires_in_ms
reserve 1 tea ams1 ; life=0ms             -> error INVALID_ARGUMENT expires_in_ms
reserve 1 tea ams1 ; life=-1ms            -> error INVALID_ARGUMENT expires_in_ms

== confirmed in the same step, it has no end
count 9 tea ams1
reserve 9 tea ams1 ; confirm              -> confirmed r1: 9@ams1 d0
advance d30                               -> nothing
check 1 tea ams1                          -> no, available 0 by supply
",
    );
}

#[test]
fn refusals_in_precedence() {
    let settings = Settings {
        max_held_units_per_customer: 10,
        ..Settings::default()
    };
    specify_with(
        settings,
        "
== a ship time before the engine's time
count 9 tea ams1
at d1
reserve 1 tea ams1 ship=d1-1ms            -> refused: SHIP_TIME_PAST
reserve 1 tea ams1 ship=d1                -> held r1 until d1+15m: 1@ams1 d1

== a ship time beyond the horizon
count 9 tea ams1
rule ams1 horizon=1d
reserve 1 tea ams1 ship=d1+1ms            -> refused: BEYOND_HORIZON
reserve 1 tea ams1 ship=d1                -> held r1 until d0+15m: 1@ams1 d1

== the earliest time that is offered lies within the horizon
receipt po-1 5 tea ams1 due=d3
rule ams1 horizon=2d
reserve 1 tea ams1                        -> refused: INSUFFICIENT_STOCK available 0
rule ams1 horizon=3d
reserve 1 tea ams1                        -> refused: INSUFFICIENT_STOCK available 0 earliest d3

== units that a customer holds: at most 10 here, confirmed ones and other customers' apart
count 99 tea ams1
reserve 6 tea ams1 ; customer=ann         -> held r1 until d0+15m: 6@ams1 d0
reserve 5 tea ams1 ; customer=ann         -> refused: CUSTOMER_LIMIT
reserve 5 tea ams1 ; customer=bob         -> held r2 until d0+15m: 5@ams1 d0
reserve 11 tea ams1                       -> held r3 until d0+15m: 11@ams1 d0
reserve 4 tea ams1 ; customer=ann         -> held r4 until d0+15m: 4@ams1 d0
reserve 1 tea ams1 ; customer=ann         -> refused: CUSTOMER_LIMIT
reserve 11 tea ams1 ; customer=ann confirm -> confirmed r5: 11@ams1 d0
confirm r1                                -> confirmed
reserve 6 tea ams1 ; customer=ann         -> held r6 until d0+15m: 6@ams1 d0
release r6 0:2                            -> held until d0+15m
reserve 2 tea ams1 ; customer=ann         -> held r7 until d0+15m: 2@ams1 d0
at d0+15m
reserve 10 tea ams1 ; customer=ann        -> held r8 until d0+30m: 10@ams1 d0+15m

== a customer's limit judges what a partial order would really hold
count 3 tea ams1
reserve 12 tea ams1 ; customer=ann partial
    -> partial held r1 until d0+15m: 3@ams1 d0 INSUFFICIENT_STOCK available 3

== past before horizon, customer, stock and other line
count 1 tea ams1
at d1
reserve 11 tea ams1 ship=d0 | 1 tea ams1 ; customer=ann
    -> refused: SHIP_TIME_PAST | CUSTOMER_LIMIT

== horizon before customer and stock
count 1 tea ams1
rule ams1 horizon=1d
reserve 11 tea ams1 ship=d2 | 1 tea ams1 ; customer=ann
    -> refused: BEYOND_HORIZON | CUSTOMER_LIMIT

== customer before stock and other line
count 1 tea ams1
reserve 11 tea ams1 | 1 tea ams1 ; customer=ann
    -> refused: CUSTOMER_LIMIT | CUSTOMER_LIMIT

== stock before other line
count 1 tea ams1
reserve 2 tea ams1 | 1 tea ams1
    -> refused: INSUFFICIENT_STOCK available 1 | OTHER_LINE
",
    );
}

#[test]
fn stricter_rules() {
    specify(
        "
== stock on hand only
count 2 tea ams1
receipt po-1 10 tea ams1 due=d1
reserve 5 tea ams1 ship=d2 ; on_hand_only -> refused: INSUFFICIENT_STOCK available 2
reserve 5 tea ams1 ship=d2                -> held r1 until d0+15m: 5@ams1 d2

== stock on hand only still keeps the promises already made
count 2 tea ams1
receipt po-1 10 tea ams1 due=d1
reserve 12 tea ams1 ship=d2 ; confirm
reserve 1 tea ams1 ; on_hand_only         -> refused: INSUFFICIENT_STOCK available 0

== more kept back than the buffer
count 10 tea ams1
buffer 2 tea ams1
reserve 8 tea ams1 ; extra=3              -> refused: INSUFFICIENT_STOCK available 5
reserve 5 tea ams1 ; extra=3              -> held r1 until d0+15m: 5@ams1 d0

== fewer kinds of receipt
receipt po-1 4 tea ams1 due=d1
receipt mo-1 4 tea ams1 due=d1 kind=production
reserve 5 tea ams1 ship=d1 ; kinds=po     -> refused: INSUFFICIENT_STOCK available 4
reserve 5 tea ams1 ship=d1 ; kinds=po+production -> held r1 until d0+15m: 5@ams1 d1

== two lines under a stricter rule share what it leaves
count 10 tea ams1
reserve 4 tea ams1 | 3 tea ams1 ; extra=4 -> refused: OTHER_LINE | INSUFFICIENT_STOCK available 2

== a promise may not be made under a looser rule, whatever the stock
count 10 tea ams1
rule ams1 kinds=po
reserve 1 tea ams1 ; statuses=quality     -> error LOOSER_RULE
reserve 1 tea ams1 ; kinds=production     -> error LOOSER_RULE
reserve 1 tea ams1 ; kinds=production on_hand_only -> held r1 until d0+15m: 1@ams1 d0
reserve 1 tea ams1 ; statuses=none        -> refused: INSUFFICIENT_STOCK available 0
",
    );
}

#[test]
fn errors_change_nothing() {
    specify(
        "
== what makes no sense
count 9 tea ams1
reserve 1 ?9 ams1                          -> error UNKNOWN_ITEM
reserve 1 tea ?9                           -> error UNKNOWN_LOCATION
reserve ;                                  -> error INVALID_ARGUMENT lines
reserve 0 tea ams1                         -> error INVALID_ARGUMENT quantity
reserve 1000000000001 tea ams1             -> error INVALID_ARGUMENT quantity
reserve 1 tea ams1 ship=d2 latest=d1       -> error INVALID_ARGUMENT latest_ship_time_ms
reserve 1 tea ams1 ship=d1098+1ms          -> error INVALID_ARGUMENT ship_time_ms
reserve 1 tea ams1 latest=d1098+1ms        -> error INVALID_ARGUMENT latest_ship_time_ms
reserve 1 tea ams1 ship=d0-30000d          -> error INVALID_ARGUMENT latest_ship_time_ms
reserve 1 tea ams1 | 1 ?9 ams1 ; partial   -> error UNKNOWN_ITEM
stats                                      -> held 0 confirmed 0 shocks 0
reserve 9 tea ams1 ship=d1098              -> held r1 until d0+15m: 9@ams1 d1098
",
    );
}

#[test]
fn lines_and_labels_are_limited() {
    let mut world = World::new(Settings::default());
    world.say("count 1000 tea ams1");
    let line = ReserveLine {
        item: ItemId(0),
        location: LocationId(0),
        quantity: Units::new(1).expect("small"),
        ship_time: None,
        latest: None,
    };
    let reserve = |lines: usize, terms: HoldTerms| {
        Command::Reserve(Reserve {
            lines: std::iter::repeat_n(line, lines).collect(),
            terms,
        })
    };
    let labelled = |order_ref: String| HoldTerms {
        order_ref: order_ref.into(),
        ..HoldTerms::default()
    };
    let cases = [
        (256, String::new(), None),
        (257, String::new(), Some("lines")),
        (1, "o".repeat(128), None),
        (1, "o".repeat(129), Some("order_ref")),
        (1, "o\n".to_owned(), Some("order_ref")),
    ];
    for (lines, order, refused) in cases {
        let answer = world.step(Meta::default(), &reserve(lines, labelled(order)));
        let field = answer.as_ref().err().map(|error| match error {
            EngineError::InvalidArgument { field, .. } => *field,
            other => panic!("another error: {other}"),
        });
        assert_eq!(field, refused, "{lines} lines: {answer:?}");
    }
    world.verify();
}
