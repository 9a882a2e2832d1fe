"""Kills a server under load, again and again, and holds it to everything that it acknowledged.

`python -m tests.crash.kill --cycles 200`. Prints its seed; exits with 1 at the first broken promise.
"""

import argparse
import multiprocessing
import random
import tempfile
import threading
import time
from pathlib import Path

from bespeak import Client, Item, Location
from tests.crash.ledger import LOCATION, Ledger
from tests.crash.serve import serve
from tests.crash.shopper import ITEMS, Shopper

SHOPPERS = 4
# Never set anew: the journal grows over all cycles, so recovery also meets snapshots and old segments.
RECONCILE_EVERY = 20


def start(context: multiprocessing.context.ForkServerContext, directory: Path) -> tuple[multiprocessing.Process, str]:
    """Starts a server and returns it with its address once it answers."""
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=serve, args=(directory, there), daemon=True)
    process.start()
    there.close()
    try:
        address = here.recv()
    except EOFError:
        raise SystemExit("the server ended before it answered: see its message above") from None
    return process, address


def load_and_kill(process: multiprocessing.Process, address: str, shoppers: list[Shopper], after_s: float) -> None:
    """Lets all shoppers work and kills the server in the middle of it."""
    clients = [Client(address, timeout_ms=5_000) for _ in shoppers]
    failures: list[BaseException] = []

    def work(shopper: Shopper, client: Client) -> None:
        try:
            shopper.shop(client)
        except BaseException as failure:  # noqa: BLE001 - told by the main thread, which then stops
            failures.append(failure)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(shoppers, clients, strict=True)]
    for thread in threads:
        thread.start()
    # The moment of the kill is the experiment; nothing waits for this time to be long enough.
    time.sleep(after_s)
    process.kill()
    process.join()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()
    if failures:
        raise failures[0]


def verify(address: str, ledger: Ledger, shoppers: list[Shopper], thorough: bool) -> None:
    """Asks the recovered server for everything acknowledged."""
    with Client(address, timeout_ms=30_000) as client:
        recent = set().union(*(shopper.touched for shopper in shoppers))
        for shopper in shoppers:
            shopper.ask_again(client)
            shopper.touched.clear()
        ledger.check(client, set(ledger.orders) if thorough else recent)
        if thorough:
            report = client.reconcile()
            assert (report.oversold_units, report.discrepancies) == (0, ()), report


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--cycles", type=int, default=20)
    arguments.add_argument("--seed", type=int, default=None)
    options = arguments.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 32)
    print(f"seed {seed}, {options.cycles} cycles", flush=True)
    dice = random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bespeak._core", "tests.crash.serve"])
    ledger = Ledger()
    shoppers = [Shopper(ledger, random.Random(dice.random())) for _ in range(SHOPPERS)]
    with tempfile.TemporaryDirectory(prefix="bespeak-crash-") as directory:
        process, address = start(context, Path(directory))
        with Client(address) as client:
            client.put_location(Location(LOCATION))
            for item in ITEMS:
                client.put_item(Item(item))
        for cycle in range(options.cycles):
            load_and_kill(process, address, shoppers, dice.uniform(0.02, 0.4))
            process, address = start(context, Path(directory))
            verify(address, ledger, shoppers, cycle % RECONCILE_EVERY == 0 or cycle == options.cycles - 1)
        process.kill()
        process.join()
    print(
        f"{options.cycles} kills: {ledger.answers} answers acknowledged, {ledger.refused} of them refusals, "
        f"{len(ledger.orders)} reservations open, none lost, none oversold"
    )


if __name__ == "__main__":
    main()
