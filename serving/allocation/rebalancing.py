"""Transfers between locations: proposals, never actions.

Per item, units flow from positions that have more than the policy's quantile of demand to those that have less, along
the lanes, and on into slices of the receiver's demand. A unit is worth what it is worth when sold, times the chance that
it is sold there, less that chance where it comes from, less the lane's cost. Chances fall with every unit that is there
already, so the problem is convex and a minimum-cost flow solves it exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from ortools.graph.python import min_cost_flow

from serving.allocation.cover import Cover, RebalancingError, cover_of

PROPOSALS = pa.schema(
    [
        pa.field("item", pa.string()),
        pa.field("from", pa.string()),
        pa.field("to", pa.string()),
        pa.field("quantity", pa.int64()),
        pa.field("cost_minor", pa.int64()),
        pa.field("days", pa.int32()),
        pa.field("saved_units", pa.float64()),
    ]
)
#: Costs are whole in the flow: thousandths of a minor unit.
SCALE = 1_000
MONEY_MAX = 100_000_000
ARCS_MAX = 20_000_000


@dataclass(frozen=True)
class RebalancingPolicy:
    """What is to be reached.

    Attributes:
        level: share of periods in which stock is to last; what is beyond this quantile may be given away.
        cover_days: length of a period. A lane that takes as long is left out.
        value_minor: of a unit that is sold, minor units, for items that have no value of their own.
        least_units: smaller transfers are not proposed.
    """

    level: float = 0.9
    cover_days: int = 7
    value_minor: int = 1_000
    least_units: int = 1

    def __post_init__(self) -> None:
        if not 0.5 <= self.level < 1:
            raise RebalancingError(f"level {self.level}: name one from 0.5 to below 1")
        if not 0 <= self.value_minor <= MONEY_MAX:
            raise RebalancingError(f"value {self.value_minor}: name one from 0 to {MONEY_MAX} minor units")
        if self.least_units < 1:
            raise RebalancingError(f"least units {self.least_units}: name 1 or more")


@dataclass(frozen=True)
class Lanes:
    """Ways between locations, as numbers of a list of names."""

    origin: np.ndarray
    target: np.ndarray
    cost: np.ndarray
    days: np.ndarray
    names: pa.Array


def rebalance(
    positions: pa.Table,
    totals: pa.Table,
    lanes: pa.Table,
    policy: RebalancingPolicy | None = None,
    values: pa.Table | None = None,
) -> pa.Table:
    """Proposes transfers that are worth more than they cost.

    No position gives away what it needs to its own quantile, nor more than it has; none gets more than it needs to its
    quantile. Positions without a forecast are left alone. A unit counts as if it were there at once, which flatters
    slow lanes.

    Args:
        positions, totals: see `serving.allocation.cover.cover_of`.
        lanes: from, to, cost_minor of a unit, days (0 where the column is absent).
        policy: None for the defaults.
        values: item, value_minor of a unit sold.

    Returns:
        A table of `PROPOSALS`, sorted by item and locations; cost_minor is that of all the row's units, saved_units what
        it is expected to sell more over the days of cover.

    Raises:
        RebalancingError: a table cannot be used.
    """
    policy = policy or RebalancingPolicy()
    cover = cover_of(positions, totals, policy.cover_days)
    ways = lanes_of(lanes, policy.cover_days)
    need = np.ceil(cover.at(policy.level) - 1e-9).astype(np.int64)
    worth = _values(cover.item, values, policy.value_minor)
    donor, target, lane = _pairs(cover, ways, need)
    if not len(lane):
        return PROPOSALS.empty_table()
    gives, takes = _slices(cover, need, below=False), _slices(cover, need, below=True)
    moved, gain = _flow(cover, gives, takes, worth, (donor, target, ways.cost[lane]))
    kept = np.flatnonzero(moved >= policy.least_units)
    return _table(cover, donor[kept], target[kept], moved[kept], ways, lane[kept], gain[kept])


def lanes_of(table: pa.Table, below_days: int | None = None) -> Lanes:
    """Reads lanes; those of a location to itself are left out, and those that take `below_days` or longer.

    Raises:
        RebalancingError: a column is missing, a cost is out of range, or a way is there twice.
    """
    for name in ("from", "to", "cost_minor"):
        if name not in table.column_names:
            raise RebalancingError(f"lanes has no column {name}: it needs from, to, cost_minor, and days if any")
    ends = [table[name].cast(pa.string()).combine_chunks() for name in ("from", "to")]
    names = pc.unique(pa.concat_arrays(ends))
    origin, target = (pc.index_in(end, value_set=names).to_numpy(zero_copy_only=False).astype(np.int64) for end in ends)
    cost = pc.fill_null(table["cost_minor"].cast(pa.int64()), -1).to_numpy()
    days = table["days"].cast(pa.int64()).to_numpy() if "days" in table.column_names else np.zeros(len(cost), np.int64)
    if len(cost) and (cost.min() < 0 or cost.max() > MONEY_MAX):
        wrong = cost.min() if cost.min() < 0 else cost.max()
        raise RebalancingError(f"lanes has cost_minor {wrong}: give 0 to {MONEY_MAX} for a unit")
    if len(pc.unique(pa.array(origin * len(names) + target))) != len(origin):
        raise RebalancingError("lanes has a way twice: keep the cheaper")
    kept = origin != target
    if below_days is not None:
        kept &= days < below_days
    return Lanes(origin[kept], target[kept], cost[kept], days[kept], names)


def _values(items: pa.Array, values: pa.Table | None, default: int) -> np.ndarray:
    """Value of a unit at each position."""
    if values is None:
        return np.full(len(items), default, np.int64)
    for name in ("item", "value_minor"):
        if name not in values.column_names:
            raise RebalancingError(f"values has no column {name}: it needs item, value_minor")
    at = pc.index_in(items, value_set=values["item"].cast(pa.string()).combine_chunks())
    found = pc.fill_null(values["value_minor"].cast(pa.int64()).combine_chunks().take(at), default).to_numpy()
    if len(found) and (found.min() < 0 or found.max() > MONEY_MAX):
        wrong = found.min() if found.min() < 0 else found.max()
        raise RebalancingError(f"values has value_minor {wrong}: give 0 to {MONEY_MAX} for a unit")
    return np.asarray(found)


def _pairs(cover: Cover, ways: Lanes, need: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions that may give, positions of the same item that may get it of them, and the lane between."""
    at = pc.fill_null(pc.index_in(cover.location, value_set=ways.names), -1).to_numpy().astype(np.int64)
    item = np.asarray(pc.dictionary_encode(cover.item).indices, np.int64)
    known = np.flatnonzero((at >= 0) & (cover.stock < need))
    keys = item[known] * (len(ways.names) + 1) + at[known]
    order = np.argsort(keys)
    keys, known = keys[order], known[order]
    donors = np.flatnonzero((at >= 0) & (cover.stock > need))
    # Lanes by origin, so that each donor has a range of them.
    by_origin = np.argsort(ways.origin, kind="stable")
    start = np.searchsorted(ways.origin[by_origin], np.arange(len(ways.names) + 1))
    count = start[at[donors] + 1] - start[at[donors]]
    if count.sum() > ARCS_MAX:
        raise RebalancingError(f"{count.sum()} ways for all items together: rebalance some of the items at a time")
    donor = np.repeat(donors, count)
    offset = np.arange(len(donor)) - np.repeat(np.cumsum(count) - count, count)
    lane = by_origin[np.repeat(start[at[donors]], count) + offset]
    wanted = item[donor] * (len(ways.names) + 1) + ways.target[lane]
    found = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
    good = np.flatnonzero(keys[found] == wanted) if len(keys) else np.empty(0, np.int64)
    return donor[good], known[found[good]], lane[good]


