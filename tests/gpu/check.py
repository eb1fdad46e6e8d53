"""The checks that need a GPU, part after part, and what a machine without a package index needs.

`make gpu-check` and `make gpu-pack` call it. A machine with a GPU may be had for a short time only:
each part has a limit, and what it found is in OUT as soon as it is known. Only the standard library
is imported, so that any Python from 3.11 on can start it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
GRACE_S = 5.0  # for pytest and the sanitizer to say what they had found
TIMED_OUT = 124  # as of timeout(1)
NOT_FOUND = 127  # as of a shell
TAIL_LINES = 15


class Part(NamedTuple):
    """Commands that are run one after the other, all of them, whatever comes of one."""

    limit_s: float
    commands: Sequence[Sequence[str]]
    apart: bool = False  # each command gets its share of the time; what one leaves goes to the next
    tool: str = ""  # without it the part is not run,
    optional: bool = False  # which is no failure here
    variables: Mapping[str, str] = {}
    results: str = "results"  # the folder in results.tgz


PYTHON = sys.executable
HDRBENCH = (PYTHON, "-m", "hdrnet_bench")
PYTEST = (PYTHON, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider")
TESTS = (*PYTEST, "-v", "--durations=10", "-o", "faulthandler_timeout=120")
TIMING_TESTS = "tests/gpu/test_gpu_timing.py"
VERSIONS = """
import importlib.metadata as m, sys, torch
print("Python", sys.version)
print("torch", torch.__version__, "for CUDA", torch.version.cuda)
for name in ("triton", "cuda-core", "cuda-bindings", "nvidia-ml-py", "numpy", "pytest"):
    try:
        print(name, m.version(name))
    except m.PackageNotFoundError:
        print(name, "not there")
for i in range(torch.cuda.device_count()):
    print(torch.cuda.get_device_properties(i))
"""
DEVICE = """
import torch
raise SystemExit(None if torch.cuda.is_available() else "torch sees no CUDA device")
"""
# Each kernel at the size of a photograph, twice: the two counts say how steady they are.
ONE_OF_EACH = """
import torch
from hdrnet_bench import HDRNet
from hdrnet_bench.slicing import bilateral_slice_apply
model = HDRNet().eval().cuda()
image = torch.rand(1, 3, 3000, 4000, device="cuda")
grid = torch.randn(1, 12, 8, 16, 16, device="cuda")
guide = torch.rand(1, 3000, 4000, device="cuda")
for _ in range(2):
    for picture in (image, image.half(), (image * 255).byte()):
        model.enhance(picture)
    leaves = [t.clone().requires_grad_() for t in (grid, guide, image)]
    bilateral_slice_apply(*leaves, backend="native").sum().backward()
    model.guides[0](leaves[2], "native").sum().backward()
