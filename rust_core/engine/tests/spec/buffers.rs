//! Buffers: a planner's, and those that follow a forecast.

use bespeak_engine::limits::{MAX_BUFFER_MODELS, MAX_DERIVED_BUFFERS};
use bespeak_engine::*;

use crate::language::{World, specify};

#[test]
fn buffers_that_follow_a_forecast() {
    specify(
        "
== nothing follows unless it is told to
count 10 tea ams1
derive tea@ams1:4                         -> ok
buffer? tea@ams1                          -> 0

== a location's positions follow, and less can be promised
count 10 tea ams1
count 10 tea rot1
follow ams1
derive tea@ams1:4 tea@rot1:4 model=m@1    -> ok
buffer? tea@ams1                          -> 4 by m@1 of d0, follows
buffer? tea@rot1                          -> 0
check 7 tea ams1                          -> no, available 6 by supply
check 6 tea ams1                          -> yes, available 6 by supply

== a buffer moves with each new forecast
count 10 tea ams1
follow tea@ams1
derive tea@ams1:4 model=m@1
at d1
derive tea@ams1:2 model=m@2
buffer? tea@ams1                          -> 2 by m@2 of d1, follows
derive tea@ams1:0
buffer? tea@ams1                          -> 0 by patch@1 of d1, follows

== a planner's buffer stays, though its location follows
count 10 tea ams1
buffer 3 tea ams1
follow ams1
derive tea@ams1:7
buffer? tea@ams1                          -> 3
buffer 0 tea ams1                         # nothing is kept by hand any longer
derive tea@ams1:7
buffer? tea@ams1                          -> 7 by patch@1 of d0, follows
buffer 5 tea ams1
derive tea@ams1:6
buffer? tea@ams1                          -> 5

== a position told by itself goes before its location, both ways
count 10 tea ams1
count 10 milk ams1
buffer 3 tea ams1
follow tea@ams1
static milk@ams1
follow ams1
derive tea@ams1:7 milk@ams1:7
buffer? tea@ams1                          -> 7 by patch@1 of d0, follows
buffer? milk@ams1                         -> 0
inherit milk@ams1
derive milk@ams1:7
buffer? milk@ams1                         -> 7 by patch@1 of d0, follows

== the later word holds: a planner's buffer ends what the position was told
count 10 tea ams1
follow tea@ams1
derive tea@ams1:7
buffer 1 tea ams1
derive tea@ams1:7
buffer? tea@ams1                          -> 1
follow tea@ams1
derive tea@ams1:7
buffer? tea@ams1                          -> 7 by patch@1 of d0, follows

== what followed keeps its last buffer when its policy ends
count 10 tea ams1
follow ams1
derive tea@ams1:7
static ams1
buffer? tea@ams1                          -> 7 by patch@1 of d0
derive tea@ams1:1
buffer? tea@ams1                          -> 7 by patch@1 of d0

== a larger buffer takes no promise back and is no shock
count 10 tea ams1
reserve 9 tea ams1 ; confirm
follow ams1
derive tea@ams1:8
shocks                                    -> none
check 1 tea ams1                          -> no, available 0 by the buffer

== a policy may come before the first fact of its position
follow salt@utr1
derive salt@utr1:2
buffer? salt@utr1                         -> 2 by patch@1 of d0, follows

== mistakes
count 10 tea ams1
follow ams1 ppm=499999                    -> error INVALID_ARGUMENT level_ppm
follow ams1 ppm=1000000                   -> error INVALID_ARGUMENT level_ppm
follow ams1 review=0                      -> error INVALID_ARGUMENT review_days
follow ams1 lead=366                      -> error INVALID_ARGUMENT lead_time_days
follow ams1 cap=1000000000001             -> error INVALID_ARGUMENT quantity
follow tea@?9                             -> error UNKNOWN_LOCATION
follow ?9@ams1                            -> error UNKNOWN_ITEM
follow ?9                                 -> error UNKNOWN_LOCATION
derive tea@ams1:1 computed=d0+1ms         -> error INVALID_ARGUMENT computed_at
derive salt@ams1:1                        -> error INVALID_ARGUMENT position
derive tea@ams1:1000000000001             -> error INVALID_ARGUMENT quantity
",
    );
}

#[test]
fn one_step_sets_so_many_buffers_and_no_more() {
    let mut world = World::new(Settings::default());
    world.say("count 10 tea ams1");
    let derived = |count| {
        Command::DeriveBuffers(DerivedBuffers {
            model: "m".into(),
            computed_at: UtcMillis::ZERO,
            buffers: vec![(PositionId(0), Units::ZERO); count],
        })
    };
    assert!(
        world
            .step(Meta::default(), &derived(MAX_DERIVED_BUFFERS))
            .is_ok()
    );
    let told = world.step(Meta::default(), &derived(MAX_DERIVED_BUFFERS + 1));
    assert!(told.is_err_and(|error| error.to_string().contains("1024")));
}

#[test]
fn a_forecaster_that_no_buffer_names_makes_room() {
    let mut world = World::new(Settings::default());
    world.say("count 10 tea ams1");
    world.say("follow tea@ams1");
    for n in 0..MAX_BUFFER_MODELS + 2 {
        let units = n % 7;
        let answer = world.say(&format!("derive tea@ams1:{units} model=m@{n}"));
        assert_eq!(answer, "ok");
        let expected = format!("{units} by m@{n} of d0, follows");
        assert_eq!(world.say("buffer? tea@ams1"), expected);
    }
    world.verify();
}