@dataclass(frozen=True)
class Slices:
    """Ranges of units of a position, each with the chance that a unit of it is sold there."""

    position: np.ndarray
    units: np.ndarray
    chance: np.ndarray


def _slices(cover: Cover, need: np.ndarray, *, below: bool) -> Slices:
    """Units between what a position has and what it needs, or beyond what it needs."""
    low, high = (cover.stock, need) if below else (need, cover.stock)
    ends = np.concatenate([[0.0], cover.levels, [1.0]])
    edges = np.ceil(cover.quantiles - 1e-9).astype(np.int64)
    far = np.full((len(need), 1), np.iinfo(np.int64).max)
    edges = np.concatenate([np.zeros((len(need), 1), np.int64), edges, far], axis=1)
    clipped = np.clip(edges, low[:, None], np.maximum(high, low)[:, None])
    units = np.diff(clipped, axis=1)
    # Demand is taken to be spread evenly between two levels.
    chance = np.broadcast_to(1 - (ends[1:] + ends[:-1]) / 2, units.shape)
    position, level = np.nonzero(units)
    return Slices(position, units[position, level], chance[position, level])


def _flow(
    cover: Cover, gives: Slices, takes: Slices, worth: np.ndarray, ways: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Units along each pair of positions, and the units that they save together.

    Solved by cost scaling: A. V. Goldberg, An efficient implementation of a scaling minimum-cost flow algorithm, J.
    Algorithms 22 (1997).
    """
    donor, target, cost = ways
    gives, takes = (_of(slices, who) for slices, who in ((gives, donor), (takes, target)))
    source, sink = len(cover.stock), len(cover.stock) + 1
    lost, won = (np.rint(SCALE * worth[each.position] * each.chance).astype(np.int64) for each in (gives, takes))
    total = int(gives.units.sum())
    tails = np.concatenate([np.full(len(gives.position), source), donor, takes.position, [source]])
    heads = np.concatenate([gives.position, target, np.full(len(takes.position), sink), [sink]])
    room = np.concatenate([gives.units, np.full(len(donor), total), takes.units, [total]])
    # A transfer that gains nothing is not made: a unit of the scale is asked for it.
    price = np.concatenate([lost, cost * SCALE + 1, -won, [0]])
    flow = min_cost_flow.SimpleMinCostFlow()
    arcs = flow.add_arcs_with_capacity_and_unit_cost(
        tails.astype(np.int32), heads.astype(np.int32), room.astype(np.int64), price.astype(np.int64)
    )
    flow.set_node_supply(source, total)
    flow.set_node_supply(sink, -total)
    status = flow.solve()
    if status != flow.OPTIMAL:
        raise RebalancingError(f"the flow was not solved ({status.name}): rebalance some of the items at a time")
    found = np.asarray(flow.flows(arcs), np.int64)
    first, second = len(gives.position), len(gives.position) + len(donor)
    given, moved, taken = found[:first], found[first:second], found[second:-1]
    size = len(cover.stock)
    # What a position loses and gains in all, for each unit that it gives or gets.
    loss, gain = (
        np.divide(
            np.bincount(slices.position, units * slices.chance, size),
            np.bincount(slices.position, units, size),
            out=np.zeros(size),
            where=np.bincount(slices.position, units, size) > 0,
        )
        for slices, units in ((gives, given), (takes, taken))
    )
    return moved, moved * (gain[target] - loss[donor])


def _of(slices: Slices, who: np.ndarray) -> Slices:
    kept = np.isin(slices.position, who)
    return Slices(slices.position[kept], slices.units[kept], slices.chance[kept])


def _table(
    cover: Cover,
    donor: np.ndarray,
    target: np.ndarray,
    moved: np.ndarray,
    ways: Lanes,
    lane: np.ndarray,
    gain: np.ndarray,
) -> pa.Table:
    found = pa.table(
        [
            cover.item.take(pa.array(donor)),
            cover.location.take(pa.array(donor)),
            cover.location.take(pa.array(target)),
            pa.array(moved, pa.int64()),
            pa.array(moved * ways.cost[lane], pa.int64()),
            pa.array(ways.days[lane], pa.int32()),
            pa.array(gain, pa.float64()),
        ],
        schema=PROPOSALS,
    )
    return found.sort_by([(name, "ascending") for name in ("item", "from", "to")])
