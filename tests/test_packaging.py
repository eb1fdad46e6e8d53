"""Wheel and sdist hold what they should and no more; what is installed works anywhere; the version,
the changelog, the hooks and the public names are what they are said to be."""

import ast
import email
import itertools
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from packaging.version import Version

import hdrnet_bench
from tests.conftest import ROOT, clean_environment

COPIED = (".ci", "hdrnet_bench", "manifests", "pretrained", "recipes", "results", "tests")
# What a user's own results have beside those that are committed.
PRIVATE = (
    "report-private.html",
    "report-private.json",
    "fivek-expert-c/hdrnet-curves/seed-0/pictures/test-full/a0001-output.webp",
    "pictures/fivek-libraw-0123456789ab/test-full/a0001-input.webp",
    "demo-retouch/hdrnet-curves/seed-0/pictures/test-480p/coffee-output.webp",
    "demo-retouch-on-fivek-libraw/hdrnet-curves/seed-0/pictures/test-full/coffee-output.webp",
)
# What a model does not need that is loaded and applied to a tensor.
REST = (
    *(
        "datasets",
        "distributed",
        "huggingface_hub",
        "imagecodecs",
        "jinja2",
        "lpips",
        "matplotlib",
        "onnx",
        "pandas",
    ),
    *("PIL", "pyarrow", "rawpy", "rich", "scipy", "simplejpeg", "skimage", "tensorboard"),
    *("tifffile", "torchvision", "typer"),
)


class Built(NamedTuple):
    sdist: Path
    wheel: Path


def run(command: Sequence[str | Path], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to build from: setuptools writes its build/ and egg-info beside the sources. With
    pictures in it that are nobody's to pass on, as a user's own results have."""
    copy = tmp_path_factory.mktemp("sources") / "source"
    ignore = shutil.ignore_patterns("__pycache__", "*.so")
    for name in COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=ignore)
    for path in (path for path in ROOT.iterdir() if path.is_file()):
        shutil.copy(path, copy / path.name)
    for name in PRIVATE:
        (copy / "results" / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / "results" / name).write_text("private")
    (copy / "hdrnet_bench" / "slicing" / "_native.old.so").write_text("of another build")
    return copy


@pytest.fixture(scope="module")
def built(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """As `make dist` builds them: the wheel from the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, sources]
    run(command, sources, clean_environment())
    return Built(next(folder.glob("*.tar.gz")), next(folder.glob("*.whl")))


