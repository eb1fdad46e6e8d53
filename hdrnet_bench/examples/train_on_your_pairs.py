"""From two folders of photographs to a trained model, its score, and enhanced pictures.

    python -m hdrnet_bench.examples.train_on_your_pairs INPUTS TARGETS NAME [--steps N]

INPUTS and TARGETS hold the same photographs before and after an edit, under the same names; NAME
(lower-case letters, digits, hyphens) is what they are called. This runs four commands, in the
current directory:

    hdrbench prepare folder --protocol NAME --input-dir INPUTS --target-dir TARGETS
    hdrbench train demo-retouch --dataset folder-NAME
    hdrbench eval RUN        on the pictures that prepare kept out, beside doing nothing
    hdrbench enhance RUN data/folder-NAME/test/input NAME-enhanced

where RUN is demo-retouch-on-folder-NAME/seed-0. Each can be stopped, run again by hand, and looked
into with --help. One in ten pictures is kept out for the score, by a hash of its name, so that a
folder of a few may give none.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from hdrnet_bench.errors import UsageError
from hdrnet_bench.examples.script import run
from hdrnet_bench.recipe import FIRST_RECIPE


def hdrbench(*arguments: str) -> None:
    """Run a command; where it fails it has said why, and this ends with its exit code."""
    print("$ hdrbench", *arguments, flush=True)
    done = subprocess.run([sys.executable, "-m", "hdrnet_bench", *arguments])
    if done.returncode:
        # Such as --overwrite, which this program has not.
        print("An option that this names is the command's: run it by hand.", file=sys.stderr)
        sys.exit(done.returncode)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Prepare, train, evaluate and enhance.")
    for name in ("inputs", "targets", "name"):
        parser.add_argument(name)
    parser.add_argument("--steps", type=int, help="of the training; by default the recipe's")
    options = parser.parse_args(argv)
    name, steps = options.name, options.steps
    if steps is not None and steps < 1:
        raise UsageError("--steps is 1 or more")
    folders = ("--input-dir", options.inputs, "--target-dir", options.targets)
    hdrbench("prepare", "folder", "--protocol", name, *folders)
    dataset = f"folder-{name}"
    settings = () if steps is None else ("--set", f"training.steps={steps}")
    hdrbench("train", FIRST_RECIPE, "--dataset", dataset, *settings)
    trained = f"{FIRST_RECIPE}-on-{dataset}/seed-0"
    hdrbench("eval", trained)
    hdrbench("enhance", trained, f"data/{dataset}/test/input", f"{name}-enhanced")


if __name__ == "__main__":
    run(main)
