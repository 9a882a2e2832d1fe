//! Power losses and failing disks, at every operation and over many seeds.

mod common;

use bespeak_journal::JournalError;
use bespeak_journal::storage::{CrashMode, Fault, FaultRule, OpKind, SimStorage, SyncKind};
use common::{Dice, append, id, open, revisions};

/// Runs a workload on `disk` until something fails; returns the last acknowledged revision.
fn work(disk: &SimStorage, dice: &mut Dice, steps: u64) -> (u64, Option<JournalError>) {
    let mut acknowledged = 0;
    let (mut log, report) = match open(disk) {
        Ok(opened) => opened,
        Err(error) => return (0, Some(error)),
    };
    acknowledged = acknowledged.max(report.newest.revision);
    for _ in 0..steps {
        let result = match dice.below(10) {
            0 => log.seal(),
            1 if acknowledged > 20 => log.view().remove_before(acknowledged - 20).map(|_| ()),
            2 => {
                drop(log);
                match open(disk) {
                    Ok((reopened, report)) => {
                        assert!(report.newest.revision >= acknowledged);
                        log = reopened;
                        Ok(())
                    }
                    Err(error) => return (acknowledged, Some(error)),
                }
            }
            _ => append(&mut log, 1 + dice.below(6)),
        };
        match result {
            Ok(()) => acknowledged = log.next_revision() - 1,
            Err(error) => return (acknowledged, Some(error)),
        }
    }
    (acknowledged, None)
}

/// Checks that a disk found after a crash holds everything acknowledged, in order, and works.
fn check(disk: &SimStorage, acknowledged: u64, context: &str) -> Result<(), String> {
    let fail = |what: String| Err(format!("{context}: {what}"));
    let (mut log, report) = match open(disk) {
        Ok(opened) => opened,
        Err(error) => return fail(format!("does not open: {error}")),
    };
    if report.newest.revision < acknowledged {
        return fail(format!(
            "{acknowledged} acknowledged, {} found",
            report.newest.revision
        ));
    }
    for revision in log.view().oldest_revision()..=report.newest.revision {
        match log.view().find_request(&id(revision), u64::MAX) {
            Ok(Some(found)) if found == revision => {}
            other => return fail(format!("request of revision {revision}: {other:?}")),
        }
    }
    if let Err(error) = append(&mut log, 3) {
        return fail(format!("does not go on: {error}"));
    }
    let next = log.next_revision();
    drop(log);
    match revisions(disk) {
        Ok(found) => {
            let whole = found.windows(2).all(|pair| pair[1] == pair[0] + 1);
            if !whole || found.last() != Some(&(next - 1)) {
                return fail(format!("revisions {found:?} where {next} comes next"));
            }
            Ok(())
        }
        Err(error) => fail(format!("does not read: {error}")),
    }
}

const MODES: [CrashMode; 3] = [
    CrashMode::LoseUnsynced,
    CrashMode::KeepAll,
    CrashMode::Shuffle,
];

/// Cuts the power after `cut_at` operations of a seeded run, twice in a row, and checks.
fn crash_case(seed: u64, cut_at: u64, prepare: impl Fn(&SimStorage)) -> Result<bool, String> {
    let mut dice = Dice(seed);
    let disk = SimStorage::new(seed);
    prepare(&disk);
    disk.power_off_after(cut_at);
    let (acknowledged, error) = work(&disk, &mut dice, 40);
    let context = format!("seed {seed}, power off at operation {cut_at}");
    for mode in MODES {
        let crashed = disk.crash(mode, seed ^ cut_at);
        let context = format!("{context}, {mode:?}");
        // A second loss while recovering from the first.
        let again = crashed.fork();
        prepare(&again);
        again.power_off_after(dice.below(12));
        let (more, _) = work(&again, &mut dice, 10);
        for second in MODES {
            let context = format!("{context}, again {second:?}");
            check(&again.crash(second, seed), acknowledged.max(more), &context)?;
        }
        check(&crashed, acknowledged, &context)?;
    }
    Ok(error.is_some())
}

#[test]
fn nothing_acknowledged_is_lost_wherever_the_power_fails() {
    for seed in 0..6 {
        let mut cut_at = 0;
        while crash_case(seed, cut_at, |_| {}).unwrap_or_else(|what| panic!("{what}")) {
            cut_at += 1;
        }
        assert!(cut_at > 60, "seed {seed} has only {cut_at} operations");
    }
}

/// The crash test would notice each sync that is left out: a disk that pretends to sync must
/// make it fail.
#[test]
fn the_crash_test_notices_missing_syncs() {
    for (kind, name) in [
        (SyncKind::Data, "journal-"),
        (SyncKind::Data, "prepared-"),
        (SyncKind::Data, ".idx"),
        (SyncKind::Dir, ""),
    ] {
        let noticed = (0..6).any(|seed| {
            (0..120).any(|cut_at| {
                crash_case(seed, cut_at, |disk| disk.ignore_syncs(kind, name)).is_err()
            })
        });
        // An index that was lost is built again, so its sync is only there to save that work.
        assert_eq!(noticed, name != ".idx", "{kind:?} of {name:?}");
    }
}

