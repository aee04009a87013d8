"""What the commands ask of the service in pictures and turns, and what they refuse."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.codeccontext import VideoCodecContext

from avatar import v1
from avatar.v1 import ConverseResponse, TurnOutcome, TurnSource, TurnStarted
from tests.unit.client.command import Run, invoke, invoke_against, start_against
from tests.unit.client.scripted_service import SIZE, Stream, media, reply_finished, turn_completed


def h264(levels: list[int]) -> list[bytes]:
    """Grey pictures as the service encodes them: one access unit a picture, the first a key frame."""
    codec = av.CodecContext.create("libx264", "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt, codec.time_base = SIZE, SIZE, "yuv420p", Fraction(1, 25)
    codec.options = {"preset": "ultrafast", "tune": "zerolatency"}
    units: list[bytes] = []
    for level in levels:
        frame = av.VideoFrame.from_ndarray(np.full((SIZE, SIZE, 3), level, np.uint8), format="rgb24")
        units.extend(bytes(packet) for packet in codec.encode(frame))
    return units


def ask(encoding: v1.FrameEncoding.ValueType, pictures: list[bytes], *arguments: str) -> tuple[Run, v1.ConverseConfig]:
    """Talk to a service that answers with these pictures: two idle ones, then a turn; what it was asked for."""
    configs: list[v1.ConverseConfig] = []

    async def script(stream: Stream) -> None:
        config = (await stream.until("config")).config
        configs.append(config)
        started = v1.SessionStarted(config=config, session_id="s-1", frame_width=SIZE, frame_height=SIZE)
        started.config.frame_format.encoding = encoding
        await stream.send(ConverseResponse(session_started=started))
        for index, data in enumerate(pictures[:2]):
            await stream.send(ConverseResponse(frame=v1.Frame(index=index, data=data, keyframe=index == 0)))
        await stream.until("text")
        turn = TurnStarted(turn_id=1, source=TurnSource.TURN_SOURCE_TEXT)
        await stream.send(ConverseResponse(turn_started=turn))
        answer = media(1, len(pictures) - 2)
        for response in answer:
            if isinstance(response, ConverseResponse) and response.HasField("frame"):
                response.frame.data = pictures[2 + response.frame.index]
        await stream.send(*answer, reply_finished(1, len(pictures) - 2))
        await stream.send(turn_completed(1, "Near.", TurnOutcome.TURN_OUTCOME_COMPLETED))
        await stream.until_half_close()

    return invoke_against(script, "talk", "--text", "How far?", *arguments), configs[0]


@pytest.mark.parametrize("name", ["h264", "raw"])
def test_pictures_are_asked_for_and_recorded_in_each_encoding_idle_ones_too(name: str, tmp_path: Path) -> None:
    path = tmp_path / "answer.mp4"
    levels = [40, 60, 100, 120, 140, 160, 180]
    raw = [np.full((SIZE, SIZE, 3), level, np.uint8).tobytes() for level in levels]
    pictures = h264(levels) if name == "h264" else raw
    encoding = v1.FrameEncoding.Value(f"FRAME_ENCODING_{name.upper()}")
    run, config = ask(encoding, pictures, "--frames", name, "--idle", "--out", str(path))
    assert run.status == 0, run.err
    assert (config.frame_format.encoding, config.idle_frames) == (encoding, True)
    assert "Recorded 0.28 s" in run.out
    with av.open(str(path)) as container:
        # Without the lower part, where the question stands as a caption.
        shown = [frame.to_ndarray(format="rgb24")[:40].mean() for frame in container.decode(video=0)]
    assert shown == pytest.approx(levels, abs=6)


def test_without_options_the_service_decides() -> None:
    run, config = ask(v1.FrameEncoding.FRAME_ENCODING_RAW, [bytes(SIZE * SIZE * 3)] * 4)
    assert run.status == 0, run.err
    assert not config.HasField("idle_frames")
    assert config.turn_taking.mode == v1.TurnTakingMode.TURN_TAKING_MODE_UNSPECIFIED


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--text", "hello", "--headphones"), "goes with --mic alone"),
        (("--text", "hello", "--echo"), "goes with --mic alone"),
        (("--mic", "--echo", "--headphones"), "give one of them: headphones have no echo"),
        (("--text", "hello", "--frames", "gif"), "'gif' is not one of"),
    ],
)
def test_options_that_do_not_go_together_are_a_usage_error(arguments: tuple[str, ...], problem: str) -> None:
    run = invoke("talk", *arguments)
    assert run.status == 2
    assert problem in run.words


@pytest.mark.parametrize(
    ("option", "mode", "echo"),
    [
        ((), v1.TurnTakingMode.TURN_TAKING_MODE_MANUAL, v1.EchoHandling.ECHO_HANDLING_UNSPECIFIED),
        (("--headphones",), v1.TurnTakingMode.TURN_TAKING_MODE_UNSPECIFIED, v1.EchoHandling.ECHO_HANDLING_UNSPECIFIED),
        (("--echo",), v1.TurnTakingMode.TURN_TAKING_MODE_UNSPECIFIED, v1.EchoHandling.ECHO_HANDLING_SUPPRESS),
    ],
)
def test_a_microphone_is_push_to_talk_or_open_with_or_without_an_echo(
    option: tuple[str, ...], mode: v1.TurnTakingMode.ValueType, echo: v1.EchoHandling.ValueType
) -> None:
    configs: list[v1.ConverseConfig] = []

    async def script(stream: Stream) -> None:
        await stream.start()
        configs.append(stream.received[0].config)
        await stream.until_half_close()

    nowhere = {"ALSA_CONFIG_PATH": "/dev/null", "PULSE_SERVER": "unix:/nowhere", "XDG_RUNTIME_DIR": "/nowhere"}
    start_against(script, "talk", "--mic", *option, environment=nowhere)
    assert (configs[0].turn_taking.mode, configs[0].echo_handling) == (mode, echo)
