"""The steps that Hypothesis puts together, the same for the embedded engine and for a server."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bespeak import ArrivalSpread, Item, Location, SupplyRule
from tests.oracle.oracle import HOUR_MS, KINDS, STATUSES, supply_rule
from tests.property.pair import Pair
from tests.property.sourcing import Asked

ITEMS = ("tea", "jam")
PLACES = ("ams", "tyo", "rio")
ZONES = {"ams": "", "tyo": "Asia/Tokyo", "rio": "America/Sao_Paulo"}

items = st.sampled_from(ITEMS)
places = st.sampled_from(PLACES)
statuses = st.sampled_from(STATUSES)
# Sellable stock, mostly: what is blocked is seldom seen by a promise.
mostly_sellable = st.sampled_from(("UNRESTRICTED", "UNRESTRICTED", "UNRESTRICTED", "QUALITY", "BLOCKED"))
units = st.integers(1, 12)
hours = st.integers(0, 14)
lives = st.sampled_from((0, 5 * 60_000, HOUR_MS, 5 * HOUR_MS))
receipts = st.sampled_from(("r1", "r2", "r3", "r4"))
kinds = st.sampled_from(KINDS)
fills = st.sampled_from(("ALL_OR_NONE", "PARTIAL", "SHIP_COMPLETE"))
some_statuses = st.lists(statuses, unique=True, min_size=1, max_size=2).map(tuple)
some_kinds = st.lists(kinds, unique=True, max_size=2).map(tuple)
lines = st.lists(st.tuples(items, places, units, hours, st.integers(0, 9)), min_size=1, max_size=4)
numbers = st.integers(1, 12)
customers = st.sampled_from(("", "", "ann", "bob"))
# Small enough that several locations can often serve them, together if not alone.
baskets = st.lists(st.tuples(items, places, st.integers(1, 9), hours, st.integers(0, 9)), min_size=1, max_size=3)


class PromiseMachine(RuleBasedStateMachine):
    """Subclasses say how to open what is tested and which clock it goes by."""

    SERVER = False

    def open(self):
        """Returns the pair under test."""
        raise NotImplementedError

    def __init__(self):
        super().__init__()
        self.pair: Pair = self.open()
        # Instants lie on a grid of hours, so that receipts, shipments and checks often coincide.
        self.base = (self.pair.oracle.now // HOUR_MS + 2) * HOUR_MS

    def at(self, hour):
        return self.base + hour * HOUR_MS

    @initialize(
        graces=st.lists(st.sampled_from((None, 0, HOUR_MS, 7 * HOUR_MS)), min_size=3, max_size=3),
        opening=st.lists(st.integers(0, 7), min_size=6, max_size=6),
    )
    def world(self, graces, opening):
        pair = self.pair
        for item in ITEMS:
            pair.api.put_item(Item(pair.name(item)))
        for place, grace in zip(PLACES, graces, strict=True):
            pair.api.put_location(Location(pair.name(place), ZONES[place]))
            pair.oracle.zones[place] = ZONES[place] or "UTC"
            self.put_rule(place, "", grace, (), (), 0)
        pair.positions = [(item, place) for item in ITEMS for place in PLACES]
        for position, amount in zip(pair.positions, opening, strict=True):
            if amount:
                pair.bring_back(*position, "UNRESTRICTED", amount)

    def put_rule(self, place, item, grace, counted, kinds, horizon):
        pair = self.pair
        rule = SupplyRule(statuses=counted, receipt_kinds=kinds, late_grace_ms=grace, horizon_ms=horizon)
        pair.api.put_rule(rule, pair.name(place), pair.name(item))
        pair.oracle.rules[(place, item)] = supply_rule(counted, kinds, grace, horizon)

    def timed(self, asked, fill):
        """Lines of a request; only an order that ships complete may ship later, and then all its lines may."""
        later = fill == "SHIP_COMPLETE"
        return [
            (item, tried, amount, self.at(hour), self.at(hour + more) if later else 0)
            for item, tried, amount, hour, more in asked
        ]

    # --- policy ---

    @rule(
        place=places,
        item=st.sampled_from(("", *ITEMS)),
        grace=st.sampled_from((None, 0, HOUR_MS, 7 * HOUR_MS)),
        counted=some_statuses,
        kinds=some_kinds,
        horizon=hours,
    )
    def change_rule(self, place, item, grace, counted, kinds, horizon):
        self.put_rule(place, item, grace, counted, kinds, horizon * 2 * HOUR_MS)

    @rule(item=items, place=places, kept=st.integers(0, 5))
    def buffer(self, item, place, kept):
        self.pair.api.put_buffer(self.pair.name(item), self.pair.name(place), kept)
        self.pair.oracle.buffers[(item, place)] = kept

    # --- stock ---

    @rule(item=items, place=places, status=mostly_sellable, amount=st.integers(0, 30), ago=st.integers(0, 90))
    def count(self, item, place, status, amount, ago):
        self.pair.count(item, place, status, amount, self.pair.clock() - ago * 60_000 if ago > 30 else 0)

    @rule(item=items, place=places, status=mostly_sellable, amount=units, right=st.booleans())
    def count_if_as_expected(self, item, place, status, amount, right):
        now = self.pair.oracle.on_hand(item, place, status)
        self.pair.count(item, place, status, amount, 0, now if right else now + 1)

    @rule(
        item=items, place=places, status=mostly_sellable, delta=st.integers(-8, 12).filter(bool), ago=st.integers(0, 60)
    )
    def adjust(self, item, place, status, delta, ago):
        self.pair.adjust(item, place, status, delta, self.pair.clock() - ago * 60_000 if ago > 30 else 0)

    @rule(item=items, place=places, number=st.integers(1, 40), delta=units, feed=st.sampled_from(("tills", "scans")))
    def sale_of_a_feed(self, item, place, number, delta, feed):
        self.pair.adjust(item, place, "UNRESTRICTED", -delta, 0, (feed, number))

    @rule(item=items, place=places, status=mostly_sellable, amount=units)
    def bring_back(self, item, place, status, amount):
        self.pair.bring_back(item, place, status, amount)

    @rule(item=items, place=places, amount=units, pair=st.permutations(STATUSES))
    def move_status(self, item, place, amount, pair):
        self.pair.move_status(item, place, amount, pair[0], pair[1])

    @rule(
        receipt=receipts,
        item=items,
        place=places,
        amount=units,
        due=hours,
        kind=kinds,
        late=st.integers(0, 4),
        ppm=st.sampled_from((0, 900_000, 333_333)),
    )
    def schedule(self, receipt, item, place, amount, due, kind, late, ppm):
        spread = ArrivalSpread(self.at(due + late), ppm) if late else None
        self.pair.schedule(receipt, item, place, amount, self.at(due), kind, spread)

    @rule(receipt=receipts, amount=st.none() | units, due=st.none() | hours, late=st.integers(0, 4))
    def change_receipt(self, receipt, amount, due, late):
        if due is None:
            self.pair.change_receipt(receipt, amount, None)
        else:
            self.pair.change_receipt(receipt, amount, self.at(due), ArrivalSpread(self.at(due + late)))

    @rule(receipt=receipts, amount=units, status=mostly_sellable, final=st.booleans(), ago=st.integers(0, 60))
    def receive(self, receipt, amount, status, final, ago):
        self.pair.receive(receipt, amount, status, self.pair.clock() - ago * 60_000 if ago > 30 else 0, final=final)

    @rule(receipt=receipts)
    def cancel_receipt(self, receipt):
        self.pair.cancel_receipt(receipt)

    @rule(item=items, ends=st.permutations(PLACES), amount=units, receipt=receipts, due=hours)
    def transfer(self, item, ends, amount, receipt, due):
        self.pair.transfer(item, ends[0], ends[1], amount, receipt, self.at(due))

    # --- promises ---

    @rule(asked=lines, fill=fills, life=lives, customer=customers, confirm=st.booleans())
    def reserve(self, asked, fill, life, customer, confirm):
        taken = self.timed(((item, (place,), *rest) for item, place, *rest in asked), fill)
        self.pair.reserve(taken, fill, life, customer, confirm=confirm)

    @rule(asked=lines, candidates=st.permutations(PLACES), fill=st.sampled_from(("ALL_OR_NONE", "SHIP_COMPLETE")))
    def promise(self, asked, candidates, fill):
        taken = self.timed(((item, tuple(candidates), *rest) for item, _, *rest in asked), fill)
        self.pair.promise(taken, fill)

    @rule(
        asked=baskets,
        candidates=st.permutations(PLACES),
        fill=st.sampled_from(("ALL_OR_NONE", "PARTIAL")),
        sourcing=st.sampled_from(("IN_ORDER", "EARLIEST", "FEWEST_PACKAGES")),
        packages=st.integers(0, 3),
        split=st.sampled_from((0, 0, 1, 3)),
        customer=customers,
    )
    def choose(self, asked, candidates, fill, sourcing, packages, split, customer):
        later = sourcing == "EARLIEST"
        taken = tuple(
            (item, tuple(candidates), amount, self.at(hour), self.at(hour + more) if later else 0)
            for item, _, amount, hour, more in asked
        )
        self.pair.choose(Asked(taken, fill, sourcing, packages, split, customer))

    @rule(
        item=items,
        amount=st.integers(6, 16),
        hour=hours,
        candidates=st.permutations(PLACES),
        fill=st.sampled_from(("ALL_OR_NONE", "PARTIAL")),
        packages=st.integers(2, 3),
        split=st.integers(1, 4),
    )
    def split_a_line(self, item, amount, hour, candidates, fill, packages, split):
        line = (item, tuple(candidates), amount, self.at(hour), 0)
        self.pair.choose(Asked((line,), fill, "IN_ORDER", packages, split))

    @rule(item=items, amount=st.integers(4, 12), more=st.integers(1, 14), candidates=st.permutations(PLACES))
    def take_it_when_it_comes(self, item, amount, more, candidates):
        line = (item, tuple(candidates), amount, self.at(0), self.at(more))
        self.pair.choose(Asked((line,), "ALL_OR_NONE", "EARLIEST"))

    @rule(number=numbers)
    def confirm(self, number):
        self.pair.confirm(number)

    @rule(number=numbers, life=st.sampled_from((5 * 60_000, HOUR_MS, 11 * HOUR_MS)))
    def extend(self, number, life):
        self.pair.extend(number, life)

    @rule(number=numbers)
    def fulfil_all(self, number):
        self.pair.fulfil(number)

    @rule(
        number=numbers,
        parts=st.lists(st.tuples(st.integers(0, 3), units, st.sampled_from(("", *PLACES))), min_size=1, max_size=2),
    )
    def fulfil_some(self, number, parts):
        self.pair.fulfil(number, parts)

    @rule(number=numbers)
    def release_all(self, number):
        self.pair.release(number)

    @rule(number=numbers, parts=st.lists(st.tuples(st.integers(0, 3), units), min_size=1, max_size=2))
    def release_some(self, number, parts):
        self.pair.release(number, parts)

    # --- the same again ---

    @precondition(lambda self: self.pair.writes)
    @rule(index=st.integers(0, 1_000))
    def again(self, index):
        self.pair.again(index)

    @precondition(lambda self: self.pair.writes)
    @rule(index=st.integers(0, 1_000), item=items, place=places)
    def the_id_again_for_something_else(self, index, item, place):
        self.pair.reuse(self.pair.writes[index % len(self.pair.writes)][0], item, place)

    # --- time ---

    @precondition(lambda self: not self.SERVER)
    @rule(by=st.sampled_from((1, 60_000, 5 * 60_000, HOUR_MS, 3 * HOUR_MS)))
    def time_passes(self, by):
        self.pass_time(by)

    @precondition(lambda self: not self.SERVER)
    @rule(early=st.integers(0, 1))
    def time_comes_to_the_next_expiry(self, early):
        oracle = self.pair.oracle
        ends = [each.expires for each in oracle.reservations.values() if each.state == "HELD"]
        if ends and (by := min(ends) - early - oracle.now) > 0:
            self.pass_time(by)

    def pass_time(self, by):
        """Moves the engine's clock."""
        raise NotImplementedError

    # --- what must hold after every step ---

    @rule(
        item=items,
        place=places,
        amount=units,
        hour=hours,
        counted=some_statuses,
        kinds=some_kinds,
        extra=st.integers(0, 3),
        stock=st.booleans(),
    )
    def check_by_another_rule(self, item, place, amount, hour, counted, kinds, extra, stock):
        override = {"statuses": counted, "receipt_kinds": kinds, "extra_buffer": extra, "on_hand_only": stock}
        self.pair.check(item, place, amount, self.at(hour), override)

    @invariant()
    def availability_is_what_the_facts_say(self):
        for item, place in self.pair.positions:
            for hour in (-3, 0, 5, 9):
                self.pair.check(item, place, 5, self.at(hour))

    @invariant()
    def positions_reservations_and_shocks_are_what_the_facts_say(self):
        for item, place in self.pair.positions:
            self.pair.compare_position(item, place)
        for number in self.pair.oracle.reservations:
            self.pair.compare_reservation(number)
        self.pair.compare_shocks()
