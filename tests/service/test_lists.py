"""What a server tells of itself: its avatars, its voices, what it offers."""

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import grpc
import pytest

from avatar.v1 import (
    AudioEncoding,
    AvatarState,
    FrameEncoding,
    GetAvatarRequest,
    GetServerInfoRequest,
    ListAvatarsRequest,
    ListVoicesRequest,
    Stage,
    Status,
)
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.engines.base import VoiceInfo
from avatar_service.errors import EngineError, EngineRejected, EngineTimeout, EngineUnavailable
from avatar_service.rpc.server_info import server_info
from avatar_service.settings import ElevenLabsSettings, OpenAISettings, Settings
from tests.fakes.speech import FakeSpeech
from tests.service.calls import Fakes, serving, write_avatars
from tests.service.responses import DETAILS


async def refused(calling: Any) -> tuple[grpc.StatusCode, Status]:
    """The status with which a call fails, and its details."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await calling
    details: dict[str, Any] = dict(failed.value.trailing_metadata() or ())
    return failed.value.code(), Status.FromString(details[DETAILS])


async def test_an_avatar_as_the_catalogue_has_it(store: Path) -> None:
    async with serving(store) as server:
        avatar = (await server.stub.GetAvatar(GetAvatarRequest(name="avatars/ada"))).avatar
    assert (avatar.name, avatar.display_name, avatar.state) == ("avatars/ada", "Ada", AvatarState.AVATAR_STATE_READY)
    assert (avatar.width, avatar.height, avatar.loop_frame_count) == (512, 512, 10)
    assert (avatar.frame_rate.numerator, avatar.frame_rate.denominator) == (25, 1)
    assert (avatar.tier, avatar.demonstration, avatar.public) == ("nano", True, True)
    assert (avatar.content_sha256, avatar.progress_percent) == ("1" * 64, 100)


@pytest.mark.parametrize("name", ["avatars/nobody", "avatars/../ada", "x" * 3_000])
async def test_an_avatar_that_is_not_there_is_not_found(store: Path, name: str) -> None:
    async with serving(store) as server:
        code, status = await refused(server.stub.GetAvatar(GetAvatarRequest(name=name)))
    assert code is grpc.StatusCode.NOT_FOUND
    assert status.error_info.reason == "AVATAR_NOT_FOUND"
    assert status.message.startswith("name: no avatar")
    assert "ada, bo" in status.message


async def test_an_avatar_without_a_name_is_refused(store: Path) -> None:
    async with serving(store) as server:
        code, status = await refused(server.stub.GetAvatar(GetAvatarRequest()))
    assert (code, status.field) == (grpc.StatusCode.INVALID_ARGUMENT, "name")


@pytest.mark.parametrize(("size", "pages"), [(0, 1), (1, 7), (3, 3), (7, 1), (1_000, 1)])
async def test_pages_hold_every_avatar_once_by_name(tmp_path: Path, size: int, pages: int) -> None:
    ids = ["g", "c", "a", "e", "b", "f", "d"]
    async with serving(write_avatars(tmp_path / "store", *ids)) as server:
        names, token, turned = [], "", 0
        while not turned or token:
            page = await server.stub.ListAvatars(ListAvatarsRequest(page_size=size, page_token=token))
            names += [avatar.name for avatar in page.avatars]
            token, turned = page.next_page_token, turned + 1
    assert names == [f"avatars/{avatar_id}" for avatar_id in sorted(ids)]
    assert turned == pages


@pytest.mark.parametrize("token", ["x", "%%%", "YXZhdGFycw", "dm9pY2VzL2E", "\u00e9"])
async def test_a_token_that_is_none_of_the_list_is_refused(store: Path, token: str) -> None:
    async with serving(store) as server:
        code, status = await refused(server.stub.ListAvatars(ListAvatarsRequest(page_token=token)))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert status.field == "page_token"
    assert "next_page_token" in status.message


async def test_a_size_below_zero_is_refused(store: Path) -> None:
    async with serving(store) as server:
        code, status = await refused(server.stub.ListVoices(ListVoicesRequest(page_size=-1)))
    assert (code, status.field) == (grpc.StatusCode.INVALID_ARGUMENT, "page_size")
    assert "1 to 100" in status.message


async def test_the_voices_of_the_vendor(store: Path) -> None:
    async with serving(store) as server:
        first = await server.stub.ListVoices(ListVoicesRequest(page_size=1))
        second = await server.stub.ListVoices(ListVoicesRequest(page_token=first.next_page_token))
    (george,), (rachel,) = first.voices, second.voices
    assert second.next_page_token == ""
    assert (george.name, george.display_name, george.description) == ("voices/george", "george", "")
    assert george.default_settings.stability == pytest.approx(0.3)
    assert (rachel.name, rachel.display_name, rachel.description) == ("voices/rachel", "Rachel", "Calm.")
    assert list(rachel.language_codes) == ["en"]
    assert not rachel.demonstration


class SilentVendor(FakeSpeech):
    """A vendor that does not tell its voices."""

    def __init__(self, error: EngineError) -> None:
        super().__init__()
        self._refusal = error

    async def voices(self) -> Sequence[VoiceInfo]:
        """Fail."""
        raise self._refusal


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (EngineTimeout("speak", "elevenlabs", "secret"), grpc.StatusCode.DEADLINE_EXCEEDED),
        (EngineUnavailable("speak", "elevenlabs", "secret"), grpc.StatusCode.UNAVAILABLE),
        (EngineRejected("speak", "elevenlabs", "secret"), grpc.StatusCode.FAILED_PRECONDITION),
    ],
)
async def test_a_vendor_that_does_not_tell_its_voices_is_reported_without_its_words(
    store: Path, error: EngineError, code: grpc.StatusCode
) -> None:
    async with serving(store, Fakes(speech=SilentVendor(error))) as server:
        found, status = await refused(server.stub.ListVoices(ListVoicesRequest()))
    assert found is code
    assert status.code == code.value[0]
    assert status.error_info.reason == "SPEECH_FAILED"
    assert "secret" not in status.message


async def test_a_fault_of_our_own_is_internal_with_an_id_alone(store: Path) -> None:
    class Broken(FakeSpeech):
        async def voices(self) -> Sequence[VoiceInfo]:
            """Break."""
            raise ValueError("secret")

    async with serving(store, Fakes(speech=Broken())) as server:
        code, status = await refused(server.stub.ListVoices(ListVoicesRequest()))
    assert code is grpc.StatusCode.INTERNAL
    assert "secret" not in status.message
    assert status.error_info.metadata["error_id"] in status.message


async def test_bytes_that_are_no_request_are_the_callers_error(store: Path) -> None:
    async with serving(store) as server:
        calling: Any = server.channel.unary_unary("/avatar.v1.AvatarService/ListAvatars")
        code, status = await refused(calling(b"\xff\xff"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "avatar.v1.ListAvatarsRequest" in status.message


async def test_what_the_server_offers(store: Path) -> None:
    async with serving(store, max_sessions=7) as server:
        info = await server.stub.GetServerInfo(GetServerInfoRequest())
    assert (info.version, info.api_version) == (version("avatar-service"), "avatar.v1")
    encodings = [
        AudioEncoding.AUDIO_ENCODING_LINEAR16,
        AudioEncoding.AUDIO_ENCODING_MULAW,
        AudioEncoding.AUDIO_ENCODING_OPUS,
    ]
    assert list(info.input_audio_encodings) == list(info.output_audio_encodings) == encodings
    assert list(info.frame_encodings) == [
        FrameEncoding.FRAME_ENCODING_JPEG,
        FrameEncoding.FRAME_ENCODING_RAW,
        FrameEncoding.FRAME_ENCODING_H264,
    ]
    assert [(rate.numerator, rate.denominator) for rate in info.frame_rates] == [(25, 1)]
    assert (info.limits.max_concurrent_sessions, info.limits.max_text_characters) == (7, 4_000)
    assert (info.default_avatar, info.default_voice) == ("avatars/ada", "voices/21m00Tcm4TlvDq8ikWAM")
    models = [(model.stage, model.name, model.vendor, model.demonstration) for model in info.models]
    assert models == [
        (Stage.STAGE_LISTEN, "silero-vad", "avatar-service", False),
        (Stage.STAGE_TRANSCRIBE, "whisper-1", "openai", False),
        (Stage.STAGE_THINK, "gpt-4o-mini", "openai", False),
        (Stage.STAGE_SPEAK, "eleven_multilingual_v2", "elevenlabs", False),
        (Stage.STAGE_ANIMATE, "nano", "triton", True),
    ]
    assert {"create-avatar", "tools", "config-update", "manual-turns"} <= set(info.features)
    assert not {"content-policy", "visible-disclosure"} & set(info.features)


@pytest.mark.parametrize(
    ("key", "base_url", "suffix"),
    [("k", "", ""), ("sandbox", "http://127.0.0.1:1/v1", "sandbox"), ("k", "http://127.0.0.1:1/v1", "-compatible")],
)
def test_who_runs_the_models_is_told_by_where_they_are(store: Path, key: str, base_url: str, suffix: str) -> None:
    fields = {"api_key": key, "base_url": base_url}
    settings = replace(
        Settings.load(env_file=None),
        openai=OpenAISettings.model_validate(fields),
        elevenlabs=ElevenLabsSettings.model_validate(fields),
    )
    models = {model.stage: model for model in server_info(settings, Catalogue.load(store)).models}
    for stage, vendor in ((Stage.STAGE_THINK, "openai"), (Stage.STAGE_SPEAK, "elevenlabs")):
        assert models[stage].vendor == ("sandbox" if suffix == "sandbox" else f"{vendor}{suffix}")
        assert models[stage].demonstration == (suffix == "sandbox")
