"""What is measured beside the gRPC rows: which program measures a row, where, and where its line has the number.

A program's line carries its own target, so that no bound is written twice.
"""

from dataclasses import dataclass

from loadtests.row import AT_LEAST, AT_MOST

PYTHON = "-m", "serving.benchmarks"
FORECAST_PUSH = "-m", "serving.push_benchmark"
FORECAST = "-m", "serving.forecast_benchmark"
ENGINE = "engine_bench"
RECOVERY = "recovery_bench"
PROGRAMS = {ENGINE: "bespeak-engine", RECOVERY: "bespeak-journal"}
"""Examples of the Rust tree, and the crates that they belong to."""

# Resident bytes a position, rounded up: with 4 receipts and 8 commitments, and with 2 of each.
FULL_POSITION_BYTES = 2_250
SMALL_POSITION_BYTES = 950


@dataclass(frozen=True)
class Row:
    """One row, measured by a program that prints JSON lines.

    Attributes:
        ours: what is measured.
        program: an example of the Rust tree, or arguments of Python.
        arguments: of a full run; `quick` takes their place under --quick, and None leaves the row out there.
        bench: the program's own name of the line that counts.
        metric: the number in that line.
        target: the bound in that line; "" for a number that is only recorded.
        needs_bytes: memory that must be available.
        one_core: the program is kept on one core.
        repeated: it is run as often as --repeats says; what takes minutes is run once.
    """

    part: str
    ours: str
    name: str
    title: str
    program: str | tuple[str, ...]
    arguments: tuple[str, ...]
    quick: tuple[str, ...] | None
    bench: str
    metric: str
    sense: str
    target: str = ""
    needs_bytes: int = 0
    one_core: bool = True
    repeated: bool = True


def _engine(name: str, title: str, what: str, positions: int, bench: str, metric: str, sense: str) -> Row:
    large = positions > 1_000_000
    each = SMALL_POSITION_BYTES if what == "memory" else FULL_POSITION_BYTES
    target = "target_" + metric.removeprefix("median_")
    return Row(
        part="engine",
        ours="engine",
        name=name,
        title=title,
        program=ENGINE,
        arguments=(what, str(positions)),
        quick=None if large else (what, str(min(positions, 100_000))),
        bench=f"engine_{bench}",
        metric=metric,
        sense=sense,
        target=target,
        needs_bytes=each * positions,
        repeated=not large,
    )


def _python(name: str, title: str, positions: int, metric: str, sense: str, target: str) -> Row:
    def arguments(positions: int, seconds: str) -> tuple[str, ...]:
        return ("--only", name, "--positions", str(positions), "--seconds", seconds)

    return Row(
        part="python",
        ours="python",
        name=f"python-{name.replace('_', '-')}",
        title=title,
        program=PYTHON,
        arguments=arguments(positions, "5"),
        quick=arguments(10_000, "0.5"),
        bench=f"{name}_python",
        metric=metric,
        sense=sense,
        target=target,
        needs_bytes=FULL_POSITION_BYTES * positions,
    )


def _forecasts(name: str, title: str, metric: str, target: str) -> Row:
    return Row(
        part="forecasts",
        ours="server",
        name=name,
        title=title,
        program=FORECAST_PUSH,
        arguments=(),
        quick=("--positions", "1000", "--seconds", "0.5"),
        bench="forecast_push",
        metric=metric,
        sense=AT_MOST,
        target=target,
        needs_bytes=1 << 30,
        one_core=False,
    )


def _forecast(precision: str, what: str, title: str, metric: str) -> Row:
    name = f"forecast-{precision}-{what}"
    return Row(
        part="forecast-speed",
        ours="worker",
        name=name,
        title=title.format(precision),
        program=FORECAST,
        arguments=("--precision", precision),
        # Each loads the model twice, which takes longer than the rest of a quick run.
        quick=None,
        bench=f"forecast_speed_{precision}",
        metric=metric,
        sense=AT_LEAST,
        target=f"target_{metric}",
        one_core=False,
        repeated=False,
    )


ROWS = (
    _engine("check-100k", "one check inside Rust, 100k positions", "check", 100_000, "check", "median_ns", AT_MOST),
    _engine("check-10m", "one check inside Rust, 10M positions", "check", 10_000_000, "check", "median_ns", AT_MOST),
    _engine(
        "batch-1m",
        "batch check in Rust, 1M positions, one core",
        "batch",
        1_000_000,
        "batch_check",
        "rows_per_s",
        AT_LEAST,
    ),
    _engine(
        "reserve-confirm",
        "reserve + confirm inside Rust, memory mode, one thread",
        "reserve",
        100_000,
        "reserve_confirm",
        "pairs_per_s",
        AT_LEAST,
    ),
    _engine(
        "growth-100k",
        "longest of 400,000 reserves, each remembered, inside Rust",
        "growth",
        100_000,
        "growth",
        "reserve_longest_us",
        AT_MOST,
    ),
    _engine(
        "memory-1m",
        "memory of 1M positions, 2 receipts and 2 commitments each",
        "memory",
        1_000_000,
        "memory",
        "bytes_per_position",
        AT_MOST,
    ),
    _engine(
        "memory-10m",
        "memory of 10M positions, 2 receipts and 2 commitments each",
        "memory",
        10_000_000,
        "memory",
        "bytes_per_position",
        AT_MOST,
    ),
    _python("engine_check", "one Engine.check from Python", 100_000, "median_ns", AT_MOST, "target_ns"),
    _python(
        "check_table",
        "batch check through Python, 1M positions, one core",
        1_000_000,
        "rows_per_s",
        AT_LEAST,
        "target_rows_per_s",
    ),
    _python("reserve_table", "batch reserve through Python, memory mode", 100_000, "rows_per_s", AT_LEAST, ""),
    Row(
        part="recovery",
        ours="journal",
        name="recovery",
        title="recovery of 1M positions + 1M journal records",
        program=RECOVERY,
        arguments=("1000000", "1000000"),
        quick=("20000", "20000"),
        bench="recovery",
        metric="open_ms",
        sense=AT_MOST,
        target="target_ms",
        needs_bytes=3 * FULL_POSITION_BYTES * 1_000_000,
        one_core=False,
    ),
    _forecasts("forecast-push", "push of 1M position-days of quantiles", "push_seconds", "target_seconds"),
    _forecasts("forecast-p99", "p99 of holds during that push, to p99 without", "p99_ratio", "target_ratio"),
    *(
        _forecast(precision, what, title, metric)
        for precision in ("float32", "bfloat16")
        for what, title, metric in (
            ("speed", "forecasts through the worker, {}, context 512, horizon 28, all cores", "series_per_s"),
            ("share", "the same as a share of the model's bare passes, {}", "share"),
        )
    ),
)
