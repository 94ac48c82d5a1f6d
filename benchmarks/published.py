"""Published and earlier figures that the tables of `collaborative.py` stand beside; none of them was measured by it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One published figure of a node: accuracy in percent, bytes of the .tflite under gzip; "-" for not published."""

    accuracy: str = "-"
    gz_bytes: str = "-"


NONE = Row()

# DS-CNN-L on Speech Commands, trained and scored by their publishers: features and test samples differ from those here.
# The two figures of cluster/cqat are with clusters per layer and per channel.
DS_CNN_L = {
    "source": Row("95.23"),
    "ptq": Row("94.48", "434,879"),
    "qat": Row("94.72", "403,261"),
    "prune/ptq": Row("93.80", "334,154"),
    "prune/pqat": Row("94.13", "303,997"),
    "cluster/cqat": Row("95.949 per layer, 96.44 per channel"),
}

# ImageNet. Of the two figures of prune/cluster/pcqat it is not said here which clusters they had.
MOBILENET_V1 = {
    "ptq": Row(gz_bytes="3,880,331"),
    "prune/ptq": Row(gz_bytes="2,939,734"),
    "prune/pqat": Row(gz_bytes="2,869,600"),
    "cluster/ptq": Row(gz_bytes="3,035,752"),
    "cluster/cqat": Row(gz_bytes="2,912,655"),
}
MOBILENET_V2 = {
    "cluster/cqat": Row("71.538 per layer, 72.638 per channel"),
    "prune/cluster/pcqat": Row("71.45 and 71.901"),
}
IMAGENET = {"v1": MOBILENET_V1, "v2": MOBILENET_V2}

# Hand-written scripts on tensorflow-model-optimization 0.8.1 on DS-CNN-L, from the start that `collaborative.py` has:
# two epochs a stage, batch 100, Adam 1e-4 (clustering 1e-5), median of three seeds.
SCRIPTS = {
    "ptq": Row("94.6", "421,777"),
    "qat": Row("94.9", "420,787"),
    "prune/ptq": Row("94.6", "310,738"),
    "prune/pqat": Row("95.4", "310,478"),
    "cluster/ptq": Row("94.7", "290,403"),
    "cluster/cqat": Row("95.1", "290,979"),
    "prune/cluster/ptq": Row("95.1", "243,706"),
    "prune/cluster/pcqat": Row("95.2", "241,576"),
}
