"""The worker's Prometheus metrics, in a registry of their own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
GAP_BUCKETS = (0.0, 0.0001, 0.0005, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
SERIES_BUCKETS = (1, 8, 32, 128, 512, 2048, 8192, 32768)


class WorkerMetrics:
    """One object a worker; the service and the backends write to it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.calls = Histogram(
            "bespeak_compute_call_seconds",
            "Time of a call, by method and gRPC code.",
            ["method", "code"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "bespeak_compute_calls_in_flight", "Calls taken up and not yet answered.", registry=self.registry
        )
        self.queued = Histogram(
            "bespeak_compute_queue_seconds",
            "Time a job waited in its unit, by method.",
            ["method"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.computed = Histogram(
            "bespeak_compute_pass_seconds",
            "Time of the pass or solve that answered a job, by model or solver.",
            ["method", "name", "version", "source"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.stages = Histogram(
            "bespeak_compute_stage_seconds",
            "Time of a forecast by stage (decode, queue, pass, encode), per model version.",
            ["stage", "name", "version"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.gpu = Gauge(
            "bespeak_compute_gpu_bytes",
            "Memory of the GPU that the process of a version's last answer holds; 0 without one.",
            ["name", "version"],
            registry=self.registry,
        )
        self.batch = Histogram(
            "bespeak_compute_batch_series",
            "Series in the pass that answered a forecast.",
            ["name", "version"],
            buckets=SERIES_BUCKETS,
            registry=self.registry,
        )
        self.series = Counter(
            "bespeak_compute_forecast_series", "Series forecast.", ["name", "version", "source"], registry=self.registry
        )
        self.units = Counter(
            "bespeak_compute_allocated_units",
            "Units that plans served or left unfilled.",
            ["solver", "outcome"],
            registry=self.registry,
        )
        self.gap = Histogram(
            "bespeak_compute_plan_gap_ratio",
            "(cost - bound) / cost of plans, by solver.",
            ["solver"],
            buckets=GAP_BUCKETS,
            registry=self.registry,
        )
        self.first_plan = Histogram(
            "bespeak_compute_plan_first_seconds",
            "Time until a solve had a feasible plan, by solver.",
            ["solver"],
            buckets=LATENCY_BUCKETS,
            registry=self.registry,
        )
        self.plan_fallbacks = Counter(
            "bespeak_compute_plan_fallbacks",
            "Plans that another solver made than the one asked for.",
            ["asked", "solver"],
            registry=self.registry,
        )
        self.ready = Gauge("bespeak_compute_ready", "1 once every model and solver answers.", registry=self.registry)