fn fault_case(seed: u64, rule: FaultRule) -> bool {
    let context = format!("seed {seed}, {rule:?}");
    let mut dice = Dice(seed);
    let disk = SimStorage::new(seed);
    disk.inject(rule);
    let (acknowledged, error) = work(&disk, &mut dice, 40);
    let failed = error.is_some();
    if let Some(error) = error {
        assert!(
            matches!(
                error,
                JournalError::Io { .. } | JournalError::Poisoned { .. }
            ),
            "{context}: {error}"
        );
    }
    disk.heal();
    // The process restarts on the running machine, whose cache may hold what the disk does not;
    // then the power fails.
    let restarted = disk.fork();
    check(&restarted, acknowledged, &format!("{context}, restarted")).unwrap();
    let newest = open(&restarted).unwrap().1.newest.revision;
    for mode in MODES {
        check(
            &disk.crash(mode, seed),
            acknowledged,
            &format!("{context}, {mode:?}"),
        )
        .unwrap();
        let context = format!("{context}, restarted, {mode:?}");
        check(&restarted.crash(mode, seed), newest, &context).unwrap();
    }
    failed
}

#[test]
fn a_failing_disk_stops_the_log_and_loses_nothing_acknowledged() {
    let ops = [
        OpKind::Create,
        OpKind::Write,
        OpKind::SyncData,
        OpKind::SyncDir,
        OpKind::Rename,
    ];
    let mut failed = 0;
    for seed in 0..3 {
        for op in ops {
            for fault in [Fault::Eio, Fault::Enospc] {
                for after in 0..20 {
                    for sticky in [false, true] {
                        let rule = FaultRule {
                            op,
                            name_contains: String::new(),
                            after,
                            sticky,
                            fault,
                        };
                        failed += u64::from(fault_case(seed, rule));
                    }
                }
            }
        }
    }
    assert!(failed > 500, "{failed}");
}

#[test]
fn after_a_failed_sync_every_later_call_fails() {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    append(&mut log, 1).unwrap();
    disk.inject(FaultRule {
        op: OpKind::SyncData,
        name_contains: String::new(),
        after: 0,
        sticky: false,
        fault: Fault::Eio,
    });
    assert!(matches!(
        append(&mut log, 1),
        Err(JournalError::Io { action: "sync", .. })
    ));
    assert!(log.poisoned().is_some());
    for _ in 0..3 {
        assert!(matches!(
            append(&mut log, 1),
            Err(JournalError::Poisoned { .. })
        ));
        assert!(matches!(log.seal(), Err(JournalError::Poisoned { .. })));
    }
    assert_eq!(
        log.view().newest().revision,
        1,
        "what failed is not shown as durable"
    );
}

#[test]
fn power_may_fail_while_restarting_after_a_failed_sync() {
    // The restarted process reads what the failed sync left in the cache; nothing it writes may
    // become durable in front of that.
    for seed in 0..40 {
        let disk = SimStorage::new(seed);
        let (mut log, _) = open(&disk).unwrap();
        append(&mut log, 2).unwrap();
        disk.inject(FaultRule {
            op: OpKind::SyncData,
            name_contains: String::new(),
            after: 0,
            sticky: false,
            fault: Fault::Eio,
        });
        append(&mut log, 3).unwrap_err();
        drop(log);
        disk.heal();
        for cut_at in 0..8 {
            let restarted = disk.fork();
            restarted.power_off_after(cut_at);
            let opened = open(&restarted);
            let shown = opened
                .as_ref()
                .map_or(2, |(_, report)| report.newest.revision);
            for again in 0..4 {
                let context = format!("seed {seed}, restart cut at {cut_at}, {again}");
                let crashed = restarted.crash(CrashMode::Shuffle, again);
                check(&crashed, shown, &context).unwrap();
            }
        }
    }
}

#[test]
fn a_full_disk_stops_cleanly_and_goes_on_when_there_is_space() {
    let disk = SimStorage::new(1);
    let (mut log, _) = open(&disk).unwrap();
    disk.set_capacity(disk.used_bytes() + 4 * 1024);
    let mut acknowledged = 0;
    let error = loop {
        match append(&mut log, 2) {
            Ok(()) => acknowledged += 2,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("No space left"), "{error}");
    assert!(acknowledged >= 10);
    drop(log);
    disk.set_capacity(u64::MAX);
    check(&disk, acknowledged, "with space again").unwrap();
}

#[test]
fn removal_of_segments_may_stop_anywhere() {
    for cut_at in 0..40 {
        let disk = SimStorage::new(1);
        let (mut log, _) = open(&disk).unwrap();
        for _ in 0..60 {
            append(&mut log, 2).unwrap();
        }
        disk.power_off_after(cut_at);
        let removed = log.view().remove_before(100);
        for mode in MODES {
            for seed in 0..8 {
                let context = format!("removal cut at {cut_at} ({removed:?}), {mode:?} {seed}");
                check(&disk.crash(mode, seed), 120, &context).unwrap();
            }
        }
        drop(log);
    }
}

#[test]
fn a_segment_that_cannot_be_removed_goes_before_those_behind_it() {
    for after in 0..6 {
        let disk = SimStorage::new(1);
        let (mut log, _) = open(&disk).unwrap();
        for _ in 0..60 {
            append(&mut log, 2).unwrap();
        }
        disk.inject(FaultRule {
            op: OpKind::Remove,
            name_contains: String::new(),
            after,
            sticky: false,
            fault: Fault::Eio,
        });
        let view = log.view();
        view.remove_before(100).unwrap_err();
        let removed = view.remove_before(60).unwrap();
        drop((view, log));
        let context = format!("{after} removals, an error, {removed} more");
        check(&disk, 120, &context).unwrap();
    }
}
