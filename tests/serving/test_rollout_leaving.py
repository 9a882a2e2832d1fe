"""A version that is deployed again while a slow call keeps it from leaving."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from bespeak.v1 import compute_pb2 as pb
from tests.serving.rollout_worker import call_that_does_not_end, makers, running_worker

#: Of a control call that waits for one that does not end: it is told what has taken effect.
SHORT_S = 3
pytestmark = pytest.mark.timeout(120)


def test_it_stays_and_nothing_is_taken_from_it(tmp_path):
    with running_worker(tmp_path, "local") as running, ThreadPoolExecutor(1) as pool:
        running.deploy("2", shadow=1.0)
        with call_that_does_not_end(running, "2") as let_go:
            request = pb.ComputeServiceRollbackRequest(model="scaled")
            assert running.compute.Rollback(request, timeout=SHORT_S).rollout.stage == pb.ROLLOUT_STAGE_NONE
            assert set(running.state()[1]) == {"1"}, "it is found no more"
            # A worker without Ray computes one pass after another: that which verifies it waits for the call.
            deployed = pool.submit(running.deploy, "2", canary=1.0)
            while "2" not in running.state()[1]:
                running.rest()
            let_go()
        assert deployed.result().candidate == "scaled@2"
        for model in ("scaled", "scaled@2"):
            assert set(makers(running.ask(model=model)).values()) == {"2"}
        assert running.promote("2").active == "scaled@2"
        assert set(makers(running.ask()).values()) == {"2"}
