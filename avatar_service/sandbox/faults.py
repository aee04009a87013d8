"""Which requests to the sandbox get a fault: rules, tried in order, each with its own count and its own chance.

A rule is a JSON object::

    {"on": "chat", "fault": "status", "status": 429, "retry_after_s": 1, "first": 2}

``on`` is a target or ``any``. ``nth`` (a list of numbers from 1), ``first`` (the first k) or ``probability`` with
``seed`` choose among the requests that the rule concerns; with none of them it takes all. ``header`` narrows these to
requests that carry its values. Every rule counts every request that it concerns, whichever rule is used in the end, and
draws by its seed and its place in the list: the same requests in the same order get the same faults.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from avatar_service.sandbox.fault_kinds import (
    TARGETS,
    FaultRefused,
    InjectedFault,
    Target,
    check_target,
    parse_fault,
    shown,
)

FAULT_HEADER: Final = "X-Sandbox-Fault"
"""A request that carries a fault as JSON here gets it, whatever the rules say; they do not count it."""
MAX_RULES: Final = 256
_MAX_NTH: Final = 1000
_RULE_FIELDS: Final = ("on", "fault", "nth", "first", "probability", "seed", "header")


@dataclass(frozen=True, slots=True)
class FaultRule:
    """One rule as it was given, checked. ``targets`` are the routes that it concerns."""

    given: Mapping[str, Any]
    targets: tuple[Target, ...]
    fault: InjectedFault
    nth: frozenset[int] | None = None
    first: int | None = None
    probability: float | None = None
    seed: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)

    def concerns(self, target: Target, headers: Mapping[str, str]) -> bool:
        """Return whether the rule counts a request."""
        return target in self.targets and all(headers.get(name) == value for name, value in self.headers.items())


@dataclass(slots=True)
class _Counted:
    """A rule with what became of it."""

    rule: FaultRule
    chance: random.Random
    matched: int = 0
    injected: int = 0

    def takes(self) -> bool:
        """Count one request that the rule concerns; True if the rule wants it."""
        self.matched += 1
        rule = self.rule
        if rule.nth is not None:
            return self.matched in rule.nth
        if rule.first is not None:
            return self.matched <= rule.first
        return rule.probability is None or self.chance.random() < rule.probability


class Faults:
    """The rules of one sandbox and their counts."""

    def __init__(self, rules: Sequence[Mapping[str, Any]] = ()) -> None:
        """``ValueError`` as of ``replace``."""
        self._rules: list[_Counted] = []
        self.replace(rules)

    def replace(self, rules: Sequence[Mapping[str, Any]]) -> None:
        """Replace all rules and counts; ``ValueError`` names the rule's number, the field and what it may hold."""
        parsed = enumerate(parse_rules(rules), 1)
        # The number is part of the seed, so that rules with the same seed do not all take the same requests.
        self._rules = [_Counted(rule, random.Random(f"{rule.seed} {number}")) for number, rule in parsed]

    def clear(self) -> None:
        """Remove all rules."""
        self._rules = []

    def choose(self, target: Target, headers: Mapping[str, str]) -> InjectedFault | None:
        """Return the fault of a request that just arrived; ``FaultRefused`` for a header that holds none."""
        asked = headers.get(FAULT_HEADER)
        if asked is not None:
            return _of_header(asked, target)
        taken = [counted for counted in self._rules if counted.rule.concerns(target, headers) and counted.takes()]
        if not taken:
            return None
        taken[0].injected += 1
        return taken[0].rule.fault

    def to_json(self) -> list[dict[str, Any]]:
        """Return the rules as they were given, each with ``matched`` and ``injected``."""
        return [
            {**counted.rule.given, "matched": counted.matched, "injected": counted.injected} for counted in self._rules
        ]


def load_rules(path: Path) -> list[Mapping[str, Any]]:
    """Read a JSON file with a list of rules; ``ValueError`` names the file and what is wrong with it."""
    try:
        rules = json.loads(path.read_text(encoding="utf-8"))
        parse_rules(rules)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    return list(rules)


def parse_rules(given: Any) -> list[FaultRule]:
    """Return the rules of a JSON list; ``FaultRefused`` names the rule's number, the field and what it may hold."""
    if not isinstance(given, Sequence) or isinstance(given, str | bytes) or len(given) > MAX_RULES:
        raise FaultRefused(f"rules must be a JSON list of at most {MAX_RULES} objects")
    rules = []
    for number, rule in enumerate(given, 1):
        try:
            rules.append(_rule(rule))
        except FaultRefused as error:
            raise FaultRefused(f"rule {number}: {error}") from None
    return rules


def _rule(given: Any) -> FaultRule:
    if not isinstance(given, Mapping):
        raise FaultRefused(f"must be a JSON object, not {shown(given)}")
    fault = parse_fault({name: value for name, value in given.items() if name == "fault" or name not in _RULE_FIELDS})
    on = given.get("on")
    if on != "any" and on not in TARGETS:
        raise FaultRefused(f"on must be one of {', '.join(TARGETS)}, any; not {shown(on)}")
    targets: tuple[Target, ...] = TARGETS if on == "any" else (on,)
    for target in targets:
        check_target(fault, target)
    chosen = [name for name in ("nth", "first", "probability") if given.get(name) is not None]
    if len(chosen) > 1:
        raise FaultRefused(f"{chosen[1]} cannot stand beside {chosen[0]}: one of nth, first, probability")
    if given.get("seed") is not None and chosen != ["probability"]:
        raise FaultRefused("seed has no meaning without probability")
    return FaultRule(
        given=dict(given),
        targets=targets,
        fault=fault,
        nth=_nth(given.get("nth")),
        first=_whole(given, "first", least=1),
        probability=_probability(given.get("probability")),
        seed=_whole(given, "seed", least=0) or 0,
        headers=_headers(given.get("header")),
    )


def _nth(value: Any) -> frozenset[int] | None:
    if value is None:
        return None
    is_list = isinstance(value, list | tuple) and 0 < len(value) <= _MAX_NTH
    if not is_list or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in value):
        raise FaultRefused(f"nth must be a list of 1 to {_MAX_NTH} whole numbers from 1 on, not {shown(value)}")
    return frozenset(value)


def _whole(given: Mapping[str, Any], name: str, *, least: int) -> int | None:
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**32:
        raise FaultRefused(f"{name} must be a whole number from {least} to {2**32 - 1}, not {shown(value)}")
    return value


def _probability(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.0 <= value <= 1.0:
        raise FaultRefused(f"probability must be a number from 0 to 1, not {shown(value)}")
    return float(value)


def _headers(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for pair in value.items() for v in pair):
        raise FaultRefused(f"header must be an object of names and values, not {shown(value)}")
    return dict(value)


def _of_header(asked: str, target: Target) -> InjectedFault:
    """Return the fault that a request asks for itself."""
    try:
        given = json.loads(asked)
        if not isinstance(given, dict):
            raise FaultRefused("must be a JSON object")
        fault = parse_fault(given)
        check_target(fault, target)
    except RecursionError as error:
        raise FaultRefused(f"{FAULT_HEADER}: must be a JSON object") from error
    except ValueError as error:
        raise FaultRefused(f"{FAULT_HEADER}: {error}") from error
    return fault
