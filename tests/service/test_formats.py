"""Encodings of audio on the wire, in and out: what is decoded is what was said."""

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from avatar.v1 import AudioEncoding as Wire
from avatar_service.media.resample import Resampler
from avatar_service.media.wire_audio import OPUS_DELAY_S, AudioDecoder, AudioEncoder, AudioEncoding
from tests.animating import own_voice
from tests.fakes.speech import FakeSpeech
from tests.fakes.voice_activity import pcm_of_probability
from tests.service.calls import SPEECH_THEN_SILENCE, Fakes, serving
from tests.service.responses import Responses

LINEAR16, MULAW, OPUS = Wire.AUDIO_ENCODING_LINEAR16, Wire.AUDIO_ENCODING_MULAW, Wire.AUDIO_ENCODING_OPUS
TEXT = "The moon is near."
UNPACED = {"unpaced": True}


class SingingSpeech(FakeSpeech):
    """Says everything as a tone whose loudness moves, which survives every encoding."""

    def voice_of(self, text: str) -> bytes:
        """A tone of 440 Hz, for as long as the text takes."""
        time_s = np.arange(round(len(text) * 0.06 * self.rate_hz)) / self.rate_hz
        tone = 12_000 * np.sin(2 * np.pi * 440 * time_s) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time_s))
        pcm: bytes = tone.astype("<i2").tobytes()
        return pcm


def samples(pcm: bytes) -> NDArray[np.float64]:
    return np.frombuffer(pcm, np.int16).astype(float)


def decoded(call: Responses[Any], encoding: AudioEncoding, rate_hz: int) -> NDArray[np.float64]:
    """The voice that came, as a client's decoder gives it."""
    decoder = AudioDecoder(encoding, rate_hz)
    return samples(b"".join(decoder.decode(audio.data) for audio in call.all("audio")))


def likeness(heard: NDArray[np.float64], said: bytes, made_hz: int, rate_hz: int, delay_s: float = 0.0) -> float:
    """Correlation of what was heard with what was said, 1 for the same."""
    resampler = Resampler(made_hz, rate_hz)
    wanted = samples(resampler.push(said) + resampler.flush())
    late = round(delay_s * rate_hz)
    assert len(heard) >= late + len(wanted)
    return float(np.corrcoef(heard[late : late + len(wanted)], wanted)[0, 1])


@pytest.mark.parametrize("made_hz", [16_000, 22_050, 24_000, 44_100])
@pytest.mark.parametrize(
    ("wire", "encoding", "rate_hz", "delay_s", "least"),
    [
        (LINEAR16, AudioEncoding.LINEAR16, 8_000, 0.0, 0.9999),
        (LINEAR16, AudioEncoding.LINEAR16, 48_000, 0.0, 0.9999),
        (MULAW, AudioEncoding.MULAW, 8_000, 0.0, 0.999),
        (OPUS, AudioEncoding.OPUS, 48_000, OPUS_DELAY_S, 0.95),
    ],
)
async def test_the_voice_goes_out_in_any_format(
    store: Path, wire: Any, encoding: AudioEncoding, rate_hz: int, delay_s: float, least: float, made_hz: int
) -> None:
    speech = SingingSpeech(ttfb_s=0.0, rate=100.0, rate_hz=made_hz)
    async with serving(store, Fakes(speech=speech)) as server:
        call = server.speak(TEXT, output_audio={"encoding": wire, "sample_rate_hertz": rate_hz}, pacing=UNPACED)
        assert await call.end() is grpc.StatusCode.OK
    heard = decoded(call, encoding, rate_hz)
    assert likeness(heard, speech.voice_of(TEXT), made_hz, rate_hz, delay_s) > least
    started = call.only("speak_started").config.output_audio
    assert (started.encoding, started.sample_rate_hertz) == (wire, rate_hz)
    assert sum(audio.sample_count for audio in call.all("audio")) == len(heard)
    assert len(call.all("frame")) == round(len(heard) / rate_hz * 25)


async def test_opus_goes_out_in_packets_of_20_ms_two_before_each_frame(store: Path) -> None:
    async with serving(store, Fakes(speech=SingingSpeech(ttfb_s=0.0, rate=100.0))) as server:
        call = server.speak(TEXT, output_audio={"encoding": OPUS, "bits_per_second": 64_000}, pacing=UNPACED)
        assert await call.end() is grpc.StatusCode.OK
    audio = call.only("speak_started").config.output_audio
    assert (audio.encoding, audio.sample_rate_hertz, audio.bits_per_second) == (OPUS, 48_000, 64_000)
    packets = call.all("audio")
    assert [packet.index for packet in packets] == list(range(len(packets)))
    assert [packet.offset.ToMilliseconds() for packet in packets] == [20 * index for index in range(len(packets))]
    assert {packet.sample_count for packet in packets} == {960}
    assert len(packets) == 2 * len(call.all("frame"))
    kinds = [kind for kind in call.kinds if kind in ("audio", "frame")]
    assert kinds == ["audio", "audio", "frame"] * len(call.all("frame"))
    assert call.only("reply_finished").media_duration.ToMilliseconds() == 20 * len(packets)


