"""`armopt measure`: one .tflite on one device, held against limits if there are any."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from armopt.cli.deploy import EXIT_OF_VERDICT
from armopt.cli.output import chatter_to_stderr, json_option, print_json, print_rich, say
from armopt.cli.target_options import read_target, speed_options

if TYPE_CHECKING:
    from armopt.core.gate import Judgement
    from armopt.core.records import Measurement, Node


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--device", "device_name", metavar="KIND", required=True, help="Board kind; see armopt devices.")
@click.option("--threads", type=click.IntRange(1, 64), help="Of the runtime; default: the board kind's own.")
@click.option("--freq", "freq_mhz", type=click.IntRange(1, 10_000), metavar="MHZ", help="If not the board's.")
@speed_options
@click.option("--offline", is_flag=True, help="Never fetch anything.")
@json_option
def command(
    model: Path,
    device_name: str,
    threads: int | None,
    freq_mhz: int | None,
    offline: bool,
    as_json: bool,
    **limits: Any,
) -> int:
    """Run MODEL (any .tflite) on a device and say how long one inference takes and how well that is known.

    Exit codes: 0 within the limits (or none given), 1 not, 3 inconclusive, 2 usage, 4 device.
    """
    from armopt.catalog.devices import find_device
    from armopt.core.gate import Observed, judge
    from armopt.core.records import Metric

    target, kind = read_target(limits), find_device(device_name)
    with chatter_to_stderr():
        from armopt.measuring import measure

        found, _ = measure(model, kind, threads=threads, freq_mhz=freq_mhz, say=say, offline=offline)
    observed = Observed(
        instructions=found.instructions,
        latency_ms=found.latency_ms,
        interval_ms=found.interval_ms,
        evidence=found.evidence,
    )
    judgement = judge(target, observed, Metric(name="accuracy"))
    if as_json:
        with chatter_to_stderr():
            node = _node(model, found, judgement)
        print_json(_document(node, found, judgement, target.model_dump(mode="json")))
    else:
        from armopt.show.measurement import measurement_lines, measurement_table

        print_rich(measurement_table(found), *measurement_lines(found, judgement))
    return EXIT_OF_VERDICT[judgement.verdict]


def _node(model: Path, found: Measurement, judgement: Judgement) -> Node:
    """The measurement under the keys that a node has in result.json."""
    # Only here: reading a file's weights brings TensorFlow in, which takes longer than emulating a small model.
    from armopt.compress.audit import audit
    from armopt.core.records import Node

    held = audit(model)
    return Node(
        path=model.stem,
        status=judgement.verdict or "built",
        reason=judgement.reason,
        size_bytes=held.size_bytes,
        gz_bytes=held.gz_bytes,
        sparsity=round(held.sparsity, 6),
        max_codes=held.max_codes,
        latency_ms=found.latency_ms,
        interval_ms=found.interval_ms,
        instructions=found.instructions,
        evidence=found.evidence,
        seconds=round(found.seconds, 2),
        artifact=str(model),
    )


def _document(node: Node, found: Measurement, judgement: Judgement, target: dict[str, Any]) -> dict[str, Any]:
    """One node's keys at top level, then how they were come by."""
    from armopt.core.records import SCHEMA_VERSION

    return {
        "schema_version": SCHEMA_VERSION,
        **node.model_dump(mode="json", by_alias=True),
        "target": target,
        "verdict": judgement.verdict,
        **found.model_dump(mode="json", exclude={"latency_ms", "interval_ms", "instructions", "evidence", "seconds"}),
    }
