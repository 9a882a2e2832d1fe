//! Exactly once: request ids, and event feeds with sequence numbers.

use bespeak_engine::*;

use crate::language::{World, specify, specify_with};

#[test]
fn request_ids() {
    specify(
        "
== the same id and body: the first answer again, and nothing happens twice
count 10 tea ams1
id=7 reserve 4 tea ams1                   -> held r1 until d0+15m: 4@ams1 d0
id=7 reserve 4 tea ams1                   -> again held r1 until d0+15m: 4@ams1 d0
check 6 tea ams1                          -> yes, available 6 by supply
at d0+1h
id=7 reserve 4 tea ams1                   -> again held r1 until d0+15m: 4@ams1 d0

== the same id, another body
count 10 tea ams1
id=7 reserve 4 tea ams1
id=7 reserve 5 tea ams1                   -> error REQUEST_ID_REUSED
id=7 adjust -1 tea ams1 sale              -> error REQUEST_ID_REUSED

== every kind of write
id=1 count 10 tea ams1                    -> on hand 10 v1
id=1 count 10 tea ams1                    -> again on hand 10 v1
id=2 adjust -3 tea ams1 sale              -> on hand 7 v2
id=2 adjust -3 tea ams1 sale              -> again on hand 7 v2
id=3 receipt po-1 5 tea ams1 due=d1       -> on hand 7 v2 receipt 1 open 5
id=3 receipt po-1 5 tea ams1 due=d1       -> again on hand 7 v2 receipt 1 open 5
id=4 receive 5 po-1                       -> on hand 12 v3 receipt 2 open 0
id=4 receive 5 po-1                       -> again on hand 12 v3 receipt 2 open 0
id=5 reserve 12 tea ams1                  -> held r1 until d0+15m: 12@ams1 d0
id=6 confirm r1                           -> confirmed
id=6 confirm r1                           -> again confirmed
id=7 fulfil r1                            -> fulfilled
id=7 fulfil r1                            -> again fulfilled
id=8 buffer 1 tea ams1                    -> ok
id=8 buffer 1 tea ams1                    -> again ok

== a partial answer is an answer
count 10 tea ams1
id=7 reserve 14 tea ams1 ; partial        -> partial held r1 until d0+15m: 10@ams1 d0 INSUFFICIENT_STOCK available 10
id=7 reserve 14 tea ams1 ; partial        -> again partial held r1 until d0+15m: 10@ams1 d0 INSUFFICIENT_STOCK available 10

== a refusal is not remembered: a retry is judged afresh
count 10 tea ams1
id=7 reserve 14 tea ams1                  -> refused: INSUFFICIENT_STOCK available 10
id=8 count 9 tea ams1 expect=5            -> refused CONFLICT: on hand 10 v1
adjust 4 tea ams1 found
id=7 reserve 14 tea ams1                  -> held r1 until d0+15m: 14@ams1 d0
id=7 reserve 14 tea ams1                  -> again held r1 until d0+15m: 14@ams1 d0
id=8 count 5 tea ams1 expect=14           -> on hand 5 v3 shock s1

== an id with a time in it that is older than 24 hours
count 10 tea ams1
v7=now-24h reserve 1 tea ams1             -> held r1 until d0+15m: 1@ams1 d0
v7=now-24h-1ms reserve 1 tea ams1         -> error REQUEST_ID_TOO_OLD
v7=now-24h reserve 1 tea ams1             -> again held r1 until d0+15m: 1@ams1 d0
at d0+1ms
v7=now-24h-1ms reserve 1 tea ams1         -> again held r1 until d0+15m: 1@ams1 d0

== without an id nothing is remembered
count 10 tea ams1
reserve 4 tea ams1                        -> held r1 until d0+15m: 4@ams1 d0
reserve 4 tea ams1                        -> held r2 until d0+15m: 4@ams1 d0
",
    );
}

