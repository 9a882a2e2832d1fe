//! Which supply counts: statuses, kinds of receipt, grace, horizon and buffers, of a position or its location.

use crate::language::specify;

#[test]
fn supply_rules() {
    specify(
        "
== statuses that count
count 5 tea ams1
count 3 tea ams1 status=quality
count 2 tea ams1 status=blocked
check 0 tea ams1                          -> yes, available 5 by supply
rule ams1 statuses=unrestricted+quality
check 0 tea ams1                          -> yes, available 8 by supply
rule ams1 statuses=blocked
check 0 tea ams1                          -> yes, available 2 by supply

== kinds of receipt that count
receipt po-1 1 tea ams1 due=d1
receipt tr-1 2 tea ams1 due=d1 kind=transfer
receipt mo-1 4 tea ams1 due=d1 kind=production
receipt re-1 8 tea ams1 due=d1 kind=return
check 0 tea ams1 ship=d1                  -> yes, available 15 by supply
rule ams1 kinds=po+production
check 0 tea ams1 ship=d1                  -> yes, available 5 by supply
rule ams1 kinds=none
check 0 tea ams1 ship=d1                  -> yes, available 0 by supply

== a position's own rule goes before its location's
count 5 tea ams1 status=quality
count 5 milk ams1 status=quality
rule tea@ams1 statuses=quality
check 0 tea ams1                          -> yes, available 5 by supply
check 0 milk ams1                         -> yes, available 0 by supply
rule ams1 statuses=blocked
check 0 tea ams1                          -> yes, available 5 by supply

== a location's rule holds for positions that come later
rule ams1 statuses=quality
count 5 tea ams1 status=quality
check 0 tea ams1                          -> yes, available 5 by supply
count 5 tea rot1 status=quality
check 0 tea rot1                          -> yes, available 0 by supply

== a new grace is a new time for falling overdue
receipt po-1 5 tea ams1 due=d1
rule ams1 grace=5d
advance d6                                -> nothing
rule ams1 grace=1h
receipt? po-1                             -> open 5 received 0 due d1 counts d1 revision 1 overdue
advance                                   -> nothing

== a longer grace lets a receipt count again that was overdue
receipt po-1 5 tea ams1 due=d1
receipt po-2 5 milk ams1 due=d1
reserve 4 tea ams1 ship=d1 | 4 milk ams1 ship=d1 ; confirm
advance d3 -> overdue receipt 1 at d2, shock s1 of 4 at d2, overdue receipt 2 at d2, shock s2 of 4 at d2
rule tea@ams1 grace=5d
check 1 tea ams1                          -> yes, available 1 by supply
check 1 milk ams1                         -> no, available 0 by supply
shocks                                    -> s2 ReceiptLate milk@ams1 short 4 until never risks [r1:1 of 4]
advance d6+1ms                            -> overdue receipt 1 at d6+1ms, shock s3 of 4 at d6+1ms

== a shorter one that breaks promises is a shock of the same write
receipt po-1 5 tea ams1 due=d1
reserve 4 tea ams1 ship=d1 ; confirm
rule ams1 grace=5d
at d5
rule ams1 grace=1d
shocks                                    -> s1 Rule tea@ams1 short 4 until never risks [r1:0 of 4]
advance                                   -> nothing

== a stricter rule can break promises
count 5 tea ams1
reserve 4 tea ams1 ; confirm
rule ams1 statuses=quality
shocks                                    -> s1 Rule tea@ams1 short 4 until never risks [r1:0 of 4]
rule ams1 statuses=unrestricted
shocks                                    -> none

== what makes no sense
rule ams1 statuses=none                   -> error INVALID_ARGUMENT statuses
rule ams1 statuses=8                      -> error INVALID_ARGUMENT statuses
rule ams1 kinds=16                        -> error INVALID_ARGUMENT receipt_kinds
rule ams1 horizon=0ms                     -> error INVALID_ARGUMENT horizon_ms
rule ams1 horizon=1098d1ms                -> error INVALID_ARGUMENT horizon_ms
rule ams1 grace=-1ms                      -> error INVALID_ARGUMENT late_grace_ms
rule ?9 grace=1h                          -> error UNKNOWN_LOCATION
rule ?9@ams1 grace=1h                     -> error UNKNOWN_ITEM
",
    );
}

#[test]
fn buffers() {
    specify(
        "
== a buffer is kept back
count 10 tea ams1
buffer 3 tea ams1
check 8 tea ams1                          -> no, available 7 by supply
reserve 7 tea ams1                        -> held r1 until d0+15m: 7@ams1 d0
check 1 tea ams1                          -> no, available 0 by the buffer

== raising it revokes nothing, and is no shock
count 10 tea ams1
reserve 7 tea ams1 ; confirm
buffer 9 tea ams1                         -> ok
shocks                                    -> none
check 1 tea ams1                          -> no, available 0 by the buffer
buffer 0 tea ams1
check 3 tea ams1                          -> yes, available 3 by supply

== it counts at every time
receipt po-1 10 tea ams1 due=d2
buffer 4 tea ams1
check 7 tea ams1 ship=d2                  -> no, available 6 by supply
reserve 6 tea ams1 ship=d2                -> held r1 until d0+15m: 6@ams1 d2

== what makes no sense
buffer 3 ?9 ams1                          -> error UNKNOWN_ITEM
buffer 3 tea ?9                           -> error UNKNOWN_LOCATION
buffer 1000000000001 tea ams1             -> error INVALID_ARGUMENT quantity
",
    );
}
