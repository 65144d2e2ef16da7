#!/usr/bin/env python3
"""Golden values of tests/models/sequence/features.test.ts, by numpy in double precision.

Follows Kaldi's feature-window.cc, mel-computations.cc, feature-fbank.cc, feature-mfcc.cc and
feature-functions.cc with dither 0. Written from those files' definitions, not from our sources.
Run: python3 tests/golden/features.py > tests/golden/features.json
"""
import json

import numpy as np

EPS = float(np.finfo(np.float32).eps)


def signal(rate, count):
    """An integer chirp with an offset and a silent part; the test computes the same formula."""
    n = np.arange(count, dtype=np.float64)
    t = n / rate
    x = 6000 * np.sin(2 * np.pi * (200 * t + 4000 * t * t))
    x = x + 900 * np.sin(2 * np.pi * 1234.5 * t) + 150
    x = np.where((n >= 0.45 * count) & (n < 0.6 * count), 7.0, x)
    return np.floor(x)


def window_function(kind, length):
    i = np.arange(length)
    a = 2 * np.pi / (length - 1)
    return {
        "povey": (0.5 - 0.5 * np.cos(a * i)) ** 0.85,
        "hamming": 0.54 - 0.46 * np.cos(a * i),
        "hanning": 0.5 - 0.5 * np.cos(a * i),
        "blackman": 0.42 - 0.5 * np.cos(a * i) + 0.08 * np.cos(2 * a * i),
        "sine": np.sin(0.5 * a * i),
        "rectangular": np.ones(length),
    }[kind]


