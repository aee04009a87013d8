"""Train ``nano``: ``python -m inference.training --out out/training``.

Stages, in order: speech (speak and encode), faces (draw), probe (a check), autoencoder, decoder, unet, polish, export.
Each one keeps its state under ``--out``, and the same command continues where it stopped; ``--stage`` runs one alone.
What is spoken and what is drawn have folders of their own, named by their content: a change of either gets a new folder
beside the former one. The budget is split between the four that train; the others take some 20 minutes of one core.
With ``--from`` the autoencoder is kept and its share goes to the others. ``config.json`` of the weights says how they
came about.
"""

import argparse
import os
from pathlib import Path

from inference.cpu import tune
from inference.training.pipeline import STAGES, Plan, run_stage
from inference.training.runs import Start
from inference.weights import UNET_FILE

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
        "--from",
        dest="start",
        type=Path,
        metavar="WEIGHTS",
        help="start the networks from this folder of weights, such as inference/assets/nano, instead of from noise: for"
        " a new avatar or new drawings, in a fraction of the time; a network with a checkpoint goes on from that",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="of torch; on cores that others use too, more than one makes each step wait (default: %(default)s)",
    )
    parser.add_argument(
        "--processes",
        type=int,
        default=min(4, os.cpu_count() or 1),
        help="that draw the faces (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=5, help="of identities and mouths (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.budget_minutes <= 0:
        parser.error(f"--budget-minutes is {arguments.budget_minutes}, it must be above 0")
    if arguments.start is not None and not (arguments.start / UNET_FILE).is_file():
        parser.error(f"--from {arguments.start}: no {UNET_FILE} there; name a folder such as inference/assets/nano")
    tune(arguments.threads)
    start = None if arguments.start is None else Start(arguments.start)
    budget_s = arguments.budget_minutes * 60
    plan = Plan(arguments.out, arguments.assets, budget_s, arguments.seed, arguments.processes, start)
    for stage in [arguments.stage] if arguments.stage else STAGES:
        run_stage(stage, plan)


if __name__ == "__main__":
    main()
