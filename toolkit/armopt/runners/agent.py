"""The one file that runs where the model runs: a board, the emulated system or this machine.

It needs Python 3.9, numpy and a runtime (ai_edge_litert or tflite_runtime), and nothing of armopt: it is copied as it
is. Called as `python agent.py JOBS.json`, a list of jobs that are run in turn, each with these keys: `model`, `inputs`
and `outputs` (paths; .npz with arrays `a0`, `a1`, ... whose first axis is the samples), `threads`, `delegate` (false:
the runtime's own kernels, not XNNPACK's), `warmups`, `mark` (true: marker system calls around the first sample's
inference). A job with `time` is timed instead: {`warmup_s`, `seconds` of timing, at most `inferences` (null: as many as
fit), `cpus` to be pinned to or null, `slices`: so many stretches of `seconds` without a pause}. It writes one JSON
object a line: `loaded`, `progress`, `slice` and `done` for each job in turn, or `error`.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any, Callable  # noqa: UP035 - Python 3.9's own

import numpy as np

# Descriptors that no process has: the counting plugin watches for close() of them, the kernel answers EBADF.
MARK_START, MARK_STOP, MARK_WARM, MARK_BASE, MARK_END = -770001, -770002, -770003, -770004, -770005
AARCH64_CLOSE = 57  # marks are only asked for where the emulator runs this
FEWEST = 20  # timed inferences, however long they take
MOST_TOLD = 5000  # of a slice; of a model of microseconds there are a million
CPUS, THERMAL = Path("/sys/devices/system/cpu"), Path("/sys/class/thermal")
FIRMWARE = Path("/sys/devices/platform/soc/soc:firmware/get_throttled")  # a Raspberry Pi's, in hex
# The library that holds the kernels: of ai_edge_litert, of tflite_runtime.
LIBRARIES = ("libpywrap_litert_common.so", "_pywrap_tensorflow_interpreter_wrapper")


def say(event: str, **values: Any) -> None:
    """Write one event."""
    print(json.dumps({"event": event, **values}), flush=True)


def marker() -> Callable[[int, int], None]:
    """What tells the counting plugin where in the job the process is: (mark, value) -> a system call that fails."""
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_long]
    # Not libc's close(): it need not hand on a second argument.
    return functools.partial(syscall, AARCH64_CLOSE)


def library_base() -> int:
    """Where the library with the runtime's kernels lies in this process; 0 if it isn't found."""
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    return next((int(line.split("-")[0], 16) for line in lines if any(name in line for name in LIBRARIES)), 0)


def load_runtime() -> tuple[Any, str, Any]:
    """The interpreter class, the name and version of its package, and what keeps it from using XNNPACK."""
    for package, name in (("ai_edge_litert", "litert"), ("tflite_runtime", "tflite-runtime")):
        try:
            module = importlib.import_module(package + ".interpreter")
        except ImportError:
            continue
        version = str(getattr(sys.modules[package], "__version__", "unknown"))
        return module.Interpreter, name + " " + version, module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    raise SystemExit("no runtime: neither ai_edge_litert nor tflite_runtime can be imported")


def make_interpreter(interpreter_class: Any, path: str, threads: int, **options: Any) -> Any:
    """An allocated interpreter whose dynamic dimensions are all 1."""
    interpreter = interpreter_class(model_path=path, num_threads=threads, **options)
    for tensor in interpreter.get_input_details():
        signature = [int(size) for size in tensor["shape_signature"]]
        if -1 in signature:
            interpreter.resize_tensor_input(tensor["index"], [1 if size == -1 else size for size in signature])
    interpreter.allocate_tensors()
    return interpreter


def describe(tensor: dict[str, Any]) -> dict[str, Any]:
    """What the caller needs to know of a tensor."""
    scale, zero_point = tensor["quantization"]
    return {
        "name": str(tensor["name"]),
        "shape": [int(size) for size in tensor["shape"]],
        "dtype": np.dtype(tensor["dtype"]).name,
        "scale": float(scale),
        "zero_point": int(zero_point),
    }


def check(arrays: list[Any], details: list[dict[str, Any]]) -> str | None:
    """What is wrong with the samples, or None."""
    if len(arrays) != len(details):
        return f"the model has {len(details)} inputs, the samples {len(arrays)} arrays"
    if len({len(array) for array in arrays}) > 1:
        return "the input arrays hold different numbers of samples"
    for position, (array, tensor) in enumerate(zip(arrays, details)):  # noqa: B905 - Python 3.9 has no strict=
        shape, dtype = tuple(tensor["shape"]), np.dtype(tensor["dtype"])
        if array.dtype != dtype:
            return f"input {position} is {dtype.name}, the samples are {array.dtype.name}"
        if array[0].size != int(np.prod(shape)):
            return f"input {position} has shape {[int(size) for size in shape]}, a sample {list(array[0].shape)}"
    return None


def own_samples(job: dict[str, Any], inputs: list[dict[str, Any]]) -> list[Any] | None:
    """The job's arrays, one per input; None after an `error` event where they do not fit."""
    with np.load(job["inputs"], allow_pickle=False) as stored:
        arrays = [stored[f"a{position}"] for position in range(len(stored.files))]
    wrong = check(arrays, inputs)
    if wrong:
        say("error", kind="input", text=wrong)
        return None
    return arrays


