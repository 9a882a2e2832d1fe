"""Shares of a replenishment that is less than everybody wants."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.allocation.cover import RebalancingError, cover_of
from serving.allocation.rebalancing import PROPOSALS, lanes_of


def share(inbound: pa.Table, positions: pa.Table, totals: pa.Table, lanes: pa.Table, cover_days: int = 7) -> pa.Table:
    """Proposes how a replenishment is shared out, so that all end with the same days of cover.

    Args:
        inbound: item, location (where it comes in), quantity. The location itself is among those that share, if it has a
            forecast of the item.
        positions, totals, lanes: as for `serving.allocation.rebalancing.rebalance`.
        cover_days: demand a day is that of so many days ahead.

    Returns:
        A table of `PROPOSALS` without saved_units; what stays at the location goes from it to itself at no cost. A row
        that nobody has a forecast for stays where it is.

    Raises:
        RebalancingError: a table cannot be used.
    """
    cover, ways = cover_of(positions, totals, cover_days), lanes_of(lanes)
    missing = [name for name in ("item", "location", "quantity") if name not in inbound.column_names]
    if missing:
        raise RebalancingError(f"inbound has no column {', '.join(missing)}: it needs item, location, quantity")
    quantity = pc.fill_null(inbound["quantity"].cast(pa.int64()), -1).to_numpy()
    if len(quantity) and quantity.min() < 1:
        raise RebalancingError(f"inbound has quantity {quantity.min()}: give units, at least 1")
    numbered = enumerate(zip(cover.item.to_pylist(), cover.location.to_pylist(), strict=True))
    places = {pair: number for number, pair in numbered}
    names, onward = ways.names.to_pylist(), defaultdict(list)
    for origin, *way in zip(ways.origin, ways.target, ways.cost, ways.days, strict=True):
        onward[names[origin]].append((names[way[0]], int(way[1]), int(way[2])))
    group, member, chosen = [], [], []
    comes = list(zip(*(inbound[name].cast(pa.string()).to_pylist() for name in ("item", "location")), strict=True))
    for number, (item, location) in enumerate(comes):
        ends = [(location, 0, 0), *onward[location]]
        shares = [way for way in ends if (item, way[0]) in places] or ends[:1]
        group += [number] * len(shares)
        member += [places.get((item, way[0]), -1) for way in shares]
        chosen += shares
    groups, members = np.array(group, np.int64), np.array(member, np.int64)
    stock, mean = (np.append(values, 0)[members] for values in (cover.stock, cover.mean))
    given = equal_cover(quantity, groups, stock, mean / cover_days)
    rows = [
        {"item": comes[number][0], "from": comes[number][1], "to": way[0], "quantity": units}
        | {"cost_minor": way[1] * units, "days": way[2]}
        for units, number, way in zip(given.tolist(), group, chosen, strict=True)
        if units
    ]
    return pa.Table.from_pylist(rows, PROPOSALS).sort_by([(name, "ascending") for name in ("item", "from", "to")])


def equal_cover(quantity: np.ndarray, group: np.ndarray, stock: np.ndarray, demand: np.ndarray) -> np.ndarray:
    """Shares that bring everybody to the same cover (stock over demand), as far as that can be.

    Who has more than that already gets nothing. Units are whole: each gets its share rounded down, and what is left
    over goes by the largest remainder, the earlier one first where they are equal. Fair share allocation of A. G. de
    Kok, H. P. G. van Ooijen and others; the level is found as in filling vessels with water.

    Args:
        quantity: int64 (groups,): units to share out in each group.
        group: int64 (members,), ascending: which group a member is of.
        stock: int64 (members,): what it has.
        demand: float64 (members,): what it needs a day, at least 0. A group without demand gets equal parts.

    Returns:
        int64 (members,); the shares of a group add up to its quantity, or to 0 if it has no members.
    """
    members = len(group)
    if not members:
        return np.zeros(0, np.int64)
    nobody = np.bincount(group, demand, len(quantity)) <= 0
    rate = np.where(nobody[group], 1.0, np.maximum(demand, 0.0))
    have = np.where(nobody[group], 0, stock).astype(float)
    level = _levels(quantity.astype(float), group, have, rate)
    ideal = np.maximum(0.0, level[group] * rate - have)
    # Floats may be off by a hair: the sum is put right before it is rounded.
    total = np.bincount(group, ideal, len(quantity))
    ideal *= np.divide(quantity, total, out=np.zeros_like(total), where=total > 0)[group]
    return largest_remainder(quantity, group, ideal)


def largest_remainder(quantity: np.ndarray, group: np.ndarray, ideal: np.ndarray) -> np.ndarray:
    """Rounds shares to whole units that add up (Hamilton's method).

    Args:
        quantity: int64 (groups,).
        group: int64 (members,), ascending.
        ideal: float64 (members,): adds up to about the quantity in each group.

    Returns:
        int64 (members,).
    """
    share = np.floor(ideal + 1e-9).astype(np.int64)
    rest = quantity - np.bincount(group, share, len(quantity)).astype(np.int64)
    rest *= np.bincount(group, minlength=len(quantity)) > 0
    order = np.lexsort((np.arange(len(group)), share - ideal, group))
    first = np.searchsorted(group[order], np.arange(len(quantity)))
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - first[group[order]]
    return np.asarray(share + (rank < rest[group]))


def _levels(quantity: np.ndarray, group: np.ndarray, have: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """The cover t of each group at which the sum of max(0, t * rate - have) is its quantity."""
    cover = np.divide(have, rate, out=np.full_like(have, np.inf), where=rate > 0)
    order = np.lexsort((cover, group))
    own = group[order]
    first = np.searchsorted(own, np.arange(len(quantity)))
    rates, stocks = (_within(values[order], first, own) for values in (np.where(rate > 0, rate, 0.0), have))
    # With its j members of least cover sharing: t = (quantity + their stock) / their rate; right where t is not above
    # the cover of the next one.
    level = np.divide(quantity[own] + stocks, rates, out=np.zeros_like(rates), where=rates > 0)
    following = np.append(cover[order][1:], np.inf)
    following[np.append(own[1:] != own[:-1], True)] = np.inf
    right = np.flatnonzero((level <= following) & (rates > 0))
    out = np.zeros(len(quantity))
    # The first that is right: later ones are written over by it.
    out[own[right][::-1]] = level[right][::-1]
    return out


def _within(values: np.ndarray, first: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Running sums that begin anew in each group."""
    running = np.cumsum(values)
    before = np.where(first > 0, running[np.maximum(first, 1) - 1], 0.0)
    return np.asarray(running - before[own])
