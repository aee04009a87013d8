"""The rows of the vendors: speech to text, chat, text to speech over HTTP and over the WebSocket."""

from tests.chaos.cells import Cell, Counted, Row, Rule, Turn
from tests.chaos.network import Break
from tests.chaos.system import APOLOGY, ATTEMPTS, FIRST_SENTENCE

STAGES = {
    Row.TRANSCRIPTION: ("transcribe", "openai"),
    Row.CHAT: ("think", "openai"),
    Row.SPEECH: ("speak", "elevenlabs"),
    Row.SOCKET: ("speak", "elevenlabs"),
}
"""The stage of each row, and its engine."""
STREAMED = "gpt-4o-mini-transcribe"
"""A model whose transcript comes in pieces."""
FAR = "It is so far."
"""More than half a second of voice: spoken too slowly, it takes less than a call may."""
SENTENCE = "The moon is far away."
"""More than a second of voice: it can break off in its middle."""
LONG_S = 30
"""A Retry-After beyond the stage's budget."""
RETRYING = ("RETRYING",)

TOLD = {
    Row.TRANSCRIPTION: "TRANSCRIPTION_FAILED",
    Row.CHAT: "CHAT_FAILED",
    Row.SPEECH: "SPEECH_FAILED",
    Row.SOCKET: "SPEECH_FAILED",
}
"""The notice of a stage that failed for good."""
FAILED = {
    Row.TRANSCRIPTION: "a notice and an empty transcript; the session listens on",
    Row.CHAT: "the apology, spoken",
    Row.SPEECH: "the whole reply as text",
    Row.SOCKET: "the whole reply as text",
}
LATE = {
    Row.TRANSCRIPTION: "the answer, later",
    Row.CHAT: "the reply, later",
    Row.SPEECH: "the whole voice, later",
    Row.SOCKET: "the whole voice, later",
}


def fault(row: Row, kind: str) -> Counted:
    """A failed attempt, counted by its fault."""
    stage, engine = STAGES[row]
    return Counted("engine_faults_total", {"stage": stage, "engine": engine, "fault": kind})


def lost(row: Row, kind: str, *, retried: bool, requests: int | None = None, within_s: float = 3.0) -> Turn:
    """The end of a turn whose stage failed for good with a fault."""
    told = TOLD[row]
    notices = (*RETRYING * retried, told)
    requests = requests or (None if retried else 1)
    match row:
        case Row.TRANSCRIPTION:
            return Turn(
                "SKIPPED", "", kind, notices, (told,), transcript="", reply="", requests=requests, within_s=within_s
            )
        case Row.CHAT:
            return Turn("COMPLETED", "", kind, notices, (told,), reply=APOLOGY, requests=requests, within_s=within_s)
        case _:
            return Turn("FAILED", told, kind, notices, (told,), heard="", requests=requests, within_s=within_s)


def fails(row: Row, column: str, inject: Rule | Break, kind: str, *, requests: int = ATTEMPTS, model: str = "") -> Cell:
    """A fault that is tried again, and stays."""
    expected = lost(row, kind, retried=True, requests=None if isinstance(inject, Break) else requests)
    return Cell(row, column, inject, fault(row, kind), FAILED[row], expected, model)


def times_out(row: Row, column: str, inject: Rule, model: str = "") -> Cell:
    """A silence: as many attempts as the stage's budget has room for."""
    return Cell(row, column, inject, fault(row, "timeout"), FAILED[row], lost(row, "timeout", retried=True), model)


def refused(row: Row, column: str, inject: Rule, kind: str) -> Cell:
    """A fault that is not tried again."""
    return Cell(row, column, inject, fault(row, kind), FAILED[row], lost(row, kind, retried=False))


def mended(row: Row, column: str, inject: Rule, kind: str) -> Cell:
    """A fault of the first request alone; a voice has a request a sentence, a WebSocket one a conversation."""
    requests = 3 if row is Row.SPEECH else 2
    turn = Turn(fault=kind, notices=RETRYING, retries=1, requests=requests)
    return Cell(row, column, inject, fault(row, kind), LATE[row], turn)


def status(answer: int, /, **fields: object) -> Rule:
    """The vendor's error answer."""
    return {"fault": "status", "status": answer, **fields}


def unreachable(row: Row) -> tuple[Cell, ...]:
    """What every HTTP call may meet before its first output."""
    return (
        fails(row, "connection refused", Break.REFUSED, "connection"),
        fails(row, "name not resolved", Break.NO_NAME, "connection"),
        fails(row, "TLS fails", Break.NO_TLS, "connection"),
    )


