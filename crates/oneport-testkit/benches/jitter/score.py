"""Scores what the bench has written by PESQ (ITU-T P.862, narrow band; `pip install pesq numpy`):

    ONEPORT_WAV=DIR cargo xtask jitter 1 21 22
    python3 crates/oneport-testkit/benches/jitter/score.py DIR

A row is a network, its score the mean of all parts of 8 s of all seeds. What is heard is moved by its mean
delay first; PESQ follows what is left of it.
"""

import sys
import wave
from collections import defaultdict
from pathlib import Path

import numpy
from pesq import pesq

RATE = 8_000
PART = 8 * RATE
# Levels are those of 10 ms; what is heard is late by up to 0.6 s.
STEP = RATE // 100
LATEST = 60


def read(file):
    with wave.open(str(file)) as sound:
        return numpy.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2")


def levels(sound):
    parts = numpy.abs(sound[: len(sound) // STEP * STEP].astype(float)).reshape(-1, STEP)
    levels = numpy.log10(1 + parts.mean(1))
    return levels - levels.mean()


def delay(said, heard):
    said, heard = levels(said), levels(heard)
    length = min(len(said), len(heard)) - LATEST
    alike = [(said[:length] * heard[late : late + length]).sum() for late in range(LATEST)]
    return int(numpy.argmax(alike)) * STEP


def scores(said, heard):
    late = delay(said, heard)
    for start in range(0, len(said) - PART + 1, PART):
        part = heard[start + late : start + late + PART]
        part = numpy.pad(part, (0, PART - len(part)))
        yield pesq(RATE, said[start : start + PART], part, "nb")


directory = Path(sys.argv[1])
said = read(directory / "said.wav")
table = defaultdict(lambda: defaultdict(list))
for file in sorted(directory.glob("*.wav")):
    seed, _, rest = file.stem.partition(" ")
    for buffer in ("ours", "fixed", "Asterisk"):
        network, found, setting = rest.partition(f" {buffer}")
        if found:
            table[network][buffer + setting].extend(scores(said, read(file)))
buffers = sorted({buffer for row in table.values() for buffer in row}, key=lambda name: name != "ours")
print("| network |", " | ".join(buffers), "|")
print("| --- |", " | ".join("---" for _ in buffers), "|")
for network, row in table.items():
    print(f"| {network} |", " | ".join(f"{numpy.mean(row[buffer]):.3f}" for buffer in buffers), "|")
