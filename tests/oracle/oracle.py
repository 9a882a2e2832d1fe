"""What the promise engine must answer, the slow way: every number is counted again from the accepted facts.

Written from the specification and the names of the protocol alone; stock, balances and minima are sums over lists.
"""

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace as Record
from zoneinfo import ZoneInfo

HOUR_MS = 3_600_000
HORIZON_MS = 3 * 366 * 24 * HOUR_MS
SOURCE_WINDOW = 65_536
STATUSES = ("UNRESTRICTED", "QUALITY", "BLOCKED")
TIMES = ("SHIP_TIME_PAST", "BEYOND_HORIZON")
KINDS = ("PURCHASE_ORDER", "TRANSFER", "PRODUCTION", "RETURN")


class Refused(Exception):
    """An error, as opposed to an answer; `args[0]` is its code."""


def supply_rule(statuses=(), kinds=(), grace_ms=None, horizon_ms=0):
    """Empty is unrestricted stock, all receipts and the longest horizon; no grace is the location's day."""
    counted, taken = statuses or STATUSES[:1], kinds or KINDS
    return Record(statuses=counted, kinds=taken, grace_ms=grace_ms, horizon_ms=horizon_ms or HORIZON_MS)


class Oracle:
    def __init__(self, hold_ms=15 * 60_000, life_ms=7 * 24 * HOUR_MS, held_max=1_000_000_000):
        self.hold_ms, self.life_ms, self.held_max, self.now = hold_ms, life_ms, held_max, 0
        self.zones, self.rules, self.buffers = {}, {}, {}
        self.movements = []  # (is a count, item, location, status, units, when)
        self.receipts, self.reservations, self.answers, self.sources = {}, {}, {}, {}

    def tick(self, now):
        """Engine time never falls; whatever is due by now has happened before anything else does."""
        self.now = max(self.now, now)
        for each in self.reservations.values():
            if each.state == "HELD" and self.now >= each.expires:
                each.state = "EXPIRED"
        for receipt in self.receipts.values():
            receipt.overdue = self.now >= self.overdue_at(receipt)

    def overdue_at(self, receipt):
        if (grace := self.rule(receipt.item, receipt.location).grace_ms) is not None:
            return receipt.counts_from + grace
        zone = ZoneInfo(self.zones[receipt.location])
        day = datetime.fromtimestamp(receipt.counts_from / 1000, UTC).astimezone(zone).date() + timedelta(days=1)
        return int(datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()) * 1000

    def rule(self, item, location):
        return self.rules.get((location, item)) or self.rules.get((location, "")) or supply_rule()

    def on_hand(self, item, location, status):
        """The last count and what moved since, in the order told or by the time it happened."""
        units, here = 0, [each for each in self.movements if each[1:4] == (item, location, status)]
        for index, (is_count, *_, amount, when) in enumerate(here):
            later = sum(m[4] for m in here[:index] if not m[0] and m[5] > when)
            units = amount + later if is_count else units + amount
        return units

    def commitments(self, item, location, states=("HELD", "CONFIRMED")):
        parts = [part for each in self.reservations.values() if each.state in states for part in each.parts]
        return [(p.ship, p.open) for p in parts if (p.item, p.location) == (item, location) and p.open]

    def supply(self, item, location, kinds):
        here = [r for r in self.receipts.values() if (r.item, r.location) == (item, location) and not r.overdue]
        return [(r.counts_from, r.open * (r.yield_ppm or 1_000_000) // 1_000_000) for r in here if r.kind in kinds]

    def balances(self, item, location, start, override=None):  # at `start`, and whenever it changes later
        rule, extra = self.rule(item, location), override or {}
        stock = sum(self.on_hand(item, location, each) for each in extra.get("statuses") or rule.statuses)
        kinds = () if extra.get("on_hand_only") else extra.get("receipt_kinds") or rule.kinds
        changes = self.supply(item, location, kinds) + [(t, -q) for t, q in self.commitments(item, location)]
        times = sorted({start} | {when for when, _ in changes if when > start})
        return [(t, stock + sum(q for when, q in changes if when <= t)) for t in times]

    def atp(self, item, location, when, override=None):
        kept = self.buffers.get((item, location), 0) + (override or {}).get("extra_buffer", 0)
        return max(0, min(p for _, p in self.balances(item, location, when, override)) - kept)

    def staircase(self, item, location, when, override=None):
        steps = [(t, self.atp(item, location, t, override)) for t, _ in self.balances(item, location, when, override)]
        return [step for n, step in enumerate(steps) if not n or step[1] != steps[n - 1][1]]

    def earliest(self, item, location, quantity, when, override=None):
        steps = self.staircase(item, location, when, override)
        return next((t for t, free in steps if free >= quantity and not self.time_refusal(item, location, t)), None)

    def shortfall(self, item, location):
        return max(0, -min(p for _, p in self.balances(item, location, self.now)))

    def recovery(self, item, location):  # the first instant from which on no balance is negative
        steps = self.balances(item, location, self.now)
        return next((t for n, (t, _) in enumerate(steps) if all(p >= 0 for _, p in steps[n:])), None)

    def time_refusal(self, item, location, ship):
        late = ship > self.now + self.rule(item, location).horizon_ms
        return "SHIP_TIME_PAST" if ship < self.now else "BEYOND_HORIZON" if late else None

    def check(self, item, location, quantity, ship, override=None):
        refusal, rule, asked = self.time_refusal(item, location, ship), self.rule(item, location), override or {}
        available = 0 if refusal else self.atp(item, location, ship, override)
        kinds = () if asked.get("on_hand_only") else asked.get("receipt_kinds", ())
        looser = {*asked.get("statuses", ()), *kinds} - {*rule.statuses, *rule.kinds}
        earliest = None if refusal else self.earliest(item, location, quantity, ship, override)
        answer = {"available": available, "in_full": not refusal and available >= quantity, "refusal": refusal}
        return answer | {"earliest_time_ms": earliest, "hypothetical": bool(looser)}

    def write(self, request_id, body, decide, source=None):
        if request_id in self.answers:
            asked, answer = self.answers[request_id]
            if asked != body:
                raise Refused("REQUEST_ID_REUSED")
            return answer | {"replayed": True}
        seen = self.sources.setdefault(source[0], set()) if source else set()
        if source and source[1] <= max(seen, default=0) - SOURCE_WINDOW:
            raise Refused("SOURCE_BELOW_WINDOW")
        if source and source[1] in seen:
            return {"duplicate": True, "replayed": False}
        if not (answer := decide() | {"replayed": False}).get("refusal"):
            self.answers[request_id] = (body, deepcopy(answer))
            seen.update(source[1:] if source else ())
        return answer

    def counted(self, item, location, status):
        """When the newest count was made."""
        return max((m[5] for m in self.movements if m[0] and m[1:4] == (item, location, status)), default=0)

    def move(self, item, location, status, units, when=0, *, count=False):
        # What is told late of a time up to the last count is in that count already.
        if count or not when or when > self.counted(item, location, status):
            self.movements.append((count, item, location, status, units, when or self.now))

    def fact(self, positions, change, **also):
        """Tells a fact; the answer carries a shock where it took a balance below zero, or further below."""
        before = {position: self.shortfall(*position) for position in positions}
        change()
        self.tick(self.now)
        broken = {p: self.shortfall(*p) for p in positions if self.shortfall(*p) > before[p]}
        return {"refusal": None, "broken": broken, **{name: read() for name, read in also.items()}}

    def set_on_hand(self, item, location, status, units, counted_at=0, expected=None):
        where = (item, location, status)
        if (counted_at or self.now) < self.counted(*where):
            raise Refused("COUNT_TOO_OLD")
        if expected is not None and expected != self.on_hand(*where):
            return {"refusal": "CONFLICT"}
        change, read = partial(self.move, *where, units, counted_at, count=True), partial(self.on_hand, *where)
        return self.fact([where[:2]], change, on_hand=read)

    def adjust(self, item, location, status, delta, when=0):
        where = (item, location, status)
        return self.fact([where[:2]], lambda: self.move(*where, delta, when), on_hand=lambda: self.on_hand(*where))

    def move_status(self, item, location, units, source, target):
        moves = ((item, location, source, -units), (item, location, target, units))
        return self.fact([(item, location)], lambda: [self.move(*each) for each in moves])

    def schedule(self, receipt_id, item, location, units, due, kind="PURCHASE_ORDER", late=None, yield_ppm=0):
        self.known(receipt_id, there=False)
        new = Record(item=item, location=location, kind=kind, open=units, received=0, due=due, overdue=False)
        new.counts_from, new.yield_ppm = late or due, yield_ppm
        return self.fact([(item, location)], lambda: self.receipts.update({receipt_id: new}))

    def known(self, receipt_id, *, there=True):
        if (receipt_id in self.receipts) != there:
            raise Refused("UNKNOWN_RECEIPT" if there else "RECEIPT_EXISTS")
        return self.receipts.get(receipt_id)

    def change_receipt(self, receipt_id, units=None, due=None, late=None, yield_ppm=0):
        receipt = self.known(receipt_id)

        def change():
            receipt.open = receipt.open if units is None else units
            if due is not None:
                receipt.due, receipt.counts_from, receipt.overdue = due, late or due, False
                receipt.yield_ppm = yield_ppm

        return self.fact([(receipt.item, receipt.location)], change)

    def receive(self, receipt_id, units, status="UNRESTRICTED", final=False, when=0):
        receipt = self.known(receipt_id)
        where = (receipt.item, receipt.location, status)

        def change():
            self.move(*where, units, when)
            receipt.received, receipt.open = receipt.received + units, 0 if final else max(0, receipt.open - units)
            if not receipt.open:
                del self.receipts[receipt_id]

        return self.fact([where[:2]], change, open=lambda: receipt.open, on_hand=lambda: self.on_hand(*where))

    def cancel_receipt(self, receipt_id):
        receipt = self.known(receipt_id)
        return self.fact([(receipt.item, receipt.location)], lambda: self.receipts.pop(receipt_id))

    def transfer(self, item, here, there, units, receipt_id, due):
        self.known(receipt_id, there=False)
        answer = self.adjust(item, here, "UNRESTRICTED", -units)
        self.schedule(receipt_id, item, there, units, due, "TRANSFER")
        return answer

    def too_many(self, customer, units):  # more than one customer may have in holds
        theirs = [each for each in self.reservations.values() if each.state == "HELD" and each.customer == customer]
        return bool(customer) and sum(part.open for each in theirs for part in each.parts) + units > self.held_max

    def begin(self, new_id, expires_in=0, customer=""):
        held = Record(state="HELD", created=self.now, parts=[], customer=customer)
        held.expires, self.reservations[new_id] = self.now + (expires_in or self.hold_ms), held
        return held

    def hold(self, new_id, lines, fill, expires_in=0, confirm=False, customer=""):
        """Lines are (item, candidate locations in order, quantity, ship, latest), each served from one location."""
        dates, over = [None], False
        if fill == "SHIP_COMPLETE":
            start = max(line[3] for line in lines)
            end = min((line[4] for line in lines if line[4]), default=start)
            later = {t for item, places, *_ in lines for place in places for t, _ in self.balances(item, place, start)}
            dates = sorted(t for t in later if t <= end)
        for date in dates:
            held = (trial := deepcopy(self)).begin(new_id, expires_in, customer)
            results = [trial.take(held, *line[:3], date or line[3], fill == "PARTIAL") for line in lines]
            whole = all(result["held"] == result["asked"] for result in results)
            counts = "held" if fill == "PARTIAL" else "asked"
            over = not confirm and self.too_many(customer, sum(result[counts] for result in results))
            if not over and (whole or (fill == "PARTIAL" and held.parts)):
                held.state, held.expires = ("CONFIRMED", 0) if confirm else ("HELD", held.expires)
                self.reservations[new_id] = held
                return {"outcome": "FULL" if whole else "PARTIAL", "id": new_id, "held": held, "lines": results}
        results = [] if fill == "SHIP_COMPLETE" else results  # of which date its refusal speaks is not specified
        for each in results:
            word = "CUSTOMER_LIMIT" if over and each["refusal"] not in TIMES else each["refusal"] or "OTHER_LINE"
            each.update(held=0, refusal=word)
        return {"outcome": "REFUSED", "refusal": "REFUSED", "lines": results or None}

    def take(self, held, item, places, quantity, ship, partial):
        late = [self.time_refusal(item, place, ship) for place in places]
        free = [0 if late[n] else self.atp(item, place, ship) for n, place in enumerate(places)]
        short = "SPLIT_LIMIT" if sum(free) >= quantity else "INSUFFICIENT_STOCK"
        one = (places[0], free[0] if partial else 0)
        place, units = next(((p, quantity) for p, f in zip(places, free, strict=True) if f >= quantity), one)
        if units:
            held.parts.append(Record(item=item, location=place, ship=ship, open=units, fulfilled=0, released=0))
        refusal = None if units == quantity else late[0] if all(late) else short
        return {"asked": quantity, "held": units, "refusal": refusal, "available": free[0], "place": place}

    def step(self, reservation_id, allowed, lines=()):
        if reservation_id not in self.reservations:
            raise Refused("UNKNOWN_RESERVATION")
        each = self.reservations[reservation_id]
        if any(n >= len(each.parts) for n, *_ in lines):
            raise Refused("UNKNOWN_LINE")
        over = any(sum(q for m, q, *_ in lines if m == n) > part.open for n, part in enumerate(each.parts))
        wrong = "EXPIRED" if each.state == "EXPIRED" else "WRONG_STATE"
        chosen = lines or [(n, part.open, "") for n, part in enumerate(each.parts) if part.open]
        return each, wrong if each.state not in allowed else "OVER_OPEN_QUANTITY" if over else None, chosen

    def extend(self, reservation_id, expires_in):
        each, refusal, _ = self.step(reservation_id, ("HELD",))
        if not refusal and self.now + expires_in - each.created > self.life_ms:
            refusal = "HOLD_LIFE"
        each.expires = each.expires if refusal else max(each.expires, self.now + expires_in)
        return {"refusal": refusal, "expires": each.expires}

    def confirm(self, reservation_id):
        each, refusal, _ = self.step(reservation_id, ("HELD", "EXPIRED"))
        again = not refusal and each.state == "EXPIRED"
        if again:  # the stock is taken again, if it is all still there
            back = (trial := deepcopy(self)).begin(reservation_id)
            for p in each.parts:
                if p.open and trial.take(back, p.item, [p.location], p.open, p.ship, False)["refusal"]:
                    return {"refusal": "EXPIRED", "reacquired": False}
        if not refusal:
            each.state, each.expires = "CONFIRMED", 0
        return {"refusal": refusal, "reacquired": again}

    def fulfil(self, reservation_id, lines=(), when=0):
        each, refusal, chosen = self.step(reservation_id, ("CONFIRMED",), lines)
        return {"refusal": refusal} if refusal else self.leave(each, chosen, "fulfilled", when)

    def release(self, reservation_id, lines=()):
        each, refusal, chosen = self.step(reservation_id, ("HELD", "CONFIRMED"), lines)
        return {"refusal": refusal} if refusal else self.leave(each, chosen, "released")

    def leave(self, each, chosen, how, when=0):
        places = {(each.parts[n].item, (place and place[0]) or each.parts[n].location) for n, _, *place in chosen}

        def change():
            for n, units, *place in chosen:
                part = each.parts[n]
                part.open -= units
                setattr(part, how, getattr(part, how) + units)
                if how == "fulfilled":
                    self.move(part.item, place[0] or part.location, "UNRESTRICTED", -units, when)
            if not any(part.open for part in each.parts):
                each.state = "FULFILLED" if any(part.fulfilled for part in each.parts) else "RELEASED"

        return self.fact(places, change, state=lambda: each.state)
