"""Every wire script passes in every language, and none of their runners passes what is broken."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conformance import runners
from tests.conformance.broken import write_broken
from tests.conformance.report import write_report
from tests.conformance.runner import Outcome
from tests.stack import Stack

WHOLE = {path.stem: path for path in sorted(runners.SCRIPTS.glob("*.json"))}
ASKED_FOR = """text_turn spoken_turn manual_turn say barge_in text_while_speaking interrupt cancel half_close
first_message_no_config config_twice unknown_field unknown_payload wrong_rate oversize_message oversize_audio
undecodable_bytes slow_reader stopped_reader resume resume_unfinished speak animate list_avatars server_info
deadline""".split()
"""What must be among the cases."""


@dataclass(frozen=True, slots=True)
class Played:
    """What every language made of every script."""

    exit_codes: dict[str, int]
    outcomes: dict[str, dict[str, Outcome]]
    broken: dict[str, int]
    """Broken cases, and the number of the step at which each must fail."""


@pytest.fixture(scope="module")
def played(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Play everything once, in all languages at one time, and write the report."""
    for client in (runners.JAVA, runners.TYPESCRIPT):
        runners.build(client)
    server = stack.services[0].address
    broken = write_broken(list(WHOLE.values()), tmp_path_factory.mktemp("broken"))
    scripts = sorted([*WHOLE.values(), *broken], key=lambda path: path.stem not in runners.LONGEST)
    with ExitStack() as running:
        processes = {
            language: running.enter_context(runners.running(language, server, scripts)) for language in runners.RUNNERS
        }
        ended = {language: runners.outcomes_of(process) for language, process in processes.items()}
    outcomes = {language: by_case for language, (_, by_case) in ended.items()}
    must_fail = {path.stem: number for path, number in broken.items()}
    write_report(runners.ROOT / "out", WHOLE, outcomes, list(must_fail))
    return Played({language: code for language, (code, _) in ended.items()}, outcomes, must_fail)


def test_every_promised_case_is_there() -> None:
    assert set(ASKED_FOR) <= set(WHOLE)


@pytest.mark.parametrize("language", runners.RUNNERS)
def test_every_script_passes(played: Played, language: str) -> None:
    outcomes = played.outcomes[language]
    assert set(WHOLE) <= set(outcomes)
    assert [outcomes[case] for case in WHOLE if not outcomes[case].passed] == []


@pytest.mark.parametrize("language", runners.RUNNERS)
def test_a_broken_script_fails_at_the_step_that_is_broken(played: Played, language: str) -> None:
    outcomes = played.outcomes[language]
    assert set(played.broken) <= set(outcomes)
    passed = [case for case in played.broken if outcomes[case].passed]
    elsewhere = [
        outcomes[case].failure
        for case, number in played.broken.items()
        if not outcomes[case].failure.startswith(f"step {number}, ")
    ]
    assert (passed, elsewhere) == ([], [])
    assert played.exit_codes[language] == 1


@pytest.mark.parametrize("language", runners.RUNNERS)
def test_a_server_that_is_not_there_fails_a_script(played: Played, language: str) -> None:
    with runners.running(language, "127.0.0.1:1", [WHOLE["server_info"]]) as process:
        code, outcomes = runners.outcomes_of(process)
    assert code == 1
    assert "UNAVAILABLE" in outcomes["server_info"].failure


@pytest.mark.parametrize("language", runners.RUNNERS)
def test_a_runner_without_scripts_tells_its_usage(played: Played, language: str) -> None:
    with runners.running(language, "127.0.0.1:1", []) as process:
        output, errors = process.communicate(timeout=runners.RUN_S)
    assert (process.returncode, output) == (2, "")
    assert "usage" in errors.lower()


def test_the_report_has_every_case_and_language(played: Played) -> None:
    report = Path(runners.ROOT / "out/conformance.md").read_text()
    for case in WHOLE:
        (line,) = [line for line in report.splitlines() if line.startswith(f"| {case} |")]
        assert line.count("pass, ") == len(played.outcomes), line
