"""`check` and `reserve`: the two questions, from a terminal."""

from typing import Annotated

import typer

from bespeak import CheckResult, FillPolicy, Outcome, ReserveLine
from bespeak.results import HoldResult
from serving.cli.output import Address, Json, client, console, duration_ms, print_json, shown_time, table, time_ms

Item = Annotated[str, typer.Argument(help="What.")]
Location = Annotated[str, typer.Argument(help="Where from.")]
ShipTime = Annotated[
    str, typer.Option("--ship-time", "-t", help="When: 2026-11-25T12:00 (UTC), milliseconds since 1970, or +2d.")
]
Unit = Annotated[str, typer.Option("--unit", "-u", help="Unit of the quantity; left out, the base unit.")]


def check(
    context: typer.Context,
    item: Item,
    location: Location,
    quantity: Annotated[int, typer.Argument(help="How much; 0 asks only what is available.", min=0)] = 0,
    unit: Unit = "",
    ship_time: ShipTime = "now",
    staircase: Annotated[bool, typer.Option("--staircase", help="Also show what is available later.")] = False,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Say what of an item can be promised from a location. Changes nothing."""
    with client(context, address) as service:
        result = service.check(item, location, quantity, unit, time_ms(ship_time), with_staircase=staircase)
    if as_json:
        print_json(result)
        return
    console.print(_checked(result, quantity))
    if result.staircase:
        rows = ((shown_time(step.from_time_ms), step.available) for step in result.staircase)
        console.print(table("available", ("from", "units"), rows))


def _checked(result: CheckResult, quantity: int) -> str:
    where = f"{result.item} at {result.location}"
    if result.refusal is not None:
        return f"[red]no[/]: {where}: {result.refusal}"
    if not quantity:
        return f"{where}: [bold]{result.available:,}[/] available (revision {result.revision})"
    if result.in_full:
        return f"[green]yes[/]: {quantity:,} of {where}, {result.available:,} available (revision {result.revision})"
    then = "never within the horizon"
    if result.earliest_time_ms is not None:
        then = f"at {shown_time(result.earliest_time_ms)}"
    why = f", bound by {result.binding} at {shown_time(result.binding_time_ms)}" if result.binding else ""
    return f"[red]no[/]: {where}: {result.available:,} of {quantity:,} available{why}; all of it {then}"


def reserve(
    context: typer.Context,
    item: Item,
    location: Location,
    quantity: Annotated[int, typer.Argument(help="How much.", min=1)],
    unit: Unit = "",
    ship_time: ShipTime = "now",
    fill: Annotated[FillPolicy, typer.Option(help="What to take when not all can be had.")] = FillPolicy.ALL_OR_NONE,
    expires_in: Annotated[str, typer.Option(help="Life of the hold, such as 15m; left out, the server's.")] = "",
    order_ref: Annotated[str, typer.Option(help="The order.")] = "",
    customer: Annotated[str, typer.Option(help="Whose hold it is.")] = "",
    confirm: Annotated[bool, typer.Option("--confirm", help="Confirm in the same step.")] = False,
    request_id: Annotated[str | None, typer.Option(help="UUID; the same id gives the first answer again.")] = None,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Hold stock for an order. Leaves with status 1 when it is refused."""
    line = ReserveLine(item, location, quantity, unit, time_ms(ship_time))
    with client(context, address) as service:
        result = service.reserve(
            [line],
            fill=fill,
            expires_in_ms=duration_ms(expires_in) if expires_in else 0,
            order_ref=order_ref,
            customer=customer,
            confirm=confirm,
            request_id=request_id,
        )
    if as_json:
        print_json(result)
    else:
        _print_held(result)
    if result.outcome is Outcome.REFUSED:
        raise typer.Exit(1)


def _print_held(result: HoldResult) -> None:
    again = " (answered before)" if result.replayed else ""
    if result.outcome is Outcome.REFUSED:
        console.print(f"[red]refused[/]{again} at revision {result.revision}")
    else:
        until = f" until {shown_time(result.expires_at_ms)}" if result.expires_at_ms else ""
        console.print(f"[green]{result.state}[/]{until}: reservation [bold]{result.reservation_id}[/]{again}")
    for line in result.lines:
        for part in line.parts:
            console.print(
                f"  {part.quantity:,} of {line.item} from {part.location}, ships {shown_time(part.ship_time_ms)}"
            )
        if line.refusal is not None:
            console.print(
                f"  {line.requested_quantity:,} of {line.item}: {line.refusal}, {line.available:,} available,"
                f" all of it {shown_time(line.earliest_time_ms)}"
            )
