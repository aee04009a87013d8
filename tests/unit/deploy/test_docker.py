"""The images, as far as they can be checked where none can be built."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.main import get_command

from avatar_service.cli.main import app
from tests.unit.deploy.chart import ROOT, rendered
from tests.unit.deploy.dockerfile import is_sent, sources, stages

FOLDER = ROOT / "deploy/docker"
SERVICE, TRITON = FOLDER / "service.Dockerfile", FOLDER / "triton.Dockerfile"
IMAGES = [pytest.param(path, id=path.stem) for path in (SERVICE, TRITON)]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"avatar", "avatar_client", "avatar_service", "inference"}
IMPORT_S = 60.0
PERMISSIVE = re.compile(r"\b(Apache|MIT|BSD|PSF|Python Software Foundation|ISC|MPL|HPND|Unlicense)\b")
"""Licences that ask for no more than a notice, or for the source of changes to their own files (MPL). What wheels carry
beside Python is not told here: PyAV's has x264 and x265, which are under the GPL; docs/deployment.md says so."""


@pytest.mark.parametrize("path", IMAGES)
def test_every_source_is_there_and_sent_to_the_builder(path: Path) -> None:
    copied = [source for stage in stages(path) for source in sources(stage)]
    assert len(copied) >= 5
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert [source for source in copied if not is_sent(source)] == []


def test_what_no_image_needs_is_not_sent() -> None:
    unwanted = [".env", ".git", ".venv/bin/python", "tests", "out", "deploy/helm", "inference/training", "docs"]
    assert [path for path in unwanted if is_sent(path)] == []


@pytest.mark.parametrize("path", IMAGES)
def test_images_start_from_an_exact_version_and_run_as_the_chart_says(path: Path) -> None:
    built = stages(path)
    assert [stage.base for stage in built if not re.fullmatch(r"[\w./-]+:\d+\.\d[\w.-]*", stage.base)] == []
    user, _, group = built[-1].last("USER").text.partition(":")
    security = rendered().pod(path.stem)["spec"]["securityContext"]
    assert (int(user), int(group)) == (security["runAsUser"], security["runAsGroup"])
    assert built[-1].of("USER")[-1] not in built[-1].instructions[: len(built[-1].instructions) // 2]


def test_the_service_runs_in_the_python_that_the_project_wants() -> None:
    found = re.match(r"python:(\d+\.\d+)", stages(SERVICE)[-1].base)
    assert found
    low, high = re.findall(r"\d+\.(\d+)", PROJECT["requires-python"])
    assert int(low) <= int(found[1].partition(".")[2]) < int(high)


def test_the_services_command_is_one_of_ours() -> None:
    last = stages(SERVICE)[-1]
    (program,) = last.last("ENTRYPOINT").words
    assert program in PROJECT["scripts"]
    assert last.last("CMD").words == rendered().container("service")["args"]
    assert last.last("CMD").words[0] in get_command(app).commands  # type: ignore[attr-defined]  # a group of them


def test_tritons_arguments_are_those_of_the_chart() -> None:
    last = stages(TRITON)[-1]
    assert last.last("ENTRYPOINT").words[-1] == "tritonserver"
    chart = rendered({"uploads": {"enabled": True}}).container("triton")
    alone = {each for each in chart["args"] if "-port=" in each or "-connection-age" in each}
    assert set(last.last("CMD").words) == set(chart["args"]) - alone  # the ports are Triton's defaults
    probe = chart["livenessProbe"]["exec"]["command"]
    assert any(each.text.endswith(f" {probe[1]}") for each in last.of("COPY"))


def test_both_images_have_the_same_avatars_where_the_chart_looks_for_them() -> None:
    service, triton = stages(SERVICE)[-1], stages(TRITON)[-1]
    folder = service.env["AVATAR_AVATARS"]
    assert triton.env["MUSETALK_AVATARS_DIR"] == rendered().env("triton")["MUSETALK_AVATARS_DIR"] == folder
    for stage in (service, triton):
        assert f"inference/assets/avatars {folder}" in [each.text for each in stage.of("COPY")]


def closure(requirement: str, found: dict[str, set[str]]) -> Iterator[str]:
    """The distributions that pip installs for a requirement; `found` remembers which extras were followed."""
    wanted = Requirement(requirement)
    name = canonicalize_name(wanted.name)
    extras = wanted.extras | {""}
    if extras <= found.get(name, set()):
        return
    found.setdefault(name, set()).update(extras)
    yield name
    try:
        needed = requires(name) or []
    except PackageNotFoundError:
        return  # for another system or another Python
    for each in needed:
        marker = Requirement(each).marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
            yield from closure(each, found)


def installed(extra: str) -> set[str]:
    """The distributions that the wheel brings with this extra alone."""
    found: dict[str, set[str]] = {}
    for each in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]]:
        list(closure(each, found))
    return set(found)


