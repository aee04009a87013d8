"""One file is fetched from a hub that fails in every way that real ones do."""

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pytest

from inference.checkpoints.download import Downloads, Facts, Patience
from inference.checkpoints.manifest import PublishedFile
from inference.weights import WeightsError
from tests.fakes.hub import Hub

CONTENT = random.Random(0).randbytes(1_000_000)
FILE = PublishedFile(
    "team/model", "0" * 40, "unet.pth", "unet/unet.pth", len(CONTENT), hashlib.sha256(CONTENT).hexdigest()
)
UNRECORDED = replace(FILE, size=None, sha256=None)


@pytest.fixture
def hub(hub: Hub) -> Hub:
    hub.files = {f"/team/model/resolve/{FILE.revision}/unet.pth": CONTENT}
    return hub


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "models" / FILE.path


@pytest.fixture
def part(path: Path) -> Path:
    """Where the file grows; its folder exists."""
    path.parent.mkdir(parents=True)
    return path.with_name("unet.pth.part")


def fetch(hub: Hub, path: Path, patience: Patience, file: PublishedFile = FILE) -> list[int]:
    """Fetch a file; the numbers of bytes that were told on the way."""
    told: list[int] = []
    with Downloads(hub.endpoint, patience) as downloads:
        downloads.fetch(file, downloads.facts(file), path, told.append)
    assert path.read_bytes() == CONTENT
    assert [entry.name for entry in path.parent.iterdir()] == ["unet.pth"]
    return told


def refusal(hub: Hub, path: Path, patience: Patience, file: PublishedFile = FILE) -> str:
    """The one line that fetching a file ends with."""
    with Downloads(hub.endpoint, patience) as downloads, pytest.raises(WeightsError) as raised:
        downloads.fetch(file, downloads.facts(file), path, lambda done: None)
    assert not path.exists()
    assert "\n" not in str(raised.value)
    return str(raised.value)


def ranges(hub: Hub) -> list[str]:
    """The ranges in which the content was asked for."""
    return [asked.rpartition("unet.pth")[2].strip() for asked in hub.asked if asked.startswith("GET /content")]


def test_a_file_is_fetched_in_one_go_and_its_growth_told(hub: Hub, path: Path, impatient: Patience) -> None:
    told = fetch(hub, path, impatient)
    assert ranges(hub) == [""]
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0, len(CONTENT))


def test_a_connection_that_breaks_goes_on_where_it_stopped(hub: Hub, path: Path, impatient: Patience) -> None:
    hub.faults.cut_after = [100_000, 200_000, 10_000, 20_000, 300_000]
    fetch(hub, path, impatient)
    assert ranges(hub) == ["", *(f"bytes={start}-" for start in (100_000, 300_000, 310_000, 330_000, 630_000))]


def test_a_run_goes_on_where_the_one_before_was_stopped(hub: Hub, path: Path, part: Path, impatient: Patience) -> None:
    part.write_bytes(CONTENT[:12_345])
    told = fetch(hub, path, impatient)
    assert ranges(hub) == ["bytes=12345-"]
    assert told[0] == 12_345


def test_a_part_that_is_whole_is_not_fetched_again(hub: Hub, path: Path, part: Path, impatient: Patience) -> None:
    part.write_bytes(CONTENT)
    assert fetch(hub, path, impatient) == [len(CONTENT)]
    assert ranges(hub) == []


def test_a_part_that_is_too_long_is_fetched_again(hub: Hub, path: Path, part: Path, impatient: Patience) -> None:
    part.write_bytes(CONTENT + b"more")
    fetch(hub, path, impatient)
    assert ranges(hub) == [""]


def test_a_file_that_is_there_is_not_fetched_again(hub: Hub, path: Path, part: Path, impatient: Patience) -> None:
    path.write_bytes(CONTENT)
    assert fetch(hub, path, impatient) == [len(CONTENT)]
    assert ranges(hub) == []


def test_a_file_that_is_there_and_damaged_is_fetched_again(
    hub: Hub, path: Path, part: Path, impatient: Patience
) -> None:
    path.write_bytes(bytes(len(CONTENT)))
    fetch(hub, path, impatient)
    assert ranges(hub) == [""]


def test_a_server_without_ranges_sends_the_file_from_its_start(hub: Hub, path: Path, impatient: Patience) -> None:
    hub.faults.ignore_range = True
    hub.faults.cut_after = [100_000]
    fetch(hub, path, impatient)
    assert ranges(hub) == ["", "bytes=100000-"]


@pytest.mark.parametrize("fault", ["wrong_range", "no_rest"])
def test_an_answer_with_another_range_starts_the_file_again(
    hub: Hub, path: Path, impatient: Patience, fault: str
) -> None:
    hub.faults.cut_after = [100_000]
    setattr(hub.faults, fault, 1)
    fetch(hub, path, impatient)
    assert ranges(hub) == ["", "bytes=100000-", ""]