def run(jobs: list[dict[str, Any]]) -> int:
    """Run the jobs; 0, or 2 after an `error` event. What the runtime raises is the model's fault."""
    to_mark = [job for job in jobs if job.get("mark")]
    try:
        for job in jobs:
            if job.get("time"):
                code = time_model(job)
            else:
                code = run_model(job, last_mark=bool(to_mark) and job is to_mark[-1])
            if code:
                return code
        return 0
    except (ValueError, RuntimeError) as error:
        say("error", kind="model", text=str(error))
        return 2


def run_model(job: dict[str, Any], last_mark: bool) -> int:
    """Load the model and feed it all samples; after the last mark nothing is counted any more."""
    interpreter_class, runtime, own_kernels = load_runtime()
    options = {} if job.get("delegate", True) else {"experimental_op_resolver_type": own_kernels}
    base, mark = 0, marker()
    if job.get("mark"):
        base = library_base()
        mark(MARK_BASE, base)
    began = time.perf_counter()
    interpreter = make_interpreter(interpreter_class, job["model"], job["threads"], **options)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    described = [describe(tensor) for tensor in inputs]
    say("loaded", runtime=runtime, inputs=described, library_base=base, load_ms=1e3 * (time.perf_counter() - began))
    if not job.get("inputs"):
        return 0
    arrays = own_samples(job, inputs)
    if arrays is None:
        return 2
    samples, results, raw_ms = len(arrays[0]), list[list[Any]](), list[float]()
    for sample in range(samples):
        for array, tensor in zip(arrays, inputs):  # noqa: B905
            interpreter.set_tensor(tensor["index"], array[sample].reshape(tensor["shape"]))
        counted = bool(job.get("mark")) and sample == 0
        if sample == 0:
            if counted:
                mark(MARK_WARM, 0)
            for _ in range(job.get("warmups", 1)):
                interpreter.invoke()
        began = time.perf_counter()
        if counted:
            mark(MARK_START, 0)
        interpreter.invoke()
        if counted:
            mark(MARK_STOP, 0)
            if last_mark:
                mark(MARK_END, 0)
        raw_ms.append(1e3 * (time.perf_counter() - began))
        results.append([np.array(interpreter.get_tensor(tensor["index"])) for tensor in outputs])
        if sample % 50 == 49:
            say("progress", done=sample + 1, samples=samples)
    stacked: dict[str, Any] = {f"a{k}": np.stack([row[k] for row in results]) for k in range(len(outputs))}
    np.savez(job["outputs"], **stacked)
    described = [describe(tensor) for tensor in interpreter.get_output_details()]
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    say("done", outputs=described, raw_ms=raw_ms, peak_memory_kib=peak_kib, numpy=np.__version__)
    return 0


def told_by_kernel(path: Path) -> str:
    """A file of /proc or /sys; '' where it is not there or not for us."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def temperature_c() -> float | None:
    """The warmest sensor; None where the kernel shows none."""
    texts = [told_by_kernel(zone / "temp") for zone in THERMAL.glob("thermal_zone*")]
    return max([int(text) / 1e3 for text in texts if text.lstrip("-").isdigit()], default=None)


def clock_mhz() -> float | None:
    """The fastest clock among the processors that this process may use; None where the kernel does not tell."""
    cpus = os.sched_getaffinity(0)
    texts = [told_by_kernel(CPUS / f"cpu{cpu}" / "cpufreq" / "scaling_cur_freq") for cpu in cpus]
    return max([int(text) / 1e3 for text in texts if text.isdigit()], default=None)


def firmware_flags() -> int | None:
    """A Raspberry Pi's: bits 0 to 3 say that the clock is held back now, 16 to 19 that it was since the start."""
    try:
        return int(told_by_kernel(FIRMWARE), 16)
    except ValueError:
        return None


