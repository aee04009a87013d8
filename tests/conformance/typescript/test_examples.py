"""The examples in TypeScript, each against the real service: a stranger's client, and `talk`."""

import io
import re
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conformance import runners
from tests.conformance.conftest import REPLY, TRANSCRIPT
from tests.conformance.typescript.node import node

QUESTION = Path(runners.__file__).parent / "audio/question.pcm"
MOST_LINES = 60
STRANGER = runners.TYPESCRIPT / "examples/minimal.ts"


@pytest.fixture
def question(tmp_path: Path) -> Path:
    """A spoken question as a file."""
    path = tmp_path / "question.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(QUESTION.read_bytes())
    return path


def test_a_strangers_client_is_short_and_needs_nothing_of_ours_but_the_contract() -> None:
    text = STRANGER.read_text()
    assert text.count("\n") < MOST_LINES
    imported = re.findall(r'^import .* from "(.+)";$', text, re.MULTILINE)
    foreign = [
        name for name in imported if not re.match(r"node:|@bufbuild/|@connectrpc/|\./gen/avatar/v1/\w+_pb\.js$", name)
    ]
    assert len(imported) >= 5
    assert foreign == []


async def test_a_strangers_client_asks_by_voice_and_by_text_and_takes_its_leave(server: str, question: Path) -> None:
    code, output = await node("examples/minimal.js", server, question)
    assert code == 0, output
    assert output.splitlines() == [f"user: {TRANSCRIPT}", REPLY, f"(heard: {REPLY})", REPLY, f"(heard: {REPLY})"]


@pytest.mark.parametrize("by", ["wav", "text"])
async def test_talk_writes_voice_and_frames_and_prints_what_was_said(
    server: str, question: Path, tmp_path: Path, by: str
) -> None:
    asking = ("--wav", question) if by == "wav" else ("--text", TRANSCRIPT)
    code, output = await node("examples/talk.js", "--server", server, *asking, "--out", tmp_path / "out")
    assert code == 0, output
    assert f"avatar: {REPLY}\n" in output
    assert (f"you: {TRANSCRIPT}\n" in output) == (by == "wav")
    waits = re.search(r"first audio after (-?\d+) ms, first frame after (-?\d+) ms", output)
    assert waits, output
    assert all(0 < int(wait) < 20_000 for wait in waits.groups())
    _check_media(tmp_path / "out")


def _check_media(folder: Path) -> None:
    with wave.open(str(folder / "voice.wav"), "rb") as voice:
        assert (voice.getnchannels(), voice.getsampwidth(), voice.getframerate()) == (1, 2, 24_000)
        samples = np.frombuffer(voice.readframes(voice.getnframes()), "<i2")
    assert len(samples) % 960 == 0
    assert len(samples) / 24_000 == pytest.approx(len(REPLY) / 16, abs=1.0), "1/16 s of tone for each character"
    assert np.abs(samples).max() > 1_000
    frames = sorted(folder.glob("frame_*.jpg"))
    assert 0.8 * len(samples) / 960 <= len(frames) <= len(samples) / 960
    for frame in frames:
        picture = Image.open(io.BytesIO(frame.read_bytes()))
        assert (picture.format, picture.width) == ("JPEG", picture.height)


async def test_the_program_on_the_page_is_the_example_and_runs(server: str) -> None:
    page = (runners.ROOT / "docs/clients.md").read_text()
    (shown,) = re.findall(r"^```ts\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert shown == (runners.TYPESCRIPT / "examples/first.ts").read_text()
    code, output = await node("examples/first.js", server)
    assert code == 0, output
    assert "1920 bytes of voice for 0 s" in output
    assert REPLY.split()[0] in output


async def test_talk_says_in_one_line_what_is_wrong(tmp_path: Path) -> None:
    code, output = await node("examples/talk.js", "--server", "127.0.0.1:1", "--text", "?", "--out", tmp_path)
    assert (code, output) == (1, "UNAVAILABLE: connect ECONNREFUSED 127.0.0.1:1\n")
    code, output = await node("examples/talk.js", "--server", "127.0.0.1:1")
    assert code == 2
    assert output.startswith("usage: talk --server HOST:PORT (--wav FILE | --text TEXT)")