def answered(row: Row) -> tuple[Cell, ...]:
    """The statuses."""
    quota = "insufficient_quota" if row in (Row.TRANSCRIPTION, Row.CHAT) else "quota_exceeded"
    return (
        refused(row, "401", status(401), "authentication"),
        refused(row, "403", status(403), "permission"),
        mended(row, "429", status(429, first=1), "rate_limit"),
        mended(row, "429 with Retry-After", status(429, retry_after_s=0.2, first=1), "rate_limit"),
        Cell(
            row,
            "429 with Retry-After beyond the budget",
            status(429, retry_after_s=LONG_S),
            fault(row, "rate_limit"),
            FAILED[row],
            lost(row, "rate_limit", retried=False),
        ),
        refused(row, "429, quota used up", status(429, code=quota), "quota"),
        fails(row, "500", status(500), "overloaded"),
        mended(row, "503", status(503, first=1), "overloaded"),
        times_out(row, "hang before the first byte", {"fault": "hang"}),
    )


TRANSCRIPTION = (
    *unreachable(Row.TRANSCRIPTION),
    *answered(Row.TRANSCRIPTION),
    times_out(Row.TRANSCRIPTION, "stall in mid-answer", {"fault": "stall", "after": 1}, STREAMED),
    fails(Row.TRANSCRIPTION, "cut in mid-answer", {"fault": "cut", "after": 1}, "connection"),
    fails(Row.TRANSCRIPTION, "error frame in a 200", {"fault": "error_frame"}, "overloaded", model=STREAMED),
    fails(Row.TRANSCRIPTION, "garbage", {"fault": "garbage"}, "malformed"),
    fails(Row.TRANSCRIPTION, "wrong content type", {"fault": "content_type"}, "malformed"),
    Cell(
        Row.TRANSCRIPTION,
        "empty result",
        {"fault": "empty"},
        Counted("turns_total", {"source": "utterance", "outcome": "skipped"}),
        "an empty transcript: nothing was said",
        Turn("SKIPPED", transcript="", reply=""),
    ),
    times_out(Row.TRANSCRIPTION, "endless result", {"fault": "endless"}),
)


def cut(column: str, inject: Rule, kind: str) -> Cell:
    """A reply that breaks off behind its first sentence: events are the role, "Oh", ".", " Ah"."""
    turn = Turn(fault=kind, notices=("REPLY_CUT",), degraded=("REPLY_CUT",), heard=FIRST_SENTENCE, reply="Oh. Ah")
    return Cell(Row.CHAT, column, inject, fault(Row.CHAT, kind), "the finished sentences, spoken", turn)


CHAT = (
    *unreachable(Row.CHAT),
    *answered(Row.CHAT),
    cut("stall in mid-stream", {"fault": "stall", "after": 4}, "timeout"),
    cut("cut in mid-stream", {"fault": "cut", "after": 4}, "connection"),
    Cell(
        Row.CHAT,
        "cut before a sentence is finished",
        {"fault": "cut", "after": 2},
        fault(Row.CHAT, "connection"),
        "the apology, spoken",
        Turn(
            fault="connection",
            notices=("REPLY_CUT",),
            degraded=("REPLY_CUT",),
            reply=f"Oh {APOLOGY}",
            heard=APOLOGY,
        ),
    ),
    cut("error frame in a 200", {"fault": "error_frame", "after": 4}, "overloaded"),
    cut("garbage", {"fault": "garbage", "after": 4}, "malformed"),
    cut("no finish reason", {"fault": "no_finish", "after": 4}, "malformed"),
    fails(Row.CHAT, "wrong content type", {"fault": "content_type"}, "malformed"),
    Cell(
        Row.CHAT,
        "slow drip",
        {"fault": "drip", "rate": 5},
        Counted("turns_total", {"source": "text", "outcome": "completed"}),
        "the reply, sentence by sentence",
        Turn(),
    ),
    fails(Row.CHAT, "empty result", {"fault": "empty"}, "malformed"),
    Cell(
        Row.CHAT,
        "endless result",
        {"fault": "endless"},
        fault(Row.CHAT, "timeout"),
        "the reply up to the limit of the call; the client may interrupt",
        Turn(
            "INTERRUPTED",
            fault="timeout",
            notices=("REPLY_CUT",),
            degraded=("REPLY_CUT",),
            reply="*",
            heard="*",
            interrupted_at="REPLY_CUT",
            within_s=4.0,
        ),
    ),
    Cell(
        Row.CHAT,
        "length limit",
        {"fault": "length", "after": 3},
        Counted("turns_total", {"source": "text", "outcome": "completed"}),
        "the finished sentences, spoken",
        Turn(reply="Oh. Ah", heard=FIRST_SENTENCE),
    ),
    refused(Row.CHAT, "content filter", {"fault": "content_filter"}, "filtered"),
    cut("content filter in mid-stream", {"fault": "content_filter", "after": 3}, "filtered"),
    Cell(
        Row.CHAT,
        "refusal",
        {"fault": "refusal"},
        Counted("turns_total", {"source": "text", "outcome": "completed"}),
        "the model's refusal, spoken",
        Turn(reply="I'm sorry, but I cannot help with that.", within_s=5.0),
    ),
    fails(
        Row.CHAT,
        "tool call with broken arguments",
        {"fault": "broken_tool_call", "arguments": "not_json"},
        "malformed",
    ),
)


