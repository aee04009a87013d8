"""Load: many paced conversations with one service at once, and what they showed.

report = await run_load(Plan(sessions=10, duration_s=60.0), lambda: AsyncAvatarClient("127.0.0.1:50051"))
print(report.figures()["first_frame_ms_p95"])
"""

from avatar_client.load.driver import run_load
from avatar_client.load.plan import Plan
from avatar_client.load.questions import Question, default_question
from avatar_client.load.report import LoadReport

__all__ = ["LoadReport", "Plan", "Question", "default_question", "run_load"]
