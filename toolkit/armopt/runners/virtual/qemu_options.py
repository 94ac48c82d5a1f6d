"""How QEMU is called: the machine, its kernel, its one network port, and what the board is given from outside."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from armopt.core.record import Record
from armopt.runners.virtual.image import Image
from armopt.runners.virtual.keys import KeyPair

# QEMU keeps translated code beside the board's memory, a GiB of it if it may.
_CODE_MIB = 128
# Without what guards a real machine it boots with a fifth less work (5 instead of 6 s of CPU time).
_KERNEL_OPTIONS = "console=ttyAMA0 quiet mitigations=off cryptomgr.notests apparmor=0"


class Settings(Record):
    """What a start may choose. `port` is the one on 127.0.0.1; None: a free one, the last one if that is free."""

    memory_mib: int = Field(768, gt=0)
    home_mib: int = Field(192, gt=0)
    port: int | None = None
    online: bool = False


def board_options(image: Image, settings: Settings, port: int, host_key: KeyPair, client_key: KeyPair) -> list[str]:
    """QEMU's options for a board whose sshd answers on `port` of 127.0.0.1."""
    # restrict: nothing but the forwarded port leads in or out.
    network = f"user,id=net,ipv6=off,hostfwd=tcp:127.0.0.1:{port}-:22,restrict={'off' if settings.online else 'on'}"
    given = "name=opt/armopt/"
    return [
        *("-machine", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", f"{settings.memory_mib}M"),
        *("-accel", f"tcg,thread=multi,tb-size={_CODE_MIB}"),
        *("-nodefaults", "-display", "none"),
        *("-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", _KERNEL_OPTIONS),
        *("-netdev", network, "-device", "virtio-net-device,netdev=net", "-device", "virtio-rng-device"),
        *("-fw_cfg", f"{given}host_key,file={escaped(host_key.private)}"),
        *("-fw_cfg", f"{given}authorized_key,file={escaped(client_key.public)}"),
        *("-fw_cfg", f"{given}home_size,string={settings.home_mib}m"),
    ]


def escaped(path: Path) -> str:
    """As a value among QEMU's options, where a comma is doubled."""
    return str(path).replace(",", ",,")
