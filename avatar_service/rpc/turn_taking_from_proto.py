"""When the user's turn begins and ends, and what their voice does to the avatar's, as a conversation asks for it."""

from avatar.v1 import ConverseConfig, EchoHandling, TurnTakingMode
from avatar_service.errors import InvalidArgument
from avatar_service.rpc.checks import given, given_s, not_served
from avatar_service.session.config import TurnTakingSettings
from avatar_service.stages.endpointing import EndpointingSettings

MODES = {
    TurnTakingMode.TURN_TAKING_MODE_UNSPECIFIED: False,
    TurnTakingMode.TURN_TAKING_MODE_AUTOMATIC: False,
    TurnTakingMode.TURN_TAKING_MODE_MANUAL: True,
}
"""Whether the client marks its utterances, by mode."""
ECHO_HANDLINGS = {
    EchoHandling.ECHO_HANDLING_UNSPECIFIED: False,
    EchoHandling.ECHO_HANDLING_CLIENT_CANCELS: False,
    EchoHandling.ECHO_HANDLING_SUPPRESS: True,
}
"""Whether the server suppresses the echo, by handling."""


def endpointing_from(config: ConverseConfig, root: str, longest_s: float) -> EndpointingSettings:
    """When an utterance begins and ends; `longest_s` is the server's limit. Raises InvalidArgument."""
    asked, defaults, path = config.turn_taking, EndpointingSettings(), f"{root}.turn_taking"
    return EndpointingSettings(
        threshold=given(asked, "threshold", path, defaults.threshold, 0.05, 0.95),
        prefix_s=given_s(asked, "prefix", path, defaults.prefix_s, 0.0, 2.0),
        minimum_speech_s=given_s(asked, "minimum_speech", path, defaults.minimum_speech_s, 0.0, 2.0),
        silence_s=given_s(asked, "silence", path, defaults.silence_s, 0.1, 5.0),
        longest_s=longest_s,
    )


def turn_taking_from(config: ConverseConfig, root: str) -> TurnTakingSettings:
    """Whose decision a turn is, and what is done before it is made. Raises ClientError."""
    asked, defaults, path = config.turn_taking, TurnTakingSettings(), f"{root}.turn_taking"
    if asked.mode not in MODES:
        raise not_served(f"{path}.mode", "AUTOMATIC and MANUAL")
    if config.echo_handling not in ECHO_HANDLINGS:
        raise not_served(f"{root}.echo_handling", "CLIENT_CANCELS and SUPPRESS")
    settings = TurnTakingSettings(
        manual=MODES[asked.mode],
        barge_in=asked.barge_in if asked.HasField("barge_in") else defaults.barge_in,
        false_barge_in_wait_s=given_s(asked, "false_barge_in_wait", path, defaults.false_barge_in_wait_s, 0.0, 10.0),
        suppress_echo=ECHO_HANDLINGS[config.echo_handling],
        early=config.transcription.early if config.transcription.HasField("early") else defaults.early,
        interim=config.transcription.interim,
        preemptive=config.chat.preemptive,
        longest_silence_s=given_s(asked, "longest_silence", path, defaults.longest_silence_s, 0.0, 5.0),
    )
    _check_early(settings, root)
    return settings


def _check_early(settings: TurnTakingSettings, root: str) -> None:
    """What works with an early transcript alone must not wait for one in vain. Raises InvalidArgument."""
    if settings.early:
        return
    for field, wanted in (
        ("turn_taking.longest_silence", settings.longest_silence_s > 0),
        ("transcription.interim", settings.interim),
        ("chat.preemptive", settings.preemptive),
    ):
        if wanted:
            raise InvalidArgument(
                f"{root}.{field}", f"needs {root}.transcription.early, which is false; set that to true, or unset this"
            )
