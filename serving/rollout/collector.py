"""Candidates and replicas as Prometheus metrics, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.rollout.control import Controller
from serving.worker_backend import Backend

NUMBERS = {
    "p50_ms": ("bespeak_compute_candidate_p50_seconds", "Median time of the candidate's last answers.", 1e-3),
    "p99_ms": ("bespeak_compute_candidate_p99_seconds", "99th percentile of the same.", 1e-3),
    "wql": ("bespeak_compute_candidate_wql", "Weighted quantile loss of the candidate where truth has come.", 1.0),
    "wql_active": ("bespeak_compute_candidate_wql_of_active", "The active version's on the same items and days.", 1.0),
    "wql_ratio": ("bespeak_compute_candidate_wql_ratio", "Candidate's loss by the active version's.", 1.0),
    "promises_changed": (
        "bespeak_compute_candidate_promises_changed_ratio",
        "Share of positions whose units to keep would differ.",
        1.0,
    ),
}
LABELS = ["route", "name", "version", "stage"]


class RolloutCollector(Collector):
    """Reads the routes and the backend at each scrape."""

    def __init__(self, controller: Controller, backend: Backend):
        self._controller = controller
        self._backend = backend

    def collect(self) -> Iterator[Metric]:
        """Yields the families; those of candidates are empty where there is none."""
        traffic = self._controller.traffic
        replicas = GaugeMetricFamily(
            "bespeak_compute_replicas", "Processes that answer for a version.", labels=["name", "version"]
        )
        declined = GaugeMetricFamily(
            "bespeak_compute_declined",
            "1 where a version goes without compiled or recorded passes that were asked for; the log says why.",
            labels=["name", "version"],
        )
        counts = self._backend.replicas() if traffic.units else {}
        for key, unit in tuple(traffic.units.items()):
            replicas.add_metric([unit.offered.name, unit.offered.version], counts.get(key, 0))
            declined.add_metric([unit.offered.name, unit.offered.version], float(bool(unit.offered.declined)))
        yield replicas
        yield declined
        share = GaugeMetricFamily(
            "bespeak_compute_candidate_share", "Share of the items that a candidate gets.", labels=LABELS
        )
        answers = CounterMetricFamily(
            "bespeak_compute_candidate_answers", "Calls the candidate was asked.", labels=LABELS
        )
        errors = CounterMetricFamily("bespeak_compute_candidate_errors", "Calls the candidate failed.", labels=LABELS)
        scored = CounterMetricFamily(
            "bespeak_compute_candidate_days_scored", "Forecast days of items whose truth has come.", labels=LABELS
        )
        numbers = {name: GaugeMetricFamily(metric, text, labels=LABELS) for name, (metric, text, _) in NUMBERS.items()}
        for name, route in tuple(traffic.routes.items()):
            state, score = route.state, route.score
            if not state.candidate or score is None:
                continue
            labels = [name, state.name, state.candidate, state.stage]
            share.add_metric(labels, state.share)
            answers.add_metric(labels, score.answers)
            errors.add_metric(labels, score.errors)
            scored.add_metric(labels, score.days_scored)
            for number, value in score.numbers().items():
                if number in NUMBERS and value is not None:
                    numbers[number].add_metric(labels, value * NUMBERS[number][2])
        yield from (share, answers, errors, scored, *numbers.values())
        yield CounterMetricFamily(
            "bespeak_compute_repeats_skipped",
            "Requests not repeated for a score, as too many were under way.",
            traffic.skipped,
        )
