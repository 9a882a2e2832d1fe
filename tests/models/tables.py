"""Context tables for tests of forecasters."""

import pyarrow as pa

FIRST_DAY = 20_000  # 2024-10-04, a Friday


def table(items, first_day=FIRST_DAY, **columns):
    """A context table of `items`: name to daily targets; None is a day not known."""
    names, days, target = [], [], []
    for name, values in items.items():
        names += [name] * len(values)
        days += list(range(first_day, first_day + len(values)))
        target += list(values)
    return pa.table(
        {
            "item_id": pa.array(names, pa.string()),
            "timestamp": pa.array(days, pa.int32()).cast(pa.date32()),
            "target": pa.array(target, pa.float64()),
            **columns,
        }
    )
