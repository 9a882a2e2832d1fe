//! The same again: request ids and numbered events, and staircases under another rule.

use crate::language::specify;

#[test]
fn request_id_before_source() {
    specify(
        "
== a retry of an event gets its first answer again, another event of its number is ignored
count 9 tea ams1
id=7 src=till:1 adjust -1 tea ams1 sale   -> on hand 8 v2
id=7 src=till:1 adjust -1 tea ams1 sale   -> again on hand 8 v2
id=8 src=till:1 adjust -1 tea ams1 sale   -> duplicate
id=7 src=till:1 adjust -2 tea ams1 sale   -> error REQUEST_ID_REUSED
check 9 tea ams1                          -> no, available 8 by supply

== an event known by its number is acknowledged however old its request id is
count 9 tea ams1
v7=d0 src=till:1 adjust -1 tea ams1 sale  -> on hand 8 v2
at d2
v7=d0+1s src=till:1 adjust -1 tea ams1 sale -> duplicate
v7=d0+1s src=till:2 adjust -1 tea ams1 sale -> error REQUEST_ID_TOO_OLD
",
    );
}

#[test]
fn staircase_by_another_rule() {
    specify(
        "
== the staircase goes by the rule of the request
count 5 tea ams1
count 2 tea ams1 status=quality
receipt po1 4 tea ams1 due=d1
receipt pr1 3 tea ams1 due=d2 kind=production
reserve 6 tea ams1 ship=d3
staircase tea ams1                        -> d0 5, d1 6
staircase tea ams1 extra=2                -> d0 3, d1 4
staircase tea ams1 statuses=unrestricted+quality -> d0 7, d1 8
staircase tea ams1 on_hand_only           -> d0 0
staircase tea ams1 kinds=po               -> d0 3
staircase tea ams1 extra=2 from=d1+1ms    -> d1+1ms 4
",
    );
}