torch.cuda.synchronize()
"""
KERNELS = ("slice_", "curves_", "enhance_", "area_")
COUNTERS = (
    "gpu__time_duration.sum",
    "dram__bytes.sum.per_second",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed",
    "sm__warps_active.avg.pct_of_peak_sustained_active",
    "smsp__inst_executed.sum",
    "launch__registers_per_thread",
    "l1tex__data_bank_conflicts_pipe_lsu.sum",
)
# Every kernel on small pictures: the sanitizer makes each some hundred times slower.
SANITIZED = "tests/gpu/test_every_kernel.py"
SANITIZER = os.environ.get("SANITIZER") or "compute-sanitizer"
ONLY_OURS = tuple(word for kernel in KERNELS for word in ("--kernel-regex", f"kns={kernel}"))
COUNTED = ("-k", "regex:" + "|".join(KERNELS), "--metrics", ",".join(COUNTERS))
TIME = (*HDRBENCH, "time", "--device", "cuda")
NETWORK = (*TIME, "--save", "--budget", "1")
BACKENDS = ("--backend", "native", "--backend", "reference", "--backend", "compiled")
CUDA = ("--device", "cuda", "--overwrite")
TRAIN = (*HDRBENCH, "train", "demo-retouch", *CUDA, "--set", "training.steps=200")

PARTS: dict[str, Part] = {
    "look": Part(90, [("nvidia-smi",), (PYTHON, "-c", VERSIONS), (*HDRBENCH, "doctor")]),
    "test": Part(300, [(*TESTS, "tests/gpu", f"--ignore={TIMING_TESTS}")]),
    "timing": Part(180, [(*TESTS, TIMING_TESTS)]),
    "kernels": Part(240, [(*TIME, "--kernels", "--compile", "--save")]),
    "network": Part(
        300,
        [(*NETWORK, "--dtype", "float16", "--dtype", "uint8"), (*NETWORK, *BACKENDS)],
        apart=True,
    ),
    "training": Part(120, [(*TIME, "--training", "--save")]),
    "train": Part(
        240,
        [
            (*HDRBENCH, "prepare", "demo"),
            (*TRAIN, "--run", "float32"),
            (*TRAIN, "--run", "bfloat16", "--set", "training.precision=bfloat16"),
            (*HDRBENCH, "eval", "demo-retouch/float32", "--size", "full", *CUDA),
            (*HDRBENCH, "eval", "demo-retouch/bfloat16", "--size", "full", *CUDA),
        ],
        results="of-short-runs",  # nothing to put beside what is committed
    ),
    "sanitize": Part(
        320,
        [
            (SANITIZER, *tool, "--error-exitcode=1", *PYTEST, SANITIZED)
            for tool in (
                # The calls that fail are cuda-bindings', which asks for functions of any driver.
                ("--tool", "memcheck", "--report-api-errors=no", *ONLY_OURS),
                ("--tool", "racecheck", *ONLY_OURS),
                ("--tool", "synccheck", *ONLY_OURS),
                # It must see torch's kernels write what ours read.
                ("--tool", "initcheck"),
            )
        ],
        apart=True,
        tool=SANITIZER,
        # Each tensor its own allocation, so that a step past its end is seen.
        variables={"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
    ),
    "counters": Part(
        120,
        [("ncu", "--clock-control", "none", "--csv", *COUNTED, PYTHON, "-c", ONE_OF_EACH)],
        tool="ncu",
        optional=True,
    ),
}


# Running parts.


def run_parts(
    names: Sequence[str],
    parts: Mapping[str, Part],
    out: Path,
    work: Path,
    limit_s: float | None = None,
    variables: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """Run them in order; in `out` a log of each as it comes, after each summary.json, and after
    each command results.tgz.

    Returns what summary.json says of each: "passed", "failed", "timed out" or "not run".
    """
    ends = time.monotonic() + (float("inf") if limit_s is None else limit_s)
    # What other parts found in an earlier call stays.
    logs = work / "kept" / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    for name in names:
        (out / f"{name}.txt").unlink(missing_ok=True)
        (logs / f"{name}.txt").unlink(missing_ok=True)
    rows: list[dict[str, Any]] = []
    for name in names:
        part = parts[name]
        row: dict[str, Any] = {"part": name, "verdict": "running", "limit_s": part.limit_s}
        rows.append(row)
        write_summary(out, rows)
        began = time.monotonic()
        try:
            row |= run_part(name, part, out, work, ends, variables or {})
        except BaseException:
            row |= {"verdict": "interrupted", "rc": None}
            raise
        finally:
            row["seconds"] = round(time.monotonic() - began, 1)
            keep(name, out, work)
            write_summary(out, rows)
        print(line(row), flush=True)
    return rows


def run_part(
    name: str, part: Part, out: Path, work: Path, ends: float, variables: Mapping[str, str]
) -> dict[str, Any]:
    """Run its commands, their output into a log as it comes; rc is of the first that failed."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("HDRBENCH_")}
    tools = Path(own.get("CUDA_HOME", "/usr/local/cuda")) / "bin"
    environment = own | {
        "PATH": f"{own.get('PATH', os.defpath)}{os.pathsep}{tools}",
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "160",
        "HDRBENCH_DATA": str(work / "data"),
        "HDRBENCH_RUNS": str(work / "runs"),
        "HDRBENCH_CACHE": str(work / "cache"),
        "HDRBENCH_RESULTS": str(work / "kept" / part.results),
        **variables,
        **part.variables,
    }
    if part.tool and not shutil.which(part.tool, path=environment["PATH"]):
        # An absent sanitizer leaves open what the check is for; an absent profiler does not.
        row = {"verdict": "not run", "rc": 0 if part.optional else NOT_FOUND}
        return row | {"why": f"no {part.tool} in PATH"}
    end = min(ends, time.monotonic() + part.limit_s)
    if end <= time.monotonic():
        return {"verdict": "not run", "rc": TIMED_OUT, "why": "no time left"}
    codes = []
    log = out / f"{name}.txt"
    with log.open("w") as stream:
        for index, command in enumerate(part.commands):
            left = end - time.monotonic()
            share = left / (len(part.commands) - index) if part.apart else left
            words = ("…" if "\n" in word else word for word in command)
            title = " ".join(words).replace(PYTHON, "python")
            print(f"$ {title}", file=stream, flush=True)
            before = log.stat().st_size
            code = run_command(command, stream.fileno(), environment, share)
            codes.append(code)
            if code:
                said = log.read_bytes()[before:].decode(errors="replace").splitlines()
                tail = (f"    {text}" for text in said[-TAIL_LINES:])
                print(f"{name}: {verdict(code)}: {title}", *tail, sep="\n", flush=True)
            print(f"-- {verdict(code)}, exit code {code}", file=stream, flush=True)
            keep(name, out, work)
    worst = TIMED_OUT if TIMED_OUT in codes else max(codes, key=bool, default=0)
    return {"verdict": verdict(worst), "rc": worst, "codes": codes}


