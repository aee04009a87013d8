"""The sandbox prepares for the conversations that the service holds."""

from avatar_service.rpc.chat_from_proto import DEFAULT_SYSTEM_PROMPT as SERVICE_PROMPT
from avatar_service.sandbox.smollm import DEFAULT_SYSTEM_PROMPT


def test_what_is_evaluated_while_loading_is_the_service_s_own_prompt() -> None:
    assert DEFAULT_SYSTEM_PROMPT == SERVICE_PROMPT
