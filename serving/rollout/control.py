"""Deploy, promote, roll back, retire: each returns when what it says is true."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn

import structlog

from models.abort_condition import parse
from models.catalogue import CHECKPOINTS
from models.protocol import InputError
from models.registry import DEFAULT_ALIAS, NAME, Registry, RegistryError, Version
from models.rollouts import Rollout, read_rollout, routes_of
from serving.deployments.jobs import ForecastJob, Offered
from serving.deployments.probes import probe
from serving.rollout.notes import Notes
from serving.rollout.scoring import Scoreboard
from serving.rollout.traffic import Route, Traffic, Unit
from serving.worker_backend import Backend
from serving.worker_config import WorkerConfig
from serving.worker_ipc import write_table

#: Of a canary that is given no condition.
ABORT_IF = "error_rate > 0.05"
#: A verifying call may take so long, and has so many days of history.
VERIFY_SECONDS = 60.0
VERIFY_DAYS = 56
#: How long a caller who has given up keeps others waiting until what was written is written back.
UNDO_WAIT_S = 1.0
log = structlog.get_logger()


class RolloutRefused(Exception):
    """What was asked does not fit where the rollout stands; the message says what to do."""


class RolloutBusy(Exception):
    """Another control call is under way."""


class Controller:
    """Owns the routes of one worker."""

    def __init__(self, backend: Backend, config: WorkerConfig):
        self._backend = backend
        self._config = config
        self._registry = Registry(config.registry) if config.registry else None
        self._notes = Notes()
        self.traffic = Traffic(backend, self._abort)
        self._busy = False
        self._leaving: set[asyncio.Task[None]] = set()
        # By key: what is being loaded, and for how many; what is found no more but still used; what is being unloaded.
        self._loading: dict[str, asyncio.Future[Offered]] = {}
        self._awaited: Counter[str] = Counter()
        self._draining: dict[str, Unit] = {}
        self._unloading: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        """Loads what the configuration names and what rollouts have left, candidates too.

        Raises:
            InputError: an active version cannot be loaded.
        """
        for name in self._config.models:
            await self._open_route(name)
        if self._registry is not None:
            for left in await asyncio.to_thread(routes_of, self._registry.root):
                if left.route not in self.traffic.routes and self._stands(left):
                    await self._open_route(left.route)

    def _stands(self, left: Rollout) -> bool:
        """Whether a route that a deployment made has an active version."""
        try:
            self._stored(f"{left.name}@{left.alias}")
        except RegistryError:
            return False
        return True

    async def _open_route(self, name: str) -> None:
        key, state = await asyncio.to_thread(self._resolve, name)
        route = Route(await self._loaded(key), state)
        self.traffic.routes[name] = route
        if not state.live:
            return
        if state.candidate == route.active.offered.version:
            # The alias had moved when the worker ended; only the note of it was missing.
            await self._save(route, stage="none", candidate="", share=0.0)
            return
        try:
            await self._join(route, await self._loaded(f"{state.name}@{state.candidate}"), state)
        except InputError as error:
            said = f"{state.name}@{state.candidate} could not be loaded again: {error}"
            log.warning("candidate left", route=name, reason=said)
            await self._save(route, stage="aborted", said=said)

    def _resolve(self, name: str) -> tuple[str, Rollout]:
        """What to load for a configured name, and the state of its rollout.

        A name of the registry goes before a shipped one of the same name, so
        that a shipped model can be replaced by a version of one's own.
        """
        base, _, wanted = name.partition("@")
        fixed = Rollout("")
        if self._registry is None:
            return name, fixed
        alias = wanted or DEFAULT_ALIAS
        try:
            found = self._registry.show(f"{base}@{alias}")
        except RegistryError:
            if wanted or not NAME.fullmatch(name):
                raise
            return name, read_rollout(self._registry.root, name) or Rollout(name)
        if found.version == alias:
            return found.reference, fixed
        return found.reference, read_rollout(self._registry.root, base, alias) or Rollout(base, alias)

    async def _loaded(self, key: str) -> Unit:
        """A unit, loaded unless it is; a caller that gives up leaves nothing behind."""
        while (ending := self._unloading.get(key)) is not None:
            await asyncio.wait([ending])
        if key in self._draining:
            # It was about to leave, and is taken back: a second one of its key would go with it.
            self.traffic.units[key] = self._draining.pop(key)
        if key in self.traffic.units:
            return self.traffic.units[key]
        # Whoever asks again, after giving up, waits for the same one.
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.ensure_future(self._backend.load(key))
            loading.add_done_callback(lambda _: self._loading.pop(key, None))
        self._awaited[key] += 1
        try:
            offered = await asyncio.shield(loading)
        except asyncio.CancelledError:
            loading.add_done_callback(lambda done: self._forget(key, done))
            raise
        finally:
            self._awaited[key] -= 1
        unit = Unit(key, offered)
        self.traffic.units[key] = unit
        log.info("loaded", model=offered.reference, prepared=offered.prepared)
        if offered.declined:
            log.warning("computes slower than asked", model=offered.reference, reason=offered.declined)
        return unit

    def _forget(self, key: str, done: asyncio.Future[Offered]) -> None:
        if done.cancelled() or done.exception() is not None or self._awaited[key]:
            return
        if key not in self.traffic.units:
            self._later(self._backend.unload(key))

    def _later(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        return task

    async def _through(self, work: Coroutine[None, None, None]) -> bool:
        """Waits for work that must not stop half-way, whoever gives up meanwhile; returns whether somebody still waits."""
        task = self._later(work)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait([task])
            task.result()
            return False
        return True

    async def _behind(self, work: Coroutine[None, None, None]) -> None:
        """Waits for what follows a change that has taken effect. Whoever gives up meanwhile is told of the change."""
        task = self._later(work)
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise

    async def deploy(
        self, model: str, alias: str, shadow: float, canary: float, abort_if: str, service_level: float, lead_days: int
    ) -> Route:
        """Loads a version beside the active one, or gives a new name its first.

        Raises:
            RolloutRefused: the request does not fit where the rollout stands.
            RolloutBusy: another control call is under way.
            InputError: the version is not there, cannot be loaded, or is not fit.
        """
        share, stage = (shadow, "shadow") if shadow else (canary, "canary")
        if shadow and canary:
            raise RolloutRefused("both a shadow and a canary share are given: give one")
        if not 0.0 <= share <= 1.0:
            raise RolloutRefused(f"the share is {share:g}: give more than 0 and at most 1, which is 100 %")
        if not 0.0 < (service_level or 0.9) < 1.0:
            raise RolloutRefused(f"the service level is {service_level:g}: give one between 0 and 1")
        condition = abort_if or (ABORT_IF if canary else "")
        if condition:
            parse(condition)
        async with self._alone():
            found = await asyncio.to_thread(self._verified, model)
            alias = alias or DEFAULT_ALIAS
            state = Rollout(
                found.name, alias, found.version, "none", share, condition, service_level or 0.9, lead_days or 7
            )
            route = self.traffic.routes.get(state.route)
            if route is None:
                return await self._first(found, state, share)
            self._must_follow_alias(route, state.route)
            if not share:
                raise RolloutRefused(
                    f"{state.route} is served by {route.active.offered.reference}: give {found.reference} a shadow or canary share, or promote it"
                )
            if found.version == route.active.offered.version:
                raise RolloutRefused(f"{found.reference} is the active version of {state.route} already")
            if route.state.live and route.state.candidate != found.version:
                raise RolloutRefused(
                    f"{state.route} has candidate {route.state.candidate} in {route.state.stage}: promote it or roll it back first"
                )
            unit = await self._loaded(found.reference)
            try:
                await self._verify(found.reference, unit)
                said = f"{found.reference} {'repeats' if shadow else 'answers'} {share:.4g} of the items"
                await self._join(route, unit, dataclasses.replace(state, stage=stage, said=said))  # type: ignore[arg-type]
            except BaseException:
                self._later(self._leave(unit))
                raise
            return route

    async def _first(self, found: Version, state: Rollout, share: float) -> Route:
        """Gives a name its first active version."""
        if share:
            raise RolloutRefused(
                f"{state.route} has no active version here: deploy one without a share, or name it in worker.models"
            )
        registry = self._must_have_registry()
        unit = await self._loaded(found.reference)
        try:
            await self._verify(found.reference, unit)
            before = await asyncio.to_thread(registry.history, found.name, state.alias)
            if not await self._through(asyncio.to_thread(self._move_alias, found, state.alias)):
                await self._put_alias_back(found, state.alias, before)
        except BaseException:
            self._later(self._leave(unit))
            raise
        route = Route(unit, state)
        self.traffic.routes[state.route] = route
        said = f"{found.reference} answers all of {state.route}"
        await self._through(self._save(route, candidate="", said=said))
        return route

    async def _put_alias_back(self, found: Version, alias: str, history: list[str]) -> NoReturn:
        """Lets an alias stand again for what it did, and ends the call of a caller who has given up."""
        registry = self._must_have_registry()
        try:
            await self._through(asyncio.to_thread(registry.restore, found.name, alias, history))
        except OSError as error:
            raise RolloutRefused(
                f"alias {alias} of {found.name} stands for {found.version} and could not be put back to {history[-1:]}: {error}: deploy it again, or promote another version"
            ) from error
        raise asyncio.CancelledError

    async def _join(self, route: Route, unit: Unit, state: Rollout) -> None:
        """Lets a candidate stand beside the active version."""
        if not await self._through(self._write(state)):
            await self._write_back(route)
        if route.score is None or route.candidate != unit or route.state.stage != state.stage:
            route.score = Scoreboard(state.service_level, state.lead_days)
        route.condition = parse(state.abort_if) if state.abort_if else None
        route.candidate, route.state = unit, state

    async def _write_back(self, route: Route) -> NoReturn:
        """Writes what holds over what was to hold, and ends the call of a caller who has given up."""
        task = self._later(self._notes.settle(self._must_have_registry().root, route.state))
        # What cannot be written now is tried again without the caller.
        await asyncio.wait([task], timeout=UNDO_WAIT_S)
        raise asyncio.CancelledError

    async def promote(self, model: str, alias: str) -> Route:
        """Gives a version all traffic and moves the alias; raises what `deploy` raises."""
        async with self._alone():
            found = await asyncio.to_thread(self._verified, model)
            return await self._switch(found, alias or DEFAULT_ALIAS, back=False)

    async def rollback(self, name: str, alias: str) -> Route:
        """Takes the candidate away, else goes back to the version before; raises what `deploy` raises."""
        async with self._alone():
            alias = alias or DEFAULT_ALIAS
            state = Rollout(name, alias)
            route = self.traffic.routes.get(state.route)
            if route is None:
                raise RolloutRefused(f"no route {state.route} here, only {sorted(self.traffic.routes)}: name one")
            self._must_follow_alias(route, state.route)
            if route.candidate is not None and route.state.live:
                leaving = route.candidate
                said = f"{leaving.offered.reference} was taken out of {route.state.stage}"
                waited = await self._through(self._save(route, stage="none", candidate="", share=0.0, said=said))
                route.candidate = route.score = route.condition = None
                await self._gone([leaving], waited=waited)
                return route
            if route.state.stage == "aborted":
                said = f"the aborted {name}@{route.state.candidate} is put aside; {route.active.offered.reference} answers as before"
                await self._through(self._save(route, stage="none", candidate="", said=said))
                route.score = None
                return route
            found = await asyncio.to_thread(self._must_have_registry().before, name, alias)
            return await self._switch(found, alias, back=True)

    async def _switch(self, found: Version, alias: str, *, back: bool) -> Route:
        """All traffic of a route to a version, then the alias, then the old version's end."""
        state = Rollout(found.name, alias)
        route = self.traffic.routes.get(state.route)
        if route is None:
            raise RolloutRefused(f"no route {state.route} here: deploy {found.reference} first")
        self._must_follow_alias(route, state.route)
        self._must_have_registry()
        before = route.active
        if found.version == before.offered.version and not back:
            raise RolloutRefused(f"{found.reference} is the active version of {state.route} already")
        unit = await self._loaded(found.reference)
        try:
            await self._verify(found.reference, unit)
            # The candidate's traffic ends here, whichever version it was.
            leaving = [one for one in (before, route.candidate) if one is not None and one != unit]
            kept = (route.candidate, route.state, route.score, route.condition)
            route.active, route.candidate, route.score, route.condition = unit, None, None, None
            route.state = dataclasses.replace(state, said=route.state.said)
            try:
                await self._verify(state.route, unit)
                waited = await self._through(self._moved(found, alias, before, back=back))
            except BaseException:
                route.active = before
                route.candidate, route.state, route.score, route.condition = kept
                raise
        except BaseException:
            self._later(self._leave(unit))
            raise
        verb = "answers again" if back else "answers"
        said = f"{found.reference} {verb} all of {state.route}, after {before.offered.reference}"
        waited = await self._through(self._save(route, said=said)) and waited
        await self._gone(leaving, waited=waited)
        return route

    async def _moved(self, found: Version, alias: str, before: Unit, *, back: bool) -> None:
        """Lets the alias stand for a version: from here on there is no way back."""
        if back:
            await asyncio.to_thread(self._must_have_registry().rollback, found.name, alias)
            return
        await asyncio.to_thread(self._keep_shipped, before, alias)
        await asyncio.to_thread(self._move_alias, found, alias)

    async def _gone(self, leaving: Sequence[Unit], *, waited: bool) -> None:
        """Lets versions leave, and waits for it where somebody does."""

        async def leave() -> None:
            for one in leaving:
                await self._leave(one)

        if waited:
            await self._behind(leave())
        else:
            self._later(leave())

    async def retire(self, model: str) -> None:
        """Takes a version out of the registry; raises what `deploy` raises."""
        async with self._alone():
            registry = self._must_have_registry()
            found = await asyncio.to_thread(registry.show, model)
            for name, route in self.traffic.routes.items():
                users = {"active": route.active, "candidate": route.candidate}
                for role, unit in users.items():
                    if unit is not None and unit.offered.reference == found.reference:
                        raise RolloutRefused(f"{found.reference} is the {role} version of {name}: roll that back first")
            await asyncio.to_thread(registry.retire, model)

    def _abort(self, route: Route, reasons: list[str]) -> None:
        """Stops a candidate's traffic at once; the rest follows."""
        leaving = route.candidate
        assert leaving is not None
        said = f"{leaving.offered.reference} was aborted in {route.state.stage}: {' and '.join(reasons)}"
        route.state = dataclasses.replace(route.state, stage="aborted", share=0.0, said=said)
        route.candidate = None
        route.condition = None
        log.warning("aborted", route=route.state.route, candidate=leaving.offered.reference, reasons=reasons)

        # Neither waits for the other: a disk that takes no note of it keeps no version loaded.
        self._later(self._notes.settle(self._must_have_registry().root, route.state))
        self._later(self._leave(leaving))

    async def _leave(self, unit: Unit) -> None:
        """Unloads a version once no call uses it, unless a route does."""
        if self._used(unit) or unit.key not in self.traffic.units:
            return
        # Found no more from here on; who has found it is waited for.
        self._draining[unit.key] = self.traffic.units.pop(unit.key)
        await self.traffic.drained(unit.key)
        if self._draining.pop(unit.key, None) is None:
            return
        if self._used(unit):
            # It was aborted while it was being promoted.
            self.traffic.units[unit.key] = unit
            return
        task = self._later(self._backend.unload(unit.key))
        self._unloading[unit.key] = task
        task.add_done_callback(lambda _: self._unloading.pop(unit.key, None))
        await asyncio.shield(task)
        log.info("unloaded", model=unit.offered.reference)

    def _used(self, unit: Unit) -> bool:
        return any(unit in (route.active, route.candidate) for route in self.traffic.routes.values())

    async def _verify(self, model: str, unit: Unit) -> None:
        """Asks under a name and looks who answers."""
        context = write_table(probe(VERIFY_DAYS))
        answer = await self.traffic.forecast(ForecastJob(model, context, b"", 7, (), VERIFY_SECONDS))
        said = getattr(answer, "message", None) or [part.answer.version for part in getattr(answer, "parts", ())]
        if said != [unit.offered.version]:
            raise RolloutRefused(
                f"{model} was asked for {unit.offered.reference} and answered {said}: nothing was changed"
            )

    def _verified(self, model: str) -> Version:
        return self._must_have_registry().verify(model)

    def _stored(self, reference: str) -> Version:
        return self._must_have_registry().show(reference)

    def _move_alias(self, found: Version, alias: str) -> None:
        registry = self._must_have_registry()
        if alias not in found.aliases:
            registry.promote(found.reference, alias)

    def _keep_shipped(self, before: Unit, alias: str) -> None:
        """Stores a shipped model that is replaced, so that there is something to go back to."""
        registry = self._must_have_registry()
        if "@" not in before.key and (CHECKPOINTS / before.key).is_dir():
            self._move_alias(registry.push(CHECKPOINTS / before.key, name=before.key), alias)

    def _must_have_registry(self) -> Registry:
        if self._registry is None:
            raise RolloutRefused("this worker has no registry: set worker.registry to its directory and start it again")
        return self._registry

    def _must_follow_alias(self, route: Route, name: str) -> None:
        if not route.alias_moves:
            raise RolloutRefused(
                f"{name} is fixed to {route.active.offered.reference}: name the model by an alias in worker.models"
            )

    async def _save(self, route: Route, **changes: object) -> None:
        state = dataclasses.replace(route.state, **changes)  # type: ignore[arg-type]
        await self._write(state)
        route.state = state

    async def _write(self, state: Rollout) -> None:
        await self._notes.write(self._must_have_registry().root, state)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        if self._busy:
            raise RolloutBusy("another deploy, promote, rollback or retire is under way: wait for it")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    async def stop(self) -> None:
        """Ends what runs behind the answers."""
        await self.traffic.close()
        self._notes.end()
        while self._leaving:  # what ends may begin more
            await asyncio.gather(*self._leaving, return_exceptions=True)
