"""Recording and alert rules as Prometheus rule files."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ops.objectives import Objective, Objectives

SERVER_ERRORS = "Unavailable|ResourceExhausted|DeadlineExceeded|Internal|Unknown|DataLoss"
"""gRPC codes, as bespeak_requests_total names them, that are the server's and not the caller's."""

SHORT = ("5m", "30m", "1h")
LONG = ("6h", "3d")
BURNS = ((14.4, "1h", "5m", "page"), (6.0, "6h", "30m", "page"), (1.0, "3d", "6h", "ticket"))
"""Budget burnt how many times too fast, over which two windows, and whom to tell.

The multi-window, multi-burn-rate alerts of the SRE Workbook (Beyer et al., 2018), chapter 5.
"""

RUNBOOKS = "docs/operate/runbooks"
HEAD = "# Made by `python -m ops` from ops/objectives.toml: change that, not this.\n"


@dataclass(frozen=True)
class Alert:
    """One alert rule; its name is also that of its runbook."""

    name: str
    expr: str
    wait: str
    severity: str
    summary: str
    labels: dict[str, str] = field(default_factory=dict)

    def yaml(self) -> str:
        """The rule as an element of a group."""
        labels = {"severity": self.severity, **self.labels}
        return (
            f"      - alert: {self.name}\n"
            f"        expr: {_block(self.expr)}"
            f"        for: {self.wait}\n"
            f"        labels: {json.dumps(labels)}\n"
            "        annotations:\n"
            f"          summary: {json.dumps(self.summary)}\n"
            f"          runbook_url: {RUNBOOKS}/{self.name}.md\n"
        )


def rule_files(chosen: Objectives) -> dict[str, str]:
    """Returns the text of each rule file by its name."""
    return {
        "objectives.yml": HEAD + "groups:\n" + "".join(_objective_groups(chosen)),
        "journal.yml": HEAD + "groups:\n" + _group("bespeak-journal", "30s", [a.yaml() for a in _journal(chosen)]),
        "compute.yml": HEAD + "groups:\n" + _group("bespeak-compute", "30s", [a.yaml() for a in _compute(chosen)]),
        "load.yml": HEAD + "groups:\n" + _group("bespeak-load", "30s", [a.yaml() for a in _load(chosen)]),
    }


def errors(objective: Objective, window: str) -> str:
    """Share of an objective's calls that were answered with an error of the server; 0 where none was."""
    failed = f'bespeak_requests_total{{{objective.selector}, code=~"{SERVER_ERRORS}"}}'
    every = f"bespeak_requests_total{{{objective.selector}}}"
    return (
        f"(sum by (job) (rate({failed}[{window}]))\n"
        f"  or 0 * sum by (job) (rate({every}[{window}])))\n"
        f"/ sum by (job) (rate({every}[{window}]))"
    )


def late(objective: Objective, window: str) -> str:
    """Share of an objective's calls that took longer than latency_ms."""
    quick = f'bespeak_request_seconds_bucket{{{objective.selector}, le="{objective.le}"}}'
    every = f"bespeak_request_seconds_count{{{objective.selector}}}"
    return f"1 - sum by (job) (rate({quick}[{window}]))\n/ sum by (job) (rate({every}[{window}]))"


def recorded(sli: str, window: str) -> str:
    """The name of the series that holds a share of bad calls."""
    return f"bespeak:slo_{sli}:ratio_rate{window}"


def _objective_groups(chosen: Objectives) -> Iterator[str]:
    # Long windows move slowly and cost much to read: they are recorded less often, but more than once in the 5 minutes for
    # which Prometheus takes a sample for the present one: an alert between two of them must find one.
    for name, interval, windows in (("short", "30s", SHORT), ("long", "2m", LONG)):
        rules = [_record(objective, window) for objective in chosen.objectives for window in windows]
        yield _group(f"bespeak-slo-{name}", interval, rules)
    yield _group("bespeak-slo-alerts", "30s", [a.yaml() for a in _burns(chosen)])


def _record(objective: Objective, window: str) -> str:
    labels = json.dumps({"objective": objective.name})
    return "".join(
        f"      - record: {recorded(sli, window)}\n        expr: {_block(of(objective, window))}        labels: {labels}\n"
        for sli, of in (("errors", errors), ("late", late))
    )


def _burns(chosen: Objectives) -> Iterator[Alert]:
    for objective in chosen.objectives:
        one = objective.title.removesuffix("s")
        for name, sli, target, what in (
            (f"{one}Errors", "errors", objective.availability, "fail by the server's fault"),
            (f"{one}Latency", "late", objective.latency, f"take longer than {objective.latency_ms:g} ms"),
        ):
            for factor, long, short, severity in BURNS:
                least = f"{factor:g} * {1 - target:.6g}"
                conditions = [
                    f'{recorded(sli, window)}{{objective="{objective.name}"}} > {least}' for window in (long, short)
                ]
                yield Alert(
                    name=name,
                    expr="\nand ".join(conditions),
                    wait="0s" if factor > 1 else "5m",
                    severity=severity,
                    summary=f"{{{{ $value | humanizePercentage }}}} of {objective.name} {what} on {{{{ $labels.job }}}}: "
                    f"the budget of {chosen.window_days} days, {1 - target:.4%}, burns {factor:g} times too fast",
                    labels={"burn": f"{factor:g}", "window": long},
                )


