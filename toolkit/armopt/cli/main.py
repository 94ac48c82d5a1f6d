"""`armopt`: the commands, and the one place where errors become exit codes.

0 met or no target, 1 not met, 2 usage, 3 inconclusive or unstable, 4 device or infrastructure, 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence

import click

from armopt import __version__
from armopt.cli.lazy import LazyGroup
from armopt.core.errors import ArmoptError, DeviceError

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
# What a shell reports of a program that SIGPIPE ended: the reader left, and that is no verdict.
EXIT_BROKEN_PIPE = 141

# name -> module with a click command called `command`, and its line in `armopt --help`; imported on use only.
COMMANDS = {
    "deploy": ("armopt.cli.deploy", "Take a Keras model down the tree until a leaf meets the target on the device."),
    "tree": ("armopt.cli.tree", "Show a profile's tree, its strengths, and what can help on a device."),
    "measure": ("armopt.cli.measure", "Run a .tflite on a device: latency, instructions, and how well they are known."),
    "compare": ("armopt.cli.compare", "Set two results side by side: what got slower, which operator, why."),
    "audit": ("armopt.cli.audit", "Show what a .tflite holds: zeros, codes and sizes, from its own bytes."),
    "report": ("armopt.cli.report", "Write one HTML page that shows runs to people."),
    "runs": ("armopt.cli.runs", "List earlier runs, newest first."),
    "devices": ("armopt.cli.devices", "List the board kinds that armopt knows."),
    "hosts": ("armopt.cli.hosts", "Register your own boards, and trust their host keys."),
    "emulator": ("armopt.cli.emulator", "Set up the emulated boards, or show what is there."),
    "doctor": ("armopt.cli.doctor", "Say what is wrong with a board, or with this machine, and how to mend it."),
    "store": ("armopt.cli.store", "List finished nodes, or remove old ones."),
}


@click.group(cls=LazyGroup, commands_by_name=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="armopt")
def cli() -> None:
    """Take a trained Keras model to an Arm device, compressed to INT8, and say whether it meets its target."""


def main() -> None:
    """Entry point of the console script."""
    if "_ARMOPT_COMPLETE" in os.environ:
        cli.main(prog_name="armopt")  # click's own shell completion
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name from a model must not crash an ASCII terminal
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line, without the program's name, and return its exit code; what goes wrong is told on stderr."""
    try:
        with cli.make_context("armopt", list(arguments), obj=tuple(arguments)) as context:
            code = cli.invoke(context)
        sys.stdout.flush()
        return int(code or 0)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return EXIT_USAGE
    except click.ClickException as error:
        name = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "armopt"
        return _tell(f"{error.format_message().rstrip('.')}; see {name} --help", EXIT_USAGE)
    except ArmoptError as error:
        return _tell(str(error), error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _tell("interrupted; the same command continues", EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The interpreter flushes stdout at exit and would complain about the same pipe once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except Exception:
        # Python's own exit code for a traceback is 1, which would read as "target not met".
        traceback.print_exc()
        return _tell("this is a bug in armopt; please report it with the lines above", DeviceError.exit_code)


def _tell(message: str, code: int) -> int:
    from armopt.show.text import clean

    click.echo(f"armopt: {clean(message)}", err=True)
    return code
