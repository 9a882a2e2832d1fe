//! Facts about stock on hand: never refused for balance.

use crate::language::specify;

#[test]
fn counts() {
    specify(
        "
== a count sets the stock of one status
count 20 tea ams1                         -> on hand 20 v1
count 5 tea ams1 status=quality           -> on hand 5 v2
count 0 tea ams1                          -> on hand 0 v3
position tea ams1                         -> 0/5/0 v3 held 0 confirmed 0 receipts 0

== compare-and-set on the value and on the version
count 20 tea ams1 expect=0 version=0      -> on hand 20 v1
count 30 tea ams1 expect=19               -> refused CONFLICT: on hand 20 v1
count 30 tea ams1 version=0               -> refused CONFLICT: on hand 20 v1
count 30 tea ams1 expect=20 version=2     -> refused CONFLICT: on hand 20 v1
count 30 tea ams1 expect=20 version=1     -> on hand 30 v2
count 7 tea ams1 status=blocked expect=30 -> refused CONFLICT: on hand 0 v2

== a movement after the count was taken is applied to it again
count 20 tea ams1
at d0+1h
adjust -3 tea ams1 sale                   -> on hand 17 v2
at d0+2h
adjust -1 tea ams1 damage                 -> on hand 16 v3
at d0+3h
count 19 tea ams1 counted=d0+59m59s999ms  -> on hand 15 v4
count 19 tea ams1 counted=d0+1h           -> on hand 18 v5
count 19 tea ams1 counted=d0+2h           -> on hand 19 v6

== every kind of movement is applied again, those of other statuses are not
count 20 tea ams1
receipt po-1 5 tea ams1 due=d1
reserve 2 tea ams1 ; confirm
at d0+2h
receive 5 po-1
fulfil r1
return 1 tea ams1
transfer 4 tea ams1>rot1 as=tr-1 due=d2
move 3 tea ams1 unrestricted>blocked
return 9 tea ams1 status=quality
at d0+3h
count 100 tea ams1 counted=d0+1h          -> on hand 97 v9
count 100 tea ams1 status=blocked counted=d0+1h -> on hand 103 v10

== a movement is applied when it happened, not when it was told
count 20 tea ams1
at d0+5h
adjust -3 tea ams1 sale happened=d0+1h    -> on hand 17 v2
count 19 tea ams1 counted=d0+2h           -> on hand 19 v3
adjust -4 tea ams1 sale happened=d0+3h    -> on hand 15 v4
count 19 tea ams1 counted=d0+2h           -> on hand 15 v5

== a count ends what came before: goods that it has seen are not added again
receipt po-1 50 tea ams1 due=d1
at d0+10h
count 50 tea ams1                         -> on hand 50 v1
at d0+11h
receive 50 po-1 happened=d0+9h            -> on hand 50 v1 receipt 2 open 0
check 51 tea ams1 ship=d1                 -> no, available 50 by supply
return 1 tea ams1 happened=d0+10h         -> on hand 50 v1
adjust -2 tea ams1 sale happened=d0+9h    -> on hand 50 v1
adjust -2 tea ams1 sale happened=d0+10h+1ms -> on hand 48 v2
transfer 4 tea ams1>rot1 as=tr-1 due=d2 happened=d0+9h -> on hand 48 v2 receipt 1 open 4

== what is told without a time happens after every count
count 50 tea ams1
adjust -2 tea ams1 sale                   -> on hand 48 v2
adjust -2 tea ams1 sale happened=now      -> on hand 48 v2

== a fulfilment that the count has seen ends its promise and takes nothing more
count 9 tea ams1
reserve 5 tea ams1 ; confirm
at d0+2h
count 4 tea ams1                          -> on hand 4 v2 shock s1
fulfil r1 happened=d0+1h                  -> fulfilled
shocks                                    -> none
position tea ams1                         -> 4/0/0 v2 held 0 confirmed 0 receipts 0

== each status is ended by its own counts
count 20 tea ams1
at d0+2h
count 20 tea ams1
move 5 tea ams1 unrestricted>quality happened=d0+1h -> on hand 5 v3
position tea ams1                         -> 20/5/0 v3 held 0 confirmed 0 receipts 0
return 3 tea ams1 status=quality happened=d0+1h -> on hand 8 v4

== an older count does not override a newer one of the same status
count 100 tea ams1
at d0+11h
count 80 tea ams1 counted=d0+10h          -> on hand 80 v2
count 100 tea ams1 counted=d0+9h          -> error COUNT_TOO_OLD after d0+10h
count 100 tea ams1 counted=d0+9h expect=7 -> error COUNT_TOO_OLD after d0+10h
count 7 tea ams1 counted=d0+9h status=quality -> on hand 7 v3
count 81 tea ams1 counted=d0+10h          -> on hand 81 v4

== a count reaches back 7 days, and not into the future
at d9
count 1 tea ams1 counted=d2               -> on hand 1 v1
count 1 tea ams1 counted=d2-1ms           -> error COUNT_TOO_OLD since d2
count 1 tea ams1 counted=now+1ms          -> error INVALID_ARGUMENT counted_at_ms

== age goes before compare-and-set
at d9
count 1 tea ams1 counted=d1 expect=5      -> error COUNT_TOO_OLD since d2
count 1 ?9 ams1                           -> error UNKNOWN_ITEM
count 1 tea ?9                            -> error UNKNOWN_LOCATION
position tea ams1                         -> unknown
",
    );
}

