"""The avatars that clients may ask for."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from avatar_service.avatars.catalogue import Catalogue
from avatar_service.avatars.record import Record, Report
from avatar_service.avatars.store import BUNDLE, AvatarStore
from avatar_service.engines.base import Weights
from avatar_service.errors import FailedPrecondition, NotFound, StartupError
from avatar_service.settings import PreparationSettings
from tests.service.calls import DESCRIBED, write_avatars


def write(store: Path, avatar_id: str, **changes: Any) -> None:
    (store / avatar_id).mkdir(parents=True, exist_ok=True)
    (store / avatar_id / "avatar.json").write_text(json.dumps({"id": avatar_id} | DESCRIBED | changes))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return write_avatars(tmp_path / "avatars", "ada", "bo")


def test_an_avatar_is_found_by_its_name_or_its_bare_id(store: Path) -> None:
    catalogue = Catalogue.load(store)
    ada = catalogue.get("avatars/ada")
    assert ada == catalogue.get("ada")
    assert (ada.avatar_id, ada.display_name, ada.width, ada.height) == ("ada", "Ada", 512, 512)
    assert ada.key == "ada@" + "1" * 64
    assert [avatar.avatar_id for avatar in catalogue.all()] == ["ada", "bo"]


def test_no_name_is_the_default_which_is_the_first_or_the_one_that_was_set(store: Path) -> None:
    assert Catalogue.load(store).get("").avatar_id == "ada"
    assert Catalogue.load(store, "bo").get("").avatar_id == "bo"


@pytest.mark.parametrize(
    "name", ["eve", "avatars/eve", "../ada", "avatars/avatars/ada", "ada/", "ADA", "a" * 100, "\0"]
)
def test_any_other_name_is_not_found(store: Path, name: str) -> None:
    with pytest.raises(NotFound, match="ada, bo"):
        Catalogue.load(store).get(name)


@pytest.mark.parametrize(("loop", "frames", "length"), [("ping-pong", 6, 10), ("ping-pong", 1, 1), ("cycle", 6, 6)])
def test_the_loop_shows_its_turning_pictures_once(store: Path, loop: str, frames: int, length: int) -> None:
    write(store, "ada", loop=loop, boxes=[[0, 0, 256, 256]] * frames)
    assert Catalogue.load(store).get("ada").loop_length == length


@pytest.mark.parametrize(
    ("written", "fps"), [(25.0, Fraction(25)), (25, Fraction(25)), ("30000/1001", Fraction(30_000, 1_001))]
)
def test_the_frame_rate_is_rational(store: Path, written: float | str, fps: Fraction) -> None:
    write(store, "ada", fps=written)
    assert Catalogue.load(store).get("ada").fps == fps


def test_the_frame_rate_of_television_fits_into_the_contract(store: Path) -> None:
    write(store, "ada", fps=30_000 / 1_001)
    fps = Catalogue.load(store).get("ada").fps
    assert max(fps.numerator, fps.denominator) < 2**31


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"id": "ada"}', "not json"])
def test_a_damaged_bundle_is_named(store: Path, content: str) -> None:
    (store / "ada" / "avatar.json").write_text(content)
    with pytest.raises(StartupError, match=r"ada/avatar\.json"):
        Catalogue.load(store)


@pytest.mark.parametrize("changes", [{"boxes": []}, {"fps": 0}, {"id": "eve"}])
def test_a_bundle_that_could_not_be_shown_is_refused_at_the_start(store: Path, changes: dict[str, Any]) -> None:
    write(store, "ada", **changes)
    with pytest.raises(StartupError, match=r"ada/avatar\.json"):
        Catalogue.load(store)


def test_a_setting_that_leads_nowhere_is_named(tmp_path: Path, store: Path) -> None:
    with pytest.raises(StartupError, match="AVATAR_AVATARS"):
        Catalogue.load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(StartupError, match="AVATAR_AVATARS"):
        Catalogue.load(tmp_path / "empty")
    with pytest.raises(StartupError, match=r"AVATAR_DEFAULT_AVATAR.*ada, bo"):
        Catalogue.load(store, "eve")


def test_other_folders_are_not_avatars(store: Path) -> None:
    (store / "notes").mkdir()
    assert len(Catalogue.load(store).all()) == 2


REAL = Weights("musetalk-v15", "5" * 64)


def test_only_avatars_that_fit_the_renderers_weights_are_offered(store: Path) -> None:
    write(store, "bo", vae_sha256=REAL.vae_sha256, tier=REAL.tier)
    catalogue = Catalogue.load(store)
    assert catalogue.get("").avatar_id == "ada"
    catalogue.keep_fitting(REAL)
    assert [avatar.avatar_id for avatar in catalogue.all()] == ["bo"]
    assert catalogue.get("").avatar_id == "bo"
    with pytest.raises(NotFound, match="there are bo"):
        catalogue.get("ada")


def test_the_default_stays_where_it_fits(store: Path) -> None:
    catalogue = Catalogue.load(store, "bo")
    catalogue.keep_fitting(Weights("nano", "0" * 64))
    assert [avatar.avatar_id for avatar in catalogue.ready()] == ["bo", "ada"]


def test_a_default_that_was_set_and_does_not_fit_is_named(store: Path) -> None:
    write(store, "bo", vae_sha256=REAL.vae_sha256)
    with pytest.raises(StartupError, match=r"AVATAR_DEFAULT_AVATAR: 'ada'.*'musetalk-v15'.*there are bo"):
        Catalogue.load(store, "ada").keep_fitting(REAL)


def test_weights_that_no_avatar_fits_are_named_with_the_way_out(store: Path) -> None:
    with pytest.raises(StartupError, match=r"AVATAR_AVATARS: no avatar.*'musetalk-v15'.*avatar-service prepare"):
        Catalogue.load(store).keep_fitting(REAL)


def test_an_avatar_that_its_user_made_with_other_weights_is_listed_and_says_why_it_cannot_be_used(
    tmp_path: Path, store: Path
) -> None:
    made = AvatarStore(PreparationSettings.model_validate({"store": str(tmp_path / "made")}))
    made.open()
    for avatar_id, sha256, vae_sha256 in (("old", "a" * 64, "0" * 64), ("own", "b" * 64, REAL.vae_sha256)):
        work = made.begin()
        write(work.path, BUNDLE, id=avatar_id, vae_sha256=vae_sha256)
        token = work.path.name.rpartition("-")[2]
        record = made.add(Record(token, avatar_id, avatar_id, created_s=1.0, tier="any"))
        made.publish(record, work.path / BUNDLE, sha256=sha256, report=Report(6))
    catalogue = Catalogue.load(store, store=made)
    catalogue.keep_fitting(REAL)
    assert [avatar.avatar_id for avatar in catalogue.ready()] == ["own"]
    assert {avatar.avatar_id for avatar in catalogue.all()} == {"old", "own"}
    with pytest.raises(FailedPrecondition, match="other weights than this server has; delete it"):
        catalogue.get("old")
    assert catalogue.deletable("old") is not None
