"""A vendor's stream in any of its formats: the same words at the same places as in PCM, however it was split."""

import io
from functools import lru_cache

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from avatar_service.media.voice_stream import voice_decoder
from avatar_service.media.wire_audio import MalformedAudio
from tests.unit.media.sounds import babble, delay_s

MUXERS = {
    "mp3": ("mp3", "libmp3lame"),
    "opus": ("ogg", "libopus"),
    "ulaw": ("mulaw", "pcm_mulaw"),
    "alaw": ("alaw", "pcm_alaw"),
}
FORMATS = [
    ("pcm", 24_000, 0),
    ("ulaw", 8_000, 0),
    ("alaw", 8_000, 0),
    ("mp3", 22_050, 32),
    ("mp3", 24_000, 48),
    ("mp3", 44_100, 32),
    ("mp3", 44_100, 128),
    ("mp3", 44_100, 192),
    ("opus", 48_000, 32),
    ("opus", 48_000, 192),
]
LONGEST_PADDING_S = 1198 / 44_100


class Pipe(io.RawIOBase):
    """What a stream is written to that cannot go back: its encoder can write no header about its end."""

    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer would do
        self.written += data
        return len(data)


def encoded(
    samples: NDArray[np.int16],
    codec: str,
    rate_hz: int,
    kbit_s: int,
    *,
    header: bool = False,
    page_us: int = 20_000,
) -> bytes:
    """Mono sound as FFmpeg writes it: Opus in pages of `page_us`, MP3 with `header` to a file, so that it tells its
    delays."""
    if codec == "pcm":
        return samples.tobytes()
    muxer, encoder = MUXERS[codec]
    sink = io.BytesIO() if header else Pipe()
    options = {"page_duration": str(page_us)} if codec == "opus" else {}
    with av.open(sink, "w", format=muxer, container_options=options) as container:
        stream = container.add_stream(encoder, rate=rate_hz, layout="mono")
        assert isinstance(stream, AudioStream)
        if kbit_s:
            stream.bit_rate = 1000 * kbit_s
        frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = rate_hz
        for converted in av.AudioResampler(stream.format, "mono", rate_hz).resample(frame):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return sink.getvalue() if isinstance(sink, io.BytesIO) else bytes(sink.written)


def decoded(data: bytes, codec: str, rate_hz: int, pieces: list[int] | None = None) -> NDArray[np.int16]:
    decoder = voice_decoder(codec, rate_hz)
    ends = sorted(min(end, len(data)) for end in pieces or [])
    cut = [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]
    return np.frombuffer(b"".join(map(decoder.push, cut)) + decoder.flush(), np.int16)


@lru_cache
def sentence(codec: str, rate_hz: int, kbit_s: int) -> bytes:
    return encoded(babble(1.03, rate_hz), codec, rate_hz, kbit_s)


@pytest.mark.parametrize(("codec", "rate_hz", "kbit_s"), FORMATS)
def test_words_are_where_they_are_in_pcm(codec: str, rate_hz: int, kbit_s: int) -> None:
    voice = babble(1.03, rate_hz)
    heard = decoded(sentence(codec, rate_hz, kbit_s), codec, rate_hz)
    assert abs(delay_s(voice, heard, rate_hz)) <= 0.000_1
    assert 0 <= len(heard) - len(voice) <= LONGEST_PADDING_S * 44_100
    assert np.std(heard) == pytest.approx(np.std(voice), rel=0.1)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FORMATS), st.lists(st.integers(0, 20_000), max_size=20))
def test_any_split_gives_the_same_voice_in_whole_samples(form: tuple[str, int, int], cuts: list[int]) -> None:
    codec, rate_hz, _ = form
    data = sentence(*form)
    np.testing.assert_array_equal(decoded(data, codec, rate_hz, cuts), decoded(data, codec, rate_hz))


@pytest.mark.parametrize(("codec", "rate_hz", "kbit_s"), FORMATS)
def test_byte_by_byte_it_is_the_same_voice_too(codec: str, rate_hz: int, kbit_s: int) -> None:
    data = sentence(codec, rate_hz, kbit_s)
    every = list(range(1, len(data)))
    np.testing.assert_array_equal(decoded(data, codec, rate_hz, every), decoded(data, codec, rate_hz))


