"""Voice survives the wire in each encoding: its length, its place, its pitch."""

import numpy as np
import pytest

from avatar_client.audio_file import as_samples
from avatar_client.facts import AudioEncoding
from avatar_client.wire_audio import AudioDecoder, AudioEncoder, BadAudio, wire_rate_hz
from tests.unit.client.audio_files import click, onset_s

OPUS_DELAY_S = 0.0065  # of its encoder, which the packets do not tell


@pytest.mark.parametrize(
    ("encoding", "rate_hz", "late_s"), [("LINEAR16", 16_000, 0), ("MULAW", 8_000, 0), ("OPUS", 48_000, OPUS_DELAY_S)]
)
def test_what_is_encoded_decodes_to_the_same_words_at_the_same_place(
    encoding: AudioEncoding, rate_hz: int, late_s: float
) -> None:
    pcm = click(0.5, 1.01, rate_hz).astype("<i2").tobytes()
    encoder, decoder = AudioEncoder(encoding, rate_hz), AudioDecoder(encoding, rate_hz)
    messages = [data for first in range(0, len(pcm), 1_234) for data in encoder.encode(pcm[first : first + 1_234])]
    messages += encoder.finish()
    heard = as_samples(b"".join(decoder.decode(data) for data in messages))
    assert onset_s(heard, rate_hz) == pytest.approx(0.5 + late_s, abs=0.002)
    padding = 0.01 if encoding == "OPUS" else 0.0  # up to a whole packet
    assert len(heard) / rate_hz == pytest.approx(1.01 + padding)


def test_an_opus_message_is_one_packet_of_20_ms() -> None:
    encoder, decoder = AudioEncoder("OPUS", 48_000), AudioDecoder("OPUS", 48_000)
    packets = encoder.encode(bytes(2 * 48_000))
    assert len(packets) == 50
    assert {len(decoder.decode(packet)) for packet in packets} == {2 * 960}


@pytest.mark.parametrize(("encoding", "rate_hz"), [("LINEAR16", 48_000), ("MULAW", 8_000)])
def test_a_long_sound_is_cut_into_messages_that_a_server_takes(encoding: AudioEncoding, rate_hz: int) -> None:
    encoder, decoder = AudioEncoder(encoding, rate_hz), AudioDecoder(encoding, rate_hz)
    pcm = bytes(2 * 3 * rate_hz)
    messages = encoder.encode(pcm)
    assert max(len(message) for message in messages) == 9_600
    assert b"".join(decoder.decode(message) for message in messages) == pcm


def test_half_a_sample_waits_for_its_other_half() -> None:
    encoder = AudioEncoder("LINEAR16", 16_000)
    assert encoder.encode(b"\x01") == []
    assert encoder.encode(b"\x02\x03") == [b"\x01\x02"]


def test_bytes_that_do_not_decode_are_named() -> None:
    with pytest.raises(BadAudio, match="3 bytes does not hold whole samples"):
        AudioDecoder("LINEAR16", 16_000).decode(b"abc")
    with pytest.raises(BadAudio, match="4 bytes are no OPUS audio"):
        AudioDecoder("OPUS", 48_000).decode(b"\xff" * 4)


@pytest.mark.parametrize(
    ("encoding", "own_hz", "sent_hz"),
    [
        ("LINEAR16", 44_100, 44_100),
        ("LINEAR16", 96_000, 16_000),
        ("LINEAR16", 4_000, 16_000),
        ("MULAW", 44_100, 8_000),
        ("OPUS", 44_100, 48_000),
    ],
)
def test_a_source_is_resampled_only_where_the_encoding_asks_for_it(
    encoding: AudioEncoding, own_hz: int, sent_hz: int
) -> None:
    assert wire_rate_hz(encoding, own_hz) == sent_hz


def test_silence_stays_silent() -> None:
    for encoding, rate_hz in (("MULAW", 8_000), ("OPUS", 48_000)):
        encoder, decoder = AudioEncoder(encoding, rate_hz), AudioDecoder(encoding, rate_hz)  # type: ignore[arg-type]  # of two words
        heard = as_samples(b"".join(decoder.decode(data) for data in encoder.encode(bytes(rate_hz))))
        assert np.abs(heard.astype(int)).max() <= 8
