"""The row of Triton: the voice goes on whatever it does."""

from tests.chaos.cells import Cell, Counted, Outage, Row, Turn
from tests.fakes.triton_server import Fault

SENTENCE = "The moon is so far away that nobody has walked there for long."
"""Four seconds of voice: more than is rendered when its first frame is shown."""
HOLDS = "the whole voice; frames hold, and come again by themselves"
LOST = Turn(notices=("VIDEO_LOST",), degraded=("VIDEO_LOST",))


def _lost(column: str, fault: Fault, outcome: str = "unavailable") -> Cell:
    """Every request of a turn meets the fault."""
    counted = Counted("engine_attempts_total", {"stage": "animate", "engine": "triton", "outcome": outcome})
    return Cell(Row.TRITON, column, Outage(fault), counted, HOLDS, LOST)


TRITON_CELLS = (
    Cell(
        Row.TRITON,
        "connection refused",
        Outage(gone=True),
        Counted("turns_degraded_total", {"reason": "VIDEO_LOST"}),
        HOLDS,
        LOST,
    ),
    _lost("not ready", Fault.UNAVAILABLE),
    Cell(
        Row.TRITON,
        "killed in mid-sentence and started again",
        Outage(strikes=True),
        Counted("turns_degraded_total", {"reason": "VIDEO_LOST"}),
        "the whole voice; frames hold, and come again in the same turn",
        Turn(
            notices=("VIDEO_LOST", "VIDEO_RESTORED"),
            degraded=("VIDEO_LOST",),
            reply=SENTENCE,
            within_s=8.0,
        ),
        says=SENTENCE,
    ),
    _lost("model unloaded", Fault.UNLOADED),
    _lost("queue full", Fault.QUEUE_FULL),
    _lost("out of GPU memory", Fault.OUT_OF_MEMORY),
    _lost("stub process dead", Fault.STUB_DEAD),
    _lost("hang", Fault.HANG, "timeout"),
    Cell(
        Row.TRITON,
        "slower than real time",
        Outage(Fault.SLOW),
        Counted("frames_held_total", {}),
        "the whole voice, some frames",
        Turn(),
    ),
    _lost("tensor missing", Fault.NO_FRAMES),
    _lost("wrong shape", Fault.WRONG_SHAPE),
    _lost("too few frames", Fault.TOO_FEW_FRAMES),
    _lost("frames that are no JPEG", Fault.NOT_JPEG),
    _lost("running maximum is no number", Fault.NOT_A_NUMBER),
    _lost("tensor cut short", Fault.CUT_TENSOR),
)
