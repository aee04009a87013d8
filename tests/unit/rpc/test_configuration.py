"""A configuration that is changed while the conversation goes on."""

from typing import Any

import pytest

from avatar.v1 import ConfigUpdate, ConverseConfig, ToolConfig
from avatar_service.avatars.catalogue import Catalogue
from avatar_service.errors import InvalidArgument, NotFound
from avatar_service.rpc.chat_from_proto import DEFAULT_SYSTEM_PROMPT
from avatar_service.rpc.completed_to_proto import seconds
from avatar_service.rpc.config_from_proto import ConfigParser
from avatar_service.rpc.configuration import Configuration
from avatar_service.settings import Settings
from tests.unit.rpc.configuring import AVATARS, configured


def update(**fields: Any) -> ConfigUpdate:
    return ConfigUpdate(**fields)


TOOL = {"name": "hang_up", "description": "Ends the call."}


def test_what_is_set_replaces_the_whole_of_what_was_and_the_rest_stays() -> None:
    configuration = configured(
        system_prompt="Be brief.",
        turn_taking={"threshold": 0.25, "silence": seconds(1)},
        chat={"model": "c", "temperature": 0.5},
        end_user_id="u-7",
    )
    changed = configuration.update(update(turn_taking={"silence": seconds(2)}))
    assert changed.config.endpointing.silence_s == 2.0
    assert changed.config.endpointing.threshold == 0.5
    assert changed.config.turn.system_prompt == "Be brief."
    assert (changed.config.turn.chat.model, changed.config.turn.chat.end_user_id) == ("c", "u-7")
    assert changed.told == configuration.told
    assert changed.told.turn_taking.silence == seconds(2)


@pytest.mark.parametrize(
    ("fields", "before", "after"),
    [
        ({"system_prompt": "Be kind."}, "Be brief.", "Be kind."),
        ({"system_prompt": ""}, "Be brief.", DEFAULT_SYSTEM_PROMPT),
        ({}, "Be brief.", "Be brief."),
    ],
)
def test_the_system_prompt_can_be_replaced_and_taken_back(fields: dict[str, str], before: str, after: str) -> None:
    changed = configured(system_prompt=before).update(update(**fields))
    assert changed.config.turn.system_prompt == after


def test_every_message_can_be_replaced() -> None:
    configuration = configured()
    changed = configuration.update(
        update(
            voice={"voice": "voices/v", "settings": {"speed": 1.125}},
            chat={"temperature": 0.25, "preemptive": True},
            tools={"tools": [TOOL], "timeout": seconds(5)},
            transcription={"language": "fr", "interim": True},
            avatar="bo",
        )
    )
    config = changed.config
    assert (config.turn.voice.voice_id, config.turn.voice.speed) == ("v", 1.125)
    assert (config.turn.chat.temperature, config.turn_taking.preemptive) == (0.25, True)
    assert ([tool.name for tool in config.turn.chat.tools], config.tool_timeout_s) == (["hang_up"], 5.0)
    assert (config.turn.transcription.language, config.turn_taking.interim) == ("fr", True)
    assert (config.avatar.avatar_id, config.turn.media.avatar_key) == ("bo", AVATARS["bo"].key)


def test_updates_add_up_in_what_is_saved() -> None:
    configuration = configured(system_prompt="Be brief.")
    configuration.update(update(avatar="avatars/bo"))
    configuration.update(update(system_prompt="Be kind."))
    assert configuration.asked == ConverseConfig(avatar="avatars/bo", system_prompt="Be kind.")


def test_an_empty_message_removes_the_tools() -> None:
    changed = configured(tools={"tools": [TOOL]}).update(update(tools=ToolConfig()))
    assert changed.config.turn.chat.tools == ()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"system_prompt": "x" * 16_001}, "system_prompt"),
        ({"turn_taking": {"threshold": 2.0}}, "turn_taking.threshold"),
        ({"chat": {"temperature": 9.0}}, "chat.temperature"),
        ({"voice": {"voice": "?"}}, "voice.voice"),
        ({"transcription": {"early": False}}, "chat.preemptive"),
        ({"tools": {"tools": [{"name": "?"}]}}, "tools.tools[0].name"),
        ({"avatar": "tall"}, "avatar"),
        ({"avatar": "quick"}, "avatar"),
    ],
)
def test_a_wrong_update_is_named_by_its_own_path_and_changes_nothing(fields: dict[str, Any], field: str) -> None:
    configuration = configured(chat={"preemptive": True})
    before = configuration.asked, configuration.conversation
    with pytest.raises(InvalidArgument) as refused:
        configuration.update(update(**fields))
    assert refused.value.field == f"config_update.{field}"
    assert (configuration.asked, configuration.conversation) == before


def test_an_avatar_of_another_size_is_refused_with_the_size_that_it_needs() -> None:
    with pytest.raises(InvalidArgument, match=r"512 by 768 .*give one of 512 by 512 and 25 fps"):
        configured().update(update(avatar="tall"))


def test_an_avatar_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound, match=r"^config_update\.avatar: "):
        configured().update(update(avatar="eve"))


def test_an_avatar_that_is_deleted_meanwhile_stays_in_its_conversations() -> None:
    avatars = dict(AVATARS)
    parser = ConfigParser(Settings.load(env_file=None), Catalogue(avatars, "ada", None), 24_000)
    configuration = Configuration(ConverseConfig(avatar="bo"), parser)
    del avatars["bo"]
    assert configuration.update(update(system_prompt="Be kind.")).config.avatar.avatar_id == "bo"
