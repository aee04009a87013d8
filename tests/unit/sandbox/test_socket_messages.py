"""What ElevenLabs's clients may say on a WebSocket."""

import json

import pytest

from avatar_service.sandbox.socket_messages import SocketRefusal, parse_message


def test_a_text_is_all_that_a_message_needs() -> None:
    message = parse_message('{"text": "Hello "}')
    assert (message.text, message.flush, message.try_trigger, message.key) == ("Hello ", False, False, None)
    assert (message.context_id, message.voice_settings, message.schedule) == (None, None, None)


def test_settings_that_are_null_are_not_said() -> None:
    message = parse_message('{"text": " ", "voice_settings": {"speed": 1.1, "style": null}}')
    assert message.voice_settings == {"speed": 1.1}


@pytest.mark.parametrize(
    "given", [{"xi_api_key": "k"}, {"xi-api-key": "k"}, {"authorization": "Bearer k"}, {"authorization": "k"}]
)
def test_the_key_has_several_names(given: dict[str, str]) -> None:
    assert parse_message(json.dumps({"text": " ", **given})).key == "k"


@pytest.mark.parametrize("name", ["context_id", "contextId"])
def test_the_context_has_two_names(name: str) -> None:
    assert parse_message(json.dumps({"text": " ", name: "a"})).context_id == "a"


def test_a_generation_config_has_the_vendors_schedule_or_its_own() -> None:
    assert parse_message('{"generation_config": {}}').schedule == (120, 160, 250, 290)
    assert parse_message('{"generation_config": {"chunk_length_schedule": [50, 80.5]}}').schedule == (50.0, 80.5)


@pytest.mark.parametrize("schedule", [[], [49], [501], ["a"], [True], "50", [50] * 51])
def test_a_schedule_out_of_range_is_refused(schedule: object) -> None:
    with pytest.raises(SocketRefusal) as caught:
        parse_message(json.dumps({"generation_config": {"chunk_length_schedule": schedule}}))
    assert caught.value.error == "invalid_chunk_length_schedule"


@pytest.mark.parametrize("data", [None, "", "text", "[]", '{"text": 1}', '{"flush": "yes"}', "[" * 100_000])
def test_what_is_no_message_is_refused(data: str | None) -> None:
    with pytest.raises(SocketRefusal) as caught:
        parse_message(data)
    assert caught.value.error == "invalid_input_message"