def not_installed(extra: str) -> list[str]:
    """Modules that are here, and are not where the wheel was installed with this extra alone."""
    found = installed(extra)
    return sorted(
        module
        for module, owners in packages_distributions().items()
        if module not in OURS and not {canonicalize_name(owner) for owner in owners} & found
    )


def test_the_service_starts_with_what_its_image_installs_and_without_torch() -> None:
    (step,) = [each.text for each in stages(SERVICE)[0].of("RUN") if "requirements.py" in each.text]
    assert "requirements.py pyproject.toml server > requirements.txt" in step
    missing = not_installed("server")
    assert {"torch", "diffusers", "transformers", "pytest", "faster_whisper"} <= set(missing)
    assert {"grpc", "uvloop", "openai", "aiohttp"} & set(missing) == set()
    program = f"""
import sys
sys.modules.update(dict.fromkeys({missing!r}))  # an import of one of these fails
from avatar_service.cli.main import main
import avatar_service.cli.serve
sys.argv = ["avatar-service", "serve"]
main()
"""
    command = [sys.executable, "-I", "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_S, env={"PATH": "", "HOME": "/tmp"})
    # So far and no further: without a vendor's key it does not start.
    assert (run.returncode, run.stderr.partition(":")[0]) == (1, "error"), run.stderr
    assert "OPENAI_API_KEY" in run.stderr


@pytest.mark.parametrize("path", IMAGES)
def test_a_change_of_the_code_does_not_install_the_packages_again(path: Path) -> None:
    steps = [each.text for each in stages(path)[0].instructions if each.name in ("RUN", "COPY")]
    (packages,) = [index for index, text in enumerate(steps) if "pip install" in text and "--requirement" in text]
    (own,) = [index for index, text in enumerate(steps) if re.search(r"pip install .*--no-deps \.", text)]
    code = [
        index
        for index, text in enumerate(steps)
        if text.startswith(("README", "protos", "clients", "avatar_service", "inf"))
    ]
    assert packages < min(code) < own


def requirements(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "requirements.py"), str(ROOT / "pyproject.toml"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=IMPORT_S)


def test_tritons_packages_are_those_of_the_project_less_its_second_triton() -> None:
    run = requirements("inference", "--without", "nvidia-pytriton")
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["inference"]]
    assert run.stdout.splitlines() == [each for each in wanted if not each.startswith("nvidia-pytriton")]
    (step,) = [each.text for each in stages(TRITON)[0].of("RUN") if "requirements.py" in each.text]
    assert "requirements.py pyproject.toml inference --without nvidia-pytriton" in step


@pytest.mark.parametrize("arguments", [["gpu"], ["inference", "--without", "tensorflow"]])
def test_a_requirement_that_is_not_there_is_an_error(arguments: list[str]) -> None:
    run = requirements(*arguments)
    assert run.returncode != 0
    assert arguments[-1] in run.stderr


def licences(name: str) -> str:
    """What a distribution says of its licence."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return ""  # for another system or another Python
    classifiers = [each for each in told.get_all("Classifier") or [] if each.startswith("License")]
    return " ".join(told.get_all("License-Expression") or classifiers or told.get_all("License") or [])


def test_everything_in_the_services_image_may_be_passed_on() -> None:
    terms = {name: told for name in installed("server") if (told := licences(name))}
    assert len(terms) > 50
    unclear = {name: told[:80] for name, told in terms.items() if not PERMISSIVE.search(told) or "GPL" in told}
    assert unclear == {}