def run_command(
    command: Sequence[str], output: int, environment: Mapping[str, str], limit_s: float
) -> int:
    """Its exit code, or TIMED_OUT; when it returns, no process of its group runs any more."""
    if limit_s <= 0:
        return TIMED_OUT
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env=environment,
            start_new_session=True,
        )
    except OSError as error:
        os.write(output, f"{error}\n".encode())
        return NOT_FOUND
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        return TIMED_OUT
    finally:  # also what it left behind, which would hold the GPU while the next part is timed
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the driver: not to be had
            process.wait(GRACE_S)


def verdict(code: int) -> str:
    return "passed" if code == 0 else "timed out" if code == TIMED_OUT else "failed"


def line(row: Mapping[str, Any]) -> str:
    why = f": {row['why']}" if "why" in row else f", exit code {row['rc']}" if row["rc"] else ""
    return f"{row['part']:10}{row['verdict']}{why}, {row['seconds']} s of {row['limit_s']:.0f}"


def write_summary(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replaced whole, like results.tgz: there may be no later."""
    text = json.dumps({"python": platform.python_version(), "parts": rows}, indent=1)
    (out / "summary.new").write_text(text + "\n")
    (out / "summary.new").replace(out / "summary.json")


def keep(name: str, out: Path, work: Path) -> None:
    """Its log, and all results and logs so far, into results.tgz."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copy(out / f"{name}.txt", work / "kept" / "logs")
    with tarfile.open(out / "results.new", "w:gz") as archive:
        for folder in sorted((work / "kept").iterdir()):
            archive.add(folder, folder.name)
    (out / "results.new").replace(out / "results.tgz")


# What a machine without a package index needs: made by `make_pack`, used by `install`.

# Too large to carry, and part of what a machine for torch and pictures has.
EXPECTED = {
    "cuda-core",
    "matplotlib",
    "numpy",
    "pandas",
    "pillow",
    "scikit-image",
    "scipy",
    "tensorboard",
    "torch",
    "torchvision",
}
# What the check never imports.
UNUSED = {"datasets", "hf-xet"}
TEST_PACKAGES = ("hypothesis", "pytest")
# Of imagecodecs, whose 28 MB are mostly formats in which no picture of the check is stored.
CODECS = {"_cms", "_imcd", "_jpeg8", "_png", "_shared", "_shared_cython", "_webp", "_zlib"}
OLDEST_GLIBC, NEWEST_GLIBC = 17, 28  # 2.x, of the wheels: what runs on the newer, too
PACK_LIMIT = 64 << 20
PICTURES = {".jpg", ".png", ".svg", ".webp", ".html"}
RUN = """#!/bin/sh
# sh run OUT [OPTION or PART ...]: check the sources beside this script with the machine's own
# python3 (or $PYTHON), torch and CUDA. Nothing is fetched; what is unpacked stays in $GPU_WORK.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
work=${GPU_WORK:-${TMPDIR:-/tmp}/hdrnet-bench-gpu}
if ! cmp -s "$here/project.tar.gz" "$work/project.tar.gz"; then
  rm -rf "$work/project"
  mkdir -p "$work/project"
  tar -xzf "$here/project.tar.gz" --no-same-owner -C "$work/project"
  cp "$here/project.tar.gz" "$work/project.tar.gz"
fi
exec "${PYTHON:-python3}" "$work/project/tests/gpu/check.py" \\
  --pack "$here" --work "$work" --out "$out" "$@"
"""


def wanted() -> list[str]:
    """The requirements of what the check imports, from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    tests = [text for text in extras["dev"] if text.split(">")[0] in TEST_PACKAGES]
    # packaging: `install` reads requirements with it.
    return ["packaging", *project["dependencies"], *extras["cuda"], *tests]


def make_pack(folder: Path, python: str, also: Sequence[str]) -> None:
    """Wheels for that version of Python on Linux for x86-64, sources and `run`."""
    shutil.rmtree(folder / "wheels", ignore_errors=True)
    (folder / "wheels").mkdir(parents=True)
    download(folder / "wheels", python, (EXPECTED | UNUSED) - set(also))
    for wheel in (folder / "wheels").glob("imagecodecs-*.whl"):
        thin_imagecodecs(wheel)
    pack_sources(folder / "project.tar.gz")
    (folder / "run").write_text(RUN)
    sizes = {path: path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}
    for path, size in sizes.items():
        print(f"{size / 2**20:8.2f} MiB  {path.relative_to(folder)}")
    total = sum(sizes.values())
    print(f"{total / 2**20:8.2f} MiB  {folder}")
    if total > PACK_LIMIT:
        raise SystemExit(f"{folder} is over {PACK_LIMIT >> 20} MiB")


def download(folder: Path, python: str, without: set[str]) -> None:
    """The wheels of `wanted` and of what they need; nothing is asked about packages in `without`.

    pip would resolve torch and all below it, too; hence name after name, with its --no-deps.
    """
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet
    from packaging.utils import canonicalize_name

    target = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
        "os_name": "posix",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
    }
    specifiers: dict[str, SpecifierSet] = {}
    todo = [(Requirement(text), set[str]()) for text in wanted()]
    while todo:
        names: dict[str, set[str]] = {}
        there = wheels(folder)
        for need, extras in todo:
            name = canonicalize_name(need.name)
            if name in without or not applies(need, extras, target):
                continue
            specifiers[name] = specifiers.get(name, SpecifierSet()) & need.specifier
            wheel = there.get(name)
            if wheel and specifiers[name].contains(version(wheel), prereleases=True):
                continue
            if wheel:
                wheel.unlink()
            names.setdefault(name, set()).update(need.extras)
        if names:
            pip_download(folder, python, [f"{name}{specifiers[name]}" for name in sorted(names)])
        there = wheels(folder)
        todo = [(need, names[name]) for name in names for need in requirements(there[name])]


def pip_download(folder: Path, python: str, needs: Sequence[str]) -> None:
    tags = [f"manylinux_2_{minor}" for minor in range(NEWEST_GLIBC, OLDEST_GLIBC - 1, -1)]
    platforms = [f"--platform={tag}_x86_64" for tag in (*tags, "manylinux2014")]
    command = ["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    command += [f"--python-version={python}", "--implementation=cp", *platforms]
    done = subprocess.run([sys.executable, *command, f"--dest={folder}", *needs])
    if done.returncode:
        raise SystemExit(f"pip could not download {' '.join(needs)}")


def wheels(folder: Path) -> dict[str, Path]:
    """By the package's normalised name, which a wheel's file name begins with."""
    return {
        path.name.split("-")[0].replace("_", "-").replace(".", "-").lower(): path
        for path in sorted(folder.glob("*.whl"))
    }


def version(wheel: Path) -> str:
    return wheel.name.split("-")[1]


def requirements(wheel: Path) -> Iterator[Any]:
    from packaging.requirements import Requirement

    for distribution in metadata.distributions(path=[str(wheel)]):
        yield from map(Requirement, distribution.requires or ())


def applies(need: Any, extras: set[str], environment: Mapping[str, str]) -> bool:
    return need.marker is None or any(
        need.marker.evaluate({**environment, "extra": extra}) for extra in extras or {""}
    )


def thin_imagecodecs(path: Path) -> None:
    """Write the wheel again with CODECS alone and the libraries that they name."""
    whole = path.with_suffix(".whole")
    path.rename(whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        libraries, kept = set(), []
        for name in old.namelist():
            file = name.rpartition("/")[2]
            if name.startswith("imagecodecs.libs/"):
                libraries.add(name)
            elif not (file.startswith("_") and ".so" in file) or file.split(".")[0] in CODECS:
                kept.append(name)
        for name in kept:  # grows: a library is kept where one that is kept has its name
            data = old.read(name)
            new.writestr(name, data)
            if ".so" in name:
                needed = {x for x in libraries if x.rpartition("/")[2].encode() in data}
                kept += sorted(needed)
                libraries -= needed
    whole.unlink()


def pack_sources(path: Path) -> None:
    """What git tracks or does not ignore, as it lies here, without the pictures of results."""

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout

    listed = git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    names = sorted({x for x in listed if x and (ROOT / x).is_file()})
    # Independent of the version of Python, and compiling it takes the machine's time.
    if (platform.system(), platform.machine()) == ("Linux", "x86_64"):
        names += [str(x.relative_to(ROOT)) for x in ROOT.glob("hdrnet_bench/slicing/_native*.so")]
    with tarfile.open(path, "w:gz") as archive, tempfile.TemporaryDirectory() as temporary:
        for name in names:
            if not (name.startswith("results/") and Path(name).suffix in PICTURES):
                archive.add(ROOT / name, name, filter=without_owner)
        # The commit and its trees, so that results say which it was and whether files differ.
        clone = ["clone", "--quiet", "--no-checkout", "--depth=1", "--filter=blob:none"]
        clone += ["--upload-pack=git -c uploadpack.allowFilter=true upload-pack"]
        git(*clone, f"file://{ROOT}", temporary)
        git("-C", temporary, "read-tree", "HEAD")
        git("-C", temporary, "config", "remote.origin.url", ".")
        shutil.rmtree(Path(temporary, ".git", "hooks"), ignore_errors=True)
        archive.add(Path(temporary, ".git"), ".git", filter=without_owner)


def without_owner(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def install(pack: Path, work: Path) -> dict[str, str]:
    """Unpack those wheels of which this Python lacks the package, or has too old a one.

    What is here already is used as it is: its torch and CUDA belong together. Returns the variables
    for the parts; says what is neither here nor in the pack.
    """
    packed = wheels(pack / "wheels")
    sys.path.append(str(packed["packaging"]))
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    site = work / "site"
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir(parents=True)
    todo = [(Requirement(text), set[str]()) for text in wanted()]
    taken: set[str] = set()
    lacking: dict[str, str] = {}
    while todo:
        need, extras = todo.pop()
        name = canonicalize_name(need.name)
        if name in taken or name in UNUSED or not applies(need, extras, {}):
            continue
        here = installed(name)
        if here and need.specifier.contains(here, prereleases=True):
            continue
        wheel = packed.get(name)
        if not wheel or not need.specifier.contains(version(wheel), prereleases=True):
            lacking.setdefault(name, f"{need} ({here or 'not there'})")
            continue
        taken.add(name)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
        todo += [(inner, set(need.extras)) for inner in requirements(wheel)]
    for text in lacking.values():
        print(f"neither here nor in the pack: {text}", flush=True)
    print("from the pack:", *(packed[name].name.rsplit("-", 3)[0] for name in sorted(taken)))
    # In front: what was unpacked and is here as well is here too old.
    paths = [str(ROOT), str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    # A proxy that refuses ends a search for LPIPS' weights at once; there is no way out anyway.
    closed = dict.fromkeys(("https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")
    return {"PYTHONPATH": os.pathsep.join(paths), **closed}


def installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def why_no_device(variables: Mapping[str, str]) -> str:
    """Nothing where torch sees a GPU; else the last line that says why not."""
    done = subprocess.run(
        [sys.executable, "-c", DEVICE],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def main(arguments: Sequence[str] | None = None) -> int:
    build = ROOT / "build"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {' '.join(PARTS)}; all")
    parser.add_argument("--out", type=Path, default=build / "gpu-check", help="logs and results")
    parser.add_argument("--work", type=Path, default=build / "gpu-work", help="data and runs")
    parser.add_argument("--limit", type=float, metavar="S", help="for all parts together")
    parser.add_argument("--pack", type=Path, metavar="FOLDER", help="use what make gpu-pack made")
    parser.add_argument("--make-pack", metavar="3.N", help="make it, for that version of Python")
    parser.add_argument("--also", default="", help="names of expected packages to put in as well")
    chosen = parser.parse_intermixed_args(arguments)
    if chosen.make_pack:
        if unknown := set(chosen.also.split()) - EXPECTED - UNUSED:
            parser.error(f"--also {' '.join(sorted(unknown))}: packed anyway, or not needed")
        make_pack(chosen.pack or build / "gpu", chosen.make_pack, chosen.also.split())
        return 0
    if unknown := [name for name in chosen.parts if name not in PARTS]:
        parser.error(f"no part {' '.join(unknown)}; there are {' '.join(PARTS)}")
    began = time.monotonic()
    out, work = chosen.out.resolve(), chosen.work.resolve()
    variables = install(chosen.pack.resolve(), work) if chosen.pack else {}
    names = [name for name in PARTS if name in (chosen.parts or PARTS)]
    if why := why_no_device(variables):
        # What the machine has is still of use; nothing else is.
        run_parts([name for name in names if name == "look"], PARTS, out, work, None, variables)
        print(f"gpu-check: {why}", file=sys.stderr)
        return 1
    left = chosen.limit and max(0.0, chosen.limit - (time.monotonic() - began))
    rows = run_parts(names, PARTS, out, work, left, variables)
    print(*("", *map(line, rows)), sep="\n")
    return int(any(row["rc"] for row in rows))


if __name__ == "__main__":
    # As an interrupt from the keyboard: the part that runs is ended and noted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(main())