def throttled(before: int | None) -> bool | None:
    """Whether the clock is held back, or was since the flags were `before`; None where the board does not tell."""
    flags = firmware_flags()
    if flags is not None:
        return bool(flags & 0xF or flags & ~(before or 0) & 0xF0000)
    processors = [one for one in THERMAL.glob("cooling_device*") if "cpu" in told_by_kernel(one / "type").lower()]
    states = [told_by_kernel(one / "cur_state") for one in processors]
    return any(state not in ("", "0") for state in states) if states else None


def random_sample(tensor: dict[str, Any]) -> Any:
    """A sample of a tensor's type, the same every time; wide integers are zero, for they may be indices."""
    random, dtype = np.random.default_rng(1), np.dtype(tensor["dtype"])
    if dtype.kind == "f":
        return random.random(tensor["shape"], dtype=np.float32).astype(dtype)
    if dtype.kind in "iu" and dtype.itemsize <= 2:
        return random.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, tensor["shape"], dtype, endpoint=True)
    return np.zeros(tensor["shape"], dtype)


def timed(interpreter: Any, feed: Callable[[], None], seconds: float, most: int | None, fewest: int) -> list[float]:
    """Milliseconds of each inference, until `seconds` are over or there are `most`; `fewest` in any case."""
    raw_ms: list[float] = []
    end = time.perf_counter() + seconds
    while len(raw_ms) < fewest or (time.perf_counter() < end and (most is None or len(raw_ms) < most)):
        feed()
        began = time.perf_counter_ns()
        interpreter.invoke()
        raw_ms.append((time.perf_counter_ns() - began) / 1e6)
    return raw_ms


def time_model(job: dict[str, Any]) -> int:
    """Time a model in this process, after it warmed up; its own samples in turn, or a random one."""
    asked = job["time"]
    if asked.get("cpus"):
        try:
            os.sched_setaffinity(0, asked["cpus"])  # the runtime's threads inherit it
        except OSError as error:
            say("error", kind="cpus", text=f"can't be pinned to {asked['cpus']}: {error.strerror}")
            return 2
    interpreter_class, runtime, own_kernels = load_runtime()
    options = {} if job.get("delegate", True) else {"experimental_op_resolver_type": own_kernels}
    began = time.perf_counter()
    interpreter = make_interpreter(interpreter_class, job["model"], job["threads"], **options)
    inputs = interpreter.get_input_details()
    load_ms = 1e3 * (time.perf_counter() - began)
    say("loaded", runtime=runtime, numpy=np.__version__, load_ms=load_ms)
    arrays = own_samples(job, inputs) if job.get("inputs") else [random_sample(tensor)[None] for tensor in inputs]
    if arrays is None:
        return 2
    turn = 0

    def feed() -> None:
        nonlocal turn
        for array, tensor in zip(arrays, inputs):  # noqa: B905
            interpreter.set_tensor(tensor["index"], array[turn % len(array)].reshape(tensor["shape"]))
        turn += 1

    gc.disable()
    before, flags = (temperature_c(), clock_mhz()), firmware_flags()
    timed(interpreter, feed, asked["warmup_s"], None, 1)
    raw_ms: list[float] = []
    began, slices = time.monotonic(), asked.get("slices", 0)
    for index in range(slices):
        one = timed(interpreter, feed, asked["seconds"], None, 1)
        seen = {"temperature_c": temperature_c(), "mhz": clock_mhz(), "throttled": throttled(flags)}
        thinned = one[:: 1 + len(one) // MOST_TOLD]
        say("slice", index=index, seconds=time.monotonic() - began, runs=len(one), raw_ms=thinned, **seen)
    if not slices:
        raw_ms = timed(interpreter, feed, asked["seconds"], asked["inferences"], FEWEST)
    cpu = min(os.sched_getaffinity(0))
    say(
        "done",
        raw_ms=raw_ms,
        mhz=[before[1], clock_mhz()],
        temperature_c=[before[0], temperature_c()],
        throttled=throttled(flags),
        governor=told_by_kernel(CPUS / f"cpu{cpu}" / "cpufreq" / "scaling_governor")[:80] or None,
        peak_memory_kib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    )
    return 0


if __name__ == "__main__":
    sys.exit(run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
