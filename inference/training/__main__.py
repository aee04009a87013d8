"""Train ``nano``: ``python -m inference.training --out out/training``.

Stages, in order: speech (speak and encode), faces (draw), probe (a check), autoencoder, decoder, unet, polish, export.
Each one keeps its state under ``--out``, and the same command continues where it stopped; ``--stage`` runs one alone.
The budget is split between the four that train; the others take some 20 minutes of one core. The committed weights
took the default budget, one thread on two busy cores.
"""

import argparse
import os
from pathlib import Path

import torch

from inference.training.pipeline import STAGES, Plan, run_stage

ASSETS = Path(__file__).parents[1] / "assets"


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m inference.training", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out/training"), help="folder of checkpoints and data (default: %(default)s)"
    )
    parser.add_argument(
        "--assets", type=Path, default=ASSETS, help="where weights and bundles are written (default: the package's own)"
    )
    parser.add_argument("--stage", choices=STAGES, help="run this stage alone (default: all of them)")
    parser.add_argument(
        "--budget-minutes", type=float, default=74.0, help="training time in all (default: %(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, default=min(2, os.cpu_count() or 1), help="of torch (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=5, help="of identities and mouths (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.budget_minutes <= 0:
        parser.error(f"--budget-minutes is {arguments.budget_minutes}, it must be above 0")
    torch.set_num_threads(arguments.threads)
    plan = Plan(arguments.out, arguments.assets, arguments.budget_minutes * 60, arguments.seed)
    for stage in [arguments.stage] if arguments.stage else STAGES:
        run_stage(stage, plan)


if __name__ == "__main__":
    main()
