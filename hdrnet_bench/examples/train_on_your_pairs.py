"""From two folders of photographs to a trained model, its score, and enhanced pictures.

    python -m hdrnet_bench.examples.train_on_your_pairs INPUTS TARGETS NAME [--steps N]

INPUTS and TARGETS hold the same photographs before and after an edit, under the same names; NAME
(lower-case letters, digits, hyphens) is what dataset and recipe are called. This runs the commands,
in the current directory:

    hdrbench prepare folder --protocol NAME --input-dir INPUTS --target-dir TARGETS
    hdrbench train NAME.yaml            the recipe, which is written here
    hdrbench eval runs/NAME/seed-0      on the pictures that prepare kept out, beside doing nothing
    hdrbench enhance runs/NAME/seed-0 data/folder-NAME/test/input NAME-enhanced

Each can be stopped, run again by hand, and looked into with --help. Where the run is there, or
another NAME.yaml, this does nothing, and says what to do by hand. One in ten pictures is kept out
for the score, by a hash of its name, so that a folder of a few may give none.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hdrnet_bench.errors import UsageError
from hdrnet_bench.examples.script import run
from hdrnet_bench.files import read_bytes
from hdrnet_bench.runs import resume_command

RECIPE = """\
name: {name}
version: 1
summary: HDRNet, the paper's network, on pairs of my own.
dataset: {{source: folder, protocol: {name}}}
model: {{variant: curves}}
training:
  steps: {steps}
  batch_size: 4
  crop: 160
  learning_rate: 3.0e-3
  warmup_steps: {warm_up}
  schedule: cosine
  gradient_clip: 1.0
  validate_every: {validate_every}
evaluation:
  metrics: [psnr, ssim, delta_e_2000]  # lpips too, where its weights can be downloaded
"""


def recipe(name: str, steps: int) -> str:
    """The recipe as YAML."""
    return RECIPE.format(
        name=name, steps=steps, warm_up=steps // 20, validate_every=max(1, steps // 10)
    )


def hdrbench(*arguments: str) -> None:
    """Run a command; where it fails it has said why, and this ends with its exit code."""
    print("$ hdrbench", *arguments, flush=True)
    done = subprocess.run([sys.executable, "-m", "hdrnet_bench", *arguments])
    if done.returncode:
        # Such as --overwrite, which this program has not.
        print("An option that this names is the command's: run it by hand.", file=sys.stderr)
        sys.exit(done.returncode)


def check_nothing_there(name: str, steps: int) -> None:
    """Raises UsageError where a run of that name, or another recipe, is there already."""
    path, directory = Path(f"{name}.yaml"), Path(f"runs/{name}/seed-0")
    if directory.exists():
        raise UsageError(
            f"{directory} is there: `{resume_command(directory, 0)}` goes on with it, and eval and "
            "enhance come after that by hand; to train anew remove it, or take another NAME"
        )
    if path.exists() and read_bytes(path) != recipe(name, steps).encode():
        raise UsageError(
            f"{path} is there, and is not what --steps {steps} gives: use it by hand (`hdrbench "
            f"train {path}`), remove it, or take another NAME"
        )


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Prepare, train, evaluate and enhance.")
    for name in ("inputs", "targets", "name"):
        parser.add_argument(name)
    parser.add_argument("--steps", type=int, default=1200)
    options = parser.parse_args(argv)
    name = options.name
    if options.steps < 1:
        raise UsageError("--steps is 1 or more")
    check_nothing_there(name, options.steps)
    folders = ("--input-dir", options.inputs, "--target-dir", options.targets)
    hdrbench("prepare", "folder", "--protocol", name, *folders)
    path = Path(f"{name}.yaml")
    if not path.exists():
        path.write_text(recipe(name, options.steps))
    hdrbench("train", str(path))
    hdrbench("eval", f"runs/{name}/seed-0")
    hdrbench("enhance", f"runs/{name}/seed-0", f"data/folder-{name}/test/input", f"{name}-enhanced")


if __name__ == "__main__":
    run(main)
