"""Attacks a real server for a while, and holds it to five things: it lives, it never answers INTERNAL, it goes on
serving others, it oversells nothing, and its journal still gives the state that it had.

`python -m tests.fuzz.hostile --seconds 60`. Prints its seed.
"""

import argparse
import multiprocessing
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

import grpc

from bespeak import Client, Item, Location, Region
from tests.crash.kill import start
from tests.fuzz.floods import slow_loris, stream_flood
from tests.fuzz.messages import Target, damaged, random_message, targets
from tests.fuzz.tables import SERVICE, flight_messages, ticket

# What a caller's mistake may be answered with. INTERNAL, UNKNOWN, DATA_LOSS and UNAVAILABLE would be ours.
ALLOWED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.ABORTED,
}


class Attack:
    """One attacker with one connection."""

    def __init__(self, address: str, dice: random.Random) -> None:
        self.channel = grpc.insecure_channel(address)
        self.dice = dice
        self.targets = list(targets())
        self.answers: Counter[str] = Counter()

    def once(self) -> None:
        """Sends one hostile request and judges the answer."""
        choice = self.dice.random()
        if choice < 0.75:
            self._message(self.dice.choice(self.targets))
        elif choice < 0.95:
            call = self.channel.stream_stream(f"{SERVICE}/{self.dice.choice(['DoExchange', 'DoPut'])}")
            self._judge("flight", lambda: list(call(flight_messages(self.dice), timeout=10)))
        else:
            get = self.channel.unary_stream(f"{SERVICE}/DoGet")
            self._judge("ticket", lambda: list(get(ticket(self.dice), timeout=10)))

    def _message(self, target: Target) -> None:
        message = random_message(self.dice, target.request, int(time.time() * 1000))
        data = message.SerializeToString()
        if self.dice.random() < 0.4:
            data = damaged(self.dice, data)
        if target.streams:
            call = self.channel.stream_stream(target.path)
            # A watch never ends by itself: half a second of it is enough.
            self._judge(target.path, lambda: list(call(iter([data]), timeout=0.5)))
            return
        unary = self.channel.unary_unary(target.path)
        self._judge(target.path, lambda: unary(data, timeout=10))

    def _judge(self, what: str, send) -> None:
        try:
            send()
            self.answers["OK"] += 1
        except grpc.RpcError as error:
            if error.code() not in ALLOWED:
                raise AssertionError(f"{what}: {error.code().name}: {error.details()}") from None
            self.answers[error.code().name] += 1


def stock(client: Client) -> None:
    """Something to fight over."""
    for location in ("ams1", "rtm1"):
        client.put_location(Location(location))
    for item in ("tea", "milk"):
        client.put_item(Item(item))
        client.set_on_hand(item, "ams1", 1_000)
    client.put_region(Region("europe", ("ams1", "rtm1")))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=10)
    arguments.add_argument("--seed", type=int, default=None)
    options = arguments.parse_args()
    seed = options.seed if options.seed is not None else random.randrange(1 << 32)
    print(f"seed {seed}, {options.seconds:.0f} s", flush=True)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bespeak._core", "tests.crash.serve"])
    with tempfile.TemporaryDirectory(prefix="bespeak-fuzz-") as directory:
        process, address = start(context, Path(directory))
        host, _, port = address.rpartition(":")
        with Client(address) as client:
            stock(client)
            held = slow_loris((host, int(port)), 50)
            held.append(stream_flood((host, int(port)), 2_000))
            attack = Attack(address, random.Random(seed))
            until = time.monotonic() + options.seconds
            while time.monotonic() < until:
                attack.once()
                assert process.is_alive(), f"the server died of the last of {attack.answers.total()} requests"
            for connection in held:
                connection.close()
            assert client.check("tea", "ams1").item == "tea"
            report = client.reconcile()
            assert (report.oversold_units, report.discrepancies) == (0, ()), report
            before = client.stats(with_digest=True)
        process.kill()
        process.join()
        process, address = start(context, Path(directory))
        with Client(address) as client:
            after = client.stats(with_digest=True)
            if after.revision == before.revision:
                assert after.digest == before.digest, "replay gives another state"
            assert after.revision >= before.revision, "the journal has lost records"
        process.kill()
        process.join()
    told = ", ".join(f"{name} {count}" for name, count in sorted(attack.answers.items()))
    print(f"{attack.answers.total()} hostile requests, the server lives: {told}")


if __name__ == "__main__":
    main()
