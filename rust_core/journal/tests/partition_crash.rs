//! What a caller was told survives a power loss at any operation, exactly once.

mod common;

use std::sync::Arc;

use bespeak_engine::{Answer, Command, Settings};
use bespeak_journal::storage::{CrashMode, Fault, FaultRule, OpKind, SimStorage, SyncKind};
use bespeak_journal::{ManualClock, PartitionConfig, PartitionError};
use common::Dice;
use common::shop::{
    any_command, clock, config, count, is_remembered, meta, open_at, reserve, stock_up,
};

const MODES: [CrashMode; 3] = [
    CrashMode::LoseUnsynced,
    CrashMode::KeepAll,
    CrashMode::Shuffle,
];

struct Told {
    id: u128,
    command: Command,
    answer: Answer,
}

fn partition_config() -> PartitionConfig {
    PartitionConfig {
        // Few answers in memory, so that most come from the disk.
        settings: Settings {
            remembered_requests: 8,
            ..Settings::default()
        },
        retention_ms: 3_600_000,
        ..config()
    }
}

/// Trades until the disk fails; returns what callers were told.
fn work(disk: &SimStorage, clock: &Arc<ManualClock>, dice: &mut Dice) -> (Vec<Told>, bool) {
    let mut told = Vec::new();
    let Ok((mut partition, _)) = open_at(disk, clock, partition_config()) else {
        return (told, true);
    };
    if stock_up(&partition).is_err() {
        return (told, true);
    }
    for id in 1..60_u128 {
        clock.pass(dice.below(40_000) as i64);
        match dice.below(14) {
            0 => {
                if partition.snapshot().is_err() {
                    return (told, true);
                }
                continue;
            }
            1 => {
                if partition.close().is_err() {
                    return (told, true);
                }
                drop(partition);
                match open_at(disk, clock, partition_config()) {
                    Ok((reopened, _)) => partition = reopened,
                    Err(_) => return (told, true),
                }
                continue;
            }
            _ => {}
        }
        let Ok(now) = partition.peek(|state| state.now().get()) else {
            return (told, true);
        };
        let command = any_command(dice, now);
        match partition.execute(meta(id), &command) {
            Ok(answer) => told.push(Told {
                id,
                command,
                answer,
            }),
            Err(PartitionError::Engine(_)) => {}
            Err(_) => return (told, true),
        }
    }
    (told, partition.close().is_err())
}

/// Checks what a disk found after a crash says about what callers were told.
fn check(
    disk: &SimStorage,
    clock: &Arc<ManualClock>,
    told: &[Told],
    context: &str,
) -> Result<(), String> {
    let fail = |what: String| Err(format!("{context}: {what}"));
    let partition = match open_at(disk, clock, partition_config()) {
        Ok((partition, _)) => partition,
        Err(error) => return fail(format!("does not open: {error}")),
    };
    for Told {
        id,
        command,
        answer,
    } in told
    {
        let seen = partition.peek(|state| (state.revision(), state.now()));
        let (revision, now) = seen.map_err(|error| format!("{context}: {error}"))?;
        if answer.revision > revision || answer.time > now {
            return fail(format!(
                "told of {} at {:?}, found {revision} at {now:?}",
                answer.revision, answer.time
            ));
        }
        if !is_remembered(answer) {
            continue;
        }
        match partition.execute(meta(*id), command) {
            Ok(again)
                if again
                    == (Answer {
                        replayed: true,
                        ..answer.clone()
                    }) => {}
            other => return fail(format!("request {id} said {answer:?}, now {other:?}")),
        }
    }
    match partition.reconcile() {
        Ok(report) if report.discrepancy_count == 0 && report.oversold_units == 0 => {}
        other => return fail(format!("does not add up: {other:?}")),
    }
    // The next answers may be refused where nothing was put yet, but never for the disk's sake.
    for command in [count(0, 0, 20), reserve(0, 0, 3)] {
        match partition.execute(meta(0), &command) {
            Ok(_) | Err(PartitionError::Engine(_)) => {}
            Err(error) => return fail(format!("does not go on: {error}")),
        }
    }
    Ok(())
}

fn crash_case(seed: u64, cut_at: u64, prepare: impl Fn(&SimStorage)) -> Result<bool, String> {
    let (disk, clock) = (SimStorage::new(seed), clock());
    prepare(&disk);
    disk.power_off_after(cut_at);
    let (told, failed) = work(&disk, &clock, &mut Dice(seed));
    for mode in MODES {
        let crashed = disk.crash(mode, seed ^ (cut_at << 8));
        let context = format!("seed {seed}, power off at operation {cut_at}, {mode:?}");
        check(&crashed, &clock, &told, &context)?;
    }
    Ok(failed)
}

#[test]
fn what_callers_were_told_survives_wherever_the_power_fails() {
    for seed in 0..3 {
        let mut cut_at = seed;
        while crash_case(seed, cut_at, |_| {}).unwrap_or_else(|what| panic!("{what}")) {
            cut_at += 3;
        }
        assert!(cut_at > 100, "seed {seed} has only {cut_at} operations");
    }
}

#[test]
fn the_crash_test_notices_a_disk_that_only_pretends_to_sync() {
    for (kind, name) in [
        (SyncKind::Data, "prepared-"),
        (SyncKind::Data, "snapshot-"),
        (SyncKind::Dir, ""),
    ] {
        let noticed = (0..3).any(|seed| {
            (60..200).step_by(4).any(|cut_at| {
                crash_case(seed, cut_at, |disk| disk.ignore_syncs(kind, name)).is_err()
            })
        });
        // A torn snapshot is passed over, so only its journal must still be there.
        assert_eq!(noticed, name != "snapshot-", "{kind:?} of {name:?}");
    }
}

#[test]
fn a_failing_disk_stops_the_partition_and_loses_nothing_told() {
    let mut failures = 0;
    for seed in 0..2 {
        for op in [
            OpKind::Write,
            OpKind::SyncData,
            OpKind::SyncDir,
            OpKind::Create,
            OpKind::Rename,
        ] {
            for fault in [Fault::Eio, Fault::Enospc] {
                for after in (0..60).step_by(7) {
                    let (disk, clock) = (SimStorage::new(seed), clock());
                    let rule = FaultRule {
                        op,
                        name_contains: String::new(),
                        after,
                        sticky: true,
                        fault,
                    };
                    let context = format!("seed {seed}, {rule:?}");
                    disk.inject(rule);
                    let (told, failed) = work(&disk, &clock, &mut Dice(seed));
                    failures += u64::from(failed);
                    disk.heal();
                    let restarted = disk.fork();
                    check(&restarted, &clock, &told, &format!("{context}, restarted")).unwrap();
                    for mode in MODES {
                        let crashed = disk.crash(mode, seed);
                        check(&crashed, &clock, &told, &format!("{context}, {mode:?}")).unwrap();
                    }
                }
            }
        }
    }
    assert!(failures > 60, "{failures}");
}
