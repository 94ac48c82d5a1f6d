"""Runs one ncnn model inside the emulated system: one inference to warm up, then one between the counting marks.

Called as `python ncnn_agent.py PARAM SIZE`, the graph's file and the edge of its square RGB input. It needs ncnn's
package and nothing else, and sets what ncnn's own benchmark sets (benchmark/benchncnn.cpp: zero weights, input 0.01,
pool allocators, lightmode), except that it binds no threads: that would start one per core. One JSON object on stdout
tells the package's version, where its library lies, the layers in the order in which they run, and the output's shape.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

# Descriptors that no process has: the counting plugin watches for close() of them, the kernel answers EBADF.
MARK_START, MARK_STOP, MARK_WARM, MARK_BASE, MARK_END = -770001, -770002, -770003, -770004, -770005
AARCH64_CLOSE = 57
LIBRARY = "ncnn.cpython"
SWITCHES = [
    *("winograd_convolution", "sgemm_convolution", "packing_layout", "fp16_packed", "fp16_storage", "fp16_arithmetic"),
    *("int8_inference", "int8_storage", "int8_arithmetic"),
]


def mark(which: int, value: int = 0) -> None:
    """Tell the counting plugin where in the job the process is. Not libc's close(): it hands on no second argument."""
    ctypes.CDLL(None).syscall(ctypes.c_long(AARCH64_CLOSE), ctypes.c_long(which), ctypes.c_long(value))


def library_base() -> int:
    """Where ncnn's library lies in this process."""
    lines = Path("/proc/self/maps").read_text(encoding="ascii").splitlines()
    return next(int(line.split("-")[0], 16) for line in lines if LIBRARY in line)


def load(ncnn: Any, param: str, allocators: tuple[Any, Any]) -> Any:
    """The network with the benchmark's options, one thread."""
    net = ncnn.Net()
    net.opt.lightmode, net.opt.num_threads = True, 1
    net.opt.blob_allocator, net.opt.workspace_allocator = allocators
    for name in SWITCHES:
        setattr(net.opt, "use_" + name, True)
    ncnn.set_omp_dynamic(0)
    ncnn.set_omp_num_threads(1)
    if net.load_param(param) or net.load_model(ncnn.DataReaderFromEmpty()):
        raise SystemExit(f"{param}: ncnn can't load it")
    return net


def order(net: Any) -> list[tuple[str, str]]:
    """Type and name of the layers that the first output needs, in ncnn's order: depth first, inputs by their order."""
    layers, blobs, found = net.layers(), net.blobs(), dict[int, None]()

    def visit(index: int) -> None:
        for blob in layers[index].bottoms:
            if blobs[blob].producer not in found:
                visit(blobs[blob].producer)
        if layers[index].type != "Input":
            found[index] = None

    visit(blobs[net.output_indexes()[0]].producer)
    return [(layers[index].type, layers[index].name) for index in found]


def infer(net: Any, image: Any) -> Any:
    """The first output for `image`."""
    extractor = net.create_extractor()
    extractor.input(net.input_names()[0], image)
    status, output = extractor.extract(net.output_names()[0])
    if status:
        raise SystemExit(f"ncnn: extract answered {status}")
    return output


def main() -> None:
    """Run the model that the arguments name; ends without destructors, which find the pools' memory still in use."""
    param, size = sys.argv[1], int(sys.argv[2])
    ncnn = importlib.import_module("ncnn")
    blob_pool, workspace_pool = ncnn.UnlockedPoolAllocator(), ncnn.PoolAllocator()
    blob_pool.set_size_compare_ratio(0.0)
    workspace_pool.set_size_compare_ratio(0.5)
    base = library_base()
    mark(MARK_BASE, base)
    net = load(ncnn, param, (blob_pool, workspace_pool))
    image = ncnn.Mat(size, size, 3)
    image.fill(0.01)
    mark(MARK_WARM)
    infer(net, image)
    mark(MARK_START)
    output = infer(net, image)
    mark(MARK_STOP)
    mark(MARK_END)
    told = {"ncnn": ncnn.__version__, "library_base": base, "layers": order(net)}
    print(json.dumps({**told, "output": [output.w, output.h, output.c]}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
