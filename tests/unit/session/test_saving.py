"""What a session begins with by itself."""

from dataclasses import replace

from avatar_service.events import Source
from avatar_service.session.saved import SavedSession
from avatar_service.session.saving import begins_with
from avatar_service.turn.history import History
from avatar_service.turn.turn import UserInput
from tests.scenario import CONFIG

GREETING = UserInput(Source.FIRST_MESSAGE, text="Hello.")


def test_the_first_message_is_said_once_however_early_the_stream_breaks() -> None:
    config = replace(CONFIG, first_message="Hello.")
    assert begins_with(config, None, None, History()).inputs == [GREETING]
    assert begins_with(config, SavedSession(), None, History()).inputs == [GREETING]
    assert begins_with(config, SavedSession(last_turn_id=1), None, History()).inputs == []
