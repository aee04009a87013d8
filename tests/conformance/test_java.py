"""The Java client: its own tests, and its example as a user runs it, against the real service."""

import asyncio
import re
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conformance import runners
from tests.conformance.conftest import REPLY, TRANSCRIPT
from tests.service.client.proxy import proxied
from tests.stack import SERVE, Stack
from tests.tls_files import write_tls_files

QUESTION = runners.ROOT / "avatar_service/local/assets/demo_question.wav"
JAVA = ("java", *runners.QUICK_JVM, f"@{runners.JAVA}/build/classpath")
FPS, RATE_HZ = 25, 24_000
VOICE_S = len(REPLY.replace(". ", ".")) / 16
"""What the sandbox's tone takes for the reply, sentence by sentence, before it is padded to a whole frame."""
SIGN_OF_LIFE_S = 30
"""As AvatarClient asks for it: after 20 s without a word, and 10 s for the answer."""
UNREADABLE = runners.SCRIPTS.parent / "audio/question.pcm"


def started(main: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [*JAVA, main, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=runners.ROOT)


def ended(running: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Exit code, output and errors."""
    try:
        output, errors = running.communicate(timeout=runners.RUN_S)
    finally:
        running.kill()
    return running.returncode, output, errors


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    runners.build(runners.JAVA)


def check_media(folder: Path, output: str) -> None:
    """The voice is as long as the reply, and has a frame for nearly every chunk of it."""
    with wave.open(str(folder / "voice.wav")) as voice:
        assert (voice.getframerate(), voice.getnchannels(), voice.getsampwidth()) == (RATE_HZ, 1, 2)
        samples = np.frombuffer(voice.readframes(voice.getnframes()), np.int16)
    chunks, rest = divmod(len(samples), RATE_HZ // FPS)
    assert rest == 0
    assert VOICE_S <= chunks / FPS < VOICE_S + 0.3
    assert np.abs(samples.astype(np.int32)).mean() > 500, "it is no silence"
    pictures = sorted((folder / "frames").iterdir())
    assert 0.1 * chunks <= len(pictures) <= chunks, "a machine that is busy holds many"
    for path in (pictures[0], pictures[-1]):
        with Image.open(path) as picture:
            assert (picture.format, picture.size) == ("JPEG", (512, 512))
    assert f"{chunks / FPS:.2f} s of voice in {folder}/voice.wav, {len(pictures)} frames in {folder}/frames" in output


def test_talk_answers_what_is_asked_by_text_and_by_voice(server: str, tmp_path: Path) -> None:
    options = ("avatar.examples.Talk", "--server", server, "--out")
    by_text = started(*options, str(tmp_path / "text"), "--text", "How far is the moon?")
    by_voice = started(*options, str(tmp_path / "voice"), "--wav", str(QUESTION))
    for name, (code, output, errors) in {"text": ended(by_text), "voice": ended(by_voice)}.items():
        assert code == 0, errors
        assert re.search(r"^session: s-", output, re.MULTILINE)
        assert f"avatar: {REPLY}\n" in output
        first_audio, first_frame = re.findall(r"after (\d+) ms", output)
        assert 0 < int(first_audio) <= int(first_frame) < 30_000
        assert (f"you: {TRANSCRIPT}\n" in output) is (name == "voice")
        check_media(tmp_path / name, output)


def test_talk_says_what_is_wrong(server: str, tmp_path: Path) -> None:
    out = ("--out", str(tmp_path))
    talk = "avatar.examples.Talk"
    cases = [
        (started(talk, "--server", server, *out), 2, "usage: Talk --server HOST:PORT (--wav FILE | --text TEXT)"),
        (started(talk, "--server", "127.0.0.1:1", "--text", "hello", *out), 1, "127.0.0.1:1"),
        (started(talk, "--server", server, "--text", "x" * 4_001, *out), 1, "text.text"),
        (started(talk, "--server", server, "--wav", str(UNREADABLE), *out), 1, "format"),
        (started(talk, "--server", server, "--wav", "nothing.wav", *out), 1, "nothing.wav"),
    ]
    all_ended = [ended(running) for running, _, _ in cases]
    for (code, _, errors), (_, expected, words) in zip(all_ended, cases, strict=True):
        assert (code, words in errors) == (expected, True), errors
        assert "at avatar." not in errors, "no stack trace"


@pytest.mark.full
async def test_a_connection_that_falls_silent_is_given_up(server: str, tmp_path: Path) -> None:
    """Nobody closes it: only a sign of life that is not answered tells."""
    async with proxied(server) as proxy, asyncio.timeout(SIGN_OF_LIFE_S + runners.RUN_S / 2):
        ask = ("--server", proxy.address, "--text", "How far is the moon?", "--out", str(tmp_path))
        pipe = asyncio.subprocess.PIPE
        talk = await asyncio.create_subprocess_exec(*JAVA, "avatar.examples.Talk", *ask, stdout=pipe, stderr=pipe)
        try:
            assert talk.stdout is not None
            assert (await talk.stdout.readline()).startswith(b"session: ")
            proxy.fall_silent()
            _, errors = await talk.communicate()
        finally:
            if talk.returncode is None:
                talk.kill()
                await talk.wait()
    assert (talk.returncode, b"UNAVAILABLE: Keepalive failed" in errors) == (1, True), errors


@pytest.fixture(scope="module")
def secured(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, str]:
    """A service beside the other that asks for a certificate and takes an API key: address, TLS files, the key."""
    folder = tmp_path_factory.mktemp("secured")
    write_tls_files(folder)
    made = subprocess.run(
        (SERVE, "key", "--tenant", "shop", "--id", "shop-1"), capture_output=True, text=True, check=True
    )
    (folder / "keys.jsonl").write_text(made.stdout)
    env = {
        "AVATAR_TLS_CERT": str(folder / "tls.crt"),
        "AVATAR_TLS_KEY": str(folder / "tls.key"),
        "AVATAR_TLS_CLIENT_CA": str(folder / "ca.crt"),
        "AVATAR_API_KEYS": str(folder / "keys.jsonl"),
    }
    service = asyncio.run(stack.start_service(env))
    return service.address, folder, made.stderr.split()[-1]


def test_talk_shows_a_certificate_and_a_key(secured: tuple[str, Path, str]) -> None:
    address, files, key = secured
    ask = ("avatar.examples.Talk", "--server", address, "--text", "How far is the moon?", "--out", str(files / "out"))
    certificate = ("--ca", f"{files}/ca.crt", "--cert", f"{files}/good.crt", "--key", f"{files}/good.key")
    running = [
        started(*ask, *certificate, "--api-key", key),
        started(*ask, *certificate, "--api-key", key[:-1]),
        started(*ask, "--ca", f"{files}/ca.crt", "--api-key", key),
    ]
    (answered, output, errors), (refused, _, why), (unknown, _, _) = [ended(process) for process in running]
    assert (answered, refused, unknown) == (0, 1, 1), errors
    assert f"avatar: {REPLY}\n" in output
    assert "UNAUTHENTICATED" in why
    assert key[:-1] not in why


def test_the_library_passes_its_own_tests(server: str) -> None:
    with started("avatar.client.Tests", server) as tests:
        code, outcomes = runners.outcomes_of(tests)
    assert code == 0
    assert len(outcomes) >= 16
    assert [outcome for outcome in outcomes.values() if not outcome.passed] == []


def test_a_build_of_what_has_not_changed_does_nothing() -> None:
    compiled = runners.JAVA / "build/client/avatar/client/AvatarClient.class"
    before = compiled.stat().st_mtime_ns
    runners.build(runners.JAVA)
    assert compiled.stat().st_mtime_ns == before
