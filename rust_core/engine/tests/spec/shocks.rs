//! Supply shocks: told with the promises at risk, the shortfall and the recovery, until they are over.

use crate::language::specify;

#[test]
fn raised_and_resolved() {
    specify(
        "
== a count below commitments
count 10 tea ams1
reserve 8 tea ams1 ship=d2 ; confirm
count 5 tea ams1                          -> on hand 5 v2 shock s1
shocks                                    -> s1 Count tea@ams1 short 3 until never risks [r1:0 of 8]
check 1 tea ams1                          -> no, available 0 by a commitment of d2
reserve 1 tea ams1                        -> refused: INSUFFICIENT_STOCK available 0
adjust 3 tea ams1 found                   -> on hand 8 v3
shocks                                    -> none

== told once while it lasts, with what it has become
count 10 tea ams1
reserve 8 tea ams1 ; confirm
adjust -4 tea ams1 loss                   -> on hand 6 v2 shock s1
adjust -2 tea ams1 loss                   -> on hand 4 v3 shock s1
shocks                                    -> s1 Issue tea@ams1 short 4 until never risks [r1:0 of 8]
adjust 4 tea ams1 found                   -> on hand 8 v4
adjust -4 tea ams1 loss                   -> on hand 4 v5 shock s2

== a fact names it when it makes it worse, and on a retry again
count 10 tea ams1
receipt po-1 5 tea ams1 due=d1
receipt po-2 5 tea ams1 due=d3
reserve 10 tea ams1 ; confirm
id=1 adjust -4 tea ams1 loss              -> on hand 6 v2 shock s1
id=2 adjust -2 tea ams1 loss              -> on hand 4 v3 shock s1
cancel po-2                               -> on hand 4 v3 receipt 2 open 0
adjust 1 tea ams1 found                   -> on hand 5 v4
move 1 tea ams1 quality>unrestricted      -> on hand 6 v6
move 1 tea ams1 unrestricted>blocked      -> on hand 1 v8 shock s1
adjust 6 tea ams1 found                   -> on hand 11 v9
shocks                                    -> none
id=1 adjust -4 tea ams1 loss              -> again on hand 6 v2 shock s1
id=2 adjust -2 tea ams1 loss              -> again on hand 4 v3 shock s1

== one that time has healed ends before the next break is told
count 10 tea ams1
receipt po-1 20 tea ams1 due=d3
reserve 10 tea ams1 ; confirm
adjust -4 tea ams1 loss                   -> on hand 6 v2 shock s1
advance d3                                -> nothing
shocks                                    -> s1 Issue tea@ams1 short 0 until d3 risks []
adjust -20 tea ams1 loss                  -> on hand -14 v3 shock s2
shocks                                    -> s2 Issue tea@ams1 short 4 until never risks [r1:0 of 10]

== one that time has healed, and a receipt that falls overdue
count 10 tea ams1
receipt po-1 20 tea ams1 due=d3
reserve 10 tea ams1 ; confirm
adjust -4 tea ams1 loss                   -> on hand 6 v2 shock s1
advance d9 -> resolved s1 at d4, overdue receipt 1 at d4, shock s2 of 4 at d4

== a stricter rule at a location whose positions are short, healed or neither
count 10 tea ams1
count 10 milk ams1
count 10 salt ams1
receipt po-1 20 milk ams1 due=d3
reserve 10 tea ams1 | 10 milk ams1 | 10 salt ams1 ; confirm
adjust -4 tea ams1 loss                   -> on hand 6 v2 shock s1
adjust -4 milk ams1 loss                  -> on hand 6 v2 shock s2
at d3
rule ams1 statuses=quality                -> ok
shocks -> s1 Issue tea@ams1 short 10 until never risks [r1:0 of 10];
       & s3 Rule salt@ams1 short 10 until never risks [r1:2 of 10]

== a fulfilment names every shock that it raises or makes worse
count 10 tea ams1
reserve 4 tea ams1 | 3 tea ams1 | 3 tea ams1 ; confirm
id=1 fulfil r1 0:1@rot1 1:1@utr1          -> confirmed shock s1 shock s2
fulfil r1 0:1@rot1                        -> confirmed shock s1
fulfil r1 0:2                             -> confirmed
id=1 fulfil r1 0:1@rot1 1:1@utr1          -> again confirmed shock s1 shock s2

== planned supply tells when it is over
count 10 tea ams1
receipt po-1 20 tea ams1 due=d3
reserve 10 tea ams1 ; confirm
adjust -4 tea ams1 damage                 -> on hand 6 v2 shock s1
shocks                                    -> s1 Issue tea@ams1 short 4 until d3 risks [r1:0 of 10]
check 16 tea ams1 ship=d3                 -> yes, available 16 by supply
check 1 tea ams1 ship=d3-1ms              -> no, available 0 earliest d3 by supply

== each cause has its name
count 10 tea ams1
count 10 milk ams1
receipt po-1 10 salt ams1 due=d1
receipt po-2 10 salt rot1 due=d1
receipt po-3 10 salt utr1 due=d1
reserve 10 tea ams1 | 10 milk ams1 | 10 salt ams1 ship=d2 | 10 salt rot1 ship=d2 | 10 salt utr1 ship=d2 ; confirm
move 10 tea ams1 unrestricted>blocked
transfer 10 milk ams1>rot1 as=tr-1 due=d5
change po-1 quantity=4
change po-2 due=d3
receive 4 po-3 last
shocks -> s1 Status tea@ams1 short 10 until never risks [r1:0 of 10];
       & s2 Issue milk@ams1 short 10 until never risks [r1:1 of 10];
       & s3 ReceiptCut salt@ams1 short 6 until never risks [r1:2 of 10];
       & s4 ReceiptLate salt@rot1 short 10 until d3 risks [r1:3 of 10];
       & s5 ReceiptCut salt@utr1 short 6 until never risks [r1:4 of 10]

== a cancelled receipt
receipt po-1 10 tea ams1 due=d1
reserve 10 tea ams1 ship=d2 ; confirm
cancel po-1                               -> on hand 0 v0 receipt 2 open 0 shock s1
shocks                                    -> s1 ReceiptCut tea@ams1 short 10 until never risks [r1:0 of 10]

== one of several due transitions at the same position
count 1 milk ams1
adjust -1 tea ams1 correction             -> on hand -1 v1 shock s1
receipt po-1 12 tea ams1 due=d0
shocks                                    -> none
reserve 1 tea ams1
advance d1 -> expired r1 at d0+15m, forgotten r1 at d0+1h15m, overdue receipt 1 at d1, shock s2 of 1 at d1

== what is released, expires or leaves elsewhere mends it
count 10 tea ams1
reserve 5 tea ams1 ; confirm
reserve 5 tea ams1
adjust -4 tea ams1 loss                   -> on hand 6 v2 shock s1
at d0+15m
advance                                   -> expired r2 at d0+15m, resolved s1 at d0+15m
shocks                                    -> none
adjust -4 tea ams1 loss                   -> on hand 2 v3 shock s2
release r1 0:3
shocks                                    -> none
adjust -1 tea ams1 loss                   -> on hand 1 v4 shock s3
fulfil r1 0:2@rot1                        -> fulfilled shock s4
shocks                                    -> s4 Fulfilment tea@rot1 short 2 until never risks []
",
    );
}