#[test]
fn movements() {
    specify(
        "
== stock that left without a reservation, or was found
count 20 tea ams1
adjust -3 tea ams1 sale                   -> on hand 17 v2
adjust -3 tea ams1 loss                   -> on hand 14 v3
adjust -3 tea ams1 damage                 -> on hand 11 v4
adjust 4 tea ams1 found                   -> on hand 15 v5
adjust -5 tea ams1 correction             -> on hand 10 v6
adjust 5 tea ams1 correction              -> on hand 15 v7
adjust -2 tea ams1 loss status=quality    -> on hand -2 v8

== each reason has its direction
adjust 1 tea ams1 sale                    -> error INVALID_ARGUMENT delta
adjust 1 tea ams1 loss                    -> error INVALID_ARGUMENT delta
adjust 1 tea ams1 damage                  -> error INVALID_ARGUMENT delta
adjust -1 tea ams1 found                  -> error INVALID_ARGUMENT delta
adjust 0 tea ams1 correction              -> error INVALID_ARGUMENT delta
adjust -1000000000001 tea ams1 sale       -> error INVALID_ARGUMENT delta
adjust -1 tea ams1 sale happened=now+1ms  -> error INVALID_ARGUMENT happened_at_ms
adjust -1 tea ams1 sale happened=now-7d-1ms -> error INVALID_ARGUMENT happened_at_ms
adjust -1 ?9 ams1 sale                    -> error UNKNOWN_ITEM
position tea ams1                         -> unknown

== more may leave than is known
adjust -3 tea ams1 sale                   -> on hand -3 v1 shock s1
check 1 tea ams1                          -> no, available 0 by supply

== between statuses
count 20 tea ams1
move 5 tea ams1 unrestricted>quality      -> on hand 5 v3
position tea ams1                         -> 15/5/0 v3 held 0 confirmed 0 receipts 0
check 15 tea ams1                         -> yes, available 15 by supply
move 6 tea ams1 quality>blocked           -> on hand 6 v5
position tea ams1                         -> 15/-1/6 v5 held 0 confirmed 0 receipts 0
move 5 tea ams1 quality>quality           -> error INVALID_ARGUMENT to_status
move 0 tea ams1 quality>blocked           -> error INVALID_ARGUMENT quantity

== back from a customer, to any status
count 20 tea ams1
reserve 5 tea ams1 ; confirm
fulfil r1
return 2 tea ams1 of=r1                   -> on hand 17 v3
return 3 tea ams1 status=quality          -> on hand 3 v4
check 17 tea ams1                         -> yes, available 17 by supply
return 1 tea ams1 of=r2                   -> error UNKNOWN_RESERVATION
return 0 tea ams1                         -> error INVALID_ARGUMENT quantity
return 1 tea utr1                         -> on hand 1 v1

== a transfer leaves here and is due there
count 20 tea ams1
transfer 8 tea ams1>rot1 as=tr-1 due=d2   -> on hand 12 v2 receipt 1 open 8
check 12 tea ams1                         -> yes, available 12 by supply
check 8 tea rot1                          -> no, available 0 earliest d2 by supply
receipt? tr-1                             -> open 8 received 0 due d2 counts d2 revision 1
at d1
receive 8 tr-1                            -> on hand 8 v1 receipt 2 open 0
check 8 tea rot1                          -> yes, available 8 by supply

== transfers that make no sense
count 20 tea ams1
receipt po-1 1 tea ams1 due=d1
transfer 8 tea ams1>ams1 as=tr-1 due=d2   -> error INVALID_ARGUMENT to_location
transfer 0 tea ams1>rot1 as=tr-1 due=d2   -> error INVALID_ARGUMENT quantity
transfer 1 tea ams1>?9 as=tr-1 due=d2     -> error UNKNOWN_LOCATION
transfer 1 tea ams1>rot1 as=po-1 due=d2   -> error RECEIPT_EXISTS
transfer 1 tea ams1>rot1 as=tr-1 due=d1099 -> error INVALID_ARGUMENT due_time_ms
position tea rot1                         -> unknown

== stock on hand is limited either way
count 1000000000000 tea ams1
count 1000000000001 tea ams1              -> error INVALID_ARGUMENT quantity
return 1000000000000 tea ams1             -> on hand 2000000000000 v2
",
    );
}
