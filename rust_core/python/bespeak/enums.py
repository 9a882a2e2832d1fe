"""Closed sets of words, each spelled as in the protocol without its prefix.

Every member is a `str` equal to its name, so `result.refusal == "INSUFFICIENT_STOCK"` holds, and a
method that takes one of these takes the plain word too.
"""

from enum import StrEnum


class StockStatus(StrEnum):
    """Physical stock of a position is kept by status."""

    UNRESTRICTED = "UNRESTRICTED"
    QUALITY = "QUALITY"
    BLOCKED = "BLOCKED"


class ReceiptKind(StrEnum):
    """Where a receipt comes from."""

    PURCHASE_ORDER = "PURCHASE_ORDER"
    TRANSFER = "TRANSFER"
    PRODUCTION = "PRODUCTION"
    RETURN = "RETURN"


class FillPolicy(StrEnum):
    """What a request takes when not all of it can be had."""

    ALL_OR_NONE = "ALL_OR_NONE"
    """Every line in full at its own time, or nothing."""
    PARTIAL = "PARTIAL"
    """Each line takes what there is."""
    SHIP_COMPLETE = "SHIP_COMPLETE"
    """Every line in full, all on one date, which may be later than asked."""


class SourcingPolicy(StrEnum):
    """How `promise` chooses among its candidate locations; ties go to the order given."""

    IN_ORDER = "IN_ORDER"
    EARLIEST = "EARLIEST"
    """The location that can ship the line earliest."""
    FEWEST_PACKAGES = "FEWEST_PACKAGES"
    """As few locations as possible for the whole order."""
    SCARCITY = "SCARCITY"
    """The locations whose stock the last published plan prices lowest."""


class ShortagePolicy(StrEnum):
    """Who gets the stock when there is too little."""

    COST = "COST"
    """Whoever makes the total cost lowest."""
    TIERS = "TIERS"
    """As many lines of tier 0 as can be, then of tier 1, and so on; cost decides between equals."""
    FAIR_SHARE = "FAIR_SHARE"
    """Each segment gets of a scarce item in proportion to what it asks for; what is left over goes by cost."""
    MAX_MIN = "MAX_MIN"
    """The share of lines that the worst served customer gets is as high as can be; cost decides between equals."""


class Refusal(StrEnum):
    """Why a line, or a step in a reservation's life, was refused. The first that applies is given.

    A refusal is a result, never an exception. Each has a page of this name in docs/errors.
    """

    EXPIRED = "EXPIRED"
    """The hold had run out, and its stock is gone."""
    WRONG_STATE = "WRONG_STATE"
    """The reservation is in a state that this step does not lead from."""
    OVER_OPEN_QUANTITY = "OVER_OPEN_QUANTITY"
    """More than what is still open on the line."""
    HOLD_LIFE = "HOLD_LIFE"
    """The hold's total life, extensions included, would pass its limit."""
    SHIP_TIME_PAST = "SHIP_TIME_PAST"
    BEYOND_HORIZON = "BEYOND_HORIZON"
    """Later than the horizon of the position's supply rule."""
    CUSTOMER_LIMIT = "CUSTOMER_LIMIT"
    """The customer would hold more units than one customer may."""
    INSUFFICIENT_STOCK = "INSUFFICIENT_STOCK"
    SPLIT_LIMIT = "SPLIT_LIMIT"
    """The stock is there, but only in more packages or smaller splits than allowed."""
    OTHER_LINE = "OTHER_LINE"
    """This line could be had, another of the same request could not."""
    CONFLICT = "CONFLICT"
    """Compare-and-set: the expected value is not the current one."""
    LIMIT = "LIMIT"
    """The position can take no further receipt, commitment or movement."""


class ReservationState(StrEnum):
    """A reservation's life: HELD, CONFIRMED, FULFILLED; or RELEASED, or EXPIRED."""

    HELD = "HELD"
    CONFIRMED = "CONFIRMED"
    FULFILLED = "FULFILLED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"


class BindingConstraint(StrEnum):
    """Which constraint keeps an answer from being larger."""

    SUPPLY = "SUPPLY"
    """Stock on hand and receipts by the ship time."""
    LATER_COMMITMENT = "LATER_COMMITMENT"
    """A promise made for a later time."""
    BUFFER = "BUFFER"
    NO_POSITION = "NO_POSITION"
    """Nothing is known of this item at this location."""


class Outcome(StrEnum):
    """How much of a request was held."""

    FULL = "FULL"
    PARTIAL = "PARTIAL"
    REFUSED = "REFUSED"


class ShockCause(StrEnum):
    """What raised a supply shock."""

    COUNT = "COUNT"
    ISSUE = "ISSUE"
    RECEIPT_CUT = "RECEIPT_CUT"
    RECEIPT_LATE = "RECEIPT_LATE"
    FULFILMENT = "FULFILMENT"
    STATUS = "STATUS"
    RULE = "RULE"


class AdjustReason(StrEnum):
    """Why stock was adjusted; the first three are stock that left without a reservation."""

    SALE = "SALE"
    LOSS = "LOSS"
    DAMAGE = "DAMAGE"
    FOUND = "FOUND"
    CORRECTION = "CORRECTION"


class LocationKind(StrEnum):
    """What a location is."""

    DC = "DC"
    STORE = "STORE"
    SUPPLIER = "SUPPLIER"
    DARK_STORE = "DARK_STORE"


class AvailabilityMode(StrEnum):
    """Arithmetic of an availability report. Only LOOKAHEAD is ever used to promise."""

    LOOKAHEAD = "LOOKAHEAD"
    DISCRETE = "DISCRETE"
    CUMULATIVE = "CUMULATIVE"
    BACKWARD = "BACKWARD"
    BACKWARD_ACCUMULATE = "BACKWARD_ACCUMULATE"


class BufferSource(StrEnum):
    """Where the buffer of a position comes from. INHERIT is as its location says."""

    INHERIT = "INHERIT"
    STATIC = "STATIC"
    FORECAST = "FORECAST"