@pytest.fixture(scope="module")
def unpacked(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    with tarfile.open(built.sdist) as archive:
        archive.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return top


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment's folder of programs: the wheel, and the other packages as they are here."""
    folder = tmp_path_factory.mktemp("installed")
    run([sys.executable, "-m", "venv", "--without-pip", folder], folder, clean_environment())
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    run([*pip, "--no-index", built.wheel], folder, clean_environment())
    (site,) = folder.glob("lib/*/site-packages")
    # A path and no more: .pth files of that folder, an editable installation's, are not read.
    (site / "others.pth").write_text(str(Path(pytest.__file__).parents[1]))
    return folder / "bin"


def listed(top: Path, folder: str, *patterns: str) -> set[str]:
    """Files below a folder of a project, as paths from its top."""
    found = {path for pattern in patterns for path in (top / folder).rglob(pattern)}
    return {path.relative_to(top).as_posix() for path in found if path.is_file()}


def test_wheel_holds_code_recipes_locks_and_templates(sources: Path, built: Built) -> None:
    names = set(zipfile.ZipFile(built.wheel).namelist())
    shipped = {
        f"hdrnet_bench/shipped/{name}"
        for name in listed(sources, "recipes", "*.yaml", "*.lua")
        | listed(sources, "manifests", "*.json", "*.jsonl")
        | listed(sources, "pretrained", "models.yaml", "*/*")
        | listed(sources, "results/published", "*.csv")
    }
    assert "hdrnet_bench/shipped/pretrained/demo-retouch/model.safetensors" in names
    assert shipped <= names
    assert listed(sources, "hdrnet_bench", "*.py", "*.cu", "*.h", "py.typed") <= names
    for package in ("report", "web"):
        templates = listed(sources, f"hdrnet_bench/{package}/templates", "*")
        assert templates
        assert templates <= names
    native = [name for name in names if name.startswith("hdrnet_bench/slicing/_native")]
    assert len(native) == bool(shutil.which("g++") or shutil.which("clang++"))
    assert {name.split("/")[0] for name in names} == {
        "hdrnet_bench",
        f"hdrnet_bench-{hdrnet_bench.__version__}.dist-info",
    }
    assert not any(name.endswith((".cpp", ".jpg", ".html")) for name in names)
    # Of a model its card goes with it, which says what it is for.
    pages = {name for name in names if name.endswith(".md")}
    assert all(re.fullmatch(r".*/shipped/pretrained/[^/]+/README\.md", name) for name in pages)


def test_sdist_holds_what_the_tests_need_and_nothing_private(sources: Path, unpacked: Path) -> None:
    names = listed(unpacked, ".", "*")
    whole = [listed(sources, name, "*") for name in COPIED[1:5]]
    assert {name for name in set.union(*whole) if not name.endswith(".so")} <= names
    kept = ("*.py", "*.lua", "*.md", "*.npz", "*.cpp", "*.cu", "*.h")
    assert listed(sources, "tests", *kept) <= names
    private = {f"results/{name}" for name in PRIVATE}
    assert listed(sources, "results", "*.csv", "*.json", "*.md", "*.tex") - private <= names
    assert listed(sources, "results/figures", "*") <= names
    assert {"CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "MANIFEST.in"} <= names
    assert {"Makefile", "README.md", "pyproject.toml", ".pre-commit-config.yaml"} <= names

    assert all((sources / name).exists() for name in private)
    assert not private & names
    assert not [name for name in names if name.endswith((".so", ".pyc"))]
    assert not {name.split("/")[0] for name in names} & {"build", "data", "runs", ".git", ".venv"}


@pytest.mark.skipif(not (ROOT / ".git").exists() or not shutil.which("git"), reason="no checkout")
def test_sdist_holds_what_git_knows(sources: Path, unpacked: Path) -> None:
    """All of that, and besides only what setuptools writes."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    known = set(run(command, ROOT, clean_environment()).split("\0"))
    known = {name for name in known if (sources / name).is_file()}
    names = listed(unpacked, ".", "*")
    assert not known - names
    written = ("PKG-INFO", "setup.cfg", "hdrnet_bench.egg-info/")
    assert not {name for name in names - known if not name.startswith(written)}


# Some of every kind: of the text of the sources, of what comes along, of results, of arithmetic.
REPRESENTATIVE = ("test_cleaning", "test_color", "test_results", "data/test_manifest")


def test_tests_run_where_the_sdist_is_unpacked(unpacked: Path) -> None:
    environment = clean_environment() | {"PYTHONPATH": str(unpacked)}
    where = run([sys.executable, "-c", "import tests, hdrnet_bench as h; print(h.__file__)"],
                unpacked, environment)  # fmt: skip
    assert Path(where.strip()).is_relative_to(unpacked)
    files = [f"tests/{name}.py" for name in REPRESENTATIVE]
    said = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files],
               unpacked, environment)  # fmt: skip
    assert re.search(r"^\d{2,} passed", said.splitlines()[-1]), said


def test_without_a_compiler_it_installs_and_says_so(unpacked: Path, tmp_path: Path) -> None:
    environment = clean_environment() | {"CC": "/bin/false", "CXX": "/bin/false"}
    copy = tmp_path / "source"
    shutil.copytree(unpacked, copy, ignore=shutil.ignore_patterns("build", "results"))
    shutil.copytree(unpacked / "results/published", copy / "results/published")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    run([*pip, "--wheel-dir", tmp_path, copy], tmp_path, environment)
    (wheel,) = tmp_path.glob("*.whl")
    assert not any("_native" in name for name in zipfile.ZipFile(wheel).namelist())
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    done = subprocess.run(
        [sys.executable, "-m", "hdrnet_bench", "doctor", "--json"],
        cwd=tmp_path,
        env=clean_environment() | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "install a C++ compiler" in done.stdout
    assert done.stderr.count("slicing is slow here") == 1


def test_installed_tool_works_elsewhere(installed: Path, tmp_path: Path) -> None:
    def hdrbench(*arguments: str) -> str:
        return run([installed / "hdrbench", *arguments], tmp_path, clean_environment())

    where = run([installed / "python", "-c", "import hdrnet_bench as h; print(h.__file__)"],
                tmp_path, clean_environment())  # fmt: skip
    assert Path(where.strip()).is_relative_to(installed.parent)
    assert hdrbench("--version").strip() == hdrnet_bench.__version__
    assert "compare-datasets" in hdrbench("--help")
    assert "demo-retouch" in hdrbench("recipes")
    hdrbench("protocols", "--lightroom", ".")
    assert listed(tmp_path, ".", "*.lua") == listed(ROOT / "recipes/lightroom", ".", "*.lua")
    hdrbench("export", "demo-retouch", "--format", "torch", "--dry-run")
    hdrbench("prepare", "demo")
    assert "lock identical" in hdrbench("verify", "demo-retouch")


ADVICE = """
from hdrnet_bench import environment, install
from hdrnet_bench.doctor.packages import EXTRAS
print(*map(install.install_advice, EXTRAS), install.repeat_advice(), sep="\\n")
print(environment.revision())
"""


def test_what_an_installed_tool_advises_works_there(installed: Path, tmp_path: Path) -> None:
    """It is on no index, and has no Makefile."""
    *lines, again, revision = run(
        [installed / "python", "-c", ADVICE], tmp_path, clean_environment()
    ).splitlines()
    assert len(lines) == 5
    for line in lines:
        assert re.fullmatch(r"`\S*(pip|python -m pip) install [^`]+`", line)
        assert "hdrnet-bench" not in line
        assert str(ROOT) not in line.replace(str(Path(sys.executable).parent), "")
    assert "'onnx>=1.17' 'onnxruntime>=1.20'" in lines[0]
    assert again == "install hdrnet-bench again"
    assert "an installed package, no checkout" in revision
    said = run([installed / "hdrbench", "doctor"], tmp_path, clean_environment())
    assert "an installed package, no checkout: its version says what it is" in said
    assert "commit" not in said
    assert not re.search(r"`make |hdrnet-bench\[", said)


def test_no_message_names_what_only_sources_have() -> None:
    """A target of the Makefile, or an extra of a package that no index has."""
    package = ROOT / "hdrnet_bench"
    found = set()
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documentation = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                names = re.search(r"`make [a-z]|hdrnet-bench\[|\.venv", node.value)
                if names and id(node) not in documentation:
                    found.add(path.relative_to(package).as_posix())
    assert not found


def test_the_version_is_one(built: Built) -> None:
    version = hdrnet_bench.__version__
    with zipfile.ZipFile(built.wheel) as archive:
        text = archive.read(f"hdrnet_bench-{version}.dist-info/METADATA").decode()
    metadata = email.message_from_string(text)
    assert metadata["Version"] == version
    assert built.sdist.name == f"hdrnet_bench-{version}.tar.gz"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])


def released_versions(changelog: str) -> list[Version]:
    """Of the headings `## [1.2.0] - 2017-07-30`, from top to bottom; the first is [Unreleased]."""
    headings = re.findall(r"^## (.*)$", changelog, re.MULTILINE)
    assert headings[0] == "[Unreleased]"
    pattern = r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}"
    matches = [re.fullmatch(pattern, heading) for heading in headings[1:]]
    assert all(matches), headings
    return [Version(match[1]) for match in matches if match]


def fits(released: list[Version], version: Version) -> bool:
    """Newest first, none twice; the package's version is the newest, or that being worked on."""
    falling = all(newer > older for newer, older in itertools.pairwise(released))
    return falling and all(v <= version for v in released)


def test_the_changelog_knows_the_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert fits(released_versions(text), Version(hdrnet_bench.__version__))
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize(
    ("released", "version", "expected"),
    [
        ([], "0.1.0", True),
        (["0.1.0"], "0.1.0", True),
        (["0.1.0"], "0.2.0", True),
        (["0.10.0", "0.9.0"], "0.10.0", True),
        (["0.2.0"], "0.1.0", False),  # released without raising the version
        (["0.1.0", "0.2.0"], "0.2.0", False),
        (["0.1.0", "0.1.0"], "0.1.0", False),
    ],
)
def test_which_headings_fit_a_version(released: list[str], version: str, expected: bool) -> None:
    headings = "".join(f"## [{v}] - 2017-07-30\n" for v in released)
    found = released_versions(f"# Changelog\n## [Unreleased]\n{headings}")
    assert fits(found, Version(version)) == expected


def test_the_hooks_run_what_make_lint_runs() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert recipe
    lines = [line.strip().replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    assert [hook["entry"] for hook in hooks] == lines
    for hook in hooks:  # on the whole project, whatever was changed
        assert hook["language"] == "system"
        assert hook["pass_filenames"] is False
        assert hook["always_run"] is True


def test_public_names_are_listed_and_there() -> None:
    assert dir(hdrnet_bench) == sorted(hdrnet_bench.__all__)
    for name in hdrnet_bench.__all__:
        assert getattr(hdrnet_bench, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'load_modell'"):
        _ = hdrnet_bench.load_modell


SCRIPT = """
import sys
import hdrnet_bench
assert not {"torch", "numpy", "pydantic"} & set(sys.modules)

import torch
before = set(sys.modules)
from pathlib import Path
from hdrnet_bench import HDRNet, HDRNetConfig, load_model
from hdrnet_bench.model import save_model
from hdrnet_bench.model.file import ModelHeader

config = HDRNetConfig(net_input_size=16, spatial_bin=4, luma_bins=2)
save_model(Path("m.safetensors"), HDRNet(config), ModelHeader(config=config))
# torch's compiler, more than a second to import
assert "torch._dynamo" not in sys.modules
output = load_model("m.safetensors").enhance(torch.zeros(3, 24, 32))
assert output.shape == (3, 24, 32)
print(*sorted(set(sys.modules) - before))
"""


def test_a_model_is_loaded_without_the_rest(tmp_path: Path) -> None:
    """Of what the package needs, a model that is loaded and applied imports little beside torch."""
    loaded = run([sys.executable, "-c", SCRIPT], tmp_path, clean_environment()).split()
    assert "hdrnet_bench.model.hdrnet" in loaded
    assert not set(REST) & {name.split(".")[0] for name in loaded}
    # Nor does loading import the compiler, as torch does where shapes are computed without memory.
    assert not {"torch._dynamo", "sympy"} & set(loaded)