def frames_of(wave, o):
    length = int(o["rate"] * 0.001 * o["frameLengthMs"])
    shift = int(o["rate"] * 0.001 * o["frameShiftMs"])
    n = len(wave)
    if o["snipEdges"]:
        count = 0 if n < length else 1 + (n - length) // shift
        starts = [f * shift for f in range(count)]
    else:
        count = (n + shift // 2) // shift
        starts = [f * shift + shift // 2 - length // 2 for f in range(count)]
    # numpy's 'symmetric' padding is Kaldi's reflection.
    padded = np.pad(wave, length, mode="symmetric")
    return [padded[s + length : s + 2 * length].copy() for s in starts]


def mel(f):
    return 1127.0 * np.log(1.0 + f / 700.0)


def mel_banks(o, size):
    nyquist = 0.5 * o["rate"]
    high = o["highFreq"] if o["highFreq"] > 0 else nyquist + o["highFreq"]
    low_mel, high_mel = mel(o["lowFreq"]), mel(high)
    delta = (high_mel - low_mel) / (o["numMelBins"] + 1)
    banks = np.zeros((o["numMelBins"], size // 2))
    for b in range(o["numMelBins"]):
        left, centre, right = (low_mel + (b + j) * delta for j in range(3))
        for i in range(size // 2):
            m = mel(i * o["rate"] / size)
            if left < m <= centre:
                banks[b, i] = (m - left) / (centre - left)
            elif centre < m < right:
                banks[b, i] = (right - m) / (right - centre)
    return banks


def energy_of(values, o):
    log = np.log(max(np.dot(values, values), EPS))
    return max(log, np.log(o["energyFloor"])) if o["energyFloor"] > 0 else log


def compute(wave, o):
    rows = []
    for frame in frames_of(wave, o):
        length = len(frame)
        size = 1 << (length - 1).bit_length()
        if o["removeDcOffset"]:
            frame = frame - frame.mean()
        energy = energy_of(frame, o)
        c = o["preemphasisCoefficient"]
        emphasised = frame.copy()
        emphasised[1:] -= c * frame[:-1]
        emphasised[0] -= c * frame[0]
        windowed = emphasised * window_function(o["windowType"], length)
        if not o["rawEnergy"]:
            energy = energy_of(windowed, o)
        spectrum = np.abs(np.fft.rfft(windowed, size))[: size // 2]
        if o.get("usePower", True):
            spectrum = spectrum**2
        energies = mel_banks(o, size) @ spectrum
        if o.get("useLogFbank", True):
            energies = np.log(np.maximum(energies, EPS))
        if o["type"] == "fbank":
            rows.append(np.concatenate([[energy], energies]) if o["useEnergy"] else energies)
            continue
        bins = o["numMelBins"]
        row = np.zeros(o["numCeps"])
        for k in range(o["numCeps"]):
            basis = np.cos(np.pi / bins * (np.arange(bins) + 0.5) * k)
            row[k] = np.sqrt((1.0 if k == 0 else 2.0) / bins) * np.dot(basis, energies)
            if o["cepstralLifter"] != 0:
                row[k] *= 1 + 0.5 * o["cepstralLifter"] * np.sin(np.pi * k / o["cepstralLifter"])
        if o["useEnergy"]:
            row[0] = energy
        rows.append(row)
    return np.array(rows)


def deltas(rows, order=2, window=2):
    """DeltaFeatures: scales_[i] from scales_[i - 1], then clamped frame indices."""
    scales = [np.array([1.0])]
    for i in range(1, order + 1):
        prev = scales[-1]
        reach = (len(prev) - 1) // 2
        cur = np.zeros(len(prev) + 2 * window)
        for j in range(-window, window + 1):
            for k in range(-reach, reach + 1):
                cur[j + k + reach + window] += j * prev[k + reach]
        scales.append(cur / sum(j * j for j in range(-window, window + 1)))
    out = []
    for t in range(len(rows)):
        parts = []
        for s in scales:
            reach = (len(s) - 1) // 2
            parts.append(
                sum(
                    s[j + reach] * rows[min(max(t + j, 0), len(rows) - 1)]
                    for j in range(-reach, reach + 1)
                )
            )
        out.append(np.concatenate(parts))
    return np.array(out)


def cmvn(rows, over):
    """ApplyCmvn with variances: the population's, floored at 1e-20, of all frames in `over`."""
    return (rows - over.mean(axis=0)) / np.sqrt(np.maximum(over.var(axis=0), 1e-20))


def splice(rows, left, right):
    """SpliceFrames: frame indices clamped to the utterance."""
    shifted = [
        rows[np.clip(np.arange(len(rows)) + shift, 0, len(rows) - 1)]
        for shift in range(-left, right + 1)
    ]
    return np.concatenate(shifted, axis=1)


def transforms():
    """Three utterances of two speakers; integers, and a third dimension that is constant for one."""
    def rows(count, seed):
        t = np.arange(count)
        return np.stack([(7 * t + seed) % 11, (t * t + 3 * seed) % 13 - 6, 0 * t + seed], 1) * 1.0

    spoken = [("ada", rows(7, 2)), ("bob", rows(5, 3)), ("ada", rows(4, 9))]
    of = {s: np.concatenate([r for n, r in spoken if n == s]) for s, _ in spoken}
    first = spoken[0][1]
    spliced = splice(first, 2, 1)
    return dict(
        utterances=[dict(speaker=s, rows=r.tolist()) for s, r in spoken],
        normalized=rounded(cmvn(first, first)),
        speakers=[rounded(cmvn(r, of[s])) for s, r in spoken],
        spliced=rounded(spliced),
        subsampled=rounded(spliced[1::3]),
    )


DEFAULTS = dict(
    frameLengthMs=25, frameShiftMs=10, preemphasisCoefficient=0.97, removeDcOffset=True,
    windowType="povey", snipEdges=True, numMelBins=23, lowFreq=20, highFreq=0,
    energyFloor=0, rawEnergy=True,
)
FBANK = dict(DEFAULTS, type="fbank", useEnergy=False)
MFCC = dict(DEFAULTS, type="mfcc", useEnergy=True, numCeps=13, cepstralLifter=22)

CASES = [
    ("fbank, defaults", 16000, 900, {"type": "fbank"}),
    ("fbank of a digit recogniser", 8000, 640,
     {"type": "fbank", "windowType": "hamming", "numMelBins": 40, "highFreq": 4000}),
    ("fbank, edges kept", 8000, 500,
     {"type": "fbank", "snipEdges": False, "windowType": "hanning", "highFreq": -400}),
    ("fbank, edges kept, less signal than a frame", 8000, 45,
     {"type": "fbank", "snipEdges": False, "numMelBins": 15}),
    ("fbank with energy after windowing, amplitudes, no logarithm", 8000, 500,
     {"type": "fbank", "useEnergy": True, "rawEnergy": False, "usePower": False,
      "useLogFbank": False, "windowType": "blackman"}),
    ("fbank, offset kept, odd rate", 11025, 600,
     {"type": "fbank", "removeDcOffset": False, "preemphasisCoefficient": 0.5,
      "windowType": "sine", "frameShiftMs": 7}),
    ("mfcc, defaults", 16000, 1000, {"type": "mfcc"}),
    ("mfcc with floored energy", 8000, 640, {"type": "mfcc", "energyFloor": 3e6}),
    ("mfcc without energy, no lifter", 8000, 500,
     {"type": "mfcc", "useEnergy": False, "cepstralLifter": 0, "numCeps": 10,
      "windowType": "rectangular", "frameLengthMs": 20}),
]


def rounded(rows):
    return [[float(f"{v:.9g}") for v in row] for row in rows]


def main():
    cases = []
    for name, rate, count, options in CASES:
        base = FBANK if options["type"] == "fbank" else MFCC
        rows = compute(signal(rate, count), dict(base, rate=rate, **options))
        case = dict(name=name, samples=count, options=dict(sampleFrequency=rate, **options))
        cases.append(dict(case, frames=len(rows), rows=rounded(rows)))
    ramp = np.array([[t * t, np.floor(10 * np.sin(t))] for t in range(7)], dtype=np.float64)
    data = dict(cases=cases, deltas=dict(rows=ramp.tolist(), expected=rounded(deltas(ramp))))
    print("{\n" + f'"deltas": {json.dumps(data["deltas"])},')
    print(f'"transforms": {json.dumps(transforms())},\n"cases": [')
    print(",\n".join(json.dumps(case) for case in cases))
    print("]\n}")


main()
