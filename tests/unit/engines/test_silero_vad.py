"""Voice activity by the real model."""

import asyncio
from pathlib import Path
from typing import Any

import faster_whisper
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from avatar_service.engines.silero_vad import CONTEXT, LONGEST_PAUSE_S, TOGETHER, SileroDetector, SileroVad

WINDOW = 512
PUBLISHED = Path(faster_whisper.__file__).parent / "assets/silero_vad_v6.onnx"


@pytest.fixture
def engine() -> SileroVad:
    return SileroVad()


class Runs:
    """The model of an engine, with how many windows each of its runs had; it fails once when told to."""

    def __init__(self, engine: SileroVad) -> None:
        self._model: Any = engine._model
        self.windows: list[int] = []
        self.fails = False
        engine._model = self

    def run(self, outputs: Any, inputs: dict[str, NDArray[np.float32]]) -> Any:
        self.windows.append(len(inputs["input"]))
        if self.fails:
            self.fails = False
            raise RuntimeError("no memory")
        return self._model.run(outputs, inputs)


def windows(pcm: NDArray[np.int16]) -> list[NDArray[np.int16]]:
    return [pcm[start : start + WINDOW] for start in range(0, len(pcm) - WINDOW + 1, WINDOW)]


async def judged(detector: SileroDetector, pcm: NDArray[np.int16]) -> list[float]:
    return [await detector.probability(window) for window in windows(pcm)]


async def probabilities(engine: SileroVad, pcm: NDArray[np.int16]) -> list[float]:
    return await judged(engine.detector(), pcm)


def published(pcm: NDArray[np.int16]) -> list[float]:
    """What the published graph, which takes one window, says."""
    model = onnxruntime.InferenceSession(str(PUBLISHED), providers=["CPUExecutionProvider"])
    hidden = cell = np.zeros((1, 1, 128), np.float32)
    heard, told = np.zeros(CONTEXT, np.float32), []
    for window in windows(pcm):
        heard = np.concatenate([heard[-CONTEXT:], window.astype(np.float32) / 32_768])
        given = {"input": heard[None], "h": hidden, "c": cell}
        probability, hidden, cell = model.run(("speech_probs", "hn", "cn"), given)
        told.append(float(probability[0]))
    return told


def vowel(seconds: float) -> NDArray[np.int16]:
    """A buzz of 120 Hz with the two formants of an "ah", rising and falling as syllables do."""
    time_s = np.arange(round(seconds * 16_000)) / 16_000
    sound = np.zeros_like(time_s)
    for harmonic in range(1, 60):
        frequency = 120.0 * harmonic
        gain = sum(np.exp(-(((frequency - formant) / 120.0) ** 2)) for formant in (700.0, 1_200.0, 2_500.0)) + 0.02
        sound += gain * np.sin(2 * np.pi * frequency * time_s * (1 + 0.01 * np.sin(2 * np.pi * 5 * time_s)))
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * time_s)
    voice: NDArray[np.float64] = sound / np.abs(sound).max() * syllables * 16_000
    return voice.astype(np.int16)


async def test_silence_and_faint_noise_are_no_speech(engine: SileroVad) -> None:
    noise = np.random.default_rng(0).normal(size=32_000) * 20
    assert max(await probabilities(engine, np.zeros(32_000, np.int16))) < 0.3
    assert max(await probabilities(engine, noise.astype(np.int16))) < 0.5


async def test_a_voice_is_more_likely_speech_than_silence(engine: SileroVad) -> None:
    assert max(await probabilities(engine, vowel(1.5))) > 0.5


async def test_probabilities_are_between_zero_and_one(engine: SileroVad) -> None:
    loud = np.random.default_rng(1).integers(-32_768, 32_767, 16_000).astype(np.int16)
    assert all(0.0 <= probability <= 1.0 for probability in await probabilities(engine, loud))


async def test_a_reset_detector_is_as_new(engine: SileroVad) -> None:
    detector, pcm = engine.detector(), vowel(0.2)
    fresh = await detector.probability(pcm[:WINDOW])
    await detector.probability(pcm[WINDOW : 2 * WINDOW])
    detector.reset()
    assert await detector.probability(pcm[:WINDOW]) == pytest.approx(fresh, abs=1e-6)


async def test_many_sessions_are_judged_in_one_run_and_each_as_the_published_model_would(engine: SileroVad) -> None:
    runs, voice = Runs(engine), vowel(0.7)
    voices = [voice[160 * session :][: 10 * WINDOW] for session in range(20)]
    detectors = [engine.detector() for _ in voices]
    told = await asyncio.gather(*map(judged, detectors, voices))
    assert runs.windows == [20] * 10
    for session in (0, 7, 19):
        assert told[session] == pytest.approx(published(voices[session]), abs=1e-6)


async def test_one_session_never_waits(engine: SileroVad) -> None:
    began_s = asyncio.get_running_loop().time()
    await probabilities(engine, vowel(3.0))
    assert asyncio.get_running_loop().time() == pytest.approx(began_s, abs=1e-6)


async def test_nobody_waits_for_longer_than_8_ms_whatever_the_others_send(engine: SileroVad) -> None:
    loop, detectors = asyncio.get_running_loop(), [engine.detector() for _ in range(100)]
    took_s: list[float] = []

    async def talks(detector: SileroDetector, after_s: float) -> None:
        await asyncio.sleep(after_s)
        for window in windows(vowel(0.2)):
            began_s = loop.time()
            await detector.probability(window)
            took_s.append(loop.time() - began_s)

    runs = Runs(engine)
    await asyncio.gather(*(talks(detector, 0.000_7 * number) for number, detector in enumerate(detectors)))
    assert max(took_s) <= LONGEST_PAUSE_S + 1e-9
    assert max(runs.windows) <= TOGETHER
    assert np.mean(runs.windows) > 10


async def test_more_windows_than_a_run_takes_are_judged_one_run_after_the_other(engine: SileroVad) -> None:
    runs, window = Runs(engine), vowel(0.1)[:WINDOW]
    detectors = [engine.detector() for _ in range(TOGETHER + 5)]
    told = await asyncio.gather(*(detector.probability(window) for detector in detectors))
    assert runs.windows == [TOGETHER, 5]
    assert told == pytest.approx([told[0]] * len(told), abs=1e-6)


async def test_a_session_that_ends_while_it_waits_disturbs_nobody(engine: SileroVad) -> None:
    runs, window = Runs(engine), vowel(0.1)[:WINDOW]
    ended, stays = engine.detector().probability(window), engine.detector().probability(window)
    ended.cancel()
    assert 0.0 <= await stays <= 1.0
    assert runs.windows == [1]


async def test_an_error_of_the_model_reaches_whoever_waited_and_the_next_window_is_judged(engine: SileroVad) -> None:
    runs, window = Runs(engine), vowel(0.1)[:WINDOW]
    detectors = [engine.detector(), engine.detector()]
    runs.fails = True
    told = await asyncio.gather(*(detector.probability(window) for detector in detectors), return_exceptions=True)
    assert [str(each) for each in told] == ["no memory", "no memory"]
    assert 0.0 <= await detectors[0].probability(window) <= 1.0
