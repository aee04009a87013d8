"""What happens to a voice on its way to us: room, telephone, equaliser, level, and other sounds beside it.

All of it is drawn from a generator, so a seed names it, and none of it moves the sounds in time.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

from inference.config import SAMPLE_RATE_HZ

TELEPHONE_HZ = (300.0, 3_400.0)
TELEPHONE_SHARE = 0.12  # of the segments
ROOM_SHARE = 0.3
NOISE_SHARE = 0.55
DIRECT_SAMPLES = SAMPLE_RATE_HZ // 500  # 2 ms: echoes come later than the direct sound
TALKERS = 5  # of babble

Samples = NDArray[np.float32]


def through_surroundings(samples: Samples, rng: np.random.Generator) -> Samples:
    """A room, a telephone, an equaliser and a gain, each now and then; as many samples as before."""
    if rng.random() < ROOM_SHARE:
        samples = in_room(samples, rng)
    if rng.random() < TELEPHONE_SHARE:
        samples = by_telephone(samples)
    tilt = float(rng.uniform(-0.35, 0.35))  # a first-order equaliser, both ways
    samples = samples + tilt * np.concatenate([[0.0], samples[:-1]]).astype(np.float32)
    gain = np.float32(10 ** rng.uniform(-0.5, 0.35))
    return np.asarray(samples * gain, dtype=np.float32)


def beside_the_voice(samples: Samples, rms: float, rng: np.random.Generator) -> Samples:
    """Noise, hum or babble 8 to 40 dB below a voice of this RMS, for about half of all segments; else silence."""
    if rng.random() >= NOISE_SHARE:
        return np.zeros_like(samples)
    kind, snr_db = rng.random(), float(rng.uniform(12, 40))
    if kind < 0.6:
        sound = noise(len(samples), rng)
    elif kind < 0.75:
        sound = hum(len(samples), rng)
    else:
        sound, snr_db = babble(samples, rng), snr_db + 4.0
    return at_level(sound, rms * 10 ** (-snr_db / 20))


def in_room(samples: Samples, rng: np.random.Generator) -> Samples:
    """Direct sound and an exponentially fading tail of random echoes."""
    fade_s, loudness = float(rng.uniform(0.08, 0.35)), float(rng.uniform(0.1, 0.5))  # to -60 dB; against the direct one
    count = int(fade_s * SAMPLE_RATE_HZ)
    tail = rng.normal(0.0, 1.0, count) * 10 ** (-3 * np.arange(count) / count)
    tail[:DIRECT_SAMPLES] = 0.0
    tail *= loudness / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    return np.asarray(fftconvolve(samples, tail)[: len(samples)], dtype=np.float32)


def by_telephone(samples: Samples) -> Samples:
    """Nothing outside of the telephone's band."""
    band = butter(4, TELEPHONE_HZ, "bandpass", fs=SAMPLE_RATE_HZ, output="sos")
    return np.asarray(sosfilt(band, samples), dtype=np.float32)


def noise(count: int, rng: np.random.Generator) -> Samples:
    """White to brown noise."""
    white = rng.normal(0.0, 1.0, count // 2 + 1) + 1j * rng.normal(0.0, 1.0, count // 2 + 1)
    colour = np.maximum(np.arange(count // 2 + 1), 20.0) ** -float(rng.uniform(0.0, 1.0))
    return np.asarray(np.fft.irfft(white * colour, count), dtype=np.float32)


def hum(count: int, rng: np.random.Generator) -> Samples:
    """The mains and its harmonics, with a little noise."""
    time = np.arange(count) / SAMPLE_RATE_HZ
    mains = 50.0 if rng.random() < 0.5 else 60.0
    tones = [rng.random() / order * np.sin(2 * np.pi * (order * mains * time + rng.random())) for order in range(1, 9)]
    return np.asarray(sum(tones) + rng.normal(0.0, 0.02, count), dtype=np.float32)


def babble(samples: Samples, rng: np.random.Generator) -> Samples:
    """Many talkers at once: the voice itself, shifted and half of the time backwards."""
    talkers = [
        np.roll(samples[:: int(rng.choice([-1, 1]))], int(rng.integers(len(samples)))) * rng.uniform(0.4, 1.0)
        for _ in range(TALKERS)
    ]
    return np.asarray(sum(talkers), dtype=np.float32)


def at_level(sound: Samples, rms: float) -> Samples:
    """The sound at this RMS; silence stays silent."""
    now = float(np.sqrt(np.mean(sound.astype(np.float64) ** 2)))
    return np.asarray(sound * (rms / max(now, 1e-9)), dtype=np.float32)