async def test_an_opus_voice_begins_anew_in_each_turn(store: Path) -> None:
    speech = SingingSpeech(ttfb_s=0.0, rate=100.0)
    async with serving(store, Fakes(speech=speech)) as server:
        call = server.converse()
        await call.configure(output_audio={"encoding": OPUS})
        await call.say(TEXT)
        await call.say(TEXT)
        assert await call.finish() is grpc.StatusCode.OK
    first, second = ([audio.data for audio in call.all("audio") if audio.turn_id == turn_id] for turn_id in (1, 2))
    assert first == second


async def test_what_the_user_says_may_come_as_opus(store: Path) -> None:
    fakes = Fakes()
    encoder = AudioEncoder(AudioEncoding.OPUS, 48_000)
    async with serving(store, fakes) as server:
        call = server.converse()
        await call.configure(input_audio={"encoding": OPUS})
        for packet, _ in encoder.encode(_square_wave(48_000)):
            await call.send(audio={"data": packet})
        await call.until("turn_completed")
        assert await call.finish() is grpc.StatusCode.OK
    _check_understood(fakes, call)
    assert call.only("session_started").config.input_audio.sample_rate_hertz == 48_000


async def test_what_the_user_says_may_come_as_mulaw(store: Path) -> None:
    fakes = Fakes()
    ((data, _),) = AudioEncoder(AudioEncoding.MULAW, 8_000).encode(_square_wave(8_000))
    async with serving(store, fakes) as server:
        call = server.converse()
        await call.configure(input_audio={"encoding": MULAW})
        for begin in range(0, len(data), 161):
            await call.send(audio={"data": data[begin : begin + 161]})
        await call.until("turn_completed")
        assert await call.finish() is grpc.StatusCode.OK
    _check_understood(fakes, call)
    assert call.only("session_started").config.input_audio.sample_rate_hertz == 8_000


def _square_wave(rate_hz: int) -> bytes:
    """One utterance as FakeVoiceActivity hears it, as a wave that encoders keep: 400 Hz, full scale where there is
    speech."""
    level = samples(b"".join(pcm_of_probability(p, s, rate_hz) for p, s in SPEECH_THEN_SILENCE))
    sign = np.sign(np.sin(2 * np.pi * 400 * (np.arange(len(level)) + 0.5) / rate_hz))
    wave: bytes = (level * sign).astype("<i2").tobytes()
    return wave


def _check_understood(fakes: Fakes, call: Responses[Any]) -> None:
    """The utterance is where it was, and is what was sent."""
    assert call.only("speech_started").offset.ToMilliseconds() == pytest.approx(400, abs=50)
    assert call.only("speech_stopped").offset.ToMilliseconds() == pytest.approx(1_200, abs=50)
    assert call.all("audio_received")[-1].offset.ToMilliseconds() == pytest.approx(1_900, abs=50)
    (utterance,) = fakes.transcriber.utterances
    loud = np.abs(samples(utterance.pcm)) > 10_000
    assert loud.sum() / 16_000 == pytest.approx(0.8, abs=0.1)
    voiced = samples(utterance.pcm)[loud.argmax() + 800 : loud.argmax() + 8_800]
    spectrum = np.abs(np.fft.rfft(voiced))
    assert np.fft.rfftfreq(len(voiced), 1 / 16_000)[spectrum.argmax()] == pytest.approx(400, abs=3)


async def test_a_callers_own_voice_as_mulaw_comes_back_as_it_was(store: Path) -> None:
    ((data, _),) = AudioEncoder(AudioEncoding.MULAW, 8_000).encode(own_voice(1.0, rate_hz=8_000))
    async with serving(store) as server:
        call = server.animate()
        await call.configure(audio_format={"encoding": MULAW}, pacing=UNPACED)
        await call.voice(data, message_bytes=333)
        assert await call.finish() is grpc.StatusCode.OK
    assert b"".join(audio.data for audio in call.all("audio")) == data
    assert {(audio.sample_count, len(audio.data)) for audio in call.all("audio")} == {(320, 320)}
    assert len(call.all("frame")) == 25
    assert call.only("animate_started").config.audio_format.sample_rate_hertz == 8_000


@pytest.mark.parametrize("data", [b"OggS\0\2", b"\xff" * 7, b""], ids=["ogg", "garbage", "nothing"])
async def test_bytes_that_are_no_opus_packet_are_refused(store: Path, data: bytes) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure(input_audio={"encoding": OPUS})
        await call.send(audio={"data": data})
        assert await call.end() is grpc.StatusCode.INVALID_ARGUMENT
        status = await call.status()
    assert (status.field, status.error_info.reason) == ("audio.data", "FIELD_INVALID")
    assert "give" in status.message or "packet" in status.message


async def test_a_conversation_without_frames_runs_no_lip_sync(store: Path) -> None:
    async with serving(store) as server:
        call = server.converse()
        await call.configure(audio_only=True)
        await call.text("hello")
        assert await call.finish() is grpc.StatusCode.OK
    started = call.only("session_started")
    assert (started.config.audio_only, started.frame_width, started.frame_height) == (True, 0, 0)
    assert call.all("frame") == []
    assert server.fakes.lip_sync.requests == []
    assert call.only("turn_completed").heard_text == "Hello there."
