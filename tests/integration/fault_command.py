"""`python fault_command.py try ...`: a command line that works on a board of this machine's kind, as armopt's would.

`armopt measure` refuses boards that are no Arm machines. This one goes the same way, from the hosts file to the exit
code, with the board's own Python as the runtime and the agent that can be counted.
"""

from __future__ import annotations

import hashlib
import random
import sys
from contextlib import closing
from pathlib import Path

import click
import numpy as np

from armopt.boards import Boards
from armopt.catalog.devices import find_device
from armopt.catalog.hosts import find_host
from armopt.cli.main import COMMANDS, run
from armopt.cli.output import say
from armopt.runners.base import Job
from armopt.runners.ssh import board_spec
from armopt.runners.ssh.board_run import Timing
from armopt.runners.ssh.runner import BoardRunner

COUNTED_AGENT = Path(__file__).with_name("counted_agent.py")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--rounds", type=int, default=4)
@click.option("--megabytes", type=int, default=0, help="Send so much, and do nothing else.")
def command(model: Path, rounds: int, megabytes: int) -> int:
    """Time MODEL on the board called `board`."""
    board_spec.AGENT = COUNTED_AGENT
    host = find_host("board")
    job = Job(model, (np.arange(64, dtype=np.int8).reshape(4, 16),))

    def work(runner: BoardRunner) -> int:
        runner.prepare()
        if megabytes:
            files = [random.Random(number).randbytes(1_000_000) for number in range(megabytes)]
            return runner.board.send({hashlib.sha256(file).hexdigest(): file for file in files})
        return len(runner.time(job, Timing(rounds, seconds=1.5), lambda rounds: False).rounds)

    with closing(Boards([host], find_device(host.device), say=say, own_runtime=True)) as boards:
        click.echo(boards.on_one(work))
    return 0


if __name__ == "__main__":
    COMMANDS["try"] = ("fault_command", "")
    sys.exit(run(sys.argv[1:]))
