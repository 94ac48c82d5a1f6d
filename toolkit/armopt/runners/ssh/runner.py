"""A board over SSH, or this machine as the board: brings the runtime there, runs and times models."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from armopt.core.device import BoardKind, RuntimeName
from armopt.core.errors import DeviceError
from armopt.core.host import Host
from armopt.core.records import Evidence, RunnerName
from armopt.core.rounds import Round
from armopt.runners.base import Job, RunResult, Say
from armopt.runners.local import LocalRunner
from armopt.runners.ssh.board_folder import BoardFolder
from armopt.runners.ssh.board_run import BoardRun, Ran, Setup, Timing
from armopt.runners.ssh.connected import Connected
from armopt.runners.ssh.connection import Completed, Connection
from armopt.runners.ssh.facts import Facts, look, read_facts
from armopt.runners.ssh.here import HereConnection
from armopt.runners.ssh.small_model import INPUTS, small_model
from armopt.runners.ssh.wheels import Plan, choose_runtime, fetch


class BoardRunner:
    """Runs models on one board, which is this runner's alone between `prepare` and `close`.

    Args:
        host: the board.
        kind: what it is; decides on the runtime, and whether its timings are worth anything.
        say: gets progress.
        offline: never fetch anything from elsewhere.
        runtime: None takes the first that runs there.
        own_runtime: the board's Python has a runtime of its own; none is sent, and any machine will do.
        here: this machine is the board, and runs models with the Python that runs armopt.
    """

    def __init__(
        self,
        host: Host,
        kind: BoardKind,
        *,
        say: Say,
        offline: bool,
        runtime: RuntimeName | None = None,
        own_runtime: bool = False,
        here: bool = False,
    ) -> None:
        self.host, self.kind = host, kind
        self.name: RunnerName = "local" if here else "ssh"
        self.evidence: Evidence = "functional" if kind.functional else "measured"
        self._say, self._offline, self._wanted = say, offline, runtime
        self._own_runtime = here or own_runtime
        self._facts: Facts | None = None
        self._setup: Setup | None = None

        def connect() -> Connected:
            return HereConnection() if here else Connection(host, say=say)

        self.board = BoardFolder(host, connect, say)

    @property
    def facts(self) -> Facts:
        """What the board says of itself; after `prepare`."""
        assert self._facts is not None
        return self._facts

    @property
    def setup(self) -> Setup:
        """What runs models there; after `prepare`."""
        assert self._setup is not None
        return self._setup

    def prepare(self) -> None:
        """Take the board and have the runtime on it, tested once; calling it again is cheap.

        Raises:
            DeviceError: the board can't be reached, is another's, or can't have a runtime.
        """
        if self._setup is not None:
            return
        if self._own_runtime:
            facts, setup = read_facts(self.board), Setup(self.host.python, None)
            self.board.lock()
        else:
            facts = look(self.board)
            plan = choose_runtime(facts, self._wanted, self.host.name)
            setup = Setup(self.host.python, plan.name)
            self.board.lock()
            self._provide(plan, setup)
        self._facts, self._setup = facts, setup

    def run(self, jobs: Sequence[Job]) -> list[RunResult]:
        """Run all samples of the jobs once, in one process."""
        self.prepare()
        return list(BoardRun(self.board, self.setup, jobs, None, _never, self._say).run().results)

    def time(self, job: Job, timing: Timing, enough: Callable[[Sequence[Round]], bool]) -> Ran:
        """Run all samples of the job once, then time it in fresh processes until there are `enough` rounds."""
        self.prepare()
        return BoardRun(self.board, self.setup, [job], timing, enough, self._say).run()

    def python(self, arguments: Sequence[str], *, silence_s: float) -> Completed:
        """Run a script that lies on the board with the runtime at hand; once more where the connection breaks."""
        self.prepare()
        # Programs start in the login's home, which armopt's folder is relative to.
        site = f"PYTHONPATH={self.host.folder}/runtimes/{self.setup.runtime}"
        command = ["env", site] if self.setup.runtime else []
        argv = [*command, self.setup.python, "-s", *arguments]
        return self.board.run(argv, silence_s=silence_s, within_s=None)

    def close(self) -> None:
        """Give the board back; what was sent there stays."""
        self.board.close()

    def _provide(self, plan: Plan, setup: Setup) -> None:
        """Have the runtime on the board; one that is new there is tried out."""
        if self.board.unpack(plan.name, plan.digests):
            return
        wheels = dict(zip(plan.digests, fetch(plan, say=self._say, offline=self._offline), strict=True))
        self._say(f"{self.host.name}: sending {plan.title}")
        self.board.send(wheels)
        if not self.board.unpack(plan.name, plan.digests):
            raise DeviceError(f"{self.host.name} lacks what was just sent there", "run again, or see what clears it")
        self._try_out(setup)

    def _try_out(self, setup: Setup) -> None:
        """The runtime has to run a small model as it runs here."""
        with tempfile.TemporaryDirectory(prefix="armopt-try-") as folder:
            model = Path(folder) / "small.tflite"
            model.write_bytes(small_model())
            inputs = (np.arange(-32, 4 * INPUTS - 32, dtype=np.int8).reshape(4, 1, INPUTS),)
            here = LocalRunner(self._say)
            try:
                [expected] = here.run([Job(model, inputs)])
            finally:
                here.close()
            [found] = BoardRun(self.board, setup, [Job(model, inputs)], None, _never, self._say).run().results
        if not np.array_equal(found.outputs[0], expected.outputs[0]):
            raise DeviceError(
                f"{self.host.name}: {found.environment['runtime']} computes something else than this machine's runtime",
                f"run: armopt doctor --host {self.host.name}",
            )


def _never(rounds: Sequence[Round]) -> bool:
    return False
