//! Receipts: planned, changed, come, cancelled, overdue.

use crate::language::specify;

#[test]
fn planned() {
    specify(
        "
== counts from its due time
receipt po-1 10 tea ams1 due=d2           -> on hand 0 v0 receipt 1 open 10
check 10 tea ams1 ship=d2-1ms             -> no, available 0 earliest d2 by supply
check 10 tea ams1 ship=d2                 -> yes, available 10 by supply

== a date is the end of the day at the location
receipt po-1 10 tea ams1 due=day2
receipt? po-1                             -> open 10 received 0 due d2+23h59m59s999ms counts d2+23h59m59s999ms revision 1

== an uncertain arrival counts from its late time, an uncertain quantity with its yield
receipt po-1 10 tea ams1 due=d2 late=d3 yield=850000
check 1 tea ams1 ship=d3-1ms              -> no, available 0 earliest d3 by supply
check 9 tea ams1 ship=d3                  -> no, available 8 by supply
receipt? po-1                             -> open 10 received 0 due d2 counts d3 revision 1

== what makes no sense
receipt po-1 1 tea ams1 due=d1
receipt po-1 1 milk rot1 due=d1           -> error RECEIPT_EXISTS
receipt '' 1 tea ams1 due=d1              -> error INVALID_ARGUMENT receipt_id
receipt po-2 0 tea ams1 due=d1            -> error INVALID_ARGUMENT quantity
receipt po-2 1 tea ams1 due=d1098+1ms     -> error INVALID_ARGUMENT due_time_ms
receipt po-2 1 tea ams1 due=d2 late=d2-1ms -> error INVALID_ARGUMENT late_time_ms
receipt po-2 1 tea ams1 due=d2 late=d1099 -> error INVALID_ARGUMENT late_time_ms
receipt po-2 1 tea ams1 due=d2 yield=0    -> error INVALID_ARGUMENT yield_ppm
receipt po-2 1 tea ams1 due=d2 yield=1000001 -> error INVALID_ARGUMENT yield_ppm
receipt po-2 1 ?9 ams1 due=d2             -> error UNKNOWN_ITEM
receipt po-2 1 tea ?9 due=d2              -> error UNKNOWN_LOCATION
position milk rot1                        -> unknown

== a name is free again once its receipt is finished
receipt po-1 1 tea ams1 due=d1
receive 1 po-1
receipt po-1 2 milk rot1 due=d1           -> on hand 0 v0 receipt 1 open 2
",
    );
}

#[test]
fn changed() {
    specify(
        "
== quantity and time, with a revision for compare-and-set
receipt po-1 10 tea ams1 due=d2
change po-1 quantity=7                    -> on hand 0 v0 receipt 2 open 7
change po-1 due=d3 revision=1             -> refused CONFLICT: on hand 0 v0
change po-1 due=d3 revision=2             -> on hand 0 v0 receipt 3 open 7
check 7 tea ams1 ship=d2                  -> no, available 0 earliest d3 by supply
check 7 tea ams1 ship=d3                  -> yes, available 7 by supply

== how sure it is stays as it was when only the time moves
receipt po-1 10 tea ams1 due=d2 late=d4 yield=500000
change po-1 due=d5
receipt? po-1                             -> open 10 received 0 due d5 counts d7 revision 2
check 5 tea ams1 ship=d7                  -> yes, available 5 by supply
change po-1 late=d6 yield=1000000 due=d5
check 10 tea ams1 ship=d6                 -> yes, available 10 by supply

== what makes no sense
receipt po-1 10 tea ams1 due=d2
change po-2 quantity=1                    -> error UNKNOWN_RECEIPT
change po-1 quantity=0                    -> error INVALID_ARGUMENT quantity
change po-1 due=d1099                     -> error INVALID_ARGUMENT due_time_ms
change po-1 quantity=0 revision=9         -> error INVALID_ARGUMENT quantity
cancel po-1 revision=9                    -> refused CONFLICT: on hand 0 v0
cancel po-1 revision=1                    -> on hand 0 v0 receipt 2 open 0
cancel po-1                               -> error UNKNOWN_RECEIPT
check 1 tea ams1 ship=d2                  -> no, available 0 by supply
",
    );
}

