"""The dashboard of the promise path. Thresholds are those of objectives.toml."""

from ops.objectives import SERVICE, Objective, Objectives
from ops.panel import Panel, Rows
from ops.queries import HERE, gauge, limit, quantiles, rate
from ops.rules import SERVER_ERRORS, recorded


def _budget(objective: Objective, days: int) -> list[Panel]:
    shown = []
    for sli, target, what in (
        ("errors", objective.availability, "answered without an error of the server"),
        ("late", objective.latency, f"answered within {objective.latency_ms:g} ms"),
    ):
        series = f'{recorded(sli, "3d")}{{job=~"$job", objective="{objective.name}"}}'
        label = "availability" if sli == "errors" else "latency"
        shown.append(
            Panel(
                f"{objective.title}: {label}, 3 d",
                f"Share of {objective.name} {what} in the last 3 days; the objective over {days} days is {target:.4%}.",
                "percentunit",
                ((f"1 - {series}", "{{job}}"),),
                target,
                below=True,
                stat=True,
                width=6,
            )
        )
    return shown


def _burn(objective: Objective) -> Panel:
    queries = []
    for sli, target in (("errors", objective.availability), ("late", objective.latency)):
        for window in ("5m", "1h", "6h"):
            series = f'{recorded(sli, window)}{{job=~"$job", objective="{objective.name}"}}'
            queries.append((f"{series} / {1 - target:.6g}", f"{sli} {window}"))
    about = "How many times faster than allowed the error budget is used. At 14.4 somebody is called, see the runbooks."
    return Panel(f"{objective.title}: burn rate", about, "short", tuple(queries), 14.4, width=12)


def promises(chosen: Objectives) -> Rows:
    """The promise path: objectives, calls, answers, the state."""
    limits = chosen.thresholds
    served = f', method=~"{SERVICE}/.*"'
    calls = [
        Panel(
            "Calls",
            "Calls answered a second, those of sessions included.",
            "reqps",
            (rate("bespeak_requests_total", "{{method}}", served, by="method"),),
        ),
        Panel(
            "Errors of the server",
            "Calls answered with a status that is the server's fault.",
            "reqps",
            (rate("bespeak_requests_total", "{{code}} {{method}}", f', code=~"{SERVER_ERRORS}"', by="code, method"),),
        ),
        Panel(
            "Errors of callers",
            "Calls answered with a status that is the caller's fault. Refusals for stock are not among them.",
            "reqps",
            (
                rate(
                    "bespeak_requests_total",
                    "{{code}} {{method}}",
                    f', code!~"Ok|{SERVER_ERRORS}"',
                    by="code, method",
                ),
            ),
        ),
    ]
    latency = [
        Panel(
            f"Latency: {objective.title.lower()}",
            f"From a call's headers to its answer. The line is the objective: {objective.latency:.4%} within it.",
            "s",
            quantiles("bespeak_request_seconds", f", {objective.selector}"),
            objective.latency_ms / 1_000,
            log=True,
            width=12,
        )
        for objective in chosen.objectives
    ]
    shares = [
        (f"bespeak_{of}{{{HERE}}} / on (job, instance) {limit(of)}", f"{of.replace('_', ' ')} {{{{instance}}}}")
        for of in ("requests_in_flight", "streams", "connections", "positions", "receipts", "items")
    ]
    load = [
        Panel(
            "In progress",
            "Requests taken up and not yet answered.",
            "short",
            (gauge("bespeak_requests_in_flight"),),
        ),
        Panel(
            "Room",
            "Shares of the limits that are taken up. The line is where the alert of the requests in progress begins.",
            "percentunit",
            tuple(shares),
            limits.in_flight_ratio,
        ),
        Panel(
            "Shed",
            "Requests refused at a limit, at once, by the limit.",
            "reqps",
            (rate("bespeak_requests_shed_total", "{{reason}}", by="reason"),),
        ),
        Panel(
            "Connections and streams",
            "Open now; refused at the limit or lost in their handshake.",
            "short",
            (
                gauge("bespeak_connections", "connections {{instance}}"),
                gauge("bespeak_streams", "streams {{instance}}"),
                rate(
                    "bespeak_connections_refused_total",
                    "refused a second, {{reason}} {{instance}}",
                    by="reason, instance",
                ),
                rate("bespeak_connections_opened_total", "opened a second {{instance}}"),
            ),
        ),
        Panel(
            "Refusals",
            "Lines and steps refused, by reason: answers, not errors.",
            "reqps",
            (rate("bespeak_refusals_total", "{{refusal}}", by="refusal"),),
        ),
        Panel(
            "Rows of batches",
            "Rows of Arrow batches a second.",
            "short",
            (
                rate("bespeak_rows_checked_total", "checked {{instance}}"),
                rate("bespeak_rows_reserved_total", "reserved {{instance}}"),
                rate("bespeak_rows_supplied_total", "supplied {{instance}}"),
            ),
        ),
        Panel(
            "Slow watchers",
            "Watchers told to check again as they did not keep up.",
            "short",
            (rate("bespeak_watch_resyncs_total"),),
        ),
    ]
    state = [
        Panel(
            "Reservations",
            "Held and not confirmed; confirmed and still open.",
            "short",
            (
                gauge("bespeak_holds", "held {{instance}}"),
                gauge("bespeak_confirmed_reservations", "confirmed {{instance}}"),
            ),
        ),
        Panel(
            "Open supply shocks",
            "Receipts and counts that broke promises, not yet dealt with.",
            "short",
            (gauge("bespeak_open_shocks"), rate("bespeak_supply_shocks_total", "raised a second {{instance}}")),
        ),
        Panel(
            "Tables",
            "What the state holds.",
            "short",
            (
                gauge("bespeak_positions", "positions {{instance}}"),
                gauge("bespeak_receipts", "receipts {{instance}}"),
                gauge("bespeak_items", "items {{instance}}"),
                gauge("bespeak_locations", "locations {{instance}}"),
                gauge("bespeak_remembered_requests", "remembered answers {{instance}}"),
            ),
            log=True,
        ),
    ]
    budgets = [panel for objective in chosen.objectives for panel in _budget(objective, chosen.window_days)]
    burns = [_burn(objective) for objective in chosen.objectives]
    return [("Objectives", budgets + burns), ("Calls", latency + calls), ("Load", load), ("State", state)]
