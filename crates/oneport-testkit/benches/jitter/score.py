"""Scores what the bench has written by PESQ (ITU-T P.862, narrow band; `pip install pesq numpy`):

    ONEPORT_WAV=DIR cargo xtask jitter 1 21 22
    python3 crates/oneport-testkit/benches/jitter/score.py DIR

A row is a network, its score the mean of all parts of 8 s of all seeds. Of what is heard a part is what lies between
where the beginning of what was said is heard and where its end is, so that nothing of it is cut off where the delay
changes within; PESQ follows the rest.
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
# The delay at a moment is that of what is said so long before and behind it.
AROUND = RATE


def read(file):
    with wave.open(str(file)) as sound:
        return numpy.frombuffer(sound.readframes(sound.getnframes()), dtype="<i2")


def levels(sound):
    parts = numpy.abs(sound[: len(sound) // STEP * STEP].astype(float)).reshape(-1, STEP)
    levels = numpy.log10(1 + parts.mean(1))
    return levels - levels.mean()


def cut(sound, start, end):
    part = sound[start:end]
    return numpy.pad(part, (0, end - start - len(part)))


def delay(said, heard, moment):
    start, end = max(0, moment - AROUND), min(len(said), moment + AROUND)
    around = levels(said[start:end])

    def alike(late):
        part = levels(cut(heard, start + late, end + late))
        return around @ part / max(numpy.linalg.norm(part), 1e-9)

    return max(range(0, LATEST * STEP, STEP), key=alike)


def scores(said, heard):
    for start in range(0, len(said) - PART + 1, PART):
        end = start + PART
        part = cut(heard, start + delay(said, heard, start), end + delay(said, heard, end))
        yield pesq(RATE, said[start:end], part, "nb")


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
