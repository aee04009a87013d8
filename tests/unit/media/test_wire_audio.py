"""Encodings of the wire: nothing is lost, nothing moves further than is said, and what is wrong is named."""

import warnings
from itertools import pairwise

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatar_service.media.resample import Resampler
from avatar_service.media.wire_audio import AudioDecoder, AudioEncoder, AudioEncoding, MalformedAudio
from tests.unit.media.sounds import babble, delay_s

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

LINEAR16, MULAW, OPUS = AudioEncoding.LINEAR16, AudioEncoding.MULAW, AudioEncoding.OPUS
EVERY_VALUE = np.arange(-32_768, 32_768).astype(np.int16).tobytes()


def at_48_khz(pcm: bytes, rate_hz: int) -> NDArray[np.int16]:
    resampler = Resampler(rate_hz, 48_000)
    return np.frombuffer(resampler.push(pcm) + resampler.flush(), np.int16)


def opus_packets(
    samples: NDArray[np.int16], milliseconds: float = 20, channels: int = 1, bit_rate: int = 32_000
) -> list[bytes]:
    """What another encoder makes of 48 kHz sound: packets of any legal length, mono or stereo with both sides alike."""
    layout = "mono" if channels == 1 else "stereo"
    context = av.CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format, context.bit_rate = 48_000, layout, "s16", bit_rate
    context.options = {"frame_duration": f"{milliseconds:g}"}
    size = round(48 * milliseconds)
    packets = []
    for begin in range(0, len(samples) - size + 1, size):
        sides = np.repeat(samples[begin : begin + size], channels)[None, :]  # [1, samples * channels]
        frame = av.AudioFrame.from_ndarray(sides, format="s16", layout=layout)
        frame.sample_rate, frame.pts = 48_000, begin
        packets += [bytes(packet) for packet in context.encode(frame)]
    return packets


def decode(packets: list[bytes]) -> NDArray[np.int16]:
    decoder = AudioDecoder(OPUS, 48_000)
    return np.frombuffer(b"".join(map(decoder.decode, packets)), np.int16)


def test_linear16_goes_through_as_it_is() -> None:
    assert AudioEncoder(LINEAR16, 44_100).encode(EVERY_VALUE) == [(EVERY_VALUE, 65_536)]
    assert AudioDecoder(LINEAR16, 44_100).decode(EVERY_VALUE) == EVERY_VALUE


def test_linear16_that_ends_within_a_sample_is_malformed_and_the_stream_goes_on() -> None:
    decoder = AudioDecoder(LINEAR16, 16_000)
    with pytest.raises(MalformedAudio, match="3 bytes of LINEAR16 end within a sample"):
        decoder.decode(b"\x01\x02\x03")
    assert decoder.decode(b"\x01\x02") == b"\x01\x02"


def test_mulaw_is_g711_for_every_value_and_every_code() -> None:
    ((encoded, samples),) = AudioEncoder(MULAW, 8_000).encode(EVERY_VALUE)
    assert samples == 65_536
    assert encoded == audioop.lin2ulaw(EVERY_VALUE, 2)
    codes = bytes(range(256))
    assert AudioDecoder(MULAW, 8_000).decode(codes) == audioop.ulaw2lin(codes, 2)


def test_what_was_mulaw_once_changes_no_more() -> None:
    decoded = AudioDecoder(MULAW, 8_000).decode(bytes(range(256)))
    ((encoded, _),) = AudioEncoder(MULAW, 8_000).encode(decoded)
    assert AudioDecoder(MULAW, 8_000).decode(encoded) == decoded


def test_mulaw_keeps_the_order_of_loudness() -> None:
    ((encoded, _),) = AudioEncoder(MULAW, 8_000).encode(EVERY_VALUE)
    decoded = np.frombuffer(AudioDecoder(MULAW, 8_000).decode(encoded), np.int16).astype(int)
    assert (np.diff(decoded) >= 0).all()
    values = np.frombuffer(EVERY_VALUE, np.int16).astype(int)
    off = np.abs(decoded - np.clip(values, -32_635, 32_635))  # what lies beyond is clipped by G.711
    assert (off <= 4 + (np.abs(values) + 132) / 32).all()


