"""Stands for Arm's FVP: takes its documented command line, says what its UART says, dumps what a test gave it.

`STANDIN` names what it does: `ok`, or a way to fail. `STANDIN_OUTPUTS` is the file that it leaves as the model's
outputs, `STANDIN_CALL` where it writes how it was called.
"""

import base64
import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

COUNTERS = {"NPU ACTIVE": 33145, "NPU IDLE": 1033, "NPU TOTAL": 34178, "NPU AXI0_RD_DATA_BEAT_RECEIVED": 9332}
BANNER = "telnetterminal0: Listening for serial connection on port 5000\n"
START = "INFO - V2M-MPS3 revision C\nINFO - Initialising Ethos-U device@0x58102000\n"


def options(words: list[str]) -> tuple[dict[str, str], dict[str, str], dict[int, bytes], tuple[str, int]]:
    single, parameters, loaded, dump = {}, {}, {}, ("", 0)
    for flag, value in zip(words[::2], words[1::2], strict=True):
        if flag == "-C":
            name, _, setting = value.partition("=")
            parameters[name] = setting
        elif flag == "--data":
            path, _, address = value.rpartition("@")
            loaded[int(address, 16)] = Path(path).read_bytes()
        elif flag == "--dump":
            match = re.fullmatch(r"[\w.]+=(.+)@Memory:0x93000000,(\d+)", value)
            assert match is not None, value
            dump = match[1], int(match[2])
        else:
            single[flag] = value
    return single, parameters, loaded, dump


def metrics(counters: dict[str, object]) -> str:
    samples = [{"name": name, "value": [value]} for name, value in counters.items()]
    coded = base64.b64encode(json.dumps([{"profiling_group": "Inference", "samples": samples}]).encode()).decode()
    return f"<metrics>{coded}</metrics>\n"


def main() -> None:
    mode = os.environ["STANDIN"]
    single, parameters, loaded, (dump, size) = options(sys.argv[1:])
    call = {"single": single, "parameters": parameters, "loaded": {hex(a): len(data) for a, data in loaded.items()}}
    Path(os.environ["STANDIN_CALL"]).write_text(json.dumps({**call, "home": os.environ.get("PYTHONHOME")}))
    out = sys.stdout
    out.write(BANNER)
    if mode == "license":
        out.write("ERROR: License checkout failed: FlexNet Licensing error:-5,357\n")
        sys.exit(1)
    out.write(START)
    out.flush()
    if mode == "hang":
        time.sleep(600)
    if mode == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if mode == "refused":
        out.write("E: NPU config mismatch. npu.macs_per_cc=7, optimizer.macs_per_cc=8\nINFO - program terminating...\n")
        return
    if mode == "code":
        out.write("Warning: parameter 'ethosu.num_macs' does not exist\nerror: cannot go on\n")
        sys.exit(3)
    if mode in ("garbage", "garbage after"):
        out.flush()
        noise = (
            bytes(range(256)) * 50 + b"<metrics>AAAA</metrics>\n<metrics>" + b"[" * 5000 + b"\n\x1b[2Jlast\x07 words\n"
        )
        out.buffer.write(noise)
        out.flush()
    if mode in ("ok", "garbage after", "no outputs", "short outputs"):
        out.write("INFO - Final results:\nINFO - Profile for Inference:\n")
        out.write(metrics({**COUNTERS, "CPU TOTAL": 999_999, "NPU NEGATIVE": -1}))
    if mode == "lines":
        out.writelines(f"INFO - {name} {'beats' if 'AXI' in name else 'cycles'}: {v}\n" for name, v in COUNTERS.items())
        out.write("INFO - CPU TOTAL cycles: 999999\n")
    if mode != "no outputs":
        shutil.copyfile(os.environ["STANDIN_OUTPUTS"], dump)
        content = Path(dump).read_bytes()
        Path(dump).write_bytes(content[: 1 if mode == "short outputs" else size].ljust(0))
    out.write("\x04")


if __name__ == "__main__":
    main()
