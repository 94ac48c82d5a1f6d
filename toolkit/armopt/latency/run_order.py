"""The order in which LiteRT runs operators of which a delegate takes some."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from armopt.core.graph import GraphOperator


def run_order(operators: Sequence[GraphOperator], delegated: Collection[int]) -> list[int]:
    """Positions in `operators` in the order of their run.

    Without a delegate that is the file's order. With one, the runtime cuts the graph into parts that are wholly the
    delegate's or wholly its own, and puts into each part whatever is ready by then
    (PartitionGraphIntoIndependentNodeSubsets, tensorflow/lite/graph_info.cc).

    Args:
        operators: of the file, in its order.
        delegated: positions of those that the delegate takes.
    """
    makes = {tensor for operator in operators for tensor in operator.outputs}
    ready: set[int] = set()
    waiting, order = list(range(len(operators))), list[int]()
    while waiting:
        part: bool | None = None
        began = len(order)
        while True:
            left = []
            for position in waiting:
                operator, is_delegated = operators[position], position in delegated
                if part in (None, is_delegated) and all(
                    tensor in ready or tensor not in makes for tensor in operator.inputs
                ):
                    part = is_delegated
                    ready.update(operator.outputs)
                    order.append(position)
                else:
                    left.append(position)
            if len(left) == len(waiting):
                break
            waiting = left
        if len(order) == began:
            order += waiting  # a loop between operators: no file that runs has one
            break
    return order