def test_a_connection_that_keeps_breaking_is_given_up_and_what_came_is_kept(
    hub: Hub, path: Path, part: Path, impatient: Patience
) -> None:
    hub.faults.cut_after = [100_000] + [10] * 50
    line = refusal(hub, path, impatient)
    assert line.startswith(f"{FILE.url(hub.endpoint)}: ")
    assert "3 attempts in a row; check the network or name another --endpoint; run the command again" in line
    assert part.stat().st_size == 100_030
    assert len(ranges(hub)) == 4


def test_a_server_that_starts_again_and_breaks_each_time_is_given_up(hub: Hub, path: Path, impatient: Patience) -> None:
    hub.faults.ignore_range = True
    hub.faults.cut_after = [100_000, 50_000] * 50
    assert "3 attempts in a row" in refusal(hub, path, impatient)
    assert len(ranges(hub)) == 4


def test_waits_between_attempts_grow_to_a_limit() -> None:
    assert [Patience().wait_s(failures) for failures in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]


def test_a_busy_server_is_asked_again_but_not_for_ever(hub: Hub, path: Path, impatient: Patience) -> None:
    hub.faults.busy = 2
    fetch(hub, path, impatient)
    path.unlink()
    hub.faults.busy = 1_000
    hub.asked.clear()
    assert "the server answered 503 Service Unavailable, 3 attempts in a row" in refusal(hub, path, impatient)
    assert len(hub.asked) == 3


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_file_that_is_not_served_is_refused_at_once(hub: Hub, path: Path, impatient: Patience, status: int) -> None:
    hub.faults.status = status
    line = refusal(hub, path, impatient)
    assert line.startswith(f"{FILE.url(hub.endpoint)}: the server answered {status} ")
    assert line.endswith("; name another --endpoint")
    assert len(hub.asked) == 1


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (replace(FILE, size=999), "is offered with bytes 1000000, on record is 999"),
        (replace(FILE, sha256="0" * 64), f"is offered with sha256 {FILE.sha256}, on record is {'0' * 64}"),
    ],
)
def test_another_file_than_the_one_on_record_is_refused_before_it_is_fetched(
    hub: Hub, path: Path, impatient: Patience, other: PublishedFile, told: str
) -> None:
    assert told in refusal(hub, path, impatient, other)
    assert ranges(hub) == []


def test_damaged_content_is_deleted_and_told(hub: Hub, path: Path, impatient: Patience) -> None:
    hub.faults.checksums = False
    hub.faults.content = bytes(len(CONTENT))
    line = refusal(hub, path, impatient)
    assert line.startswith(f"{FILE.url(hub.endpoint)}: sha256 is ")
    assert f"expected {FILE.sha256}; what was fetched of it is deleted; run the command again" in line
    assert list(path.parent.iterdir()) == []


def test_content_of_another_size_is_refused(hub: Hub, path: Path, impatient: Patience) -> None:
    hub.faults.content = b"<html>please sign in</html>"
    hub.faults.size = len(CONTENT)
    hub.faults.checksums = False
    line = refusal(hub, path, impatient)
    assert "sends 27 bytes, expected 1000000: not the published file; name another --endpoint" in line


def test_more_content_than_expected_is_not_taken(hub: Hub, path: Path, impatient: Patience) -> None:
    hub.faults.no_head = hub.faults.no_size = True
    hub.faults.content = CONTENT + b"more"
    assert "sends more than the expected 1000000 bytes: not the published file" in refusal(hub, path, impatient)


def test_a_file_that_is_not_on_record_has_the_size_and_checksum_that_the_hub_tells(
    hub: Hub, path: Path, part: Path, impatient: Patience
) -> None:
    with Downloads(hub.endpoint, impatient) as downloads:
        assert downloads.facts(UNRECORDED) == Facts(FILE.size, FILE.sha256)
    fetch(hub, path, impatient, UNRECORDED)
    path.unlink()
    part.write_bytes(bytes(1_000))  # of another file
    assert f"expected {FILE.sha256}; what was fetched of it is deleted" in refusal(hub, path, impatient, UNRECORDED)


@pytest.mark.parametrize("file", [FILE, UNRECORDED])
def test_a_mirror_that_tells_nothing_serves_too(hub: Hub, path: Path, impatient: Patience, file: PublishedFile) -> None:
    hub.faults.no_head = hub.faults.no_size = True
    hub.faults.checksums = False
    with Downloads(hub.endpoint, impatient) as downloads:
        assert downloads.facts(file) == Facts(file.size, file.sha256)
    fetch(hub, path, impatient, file)


def test_a_repository_with_another_name_is_followed_but_not_for_ever(hub: Hub, path: Path, impatient: Patience) -> None:
    hub.faults.moved = True
    fetch(hub, path, impatient)
    path.unlink()
    hub.faults.endless = True
    assert "redirected 5 times; name another --endpoint" in refusal(hub, path, impatient)


def test_a_server_that_is_not_there_is_told_after_the_attempts(path: Path, impatient: Patience) -> None:
    line = refusal(Hub("http://127.0.0.1:1"), path, impatient)
    assert "Connection refused, 3 attempts in a row; check the network" in line


def test_an_endpoint_that_is_no_address_is_told_at_once(path: Path, impatient: Patience) -> None:
    assert "--endpoint must begin with https://" in refusal(Hub("hub.example"), path, impatient)