def voice_goes_on(row: Row, column: str, inject: Rule, kind: str) -> Cell:
    """A voice that breaks off once, behind its first output."""
    turn = Turn(fault=kind, notices=RETRYING, degraded=RETRYING, reply=SENTENCE, within_s=4.0)
    inject = {**inject, "after": 3, "nth": [1]}
    got = "the whole voice, its rest from a further request"
    return Cell(row, column, inject, fault(row, kind), got, turn, says=SENTENCE)


def endless_voice(row: Row, *, within_s: float, full: bool = False) -> Cell:
    """More than anybody says in three letters; what of it is played is bounded."""
    got = "the whole voice and what came behind it, up to a limit"
    turn = Turn(reply="Oh.", within_s=within_s)
    return Cell(row, "endless result", {"fault": "endless"}, fault(row, "malformed"), got, turn, says="Oh.", full=full)


SPEECH = (
    *unreachable(Row.SPEECH),
    *answered(Row.SPEECH),
    voice_goes_on(Row.SPEECH, "stall in mid-stream", {"fault": "stall"}, "timeout"),
    voice_goes_on(Row.SPEECH, "cut in mid-stream", {"fault": "cut"}, "connection"),
    voice_goes_on(Row.SPEECH, "error frame in a 200", {"fault": "error_frame"}, "overloaded"),
    fails(Row.SPEECH, "garbage", {"fault": "garbage"}, "malformed"),
    Cell(
        Row.SPEECH,
        "odd length",
        {"fault": "odd_length"},
        Counted("turns_total", {"source": "text", "outcome": "completed"}),
        "the whole voice, less the half sample",
        Turn(),
    ),
    fails(Row.SPEECH, "wrong content type", {"fault": "content_type"}, "malformed"),
    Cell(
        Row.SPEECH,
        "slow drip",
        {"fault": "drip", "rate": 0.6},
        Counted("starved_seconds_total", {}),
        "the whole voice, with gaps",
        Turn(notices=("SPEECH_STARVED",), reply=FAR, within_s=5.0),
        says=FAR,
    ),
    fails(Row.SPEECH, "empty result", {"fault": "empty"}, "malformed"),
    endless_voice(Row.SPEECH, within_s=6.0),
)

SOCKET = (
    fails(Row.SOCKET, "connection refused", Break.REFUSED, "connection"),
    refused(Row.SOCKET, "401", status(401), "authentication"),
    fails(Row.SOCKET, "500", status(500), "overloaded"),
    refused(Row.SOCKET, "closed with 1008", {"fault": "close", "code": 1008}, "quota"),
    mended(Row.SOCKET, "closed with 1011", {"fault": "close", "code": 1011, "nth": [1]}, "overloaded"),
    times_out(Row.SOCKET, "hang before the first byte", {"fault": "hang"}),
    voice_goes_on(Row.SOCKET, "stall in mid-stream", {"fault": "stall"}, "timeout"),
    voice_goes_on(Row.SOCKET, "cut in mid-stream", {"fault": "cut"}, "connection"),
    voice_goes_on(Row.SOCKET, "error frame in mid-stream", {"fault": "error_frame"}, "overloaded"),
    fails(Row.SOCKET, "garbage", {"fault": "garbage"}, "malformed"),
    times_out(Row.SOCKET, "empty result", {"fault": "empty"}),
    endless_voice(Row.SOCKET, within_s=8.0),
)

VENDOR_CELLS = (*TRANSCRIPTION, *CHAT, *SPEECH, *SOCKET)
