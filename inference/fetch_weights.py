"""Fetch MuseTalk's published weights and make a weights folder of them: ``python -m inference.fetch_weights``."""

import argparse
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from inference.checkpoints.convert import SPARE_BYTES, check_target, convert
from inference.checkpoints.download import AGAIN, Downloads, Facts, Patience
from inference.checkpoints.layout import VERSIONS
from inference.checkpoints.manifest import PublishedFile, published_files
from inference.config import ModelConfig
from inference.convert_weights import report
from inference.weights import WeightsError

HUB = "https://huggingface.co"
ENDPOINT_VARIABLE = "HF_ENDPOINT"  # the name that users of the hub know
PATIENCE = Patience()
EXAMPLE = """
example:
  python -m inference.fetch_weights weights/v15 --version v15 --taesd
  MUSETALK_MODEL_DIR=weights/v15 avatar-service triton

About 3.9 GB are fetched into TARGET.download, checked against recorded checksums, made into TARGET and deleted;
for a while this takes 7.8 GB of disk. A download that was broken off goes on where it stopped.
"""


def main(arguments: list[str] | None = None) -> int:
    """Fetch and convert; exits with 1 after one line that names file, fault and way out."""
    options = _parser().parse_args(arguments)
    endpoint = options.endpoint or os.environ.get(ENDPOINT_VARIABLE) or HUB
    console = Console(soft_wrap=True, highlight=False)
    try:
        files = published_files(options.version, options.taesd)
        config = VERSIONS[options.version]
        fetch(options.target, files, config, Downloads(endpoint, PATIENCE), console, options.half, options.force)
    except (WeightsError, OSError) as error:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"error: {error}", markup=False)
        return 1
    except KeyboardInterrupt:
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"stopped; {AGAIN}")
        return 130
    console.print(f"{options.target} is ready: MUSETALK_MODEL_DIR={options.target}", markup=False)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m inference.fetch_weights",
        description="Fetch MuseTalk's published weights and make a weights folder of them.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", type=Path, metavar="TARGET", help="the weights folder to write")
    parser.add_argument("--version", choices=tuple(VERSIONS), required=True, help="which of MuseTalk's models")
    parser.add_argument("--endpoint", metavar="URL", help=f"a mirror of the hub; else ${ENDPOINT_VARIABLE}, else {HUB}")
    parser.add_argument("--taesd", action="store_true", help="also the tiny decoder, 10 MB: faster, less sharp")
    parser.add_argument("--half", action="store_true", help="store fp16: half the size; published precision otherwise")
    parser.add_argument("--force", action="store_true", help="replace a weights folder that is there")
    return parser


def fetch(
    target: Path,
    files: Sequence[PublishedFile],
    config: ModelConfig,
    downloads: Downloads,
    console: Console,
    half: bool = False,
    force: bool = False,
) -> None:
    """Fetch the files beside ``target``, convert them and delete them.

    What was fetched stays there after a failure, for the next run. Raises WeightsError.
    """
    check_target(target, force)
    models = target.with_name(f"{target.name}.download")
    with downloads:
        facts = {file: downloads.facts(file) for file in files}
        _check_space(target, models, facts, half)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
            for file in files:
                task = progress.add_task(file.path, total=facts[file].size)
                show = partial(_show, progress, task)
                downloads.fetch(file, facts[file], models / file.path, show)
    convert(models, target, config, half, force, lambda converted: report(console, converted))
    shutil.rmtree(models)


def _show(progress: Progress, task: TaskID, done: int) -> None:
    progress.update(task, completed=done)


def _check_space(target: Path, models: Path, facts: Mapping[PublishedFile, Facts], half: bool) -> None:
    """The disk holds what is still to be fetched and what it is made into."""
    total = sum(fact.size or 0 for fact in facts.values())
    there = sum(path.stat().st_size for path in models.rglob("*") if path.is_file())
    needed = max(total - there, 0) + total // (2 if half else 1) + SPARE_BYTES
    folder = next(parent for parent in target.absolute().parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise WeightsError(f"{target}: needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free there; make room")


if __name__ == "__main__":
    sys.exit(main())
