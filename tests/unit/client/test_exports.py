"""What the package offers is what it says that it offers."""

import inspect
from typing import get_args

import avatar_client
from avatar_client import errors, events


def test_every_name_that_is_offered_is_there_in_order() -> None:
    assert avatar_client.__all__ == sorted(avatar_client.__all__)
    assert [name for name in avatar_client.__all__ if not hasattr(avatar_client, name)] == []


def test_every_event_and_every_error_is_offered() -> None:
    kinds = {kind.__name__ for kind in get_args(events.Event)}
    kinds |= {name for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)}
    assert kinds - {"DecodeError"} - set(avatar_client.__all__) == set()


def test_the_sync_client_has_every_call_of_the_async_one() -> None:
    for sync, asynchronous in (
        (avatar_client.AvatarClient, avatar_client.AsyncAvatarClient),
        (avatar_client.Conversation, avatar_client.AsyncConversation),
        (avatar_client.Speech, avatar_client.AsyncSpeech),
        (avatar_client.Animation, avatar_client.AsyncAnimation),
    ):
        for name, method in inspect.getmembers(asynchronous, inspect.isfunction):
            if not name.startswith("_"):
                parameters = inspect.signature(method).parameters
                assert list(inspect.signature(getattr(sync, name)).parameters) == list(parameters), name
                defaults = [parameter.default for parameter in parameters.values()]
                assert [p.default for p in inspect.signature(getattr(sync, name)).parameters.values()] == defaults