#[test]
fn received() {
    specify(
        "
== all of it
receipt po-1 10 tea ams1 due=d2
receive 10 po-1                           -> on hand 10 v1 receipt 2 open 0
receipt? po-1                             -> unknown
check 10 tea ams1                         -> yes, available 10 by supply

== some of it: the rest is still to come
receipt po-1 10 tea ams1 due=d2
receive 4 po-1                            -> on hand 4 v1 receipt 2 open 6
receipt? po-1                             -> open 6 received 4 due d2 counts d2 revision 2
staircase tea ams1                        -> d0 4, d2 10
receive 6 po-1                            -> on hand 10 v2 receipt 3 open 0
receive 1 po-1                            -> error UNKNOWN_RECEIPT

== less than planned, and nothing more will come
receipt po-1 10 tea ams1 due=d2
receive 4 po-1 last                       -> on hand 4 v1 receipt 2 open 0
check 5 tea ams1 ship=d2                  -> no, available 4 by supply

== nothing came at last
receipt po-1 10 tea ams1 due=d2
receive 0 po-1                            -> error INVALID_ARGUMENT quantity
receive 0 po-1 last                       -> on hand 0 v0 receipt 2 open 0
receipt? po-1                             -> unknown

== more than planned
receipt po-1 10 tea ams1 due=d2
receive 12 po-1                           -> on hand 12 v1 receipt 2 open 0

== into inspection: it counts once it is released
receipt po-1 10 tea ams1 due=d2
receive 10 po-1 status=quality            -> on hand 10 v1 receipt 2 open 0
check 1 tea ams1                          -> no, available 0 by supply
move 10 tea ams1 quality>unrestricted
check 10 tea ams1                         -> yes, available 10 by supply

== what makes no sense
receipt po-1 10 tea ams1 due=d2
receive 1 po-2                            -> error UNKNOWN_RECEIPT
receive 1000000000001 po-1                -> error INVALID_ARGUMENT quantity
receive 1 po-1 happened=now+1ms           -> error INVALID_ARGUMENT happened_at_ms
",
    );
}

#[test]
fn overdue() {
    specify(
        "
== a receipt counts until the end of the day on which it was due
receipt po-1 10 tea ams1 due=d2+9h
at d3-1ms
check 10 tea ams1                         -> yes, available 10 by supply
at d3
check 10 tea ams1                         -> no, available 0 by supply
receipt? po-1                             -> open 10 received 0 due d2+9h counts d2+9h revision 1 overdue

== or for a grace of the position's own
rule ams1 grace=2h
receipt po-1 10 tea ams1 due=d2+9h
advance d2+11h                            -> nothing
advance d2+11h1ms                         -> overdue receipt 1 at d2+11h1ms

== or not at all past its time
rule ams1 grace=0ms
receipt po-1 10 tea ams1 due=d2
advance d2                                -> nothing
check 10 tea ams1                         -> yes, available 10 by supply
advance d2+1ms                            -> overdue receipt 1 at d2+1ms

== an overdue receipt can still come, or be given a new time
receipt po-1 10 tea ams1 due=d1
receipt po-2 10 milk ams1 due=d1
at d5
advance                                   -> overdue receipt 1 at d2, overdue receipt 2 at d2
receive 4 po-1                            -> on hand 4 v1 receipt 2 open 6
check 10 tea ams1 ship=d9                 -> no, available 4 by supply
change po-2 due=d6
check 10 milk ams1 ship=d6                -> yes, available 10 by supply
change po-1 quantity=8
check 10 tea ams1 ship=d9                 -> no, available 4 by supply

== one that is given another time that has passed is overdue at once, and mends nothing
receipt po-1 10 tea ams1 due=d1
reserve 8 tea ams1 ship=d1 ; confirm
advance d5                                -> overdue receipt 1 at d2, shock s1 of 8 at d2
change po-1 due=d3                        -> on hand 0 v0 receipt 2 open 10
receipt? po-1                             -> open 10 received 0 due d3 counts d3 revision 2 overdue
shocks                                    -> s1 ReceiptLate tea@ams1 short 8 until never risks [r1:0 of 8]
change po-1 due=d5                        -> on hand 0 v0 receipt 3 open 10
shocks                                    -> none
change po-1 due=d3                        -> on hand 0 v0 receipt 4 open 10 shock s2
advance                                   -> nothing

== so is one that is planned for a time that has passed
at d5
receipt po-1 10 tea ams1 due=d3           -> on hand 0 v0 receipt 1 open 10
receipt? po-1                             -> open 10 received 0 due d3 counts d3 revision 1 overdue
transfer 4 milk ams1>rot1 as=tr-1 due=d3  -> on hand -4 v1 receipt 1 open 4 shock s1
receipt? tr-1                             -> open 4 received 0 due d3 counts d3 revision 1 overdue
advance                                   -> nothing

== receipts fall overdue in order, before the holds of the same instant
receipt po-1 10 tea ams1 due=d1
receipt po-2 10 tea ams1 due=d1
count 1 milk ams1
reserve 1 milk ams1 ; life=2d
advance d9 -> overdue receipt 1 at d2, overdue receipt 2 at d2, expired r1 at d2, forgotten r1 at d2+1h

== one that breaks a promise is a supply shock
receipt po-1 10 tea ams1 due=d1
reserve 8 tea ams1 ship=d1 ; confirm
advance d2                                -> overdue receipt 1 at d2, shock s1 of 8 at d2
shocks                                    -> s1 ReceiptLate tea@ams1 short 8 until never risks [r1:0 of 8]
receive 10 po-1                           -> on hand 10 v1 receipt 2 open 0
shocks                                    -> none
",
    );
}
