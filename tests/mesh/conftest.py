"""What the tests of this folder saw, as tables at the end of the run: `seen(title, lines)`."""

from collections.abc import Callable, Sequence

import pytest

SEEN = "seen"
Seen = Callable[[str, Sequence[str]], None]
"""A title, and the lines below it."""


@pytest.fixture
def seen(record_property: Callable[[str, object], None]) -> Seen:
    """Keep lines for the summary of the run, which shows them whether the test passes or not."""

    def keep(title: str, lines: Sequence[str]) -> None:
        record_property(SEEN, "\n".join((title, *lines)))

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was kept; the reports of other processes' tests bring it along."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            for name, text in getattr(report, "user_properties", ()):
                if name == SEEN:
                    terminalreporter.section(report.nodeid.rpartition("::")[2])
                    terminalreporter.write_line(str(text))