def _journal(chosen: Objectives) -> Iterator[Alert]:
    limits = chosen.thresholds
    yield Alert(
        "ServerDown",
        'up{job="bespeak-server"} == 0',
        "1m",
        "page",
        "{{ $labels.instance }} is not scraped: the server ended, as it does when a write or sync of its journal fails",
    )
    yield Alert(
        "ServerRestarts",
        'changes(process_start_time_seconds{job="bespeak-server"}[1h]) > 2',
        "0s",
        "page",
        "{{ $labels.instance }} started {{ $value }} times within an hour",
    )
    yield Alert(
        "Recovering",
        'bespeak_serving{job="bespeak-server"} == 0',
        f"{limits.recovery_minutes}m",
        "page",
        f"{{{{ $labels.instance }}}} has not been serving for {limits.recovery_minutes} minutes",
    )
    yield Alert(
        "ClockSuspect",
        "bespeak_clock_suspect == 1",
        "0s",
        "page",
        "{{ $labels.instance }} promises nothing: its clock jumped, and nobody has confirmed it",
    )
    yield Alert(
        "JournalSyncSlow",
        "histogram_quantile(0.99, sum by (job, instance, le) (rate(bespeak_journal_sync_seconds_bucket[5m])))\n"
        f"> {limits.journal_sync_p99_ms / 1_000:g}",
        "10m",
        "ticket",
        f"p99 of a sync on {{{{ $labels.instance }}}} is {{{{ $value | humanizeDuration }}}}, "
        f"more than {limits.journal_sync_p99_ms:g} ms",
    )
    yield Alert(
        "JournalLag",
        f"bespeak_journal_pending_records > {limits.journal_pending_records:g}\n"
        f"or bespeak_revision - bespeak_durable_revision > {limits.journal_pending_records:g}",
        "1m",
        "page",
        "{{ $value }} records on {{ $labels.instance }} wait for the disk",
    )
    yield Alert(
        "JournalDiskFilling",
        f"bespeak_journal_disk_free_bytes / bespeak_journal_disk_size_bytes < {limits.disk_free_ratio:g}\n"
        "or predict_linear(bespeak_journal_disk_free_bytes[6h], 86400) < 0",
        "15m",
        "page",
        "the disk of the journal of {{ $labels.instance }} is nearly full, or will be within a day",
    )


def _compute(chosen: Objectives) -> Iterator[Alert]:
    limits = chosen.thresholds
    asked = (
        'bespeak_requests_total{method=~"bespeak.v1.(ForecastService/(Forecast|Explain)|AllocationService/Allocate)"}'
    )
    yield Alert(
        "WorkerDown",
        'up{job="bespeak-worker"} == 0\nor bespeak_compute_ready == 0',
        "5m",
        "ticket",
        "{{ $labels.instance }} does not forecast or plan: the server's fallback answers",
    )
    yield Alert(
        "ComputeFallbacks",
        "sum by (job) (rate(bespeak_compute_fallbacks_total[15m]))\n"
        f"/ sum by (job) (rate({asked}[15m])) > {limits.fallback_ratio:g}",
        "15m",
        "ticket",
        "{{ $value | humanizePercentage }} of forecasts and plans on {{ $labels.job }} are made by the fallback",
    )
    yield Alert(
        "ForecastsStale",
        f"bespeak_forecast_stale_positions / (bespeak_forecast_positions > 0) > {limits.stale_forecast_ratio:g}",
        "30m",
        "ticket",
        "{{ $value | humanizePercentage }} of the forecasts on {{ $labels.instance }} are stale",
    )
    yield Alert(
        "WorkerQueueing",
        "histogram_quantile(0.99, sum by (job, instance, method, le) (rate(bespeak_compute_queue_seconds_bucket[10m])))\n"
        f"> {limits.worker_queue_p99_s:g}",
        "10m",
        "ticket",
        "p99 of the wait for a {{ $labels.method }} on {{ $labels.instance }} is {{ $value | humanizeDuration }}",
    )


def _load(chosen: Objectives) -> Iterator[Alert]:
    limits = chosen.thresholds
    yield Alert(
        "RequestsShed",
        "sum by (job) (rate(bespeak_requests_shed_total[5m]))\n"
        f"/ sum by (job) (rate(bespeak_requests_total[5m])) > {limits.shed_ratio:g}",
        "5m",
        "page",
        "{{ $value | humanizePercentage }} of requests to {{ $labels.job }} are refused at a limit",
    )
    yield Alert(
        "RequestsQueueing",
        "min_over_time(bespeak_requests_in_flight[2m])\n"
        f'/ on (job, instance) bespeak_limit{{of="requests_in_flight"}} > {limits.in_flight_ratio:g}',
        "0s",
        "page",
        "{{ $value | humanizePercentage }} of the requests that {{ $labels.instance }} may have in progress are",
    )
    yield Alert(
        "SupplyShocks",
        f"bespeak_open_shocks - bespeak_open_shocks offset 1h > {limits.new_shocks_per_hour:g}",
        "0s",
        "ticket",
        "{{ $value }} more supply shocks are open on {{ $labels.instance }} than an hour ago: promises are broken",
    )


def _group(name: str, interval: str, rules: Iterable[str]) -> str:
    return f"  - name: {name}\n    interval: {interval}\n    rules:\n{''.join(rules)}"


def _block(expr: str) -> str:
    lines = "".join(f"          {line}\n" for line in expr.splitlines())
    return f"|-\n{lines}"
