"""Asks the versions of a route: the active one, and beside it the candidate."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pyarrow as pa
import structlog

from models.abort_condition import Condition
from models.protocol import DEFAULT_QUANTILES
from models.rollouts import Rollout
from serving.deployments.jobs import ForecastAnswer, ForecastJob, Offered, Refusal, RefusalKind
from serving.rollout import tables
from serving.rollout.scoring import Scoreboard
from serving.worker_backend import Backend, BackendAwayError
from serving.worker_ipc import TableError

#: Share of what a caller still waits that the candidate may use, and its time without a deadline.
CANDIDATE_PATIENCE = 0.5
CANDIDATE_SECONDS_MAX = 30.0
#: Requests repeated at a time; more are not repeated, and counted as skipped.
REPEATED_MAX = 4
log = structlog.get_logger()


@dataclass(frozen=True)
class Unit:
    """A loaded version; `key` is what the backend knows it by."""

    key: str
    offered: Offered


@dataclass
class Route:
    """What requests name, and who answers."""

    active: Unit
    #: Alias, stage, share and what happened; see `models.rollouts`.
    state: Rollout
    candidate: Unit | None = None
    condition: Condition | None = None
    score: Scoreboard | None = None

    @property
    def alias_moves(self) -> bool:
        """Whether the route follows an alias, so that versions can be rolled out on it."""
        return bool(self.state.name)


@dataclass(frozen=True)
class Part:
    """What one version made of an answer; no items named means the rest."""

    answer: ForecastAnswer
    items: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Routed:
    """An answer, and who made what of it."""

    table: pa.Buffer
    parts: tuple[Part, ...]
    #: None unless totals were asked for.
    totals: pa.Buffer | None = None
    #: Some were made of forecasts by day.
    totals_approximate: bool = False

    @property
    def version(self) -> str:
        """Of one version, or "ACTIVE+CANDIDATE"."""
        return "+".join(part.answer.version for part in self.parts)


class Traffic:
    """Routes and the calls under way.

    Args:
        abort: called when a candidate meets its condition, with the reasons.
    """

    def __init__(self, backend: Backend, abort: Callable[[Route, list[str]], None]):
        self._backend = backend
        self._abort = abort
        #: By what requests name; the first is the default.
        self.routes: dict[str, Route] = {}
        #: Loaded versions by key.
        self.units: dict[str, Unit] = {}
        self._using: Counter[str] = Counter()
        self._released = asyncio.Condition()
        self._scoring = ThreadPoolExecutor(1, "rollout-scores")
        self._repeats: set[asyncio.Task[None]] = set()
        self.skipped = 0

    def find(self, model: str) -> Route | Unit | None:
        """The route of that name, the default for none, or a loaded version by NAME@VERSION."""
        if not model:
            return next(iter(self.routes.values()), None)
        if model in self.routes:
            return self.routes[model]
        return next((unit for unit in self.units.values() if model in (unit.key, unit.offered.reference)), None)

    async def forecast(self, job: ForecastJob) -> Routed | Refusal:
        """Answers one job; raises `BackendAwayError` when nobody can."""
        found = self.find(job.model)
        if found is None:
            known = sorted({*self.routes, *(unit.offered.reference for unit in self.units.values())})
            return Refusal(RefusalKind.NOT_FOUND, f"no model {job.model!r} here, only {known}: name one of them")
        if isinstance(found, Unit):
            async with self._use(found):
                return alone(await self._backend.forecast(found.key, job))
        # The route may change while this call is under way; the call goes on with what it found.
        route = dataclasses.replace(found)
        if route.candidate is None or route.score is None or not route.state.live:
            async with self._use(route.active):
                return alone(await self._backend.forecast(route.active.key, job))
        async with self._use(route.active, route.candidate):
            if route.state.stage == "shadow":
                answer = await self._backend.forecast(route.active.key, job)
                if isinstance(answer, ForecastAnswer):
                    self._repeat(found, route, self._shadow(found, route, job, answer))
                return alone(answer)
            return await self._canary(found, route, job)

    async def _canary(self, live: Route, route: Route, job: ForecastJob) -> Routed | Refusal:
        """Splits a call between both versions."""
        assert route.candidate is not None
        loop = asyncio.get_running_loop()
        try:
            cut = await loop.run_in_executor(
                None, tables.split, job, route.candidate.offered.reference, route.state.share
            )
        except (TableError, pa.ArrowException):
            cut = tables.Split(job, None, [])  # the active version says what is wrong with it
        if cut.candidate is None:
            self._repeat(live, route, self._truth_only(route, job))
            return alone(await self._backend.forecast(route.active.key, job))
        if cut.active is None:
            covered = await self._covered(live, route, cut.candidate, cut.items)
            return alone(covered if isinstance(covered, Refusal) else covered[0])
        rest, chosen = await asyncio.gather(
            self._backend.forecast(route.active.key, cut.active),
            self._covered(live, route, cut.candidate, cut.items),
        )
        if isinstance(rest, Refusal):
            return rest
        if isinstance(chosen, Refusal):
            return chosen
        answer, by_candidate = chosen
        merged = await loop.run_in_executor(None, tables.merge, [rest.table, answer.table])
        parts: tuple[Part, ...] = (Part(rest), Part(answer, cut.items))
        if not by_candidate:
            # The active version made both halves: to the caller, one answer.
            parts = (Part(dataclasses.replace(rest, series=rest.series + answer.series)),)
        totals = None
        if rest.totals is not None and answer.totals is not None:
            totals = await loop.run_in_executor(None, tables.merge, [rest.totals, answer.totals], "horizon_days")
        return Routed(merged, parts, totals, rest.totals_approximate or answer.totals_approximate)

    async def _covered(
        self, live: Route, route: Route, job: ForecastJob, items: list[str]
    ) -> tuple[ForecastAnswer, bool] | Refusal:
        """The candidate's answer, or the active version's where it has none; and whether it is the former."""
        assert route.candidate is not None
        answer = await self._ask_candidate(live, route, job, items)
        if isinstance(answer, ForecastAnswer):
            self._repeat(live, route, self._counterpart(route, job, answer, items))
            return answer, True
        covered = await self._backend.forecast(route.active.key, job)
        if isinstance(covered, Refusal):
            return covered  # it is the call that is wrong, not the candidate
        self._failed(live, route, answer)
        return covered, False

    async def _ask_candidate(
        self, live: Route, route: Route, job: ForecastJob, items: list[str]
    ) -> ForecastAnswer | str:
        """Asks the candidate within its time; says why where it has no sound answer."""
        assert route.candidate is not None
        assert route.score is not None
        patience = CANDIDATE_SECONDS_MAX if job.patience_s is None else job.patience_s * CANDIDATE_PATIENCE
        patience = min(patience, CANDIDATE_SECONDS_MAX)
        levels = job.quantiles or DEFAULT_QUANTILES
        begun = time.monotonic()
        try:
            async with asyncio.timeout(patience):
                answer = await self._backend.forecast(
                    route.candidate.key, dataclasses.replace(job, patience_s=patience)
                )
            if isinstance(answer, Refusal):
                return answer.message
            await asyncio.to_thread(tables.arrays, answer.table, job.horizon, levels, items)
        except TimeoutError:
            return f"no answer within {patience:.3g} s"
        except Exception as error:  # noqa: BLE001 - whatever a candidate raises, the active version answers
            return f"{type(error).__name__}: {error}"
        route.score.answered(time.monotonic() - begun)
        self._look(live, route)
        return answer

    def _failed(self, live: Route, route: Route, reason: str) -> None:
        """Counts a call that only the active version could answer."""
        assert route.candidate is not None
        assert route.score is not None
        route.score.failed()
        candidate = route.candidate.offered.reference
        log.warning("candidate failed", route=route.state.route, candidate=candidate, reason=reason)
        self._look(live, route)

    async def _shadow(self, live: Route, route: Route, job: ForecastJob, answer: ForecastAnswer) -> None:
        """Repeats a share of an answered call with the candidate."""
        assert route.candidate is not None
        await self._truth_only(route, job)
        loop = asyncio.get_running_loop()
        cut = await loop.run_in_executor(
            self._scoring, tables.split, job, route.candidate.offered.reference, route.state.share
        )
        if cut.candidate is None:
            return
        repeated = dataclasses.replace(cut.candidate, patience_s=None)
        theirs = await self._ask_candidate(live, route, repeated, cut.items)
        if isinstance(theirs, ForecastAnswer):
            await self._compare(route, job, answer.table, theirs.table, cut.items)
        else:
            self._failed(live, route, theirs)

    async def _counterpart(self, route: Route, job: ForecastJob, answer: ForecastAnswer, items: list[str]) -> None:
        """Repeats the candidate's part of a call with the active version."""
        await self._truth_only(route, job)
        repeated = dataclasses.replace(job, patience_s=None)
        ours = await self._backend.forecast(route.active.key, repeated)
        if isinstance(ours, ForecastAnswer):
            await self._compare(route, job, ours.table, answer.table, items)

    async def _truth_only(self, route: Route, job: ForecastJob) -> None:
        assert route.score is not None
        await asyncio.get_running_loop().run_in_executor(self._scoring, route.score.truth, job.context)

    async def _compare(
        self, route: Route, job: ForecastJob, active: pa.Buffer, candidate: pa.Buffer, items: list[str]
    ) -> None:
        score = route.score
        assert score is not None
        levels = job.quantiles or DEFAULT_QUANTILES

        def compare() -> None:
            ours = tables.arrays(active, job.horizon, levels)
            theirs = tables.arrays(candidate, job.horizon, levels, items)
            score.compare(tables.only(ours, items), theirs)

        await asyncio.get_running_loop().run_in_executor(self._scoring, compare)

    def _repeat(self, live: Route, route: Route, work: Coroutine[None, None, None]) -> None:
        """Runs what no caller waits for, and looks at the condition afterwards."""
        if len(self._repeats) >= REPEATED_MAX:
            self.skipped += 1
            work.close()
            return

        async def run() -> None:
            assert route.candidate is not None
            async with self._use(route.active, route.candidate):
                try:
                    await work
                except (BackendAwayError, TableError, pa.ArrowException) as error:
                    log.warning("not scored", route=route.state.route, reason=str(error))
                except Exception:
                    log.exception("not scored", route=route.state.route)
            self._look(live, route)

        task = asyncio.create_task(run())
        self._repeats.add(task)
        task.add_done_callback(self._repeats.discard)

    def _look(self, live: Route, route: Route) -> None:
        """Ends a candidate that meets its condition."""
        if route.condition is None or route.score is None or live.score is not route.score or not live.state.live:
            return
        if reasons := route.condition.met(route.score.numbers()):
            self._abort(live, reasons)

    @asynccontextmanager
    async def _use(self, *units: Unit) -> AsyncIterator[None]:
        for unit in units:
            self._using[unit.key] += 1
        try:
            yield
        finally:
            for unit in units:
                self._using[unit.key] -= 1
            async with self._released:
                self._released.notify_all()

    async def drained(self, key: str) -> None:
        """Returns once no call uses a unit."""
        async with self._released:
            await self._released.wait_for(lambda: self._using[key] <= 0)

    async def scored(self) -> None:
        """Returns once nothing that has been asked still waits to be scored."""
        while self._repeats:
            await asyncio.gather(*self._repeats, return_exceptions=True)

    async def close(self) -> None:
        """Ends what no caller waits for."""
        for task in tuple(self._repeats):
            task.cancel()
        await asyncio.gather(*self._repeats, return_exceptions=True)
        await asyncio.to_thread(self._scoring.shutdown, cancel_futures=True)


def alone(answer: ForecastAnswer | Refusal) -> Routed | Refusal:
    """An answer that one version made."""
    if isinstance(answer, Refusal):
        return answer
    return Routed(answer.table, (Part(answer),), answer.totals, answer.totals_approximate)
