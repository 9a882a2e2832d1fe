"""PromQL that the dashboards share: of the jobs and instances that are chosen above them."""

HERE = 'job=~"$job", instance=~"$instance"'
RATE = "$__rate_interval"
QUANTILES = ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))


def rate(name: str, legend: str = "{{instance}}", more: str = "", by: str = "instance") -> tuple[str, str]:
    """Sum of a counter's rates, a second, by labels."""
    return f"sum by ({by}) (rate({name}{{{HERE}{more}}}[{RATE}]))", legend


def gauge(name: str, legend: str = "{{instance}}") -> tuple[str, str]:
    """A gauge as it is."""
    return f"{name}{{{HERE}}}", legend


def limit(of: str) -> str:
    """The most that there may be of something."""
    return f'bespeak_limit{{{HERE}, of="{of}"}}'


def quantiles(histogram: str, more: str = "", by: str = "") -> tuple[tuple[str, str], ...]:
    """Median, p99 and p99.9 of a histogram, by one more label when asked for."""
    shown = f"{{{{{by}}}}} " if by else ""
    grouped = f"{by}, le" if by else "le"
    return tuple(
        (
            f"histogram_quantile({q}, sum by ({grouped}) (rate({histogram}_bucket{{{HERE}{more}}}[{RATE}])))",
            f"{shown}{name}",
        )
        for q, name in QUANTILES
    )


def one_quantile(histogram: str, by: str, q: float = 0.99, more: str = "") -> tuple[tuple[str, str], ...]:
    """One quantile of a histogram by labels."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", "))
    sums = f"sum by ({by}, le) (rate({histogram}_bucket{{{HERE}{more}}}[{RATE}]))"
    return ((f"histogram_quantile({q}, {sums})", legend),)