@pytest.mark.parametrize("rate_hz", [8_000, 12_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("chunk_s", [0.02, 0.04])
def test_opus_gives_one_packet_each_20_ms_without_waiting_for_more(rate_hz: int, chunk_s: float) -> None:
    encoder, decoder = AudioEncoder(OPUS, rate_hz), AudioDecoder(OPUS, 48_000)
    voice = babble(1.0, rate_hz)
    size = round(chunk_s * rate_hz)
    for begin in range(0, len(voice), size):
        messages = encoder.encode(voice[begin : begin + size].tobytes())
        assert len(messages) == round(chunk_s / 0.02)
        for packet, samples in messages:
            assert samples == 960
            assert len(decoder.decode(packet)) == 2 * 960


@pytest.mark.parametrize("rate_hz", [8_000, 12_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("bits_per_second", [6_000, 32_000, 128_000])
def test_opus_moves_words_by_the_delay_that_is_told(rate_hz: int, bits_per_second: int) -> None:
    voice = babble(2.0, rate_hz)
    encoded = AudioEncoder(OPUS, rate_hz, bits_per_second).encode(voice.tobytes())
    heard = decode([packet for packet, _ in encoded])
    assert len(heard) == 96_000
    assert OPUS.delay_s <= 0.01
    assert delay_s(at_48_khz(voice.tobytes(), rate_hz), heard, 48_000) == pytest.approx(OPUS.delay_s, abs=0.000_3)


def test_opus_moves_an_impulse_by_the_delay_that_is_told_and_keeps_it_up_to_the_end() -> None:
    voice = np.zeros(24_000, np.int16)
    impulse = (20_000 * np.hanning(24)).astype(np.int16)
    silence = round(OPUS.delay_s * 24_000) + 1
    for at in (4_321, 24_000 - silence - len(impulse)):
        voice[at : at + len(impulse)] = impulse
    heard = decode([packet for packet, _ in AudioEncoder(OPUS, 24_000).encode(voice.tobytes())])
    before = at_48_khz(voice.tobytes(), 24_000)
    for half in (slice(0, 24_000), slice(24_000, 48_000)):
        assert delay_s(before[half], heard[half], 48_000) == pytest.approx(OPUS.delay_s, abs=0.000_1)
    assert np.abs(heard[-480:].astype(int)).max() > 5_000, "the last impulse is lost"


def test_bits_a_second_are_kept_and_more_of_them_are_more_bytes() -> None:
    voice = babble(4.0, 24_000).tobytes()
    rates = (6_000, 16_000, 64_000, 128_000)
    sizes = [sum(len(packet) for packet, _ in AudioEncoder(OPUS, 24_000, bits).encode(voice)) for bits in rates]
    assert all(size * 8 / 4.0 <= bits * 1.2 for size, bits in zip(sizes, rates, strict=True))
    assert all(fewer < 0.7 * more for fewer, more in pairwise(sizes))


@pytest.mark.parametrize("milliseconds", [2.5, 5, 10, 20, 40, 60, 80, 100, 120])
def test_opus_packets_of_any_legal_length_are_decoded_to_just_that_length(milliseconds: float) -> None:
    voice = babble(1.2, 48_000)
    packets = opus_packets(voice, milliseconds)
    decoder = AudioDecoder(OPUS, 48_000)
    pieces = [decoder.decode(packet) for packet in packets]
    assert {len(piece) for piece in pieces} == {round(96 * milliseconds)}
    heard = np.frombuffer(b"".join(pieces), np.int16)
    assert delay_s(voice, heard, 48_000) <= 0.01


@pytest.mark.parametrize("channels", [1, 2])
def test_opus_keeps_the_level_also_of_stereo_that_is_folded_down(channels: int) -> None:
    voice = babble(2.0, 48_000)
    heard = decode(opus_packets(voice, channels=channels, bit_rate=64_000))
    assert len(heard) == len(voice)
    assert np.std(heard) == pytest.approx(np.std(voice), rel=0.1)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "at least 1 byte"),
        (b"OggS\x00\x02", "without their container"),
        (b"\x03", "cut off"),
        (b"\x03\x3f123", "packet of 630 ms"),
        (b"\x1b\x03123", "packet of 180 ms"),
        (b"\x03\x00", "packet of 0 ms"),
        (b"RIFF\x24\x00\x00\x00WAVE", "not an OPUS packet"),
    ],
)
def test_what_is_no_opus_packet_is_malformed_and_the_stream_goes_on(data: bytes, text: str) -> None:
    voice = babble(0.2, 48_000)
    decoder = AudioDecoder(OPUS, 48_000)
    with pytest.raises(MalformedAudio, match=text):
        decoder.decode(data)
    assert len(b"".join(map(decoder.decode, opus_packets(voice)))) == 2 * len(voice)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_decoded_to_at_most_120_ms_or_malformed(data: bytes) -> None:
    try:
        pcm = AudioDecoder(OPUS, 48_000).decode(data)
    except MalformedAudio:
        return
    assert 0 < len(pcm) <= 2 * 48 * 120


@pytest.mark.parametrize(("encoding", "rate_hz"), [(MULAW, 16_000), (OPUS, 44_100), (OPUS, 22_050)])
def test_a_rate_that_an_encoding_does_not_have_is_refused(encoding: AudioEncoding, rate_hz: int) -> None:
    with pytest.raises(ValueError, match=f"{encoding.name} at {rate_hz} Hz"):
        AudioEncoder(encoding, rate_hz)
    with pytest.raises(ValueError, match=f"{encoding.name} at {rate_hz} Hz"):
        AudioDecoder(encoding, rate_hz)


@pytest.mark.parametrize("bits_per_second", [5_999, 128_001])
def test_bits_a_second_beyond_opuss_range_are_refused(bits_per_second: int) -> None:
    with pytest.raises(ValueError, match="6,000 to 128,000"):
        AudioEncoder(OPUS, 24_000, bits_per_second)


def test_chunks_that_are_no_multiple_of_20_ms_are_refused_rather_than_held_back() -> None:
    with pytest.raises(ValueError, match="multiple of 20 ms"):
        AudioEncoder(OPUS, 24_000).encode(bytes(2 * 800))
