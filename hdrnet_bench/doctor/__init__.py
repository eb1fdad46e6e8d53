"""What this machine can do, what goes wrong on it, and what to do about it.

Each module reads what there is (`read_…`, from the system) and says what follows (`…finding`,
from what was read alone).
"""

from __future__ import annotations

from typing import NamedTuple

from ..environment import Environment, describe, revision
from ..recipe import FIRST_RECIPE, Recipe, load_recipe
from .finding import Finding, State

__all__ = ["Examination", "Finding", "State", "examine"]


class Examination(NamedTuple):
    """findings: by the heading that they stand under."""

    environment: Environment
    versions: dict[str, str]
    findings: dict[str, list[Finding]]


def examine(recipe: Recipe | None = None, network: bool = False) -> Examination:
    """Look at this machine, for some seconds.

    Args:
        recipe: whose needs are compared with what there is; by default the first demo's.
        network: whether servers are asked as well.
    """
    import torch

    from . import gpu, native, packages, processor, space, weights
    from . import network as servers

    recipe = recipe or load_recipe(FIRST_RECIPE)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    found = packages.versions()
    dataset, needed = space.dataset_finding(recipe.dataset)
    grouped = {
        "Installation": [*packages.findings(revision(), found)],
        "Processor": [*processor.findings(processor.read_processor())],
        "GPU": [*gpu.findings(gpu.read_gpu())],
        "Native code": [*native.findings(native.read_native())],
        "Memory": [
            space.memory_finding(space.read_memory()),
            *space.training_findings(recipe, device, space.shared_free()),
        ],
        "Files": [
            *(
                space.folder_finding(folder, needed if folder.what == "data" else 0)
                for folder in space.read_folders()
            ),
            dataset,
            *weights.findings(),
        ],
        "Extras": [*packages.extra_findings(torch.version.cuda)],
    }
    if network:
        targets = servers.servers()
        grouped["Network"] = [*servers.findings(targets, servers.ask(targets))]
    return Examination(describe(), found, grouped)
