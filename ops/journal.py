"""The dashboard of the journal. Thresholds are those of objectives.toml."""

from ops.objectives import Objectives
from ops.panel import Panel, Rows
from ops.queries import HERE, gauge, quantiles, rate


def journal(chosen: Objectives) -> Rows:
    """The journal: what answers wait for, and what a start replays."""
    limits = chosen.thresholds
    now = [
        Panel("Serving", "1 while requests are served.", "short", (gauge("bespeak_serving"),), 1, True, True, width=6),
        Panel(
            "Clock suspect",
            "1 while a jump of the clock waits for an operator.",
            "short",
            (gauge("bespeak_clock_suspect"),),
            1,
            stat=True,
            width=6,
        ),
        Panel(
            "Records to replay",
            "What recovery still has to replay.",
            "short",
            (gauge("bespeak_replay_lag_records"),),
            1,
            stat=True,
            width=6,
        ),
        Panel("Revision", "Journal position.", "short", (gauge("bespeak_revision"),), stat=True, width=6),
    ]
    disk = [
        Panel(
            "Sync",
            "One write with its sync. Answers of promises wait for it.",
            "s",
            quantiles("bespeak_journal_sync_seconds"),
            limits.journal_sync_p99_ms / 1_000,
            log=True,
        ),
        Panel(
            "Records a sync",
            "Records that shared a sync: rises with the load, and with the disk's slowness.",
            "short",
            quantiles("bespeak_journal_batch_records"),
        ),
        Panel(
            "Syncs",
            "Writes with their sync a second.",
            "iops",
            (rate("bespeak_journal_sync_seconds_count"), rate("bespeak_journal_seals_total", "seals {{instance}}")),
        ),
        Panel("Written", "Bytes a second.", "Bps", (rate("bespeak_journal_bytes_total"),)),
        Panel("Records", "Records a second.", "short", (rate("bespeak_journal_records_total"),)),
        Panel(
            "Waiting for a sync",
            "Records decided and not durable yet.",
            "short",
            (
                gauge("bespeak_journal_pending_records"),
                (f"bespeak_revision{{{HERE}}} - bespeak_durable_revision{{{HERE}}}", "not durable {{instance}}"),
            ),
            limits.journal_pending_records,
        ),
        Panel(
            "Bytes waiting for a sync",
            "The same in bytes.",
            "bytes",
            (gauge("bespeak_journal_pending_bytes"),),
        ),
    ]
    starts = [
        Panel(
            "Replay",
            "Records that recovery still has to replay.",
            "short",
            (gauge("bespeak_replay_lag_records"),),
            width=12,
        ),
        Panel(
            "Disk left",
            "Free share of the file system that the journal lies on.",
            "percentunit",
            (
                (
                    f"bespeak_journal_disk_free_bytes{{{HERE}}} / bespeak_journal_disk_size_bytes{{{HERE}}}",
                    "{{instance}}",
                ),
            ),
            limits.disk_free_ratio,
            below=True,
            width=12,
        ),
        Panel(
            "Free bytes",
            "Of that file system, and what they will be in a day when it goes on as in the last six hours.",
            "bytes",
            (
                gauge("bespeak_journal_disk_free_bytes", "now {{instance}}"),
                (
                    f"predict_linear(bespeak_journal_disk_free_bytes{{{HERE}}}[6h], 86400)",
                    "in a day {{instance}}",
                ),
            ),
            width=12,
        ),
        Panel(
            "Segments and refused writes",
            "Segments begun a second, and writes refused since too much waited for a sync.",
            "iops",
            (
                rate("bespeak_journal_rolls_total", "segments {{instance}}"),
                rate("bespeak_journal_writes_refused_total", "refused {{instance}}"),
            ),
            width=12,
        ),
    ]
    return [("Now", now), ("Disk", disk), ("Starts and space", starts)]
