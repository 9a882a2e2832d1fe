"""The real thing and the oracle side by side: every operation goes to both, and the answers are compared.

`api` is a `bespeak.Engine` or a `bespeak.Client`; nothing here knows which.
"""

import uuid
from collections import Counter
from functools import partial

from bespeak import BespeakError, FulfilLine, PromiseLine, ReleaseLine, ReserveLine, RuleOverride, SourceSequence
from tests.oracle.oracle import HOUR_MS, STATUSES, TIMES, Oracle, Refused
from tests.property.sourcing import judged

KEPT_MS = HOUR_MS
"""An expired hold is kept so long, so that a confirmation can take its stock again."""

_RUNS = iter(range(1_000_000_000))


class Pair:
    """One oracle and one engine in a world of their own names, so that many may share a server.

    Attributes:
        api: what is tested.
        oracle: what it must answer.
        clock: gives the time for the oracle, UTC milliseconds since 1970.
        exact: the clock is the engine's own, so instants that depend on it are compared to the millisecond.
    """

    def __init__(self, api, clock, *, exact, **limits):
        self.api, self.clock, self.exact = api, clock, exact
        self.oracle = Oracle(**limits)
        self.world = f"w{next(_RUNS)}-{uuid.uuid4().hex[:8]}"
        self.requests = 0
        self.positions = []
        self.made = {}  # the oracle's reservation ids and the engine's
        self.writes = []  # what can be sent again
        self.told = {}  # ids of the shocks that an accepted write was answered, by request
        self.oracle.tick(clock())

    def name(self, short):
        """A name that no other world uses."""
        return f"{self.world}-{short}" if short else short

    def new_request(self):
        """A request id that is the same in every run of the same steps, but for the world's name."""
        self.requests += 1
        return uuid.uuid5(uuid.NAMESPACE_OID, f"{self.world}/{self.requests}")

    def both(self, real, expected):
        """Returns both answers; where the oracle says an error, the engine must raise the same."""
        self.oracle.tick(self.clock())
        try:
            want = expected()
        except Refused as error:
            want = error
        try:
            got = real()
        except BespeakError as error:
            assert isinstance(want, Refused), f"raised {error!r}, expected {want}"
            assert error.code == want.args[0]
            return None, None
        assert not isinstance(want, Refused), f"answered {got}, expected error {want}"
        return got, want

    def write(self, body, real, decide, compare, *, request=None, source=None):
        """Sends one write, compares, and remembers it so that it can be sent again."""
        request = request or self.new_request()
        numbered = SourceSequence(self.name(source[0]), source[1]) if source else None

        def call():
            return real(request_id=request, **({"source": numbered} if source else {}))

        got, want = self.both(call, lambda: self.oracle.write(request, body, decide, source))
        if want is None:
            return None
        if want.get("duplicate"):
            assert got.duplicate
            assert got.replayed
            return want
        assert got.replayed == want["replayed"]
        compare(got, want)
        shocks = getattr(got, "shock_ids", ()) or (getattr(got, "shock_id", 0),)
        assert not want["replayed"] or self.told[request] == shocks, "a retry names the shocks of the first answer"
        if not want.get("refusal"):
            self.told[request] = shocks
            self.writes.append((request, body, real, decide, compare, source))
        return want

    def again(self, index):
        """Sends an accepted write again under its id: the first answer comes, and nothing changes."""
        request, body, real, decide, compare, source = self.writes[index % len(self.writes)]
        self.write(body, real, decide, compare, request=request, source=source)

    def reuse(self, request, item, location):
        """Sends something else under the id of an accepted write."""

        def real(**ids):
            return self.api.adjust_on_hand(self.name(item), self.name(location), 77, "FOUND", **ids)

        self.write(("reuse",), real, dict, self._fact, request=request)

    # --- facts ---

    def _fact(self, got, want):
        assert got.refusal == want["refusal"]
        if want["refusal"]:
            return
        if "on_hand" in want:
            assert got.on_hand == want["on_hand"]
        if want["replayed"]:
            # The shock is told as it stands now, not as it stood when the answer was first given.
            return
        broken = list(want["broken"].items())
        assert (got.shock is not None) == bool(broken), (got, want)
        assert got.shock_id == (got.shock.shock_id if broken else 0)
        if broken:
            (item, location), shortfall = broken[0]
            shock = got.shock
            assert (shock.item, shock.location, shock.shortfall) == (self.name(item), self.name(location), shortfall)

    def fact(self, body, real, decide, source=None, **extra):
        """A fact about stock; `extra` names answers that are compared as they are."""

        def compare(got, want):
            self._fact(got, want)
            if not want["refusal"]:
                for field, key in extra.items():
                    assert getattr(got, field) == want[key]

        return self.write(body, real, decide, compare, source=source)

    def count(self, item, location, status, units, counted_at=0, expected=None):
        args = (item, location, status, units, counted_at, expected)

        def real(**ids):
            return self.api.set_on_hand(
                self.name(item),
                self.name(location),
                units,
                status=status,
                counted_at_ms=counted_at,
                expected_on_hand=expected,
                **ids,
            )

        self.fact(("count", *args), real, lambda: self.oracle.set_on_hand(*args))

    def adjust(self, item, location, status, delta, when=0, source=None):
        def real(**ids):
            where = self.name(item), self.name(location)
            return self.api.adjust_on_hand(*where, delta, "CORRECTION", status=status, happened_at_ms=when, **ids)

        args = (item, location, status, delta, when)
        self.fact(("adjust", *args), real, lambda: self.oracle.adjust(*args), source)

    def bring_back(self, item, location, status, units):
        def real(**ids):
            return self.api.return_stock(self.name(item), self.name(location), units, status=status, **ids)

        args = (item, location, status, units)
        self.fact(("return", *args), real, lambda: self.oracle.adjust(*args))

    def move_status(self, item, location, units, source, target):
        def real(**ids):
            return self.api.move_status(self.name(item), self.name(location), units, source, target, **ids)

        args = (item, location, units, source, target)
        self.fact(("move", *args), real, lambda: self.oracle.move_status(*args))

    def schedule(self, receipt, item, location, units, due, kind, spread=None):
        def real(**ids):
            return self.api.schedule_receipt(
                self.name(receipt),
                self.name(item),
                self.name(location),
                units,
                due_time_ms=due,
                kind=kind,
                spread=spread,
                **ids,
            )

        late = (spread.late_time_ms, spread.yield_ppm) if spread else ()
        args = (receipt, item, location, units, due, kind, *late)
        self.fact(("schedule", *args), real, lambda: self.oracle.schedule(*args))

    def change_receipt(self, receipt, units, due, spread=None):
        def real(**ids):
            return self.api.change_receipt(self.name(receipt), quantity=units, due_time_ms=due, spread=spread, **ids)

        late = (spread.late_time_ms, spread.yield_ppm) if spread else ()
        args = (receipt, units, due, *late)
        self.fact(("change", *args), real, lambda: self.oracle.change_receipt(*args))

    def receive(self, receipt, units, status, when=0, *, final):
        def real(**ids):
            return self.api.receive(self.name(receipt), units, status=status, final=final, happened_at_ms=when, **ids)

        args = (receipt, units, status, final, when)
        self.fact(("receive", *args), real, lambda: self.oracle.receive(*args), open_quantity="open")

    def cancel_receipt(self, receipt):
        def real(**ids):
            return self.api.cancel_receipt(self.name(receipt), **ids)

        self.fact(("cancel", receipt), real, lambda: self.oracle.cancel_receipt(receipt))

    def transfer(self, item, here, there, units, receipt, due):
        def real(**ids):
            return self.api.transfer(
                self.name(item), self.name(here), self.name(there), units, self.name(receipt), due, **ids
            )

        args = (item, here, there, units, receipt, due)
        self.fact(("transfer", *args), real, lambda: self.oracle.transfer(*args))

    # --- promises ---

    def _held(self, lines):
        used = Counter((item, place) for item, places, *_ in lines for place in places)

        def compare(got, want):
            assert got.outcome == want["outcome"]
            assert bool(got.reservation_id) == (want["outcome"] != "REFUSED")
            if got.reservation_id:
                self.made.setdefault(want["id"], got.reservation_id)
                assert got.reservation_id == self.made[want["id"]]
                expires = want["held"].expires
                assert bool(got.expires_at_ms) == bool(expires)
                if self.exact:
                    assert got.expires_at_ms == expires
            if want["lines"] is None:
                # No date lies within the wishes of all lines: why each is refused is not specified.
                assert not any(answer.held_quantity for answer in got.lines)
                return
            for (item, places, *_), answer, line in zip(lines, got.lines, want["lines"], strict=True):
                assert answer.item == self.name(item)
                assert answer.requested_quantity == line["asked"]
                assert answer.held_quantity == line["held"], (got, want)
                assert answer.refusal == line["refusal"], (got, want)
                assert sum(part.quantity for part in answer.parts) == line["held"]
                assert {part.location for part in answer.parts} <= {self.name(line["place"])}
                # What is left for a line whose position others of the request want too is not specified.
                if line["refusal"] == "INSUFFICIENT_STOCK" and len(places) == 1 and used[(item, places[0])] == 1:
                    assert answer.available == line["available"], (got, want)

        return compare

    def reserve(self, lines, fill, expires_in=0, customer="", *, confirm=False):
        """Lines are (item, (location,), quantity, ship time, latest ship time)."""
        new_id = len(self.oracle.reservations) + 1

        def real(**ids):
            asked = [
                ReserveLine(self.name(item), self.name(places[0]), quantity, "", ship, latest)
                for item, places, quantity, ship, latest in lines
            ]
            who = self.name(customer)
            return self.api.reserve(asked, fill=fill, expires_in_ms=expires_in, customer=who, confirm=confirm, **ids)

        def decide():
            return self.oracle.hold(new_id, lines, fill, expires_in, confirm, customer)

        body = ("reserve", tuple(lines), fill, expires_in, customer, confirm)
        self.write(body, real, decide, self._held(lines))

    def promise(self, lines, fill, *, confirm=False):
        """As `reserve`, with candidate locations tried in order; no line is split."""
        new_id = len(self.oracle.reservations) + 1
        places = lines[0][1]

        def real(**ids):
            asked = [
                PromiseLine(self.name(item), quantity, "", ship, latest) for item, _, quantity, ship, latest in lines
            ]
            return self.api.promise(asked, locations=[self.name(p) for p in places], fill=fill, confirm=confirm, **ids)

        body = ("promise", tuple(lines), fill, confirm)
        self.write(body, real, lambda: self.oracle.hold(new_id, lines, fill, 0, confirm), self._held(lines))

    def choose(self, asked):
        """A promise that leaves the engine a choice: its answer is judged, not foretold."""
        new_id = len(self.oracle.reservations) + 1
        short = {self.name(place): place for place in asked.places}

        def real(**ids):
            return self.api.promise(
                [
                    PromiseLine(self.name(item), amount, "", ship, latest)
                    for item, _, amount, ship, latest in asked.lines
                ],
                locations=[self.name(place) for place in asked.places],
                fill=asked.fill,
                sourcing=asked.sourcing,
                max_packages=asked.packages,
                min_split_quantity=asked.split,
                customer=self.name(asked.customer),
                **ids,
            )

        def parts(answer):
            return [[(short[p.location], p.quantity, p.ship_time_ms) for p in line.parts] for line in answer.lines]

        def compare(got, want):
            assert got.outcome == want["outcome"], (got, want)
            refusals = [line.refusal for line in got.lines]
            if want["outcome"] == "REFUSED":
                assert all(refusals), got
                limited = [word == "CUSTOMER_LIMIT" for word in refusals if word not in TIMES]
                # What a partial promise would have held, had the customer been allowed to, is not told.
                assert want["over"] or not any(limited), (got, want)
                assert all(limited) or not want["over"] or asked.fill == "PARTIAL", (got, want)
                return
            assert got.reservation_id == self.made.setdefault(want["id"], got.reservation_id)
            assert parts(got) == want["got"]
            short_of = [line.held_quantity < line.requested_quantity for line in got.lines]
            assert [word is not None for word in refusals] == short_of, got

        request = self.new_request()
        first = [real(request_id=request)]
        decide = partial(judged, self.oracle, new_id, asked, parts(first[0]))

        def answered(**ids):
            """What was answered is judged; sent again, it must be answered so once more."""
            return first.pop() if first else real(**ids)

        self.write(("choose", asked), answered, decide, compare, request=request)

    def _step(self, number, body, real, decide, compare):
        """A step in a reservation's life. What has left memory is refused: expired is known, the rest is finished."""
        self.oracle.tick(self.clock())
        each = self.oracle.reservations.get(number)
        finished = each and each.state in {"FULFILLED", "RELEASED"}
        expired = each and each.state == "EXPIRED" and self.oracle.now >= each.expires + KEPT_MS
        if not finished and not expired:
            self.write(body, real, decide, compare)
            return
        try:
            got = real(request_id=self.new_request())
        except BespeakError as error:
            assert error.code == "UNKNOWN_LINE"
        else:
            assert got.refusal == ("WRONG_STATE" if finished else "EXPIRED")
            if hasattr(got, "state"):
                assert got.state == (None if finished else "EXPIRED")

    def confirm(self, number):
        def real(**ids):
            return self.api.confirm(self.made.get(number, 2**60 + number), **ids)

        def compare(got, want):
            assert (got.refusal, got.reacquired) == (want["refusal"], want["reacquired"])

        self._step(number, ("confirm", number), real, lambda: self.oracle.confirm(number), compare)

    def extend(self, number, expires_in):
        def real(**ids):
            return self.api.extend(self.made.get(number, 2**60 + number), expires_in, **ids)

        def compare(got, want):
            assert got.refusal == want["refusal"]
            if self.exact and not want["refusal"]:
                assert got.expires_at_ms == want["expires"]

        self._step(
            number, ("extend", number, expires_in), real, lambda: self.oracle.extend(number, expires_in), compare
        )

    def _stepped(self, got, want):
        assert got.refusal == want["refusal"]
        if not want["refusal"]:
            assert got.state == want["state"]

    def _fulfilled(self, got, want):
        self._stepped(got, want)
        if not want["refusal"]:
            assert len(got.shock_ids) == len(want["broken"]), (got, want)

    def fulfil(self, number, lines=(), when=0):
        def real(**ids):
            named = [FulfilLine(n, units, self.name(place)) for n, units, place in lines]
            return self.api.fulfil(self.made.get(number, 2**60 + number), named, happened_at_ms=when, **ids)

        body = ("fulfil", number, tuple(lines), when)
        self._step(number, body, real, lambda: self.oracle.fulfil(number, lines, when), self._fulfilled)

    def release(self, number, lines=()):
        def real(**ids):
            named = [ReleaseLine(n, units) for n, units in lines]
            return self.api.release(self.made.get(number, 2**60 + number), named, **ids)

        body = ("release", number, tuple(lines))
        self._step(number, body, real, lambda: self.oracle.release(number, lines), self._stepped)

    # --- what can be seen ---

    def check(self, item, location, quantity, ship, override=None):
        rule = RuleOverride(**override) if override else None
        got, want = self.both(
            lambda: self.api.check(
                self.name(item), self.name(location), quantity, "", ship, with_staircase=True, rule=rule
            ),
            lambda: self.oracle.check(item, location, quantity, ship, override),
        )
        seen = {"available": got.available, "refusal": got.refusal, "hypothetical": got.hypothetical}
        assert seen == {name: want[name] for name in seen}, (got, want)
        if not want["refusal"]:
            assert got.in_full == want["in_full"]
            assert got.earliest_time_ms == want["earliest_time_ms"], (got, want)
            stairs = [(step.from_time_ms, step.available) for step in got.staircase]
            assert stairs == self.oracle.staircase(item, location, ship, override), (got, want)

    def compare_position(self, item, location):
        self.oracle.tick(self.clock())
        got, oracle = self.api.get_position(self.name(item), self.name(location)), self.oracle
        stock = tuple(oracle.on_hand(item, location, status) for status in STATUSES)
        assert (got.unrestricted, got.quality, got.blocked) == stock
        held = sum(units for _, units in oracle.commitments(item, location, ("HELD",)))
        confirmed = sum(units for _, units in oracle.commitments(item, location, ("CONFIRMED",)))
        assert (got.buffer, got.held, got.confirmed) == (oracle.buffers.get((item, location), 0), held, confirmed)
        receipts = sorted(
            (self.name(name), r.kind, r.open, r.received, r.due, r.counts_from, r.overdue)
            for name, r in oracle.receipts.items()
            if (r.item, r.location) == (item, location)
        )
        seen = sorted(
            (r.receipt_id, r.kind, r.open_quantity, r.received_quantity, r.due_time_ms, r.counts_from_ms, r.overdue)
            for r in got.receipts
        )
        assert seen == receipts

    def compare_reservation(self, number):
        want = self.oracle.reservations[number]
        self.oracle.tick(self.clock())
        got = self.api.get_reservation(self.made[number])
        if got is None:
            # What has finished leaves memory.
            assert want.state in {"FULFILLED", "RELEASED", "EXPIRED"}
            return
        assert got.state == want.state
        lines = [(p.item, p.location, p.ship, p.open, p.fulfilled, p.released) for p in want.parts]
        seen = [
            (
                each.item,
                each.location,
                each.ship_time_ms,
                each.open_quantity,
                each.fulfilled_quantity,
                each.released_quantity,
            )
            for each in got.lines
        ]
        assert seen == [(self.name(item), self.name(location), *rest) for item, location, *rest in lines]

    def compare_shocks(self):
        """A position whose balance is below zero has a shock open that says how far, and until when."""
        self.oracle.tick(self.clock())
        for location in sorted({location for _, location in self.positions}):
            shocks = {shock.item: shock for shock in self.api.list_shocks(self.name(location))}
            for item in sorted({item for item, here in self.positions if here == location}):
                shortfall = self.oracle.shortfall(item, location)
                shock = shocks.get(self.name(item))
                # Time alone may lift a balance (a receipt has become due); the shock stays until something moves.
                assert shock or not shortfall, (item, location, shortfall)
                if shock:
                    assert shock.shortfall == shortfall
                    assert shock.recovery_time_ms == self.oracle.recovery(item, location)