#[test]
fn promises_at_risk_in_order() {
    specify(
        "
== the best tier keeps its stock, then the earliest ship time, then the first made
count 30 tea ams1
reserve 10 tea ams1 ship=d2 ; confirm tier=1
reserve 5 tea ams1 ship=d3 ; confirm tier=0
reserve 5 tea ams1 ship=d1 ; confirm tier=1
reserve 5 tea ams1 ship=d1 ; confirm tier=1
reserve 5 tea ams1 ship=d9 ; confirm tier=2
count 16 tea ams1
shocks -> s1 Count tea@ams1 short 14 until never risks [r1:0 of 10, r5:0 of 5]

== a large promise at risk leaves its stock to a smaller one behind it
count 12 tea ams1
reserve 8 tea ams1 ; confirm
reserve 4 tea ams1 ; confirm
count 5 tea ams1
shocks -> s1 Count tea@ams1 short 7 until never risks [r1:0 of 8]

== nobody's later promise is covered by what an earlier one of a better tier needs
count 10 tea ams1
receipt po-1 10 tea ams1 due=d5
reserve 10 tea ams1 ship=d6 ; confirm tier=1
reserve 10 tea ams1 ship=d6 ; confirm tier=0
count 2 tea ams1
shocks -> s1 Count tea@ams1 short 8 until never risks [r1:0 of 10]

== holds are promises too
count 10 tea ams1
reserve 10 tea ams1
count 4 tea ams1
shocks -> s1 Count tea@ams1 short 6 until never risks [r1:0 of 10]
",
    );
}
