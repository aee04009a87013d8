"""This machine: Python, packages, settings, ports."""

import difflib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from avatar_service.doctor.report import Finding, failed, ok, warning
from avatar_service.errors import StartupError
from avatar_service.rpc.server import require_free
from avatar_service.settings import LimitSettings, Settings, names_in, setting_names

PACKAGE = "avatar-service"
VENDOR_PREFIXES = ("OPENAI_", "ELEVENLABS_")
SDK_NAMES = {"OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_LOG", "OPENAI_WEBHOOK_SECRET"}
"""Names that the vendors' libraries read themselves."""
ALIKE = 0.8
"""How alike two names must be, 0 to 1, for one to be taken for a typing error of the other."""
KUBERNETES_GRACE_S = 30.0
"""Kubernetes kills a container so long after its SIGTERM, unless told otherwise."""
LONGEST_WAIT_S = 30.0
"""Longest that a user is to wait for a vendor that does not answer, over all attempts."""
_REQUIREMENT = re.compile(r"^(?P<name>[\w.-]+)[^=;]*(?:==(?P<version>[\w.]+))?")


def python(found: tuple[int, ...] = sys.version_info[:3]) -> Finding:
    """The interpreter is one that the packages are built for."""
    shown = ".".join(map(str, found))
    if (3, 11) <= found[:2] < (3, 13):
        return ok("python", shown)
    return failed("python", shown, "use Python 3.11 or 3.12; Triton's backend has no other")


def packages(extra: str = "server") -> Finding:
    """What an extra of the project names is installed, in the versions that it pins."""
    missing, other = [], []
    for name, pinned in _requirements(extra):
        try:
            installed = version(name)
        except PackageNotFoundError:
            missing.append(name)
            continue
        if pinned and installed != pinned:
            other.append(f"{name} {installed} instead of {pinned}")
    mend = f"pip install '{PACKAGE}[{extra}]'"
    if missing:
        return failed("packages", f"missing: {', '.join(missing)}", mend)
    if other:
        return warning("packages", ", ".join(other), mend)
    return ok("packages", f"{PACKAGE} {version(PACKAGE)}, extra {extra}")


def _requirements(extra: str) -> Iterator[tuple[str, str]]:
    """Name and pinned version, if any, of each package of an extra."""
    for requirement in requires(PACKAGE) or ():
        if requirement.endswith(f'extra == "{extra}"') and (match := _REQUIREMENT.match(requirement)):
            yield match["name"], match["version"] or ""


def settings_found(env_file: Path | None = Path(".env")) -> list[Finding]:
    """Where settings come from, and names that look like a typing error of ours."""
    in_file, known = names_in(env_file), setting_names()
    in_environment = known & os.environ.keys()
    file = f"{len(known & set(in_file))} in {env_file}" if env_file and env_file.is_file() else "no .env here"
    findings = [ok("settings", f"{len(in_environment)} in the environment, {file}")]
    return findings + [
        warning("settings", f"{name} is read by nobody", f"did you mean {close}?")
        for name, close in _typing_errors({*os.environ, *in_file}, known)
    ]


def _typing_errors(names: Iterable[str], known: set[str]) -> Iterator[tuple[str, str]]:
    for name in sorted(names):
        if name.startswith(VENDOR_PREFIXES) and name not in known | SDK_NAMES:
            for close in difflib.get_close_matches(name, sorted(known), n=1, cutoff=ALIKE):
                yield name, close


def port(subject: str, name: str, listen: str) -> Finding:
    """An address can be listened on."""
    if not listen:
        return ok(subject, f"{name} is empty: not served")
    try:
        require_free(listen, name)
    except StartupError as error:
        return failed(subject, str(error), "stop what listens there, or choose another address")
    return ok(subject, f"{listen} is free")


def time_outs(settings: Settings) -> list[Finding]:
    """Deadlines fit each other."""
    limits, findings = settings.limits, []
    for vendor, timeout_s in (("OPENAI", settings.openai.timeout_s), ("ELEVENLABS", settings.elevenlabs.timeout_s)):
        if timeout_s < max(limits.first_output_s, limits.between_outputs_s):
            detail = (
                f"{vendor}_TIMEOUT ({timeout_s:g} s) ends a wait before AVATAR_FIRST_OUTPUT_S or _BETWEEN_OUTPUTS_S"
            )
            findings.append(warning("time-outs", detail, f"raise {vendor}_TIMEOUT"))
    if (wait_s := longest_wait_s(limits)) > LONGEST_WAIT_S:
        detail = f"a vendor that does not answer keeps a user waiting for {wait_s:g} s"
        findings.append(warning("time-outs", detail, "lower AVATAR_STAGE_S"))
    if settings.server.stop_grace_s >= KUBERNETES_GRACE_S:
        detail = f"AVATAR_STOP_GRACE_S is {settings.server.stop_grace_s:g} s; Kubernetes kills after 30 s by default"
        findings.append(warning("time-outs", detail, "lower it, or raise terminationGracePeriodSeconds above it"))
    return findings or [ok("time-outs", f"a vendor that does not answer fails after {wait_s:g} s")]


def longest_wait_s(limits: LimitSettings) -> float:
    """How long a stage lasts whose vendor never answers: its attempts and the waits between them, within its budget."""
    took_s = min(limits.first_output_s, limits.stage_s)
    for attempt in range(1, limits.attempts):
        begins_s = took_s + limits.retry_wait_s * 2 ** (attempt - 1)
        if begins_s >= limits.stage_s:
            break
        took_s = min(begins_s + limits.first_output_s, limits.stage_s)
    return took_s
