"""Fixtures: small real data, made once, in temporary places; no test writes a tracked file."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pytest
import yaml
from hypothesis import settings

from hdrnet_bench import stopping
from hdrnet_bench.images.pixels import quantise
from hdrnet_bench.prepare.build import PreparedPair, build
from hdrnet_bench.prepare.operators import OPERATORS
from hdrnet_bench.prepare.schedule import Pool, processes
from hdrnet_bench.prepare.staging import Plan, Task
from tests import faults

ROOT = Path(__file__).parent.parent
FAULTS_TABLE = Path(__file__).parent / "README.md"
GOLDEN = Path(__file__).parent / "golden"

# Where the tests run in a shell's background, SIGINT is ignored, and so would every process that is
# started here; the commands are tried as a terminal starts them.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# On a shared machine a deadline fails by chance. All else stays as Hypothesis has it, which has a
# profile of its own, derandomised, where CI is set.
settings.register_profile("without-deadline", deadline=None)
settings.load_profile("without-deadline")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", choices=("check", "write"), help="Of the table in tests/README.md")


def pytest_configure(config: pytest.Config) -> None:
    wanted = config.getoption("--faults")
    if wanted and not hasattr(config, "workerinput"):
        config.pluginmanager.register(faults.Count(FAULTS_TABLE, wanted == "write"))


# Files whose tests take longest begin first, so that no worker is left with one of them at the end.
LONGEST = (
    *("timing/test_network.py", "training/test_stopping.py", "training/test_resume.py"),
    *("slicing/test_cuda_machine_code.py", "test_packaging.py", "cli/test_streams.py"),
    *("evaluation/test_faults.py", "training/test_distributed.py", "model/test_export.py"),
    *("slicing/test_cuda_kernels.py", "prepare/test_stopping.py", "enhance/test_run.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    faults.mark(items)
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.relative_to(here).as_posix() not in LONGEST)


def smooth_picture(seed: int, height: int, width: int) -> np.ndarray:
    """A colourful picture with structure at several scales: (H, W, 3) uint8."""
    return _smooth_picture(seed, height, width).copy()


@functools.lru_cache(64)
def _smooth_picture(seed: int, height: int, width: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width] / 40.0
    waves = [
        np.sin(random.uniform(0.2, 2) * x + random.uniform(0.2, 2) * y + random.uniform(0, 6))
        for _ in range(9)
    ]
    planar = np.stack([sum(waves[c::3]) / 6 + 0.5 for c in range(3)])
    return quantise(planar + random.normal(0, 0.02, planar.shape))


def make_tiny(payload: tuple[int, int, int]) -> PreparedPair:
    """Maker of the tiny dataset: a seeded picture and its retouch."""
    picture = smooth_picture(*payload)
    planar = picture.transpose(2, 0, 1) / 255.0
    return PreparedPair(
        picture, quantise(OPERATORS["retouch"].apply(planar)), ["made"], ["0" * 64], "CC0-1.0", {}
    )


TINY = [
    Task("a", "train", (1, 60, 72)),
    Task("b", "train", (2, 64, 56)),
    Task("c", "validation", (3, 58, 58)),
    Task("d", "test", (4, 66, 50)),
    Task("e", "test", (5, 50, 61)),
]

TINY_RECIPE: dict[str, Any] = {
    "name": "tiny",
    "version": 1,
    "summary": "a network and pictures small enough for a test",
    "dataset": {"source": "demo", "protocol": "tiny"},
    "model": {"net_input_size": 32, "spatial_bin": 4, "luma_bins": 4},
    "training": {
        "steps": 6,
        "batch_size": 2,
        "crop": 32,
        "learning_rate": 0.003,
        "validate_every": 3,
    },
    "evaluation": {
        "metrics": ["psnr", "ssim", "delta_e_76", "delta_e_2000"],
        "resolutions": [[64, 48], [96, 64]],
    },
}


def tiny_plan() -> Plan:
    return Plan("demo-tiny", "demo", "tiny", 1, "CC0-1.0", {"made": "by a test"})


class Workspace(NamedTuple):
    """A directory with data/, and a way to run the command there."""

    path: Path

    def run(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command in this process (importing torch anew each time takes seconds)."""
        from hdrnet_bench.cli.app import main

        out, err = io.StringIO(), io.StringIO()
        code: Any = 0
        handlers = {number: signal.getsignal(number) for number in stopping.SIGNALS}
        with (
            mock.patch.dict(os.environ, dict(env or {})),
            mock.patch.object(sys, "argv", ["hdrbench", *arguments]),
            contextlib.chdir(self.path),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as exit_:
                code = exit_.code or 0
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    def process(self, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run the command as a process of its own. options: of subprocess.run, as stdout."""
        usual: dict[str, Any] = {"timeout": 300, "env": clean_environment()}
        usual |= dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        return subprocess.run(
            [sys.executable, "-m", "hdrnet_bench", *arguments],
            cwd=self.path,
            text=True,
            **(usual | options),
        )

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def fails(self, code: int, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Run, expect that exit code and one clear line; the line."""
        done = self.run(*arguments, env=env)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        lines = [line for line in done.stderr.splitlines() if line.startswith("hdrbench: ")]
        assert len(lines) == 1, done.stderr
        return lines[0]


def whole_files(folder: Path, pattern: str) -> list[Path]:
    """The files of a pattern, without those that are still being written (or never were ended,
    where the process was killed)."""
    return [path for path in folder.glob(pattern) if not path.name.startswith(".tmp-")]


def wait_for_files(process: subprocess.Popen, folder: Path, pattern: str, count: int) -> None:
    """Until a running process has written so many files, so that it can be ended in mid-work."""
    deadline = time.monotonic() + 60
    while len(whole_files(folder, pattern)) < count:
        assert time.monotonic() < deadline, "the process did not start its work"
        assert process.poll() is None, "the process ended before it could be stopped"
        time.sleep(0.01)


def no_network(workspace: Workspace) -> dict[str, str]:
    """What keeps LPIPS from looking for its weights, here and anywhere: a proxy that refuses."""
    proxy = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return {"TORCH_HOME": str(workspace.path / "hub"), **proxy}


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HDRBENCH_")}


@pytest.fixture(autouse=True)
def _no_user_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own HDRBENCH_ variables do not reach the tests."""
    for name in list(os.environ):
        if name.startswith("HDRBENCH_"):
            monkeypatch.delenv(name)


@contextlib.contextmanager
def in_a_thread(pairs: int) -> Iterator[Pool]:
    """Makes pairs without the seconds that a process takes to start."""
    with ThreadPoolExecutor(1) as executor:
        yield Pool(executor, 1)


@pytest.fixture
def prepares_in_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """So do the commands of a test, of what is prepared and not of the processes that do it."""
    monkeypatch.setattr(
        "hdrnet_bench.prepare.build.processes", lambda workers, pairs: in_a_thread(pairs)
    )


@pytest.fixture
def prepares_in_processes(prepares_in_a_thread: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As users have it all the same, in a file whose other tests prepare in a thread: what a source
    hands to processes can be handed to them, and what they make comes back."""
    monkeypatch.setattr("hdrnet_bench.prepare.build.processes", processes)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An empty directory, also the test's current one."""
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path)


@pytest.fixture(scope="session")
def tiny_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny dataset has been prepared once, for tests that get a copy."""
    path = tmp_path_factory.mktemp("tiny")
    build(tiny_plan(), TINY, make_tiny, path / "data", open_pool=in_a_thread)
    write_recipe(path / "tiny.yaml")
    return path


@pytest.fixture
def tiny(tiny_directory: Path, workspace: Workspace) -> Workspace:
    """A workspace with the tiny dataset prepared and its recipe as tiny.yaml."""
    shutil.copytree(tiny_directory, workspace.path, dirs_exist_ok=True)
    return workspace


@pytest.fixture(scope="session")
def trained_directory(tiny_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tiny recipe has been trained once, for tests that only read it."""
    path = tmp_path_factory.mktemp("trained")
    shutil.copytree(tiny_directory, path, dirs_exist_ok=True)
    done = Workspace(path).process("train", "tiny.yaml")
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def trained(trained_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace of its own with data and the trained run of the tiny recipe."""
    shutil.copytree(trained_directory, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path)


def write_recipe(
    path: Path, change: Callable[[dict[str, Any]], None] = lambda recipe: None
) -> None:
    """The tiny recipe, changed by `change`, as YAML."""
    recipe = copy.deepcopy(TINY_RECIPE)
    change(recipe)
    path.write_text(yaml.safe_dump(recipe))
