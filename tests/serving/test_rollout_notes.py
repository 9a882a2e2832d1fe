"""What a restart goes by is what holds: when a caller gives up while it is written, and when it cannot be written."""

import asyncio
import errno
import json
import os
import threading
from contextlib import asynccontextmanager

import numpy as np
import pytest
from structlog.testing import capture_logs

from models import PanelForecaster
from models.registry import Registry
from models.rollouts import read_rollout
from serving.deployments.jobs import ForecastJob
from serving.rollout.control import Controller
from serving.worker_config import WorkerConfig
from serving.worker_local import LocalBackend
from tests.serving.worker_process import as_ipc, history

WAIT_S = 60
JOB = ForecastJob("level", as_ipc(history(8)), b"", 7, (0.1, 0.5, 0.9), None)


class Level(PanelForecaster):
    """The last four weeks' mean; the version `failing` knows none of live items."""

    context_days = 28

    def __init__(self, name, version):
        self.name, self.version = name, version

    @classmethod
    def load(cls, _directory, name, version):
        return cls(name, version)

    def predict_panel(self, panel, horizon, quantiles):
        if self.version == "failing" and any(item.startswith("sku") for item in panel.item_ids.to_pylist()):
            raise RuntimeError("no luck with live items")
        level = np.nanmean(panel.target[:, -28:], axis=1)
        shape = np.array([1.0, *(2.0 * p for p in quantiles)])
        return level[:, None, None] * shape[None, None, :] * np.ones((1, horizon, 1))


class Disk:
    """The disk below the registry: it can be full, and slow."""

    def __init__(self, monkeypatch):
        self.full = False
        self.refused = 0
        self._sync = os.fsync
        self._reached, self._free = threading.Event(), threading.Event()
        self._free.set()
        monkeypatch.setattr(os, "fsync", self.sync)

    def sync(self, file):
        self._reached.set()
        assert self._free.wait(WAIT_S)
        if self.full:
            self.refused += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._sync(file)

    async def given_up(self, work):
        """Cancels a call while the disk writes for it, as its deadline would; then the disk goes on."""
        self._reached.clear()
        self._free.clear()
        call = asyncio.create_task(work)
        try:
            assert await asyncio.to_thread(self._reached.wait, WAIT_S)
            call.cancel()
        finally:
            self._free.set()
        with pytest.raises(asyncio.CancelledError):
            await call


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


@pytest.fixture
def registry(tmp_path):
    """Versions 1, 2 and failing of `level`; no alias stands for any."""
    made = Registry(tmp_path / "registry")
    files = tmp_path / "files"
    files.mkdir()
    (files / "settings.json").write_text("{}")
    for version in ("1", "2", "failing"):
        (files / "manifest.json").write_text(json.dumps({"version": version}))
        made.push(files, "level", f"{__name__}:Level")
    return made


@asynccontextmanager
async def controlled(registry, model):
    """The routes of a worker without the worker's port, and where its models are."""
    config = WorkerConfig(models=(model,), registry=registry.root, device="cpu")
    backend = LocalBackend(config)
    one = Controller(backend, config)
    await one.start()
    try:
        yield one, backend
    finally:
        await one.stop()
        await backend.stop()


def deployed(one, reference, canary):
    return one.deploy(reference, "", 0.0, canary, "", 0.9, 7)


@pytest.mark.parametrize(("before", "loaded"), [(0.0, {"level@1"}), (0.2, {"level@1", "level@2"})])
def test_a_canary_whose_caller_gave_up_while_it_was_written_is_undone(registry, disk, before, loaded):
    registry.promote("level@1")

    async def deploy():
        async with controlled(registry, "level") as (one, _):
            if before:
                await deployed(one, "level@2", before)
            await disk.given_up(deployed(one, "level@2", 0.5))
            state = one.traffic.routes["level"].state
            assert (state.live, state.share) == (before > 0, before)
        assert set(one.traffic.units) == loaded

    asyncio.run(deploy())
    left = read_rollout(registry.root, "level")
    assert (left.live, left.share) == (before > 0, before)

    async def started():
        async with controlled(registry, "level") as (_, backend):
            return set(backend.replicas())

    assert asyncio.run(started()) == loaded


@pytest.mark.parametrize("before", [(), ("1",)])
def test_an_alias_that_was_moved_for_a_caller_who_gave_up_stands_as_before(registry, disk, before):
    for version in before:
        registry.promote(f"level@{version}")

    async def deploy():
        async with controlled(registry, "climatology") as (one, _):
            await disk.given_up(deployed(one, "level@2", 0.0))
            assert set(one.traffic.routes) == {"climatology"}
        assert set(one.traffic.units) == {"climatology"}

    asyncio.run(deploy())
    assert registry.show("level@2").aliases == ()
    assert registry.history("level") == list(before)


@pytest.mark.parametrize(
    ("then", "stage"), [("it is tried again", "aborted"), ("the worker ends", "aborted"), ("it is put aside", "none")]
)
def test_an_abort_that_a_full_disk_does_not_take_unloads_the_version_and_is_written_later(registry, disk, then, stage):
    registry.promote("level@1")

    async def abort():
        async with controlled(registry, "level") as (one, backend), asyncio.timeout(WAIT_S):
            await deployed(one, "level@failing", 1.0)
            disk.full = True
            while not disk.refused or "level@failing" in backend.replicas():
                await one.traffic.forecast(JOB)
            assert read_rollout(registry.root, "level").stage == "canary", "the disk takes nothing"
            disk.full = False
            if then == "it is put aside":
                await one.rollback("level", "")
            while then == "it is tried again" and read_rollout(registry.root, "level").live:
                await one.traffic.forecast(JOB)

    with capture_logs() as said:
        asyncio.run(abort())
    assert read_rollout(registry.root, "level").stage == stage
    told = [line for line in said if line["event"] == "rollout not written"]
    assert told
    assert {(line["route"], line["stage"]) for line in told} == {("level", "aborted")}
    assert "No space left on device" in told[0]["reason"]
