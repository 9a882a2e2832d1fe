"""The dashboard of forecasts, plans and demand. Thresholds are those of objectives.toml."""

from ops.objectives import Objectives
from ops.panel import Panel, Rows
from ops.queries import HERE, RATE, gauge, one_quantile, rate


def compute(chosen: Objectives) -> Rows:
    """Forecasts, plans and demand: the server's side and the worker's."""
    limits = chosen.thresholds
    asked = 'method=~"bespeak.v1.(ForecastService/(Forecast|Explain)|AllocationService/Allocate)"'
    share = (
        f"sum(rate(bespeak_compute_fallbacks_total{{{HERE}}}[15m]))"
        f" / sum(rate(bespeak_requests_total{{{HERE}, {asked}}}[15m]))"
    )
    latency = f"rate(bespeak_request_seconds_bucket{{{HERE}, {asked}}}[{RATE}])"
    stale = f"bespeak_forecast_stale_positions{{{HERE}}} / (bespeak_forecast_positions{{{HERE}}} > 0)"
    now = [
        Panel("Worker ready", "1 while it serves.", "short", (gauge("bespeak_compute_ready"),), 1, True, True, width=6),
        Panel(
            "Fallbacks",
            "Share of forecasts and plans that the server's own fallback made.",
            "percentunit",
            ((share, ""),),
            limits.fallback_ratio,
            stat=True,
            width=6,
        ),
        Panel(
            "Stale forecasts",
            "Share of the positions with a forecast whose forecast is older than forecasts.stale_after_ms.",
            "percentunit",
            ((stale, "{{instance}}"),),
            limits.stale_forecast_ratio,
            stat=True,
            width=6,
        ),
        Panel(
            "Oldest forecast",
            "Age of the oldest forecast that is kept.",
            "s",
            (gauge("bespeak_forecast_age_seconds"),),
            stat=True,
            width=6,
        ),
    ]
    asked_for = [
        Panel(
            "Forecasts and plans",
            "As callers see them.",
            "reqps",
            (rate("bespeak_requests_total", "{{code}} {{method}}", f", {asked}", by="code, method"),),
        ),
        Panel(
            "Latency",
            "As callers see it, p99.",
            "s",
            (
                (
                    f"histogram_quantile(0.99, sum by (method, le) ({latency}))",
                    "{{method}}",
                ),
            ),
            log=True,
        ),
        Panel("Fallbacks", "A second.", "reqps", (rate("bespeak_compute_fallbacks_total"),)),
    ]
    demand = [
        Panel(
            "Positions with a forecast",
            "And those whose forecast is stale.",
            "short",
            (
                gauge("bespeak_forecast_positions", "forecast {{instance}}"),
                gauge("bespeak_forecast_stale_positions", "stale {{instance}}"),
            ),
        ),
        Panel(
            "Demand that was not met",
            "Lines refused a second for want of stock, a limit of splits, or another line of their order.",
            "reqps",
            (
                rate(
                    "bespeak_refusals_total",
                    "{{refusal}}",
                    ', refusal=~"INSUFFICIENT_STOCK|SPLIT_LIMIT|OTHER_LINE"',
                    by="refusal",
                ),
            ),
        ),
        Panel("Open supply shocks", "Promises that supply broke.", "short", (gauge("bespeak_open_shocks"),)),
    ]
    worker = [
        Panel(
            "Calls of the worker",
            "A second.",
            "reqps",
            (rate("bespeak_compute_call_seconds_count", "{{method}} {{code}}", by="method, code"),),
        ),
        Panel(
            "Calls, p99", "From taking up to the answer.", "s", one_quantile("bespeak_compute_call_seconds", "method")
        ),
        Panel(
            "Queue, p99",
            "Waiting in the unit.",
            "s",
            one_quantile("bespeak_compute_queue_seconds", "method"),
            limits.worker_queue_p99_s,
        ),
        Panel(
            "Stages of a forecast, p99",
            "Decode, queue, pass, encode.",
            "s",
            one_quantile("bespeak_compute_stage_seconds", "stage, name, version"),
            log=True,
        ),
        Panel(
            "Passes and solves, p99",
            "By model or solver.",
            "s",
            one_quantile("bespeak_compute_pass_seconds", "method, name, version"),
            log=True,
        ),
        Panel(
            "Series forecast",
            "A second.",
            "short",
            (
                rate(
                    "bespeak_compute_forecast_series_total",
                    "{{name}} {{version}} {{source}}",
                    by="name, version, source",
                ),
            ),
        ),
        Panel(
            "Series a pass, median",
            "Series of all callers in the same pass.",
            "short",
            one_quantile("bespeak_compute_batch_series", "name, version", 0.5),
        ),
        Panel(
            "In progress",
            "Calls taken up and not yet answered.",
            "short",
            (gauge("bespeak_compute_calls_in_flight"),),
        ),
        Panel(
            "Replicas",
            "Processes that answer for a version.",
            "short",
            (gauge("bespeak_compute_replicas", "{{name}} {{version}}"),),
        ),
        Panel(
            "GPU memory",
            "Held where a version's last answer was made; 0 without a GPU.",
            "bytes",
            (gauge("bespeak_compute_gpu_bytes", "{{name}} {{version}}"),),
        ),
        Panel(
            "Candidates",
            "Their share of the items, and their loss to the active version's.",
            "short",
            (
                gauge("bespeak_compute_candidate_share", "share {{route}} {{version}} {{stage}}"),
                gauge("bespeak_compute_candidate_wql_ratio", "loss ratio {{route}} {{version}} {{stage}}"),
            ),
        ),
    ]
    return [("Now", now), ("Asked for", asked_for), ("Demand", demand), ("Worker", worker)]
