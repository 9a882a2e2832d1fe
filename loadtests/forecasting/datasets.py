"""Prepares two public data sets as tables that forecasters take.

FreshRetailNet-50K (Dingdong-Inc, CC BY 4.0, arXiv 2505.16319): daily sales of
fresh goods by store, with the hours out of stock. Online Retail (D. Chen, UCI
Machine Learning Repository 352, CC BY 4.0): order lines of a web shop.

    python -m loadtests.forecasting.datasets freshretailnet DAILY STATIC OUT [--every 10] [--weather WEATHER]
    python -m loadtests.forecasting.datasets online-retail ORDERS OUT [--every 3]

Paths are given as arguments, and no part of the product imports this.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

HORIZON_DAYS = 28
#: Opening hours in which a stock-out is counted.
OPEN_HOURS = 16
SOLD_DAYS_MIN = 20
STATIC = {
    "city_id": "city",
    "store_id": "store",
    "management_group_id": "management_group",
    "first_category_id": "category_1",
    "second_category_id": "category_2",
    "third_category_id": "category_3",
    "product_id": "product",
}
WEATHER = {
    "precpt": "precipitation",
    "avg_temperature": "temperature",
    "avg_humidity": "humidity",
    "avg_wind_level": "wind",
}


def freshretailnet(daily: Path, static: Path, weather: Path | None = None, every: int = 1) -> pa.Table:
    """Daily rows of every n-th item by sorted item_id, with the weather of its city where that is given.

    Returns:
        item_id, timestamp, target, stockout (share of the open hours), price and
        price_ratio (both the discount column, 1 is none), promotion (the activity
        flag), holiday, weather of the city, and the hierarchy as strings.
    """
    rows = pq.read_table(daily).to_pandas()
    rows["item_id"] = rows["item_id"].astype(str)
    chosen = np.sort(rows["item_id"].unique())[::every]
    rows = rows[rows["item_id"].isin(chosen)]
    hierarchy = pq.read_table(static).to_pandas()
    rows = rows.merge(hierarchy, on="item_id", how="left", validate="m:1")
    if weather is not None:
        sky = pq.read_table(weather).to_pandas()
        sky["timestamp"] = sky["timestamp"].astype("datetime64[ms]")
        rows = rows.merge(sky, on=["city_id", "timestamp"], how="left", validate="m:1")
    out = pd.DataFrame(
        {
            "item_id": rows["item_id"],
            "timestamp": rows["timestamp"].dt.date,
            "target": rows["target"].astype(float),
            "stockout": (rows["stockout_hours"] / OPEN_HOURS).clip(0.0, 1.0),
            "price": rows["discount"].astype(float),
            "price_ratio": rows["discount"].astype(float),
            "promotion": rows["activity"].astype(float),
            "holiday": rows["holiday"].astype(float),
        }
    )
    if weather is not None:
        for source, name in WEATHER.items():
            out[name] = rows[source].astype(float)
    for source, name in STATIC.items():
        out[name] = rows[source].astype(int).astype(str)
    return pa.Table.from_pandas(out.sort_values(["item_id", "timestamp"]), preserve_index=False)


def online_retail(orders: Path, horizon: int = HORIZON_DAYS, every: int = 1) -> pa.Table:
    """Units sold a day and sku, from each sku's first sale to the last day of the data, of every n-th sku.

    Leaves out cancellations (order ids that begin with C), lines without a
    positive quantity, and skus sold on fewer than 20 days before the last
    `horizon` days. A day without a line sold nothing.
    """
    lines = pq.read_table(orders).to_pandas()
    lines["sku"] = lines["sku"].astype(str)
    lines = lines[~lines["order_id"].str.startswith("C") & (lines["qty"] > 0)]
    lines["day"] = lines["ts"].dt.floor("D")
    sold = lines.groupby(["sku", "day"])["qty"].sum()
    wide = sold.unstack("sku")
    wide = wide.reindex(pd.date_range(wide.index.min(), wide.index.max(), freq="D"))
    before = wide.iloc[:-horizon]
    wide = wide.loc[:, before.notna().sum() >= SOLD_DAYS_MIN].iloc[:, ::every]
    started = wide.notna().cumsum() > 0
    filled = wide.fillna(0.0).where(started)
    long = filled.stack().rename("target").reset_index()
    long.columns = ["timestamp", "item_id", "target"]
    long["timestamp"] = long["timestamp"].dt.date
    long = long[["item_id", "timestamp", "target"]].sort_values(["item_id", "timestamp"])
    return pa.Table.from_pandas(long, preserve_index=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    fresh = commands.add_parser("freshretailnet")
    for name in ("daily", "static", "out"):
        fresh.add_argument(name, type=Path)
    fresh.add_argument("--weather", type=Path)
    retail = commands.add_parser("online-retail")
    for name in ("orders", "out"):
        retail.add_argument(name, type=Path)
    for either in (fresh, retail):
        either.add_argument("--every", type=int, default=1, help="Only every n-th item by sorted id.")
    given = parser.parse_args()
    if given.command == "freshretailnet":
        table = freshretailnet(given.daily, given.static, given.weather, given.every)
    else:
        table = online_retail(given.orders, every=given.every)
    pq.write_table(table, given.out)
    print(f"wrote {given.out}: {table.num_rows} rows")


if __name__ == "__main__":
    main()