@pytest.mark.parametrize(("codec", "rate_hz", "kbit_s"), FORMATS)
def test_the_first_sound_comes_long_before_the_last_byte(codec: str, rate_hz: int, kbit_s: int) -> None:
    data = encoded(babble(1.03, rate_hz), codec, rate_hz, kbit_s)
    assert len(voice_decoder(codec, rate_hz).push(data[: len(data) // 4])) / 2 / rate_hz > 0.15


@pytest.mark.parametrize(("codec", "rate_hz", "kbit_s"), FORMATS)
def test_of_a_stream_that_was_cut_off_everything_is_heard_that_came(codec: str, rate_hz: int, kbit_s: int) -> None:
    data = encoded(babble(1.03, rate_hz), codec, rate_hz, kbit_s)
    whole = decoded(data, codec, rate_hz)
    half = len(data) // 2 + 1
    cut = decoded(data[: half - half % 2 if codec == "pcm" else half], codec, rate_hz)
    assert len(cut) / len(whole) == pytest.approx(0.5, abs=0.12)
    np.testing.assert_array_equal(cut[: len(cut) - 2_000], whole[: len(cut) - 2_000])


@pytest.mark.parametrize("samples", [20_000, 20_321, 20_642, 21_000])
@pytest.mark.parametrize(("rate_hz", "kbit_s"), [(44_100, 128), (22_050, 32), (24_000, 48)])
def test_an_mp3_that_tells_its_delays_has_exactly_the_samples_of_the_voice(
    samples: int, rate_hz: int, kbit_s: int
) -> None:
    voice = babble(samples / rate_hz, rate_hz)
    data = encoded(voice, "mp3", rate_hz, kbit_s, header=True)
    assert b"Info" in data or b"Xing" in data
    heard = decoded(data, "mp3", rate_hz)
    assert len(heard) == samples
    assert delay_s(voice, heard, rate_hz) == 0.0


@pytest.mark.parametrize("samples", range(1_000, 2_152, 96))
def test_behind_an_mp3_without_header_no_gap_is_left(samples: int) -> None:
    breath = (80 * np.random.default_rng(samples).normal(size=samples)).astype(np.int16)
    voice = np.concatenate([babble(0.5, 44_100), breath])
    heard = decoded(encoded(voice, "mp3", 44_100, 128), "mp3", 44_100)
    assert abs(len(heard) - len(voice)) <= 0.001 * 44_100


def test_silence_that_ends_an_mp3_is_kept_but_for_what_padding_is_on_average() -> None:
    voice = np.concatenate([babble(1.0, 44_100), np.zeros(8_820, np.int16)])
    heard = decoded(encoded(voice, "mp3", 44_100, 128), "mp3", 44_100)
    assert abs(len(heard) - len(voice)) <= LONGEST_PADDING_S / 2 * 44_100 + 1


@pytest.mark.parametrize("codec", ["mp3", "opus", "ulaw", "pcm"])
def test_silence_is_silence_of_its_length(codec: str) -> None:
    rate_hz, kbit_s = {"mp3": (44_100, 128), "opus": (48_000, 32), "ulaw": (8_000, 0), "pcm": (24_000, 0)}[codec]
    heard = decoded(encoded(np.zeros(rate_hz, np.int16), codec, rate_hz, kbit_s), codec, rate_hz)
    assert len(heard) / rate_hz == pytest.approx(1.0, abs=LONGEST_PADDING_S)
    assert np.abs(heard).max() <= 1


def test_opus_is_read_from_pages_of_a_second_and_from_pages_of_a_packet() -> None:
    voice = babble(2.5, 48_000)
    long, short = (encoded(voice, "opus", 48_000, 192, page_us=us) for us in (1_000_000, 20_000))
    assert long.count(b"OggS") < 8 < short.count(b"OggS")
    np.testing.assert_array_equal(decoded(long, "opus", 48_000), decoded(short, "opus", 48_000))
    assert len(decoded(long, "opus", 48_000)) == len(voice)


def test_a_tag_before_an_mp3_is_read_over_however_long_it_is() -> None:
    voice = sentence("mp3", 44_100, 128)
    bare = voice[voice.index(b"\xff\xfb") :]
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 0x4E, 0x10]) + b"\xff\xfb" * 5_000  # 78 * 128 + 16 = 10,000 bytes
    np.testing.assert_array_equal(decoded(tag + bare, "mp3", 44_100), decoded(bare, "mp3", 44_100))


@pytest.mark.parametrize(
    ("codec", "rate_hz", "data", "text"),
    [
        ("pcm", 24_000, sentence("mp3", 44_100, 128), "the stream is MP3, not bare samples"),
        ("pcm", 24_000, sentence("opus", 48_000, 32), "the stream is Ogg, not bare samples"),
        ("ulaw", 8_000, b"RIFF\x00\x00\x00\x00WAVEfmt ", "the stream is WAV, not bare samples"),
        ("mp3", 44_100, babble(0.1, 44_100).tobytes(), "does not begin with a frame of MP3"),
        ("mp3", 44_100, b'{"detail": {"status": "quota_exceeded"}}', "does not begin with a frame of MP3"),
        ("mp3", 44_100, sentence("mp3", 24_000, 48), "has 24000 Hz, not 44100 Hz"),
        ("mp3", 44_100, b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f", "tag of 268435465 bytes"),
        ("opus", 48_000, sentence("mp3", 44_100, 128), "the stream is not Ogg"),
        ("opus", 48_000, b"OggS\x00\x02" + bytes(20) + b"\x01\x07vorbis!", "does not begin with OpusHead"),
    ],
)
def test_a_stream_of_another_format_is_malformed(codec: str, rate_hz: int, data: bytes, text: str) -> None:
    with pytest.raises(MalformedAudio, match=text):
        decoded(data, codec, rate_hz)


@pytest.mark.parametrize(("codec", "rate_hz", "kbit_s"), [("mp3", 44_100, 128), ("opus", 48_000, 32)])
def test_damage_in_the_middle_is_malformed_or_noise_but_never_another_error(
    codec: str, rate_hz: int, kbit_s: int
) -> None:
    data = bytearray(sentence(codec, rate_hz, kbit_s))
    for seed in range(40):
        damaged = bytearray(data)
        for at in np.random.default_rng(seed).integers(len(data) // 4, len(data), 30):
            damaged[at] ^= 0x5A
        try:
            heard = decoded(bytes(damaged), codec, rate_hz)
        except MalformedAudio:
            continue
        assert len(heard) <= 2 * rate_hz


@pytest.mark.parametrize("codec", ["pcm", "ulaw", "mp3", "opus"])
@pytest.mark.parametrize("data", [b"", b"\x00", b"I", b"O"])
def test_an_answer_of_next_to_nothing_is_no_voice(codec: str, data: bytes) -> None:
    rate_hz = {"pcm": 24_000, "ulaw": 8_000, "mp3": 44_100, "opus": 48_000}[codec]
    if (codec == "opus" and data not in (b"", b"O")) or (codec == "pcm" and data):
        with pytest.raises(MalformedAudio):
            decoded(data, codec, rate_hz)
    else:
        assert len(decoded(data, codec, rate_hz)) <= 1


def test_a_codec_that_no_vendor_sends_is_refused() -> None:
    with pytest.raises(ValueError, match="pcm, ulaw, alaw, mp3 or opus"):
        voice_decoder("flac", 8_000)


def test_a_stream_of_samples_that_ends_within_one_is_malformed_behind_what_is_whole() -> None:
    data = encoded(babble(0.2, 24_000), "pcm", 24_000, 0)[:4_801]
    decoder = voice_decoder("pcm", 24_000)
    assert decoder.push(data) == data[:-1]
    with pytest.raises(MalformedAudio, match="ends within a sample"):
        decoder.flush()


def test_every_code_of_a_law_has_the_value_that_ffmpeg_gives_it() -> None:
    codes = bytes(range(256))
    with av.open(io.BytesIO(codes), format="alaw", options={"sample_rate": "8000"}) as container:
        assert isinstance(container, av.container.InputContainer)
        expected = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    np.testing.assert_array_equal(decoded(codes, "alaw", 8_000), expected)