#[test]
fn the_table_of_answers_is_bounded() {
    let settings = Settings {
        remembered_requests: 2,
        ..Settings::default()
    };
    specify_with(
        settings.clone(),
        "
== the oldest answer falls out of memory
count 10 tea ams1
id=1 reserve 1 tea ams1
id=2 reserve 1 tea ams1
id=1 reserve 1 tea ams1                   -> again held r1 until d0+15m: 1@ams1 d0
id=3 reserve 1 tea ams1
id=2 reserve 1 tea ams1                   -> again held r2 until d0+15m: 1@ams1 d0
id=3 reserve 1 tea ams1                   -> again held r3 until d0+15m: 1@ams1 d0
",
    );
    let mut world = World::new(settings);
    world.say("count 10 tea ams1");
    let first = world.state.revision() + 1;
    for id in 1..=3 {
        world.say(&format!("id={id} reserve 1 tea ams1"));
    }
    assert!(world.state.remembered(1).is_none());
    assert_eq!(world.state.forgotten_revision(), first);
    assert_eq!(
        world.state.remembered(2).map(|answer| answer.revision),
        Some(first + 1)
    );
}

#[test]
fn event_sources() {
    specify(
        "
== each number of a source counts once
src=erp:5 adjust 3 tea ams1 found         -> on hand 3 v1
src=erp:5 adjust 3 tea ams1 found         -> duplicate
src=erp:5 adjust 9 milk ams1 found        -> duplicate
src=erp:5 buffer 1 tea ams1               -> duplicate
src=pos:5 adjust 3 tea ams1 found         -> on hand 6 v2
sources                                   -> erp to 5 gaps 0, pos to 5 gaps 0

== gaps are counted, and a late one is taken once
src=erp:5 adjust 1 tea ams1 found
src=erp:9 adjust 1 tea ams1 found
sources                                   -> erp to 9 gaps 3
src=erp:7 adjust 1 tea ams1 found         -> on hand 3 v3
src=erp:7 adjust 1 tea ams1 found         -> duplicate
sources                                   -> erp to 9 gaps 2

== what falls below the window is refused loudly
src=erp:100 adjust 1 tea ams1 found
src=erp:65635 adjust 1 tea ams1 found
src=erp:99 adjust 1 tea ams1 found        -> error SOURCE_BELOW_WINDOW from 100
src=erp:100 adjust 1 tea ams1 found       -> duplicate
src=erp:101 adjust 1 tea ams1 found       -> on hand 3 v3
src=erp:65636 adjust 1 tea ams1 found
src=erp:100 adjust 1 tea ams1 found       -> error SOURCE_BELOW_WINDOW from 101

== an event that failed has not been seen
src=erp:5 adjust 1 ?9 ams1 found          -> error UNKNOWN_ITEM
src=erp:5 adjust 1 tea ams1 found         -> on hand 1 v1
src=erp:6 count 5 tea ams1 expect=0       -> refused CONFLICT: on hand 1 v1
src=erp:6 count 5 tea ams1 expect=1       -> on hand 5 v2

== nor has a request that was refused for stock, though what was not met is counted
count 5 tea ams1
src=shop:4 reserve 9 tea ams1             -> refused: INSUFFICIENT_STOCK available 5
id=7 src=shop:5 promise 9 tea from ams1   -> refused: INSUFFICIENT_STOCK available 5
unmet                                     -> d0 tea@ams1: 18 in 2
sources                                   ->
count 9 tea ams1
id=7 src=shop:5 promise 9 tea from ams1   -> held r1 until d0+15m: 9@ams1 d0
sources                                   -> shop to 5 gaps 0
src=shop:5 reserve 1 tea ams1             -> duplicate

== a retry of an event under its request id gets the first answer again
id=7 src=erp:5 adjust 3 tea ams1 found    -> on hand 3 v1
id=7 src=erp:5 adjust 3 tea ams1 found    -> again on hand 3 v1
id=7 src=erp:6 adjust 3 tea ams1 found    -> again on hand 3 v1
id=8 src=erp:5 adjust 3 tea ams1 found    -> duplicate
",
    );
}
