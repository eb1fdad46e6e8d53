"""What NVRTC makes of the kernels for every architecture, read from the machine code."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from hdrnet_bench.slicing.cuda_launch import source
from tests.conftest import ROOT
from tests.slicing.host import HERE, HostKernels

pytest.importorskip("cuda.core", reason="cuda-core is not installed (the extra cuda)")

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
# Blocks of 128 threads with so many registers each: 65536 / 128 / registers of them at a time.
REGISTERS = {
    "slice_gradient": 168,
    "curves_backward": 128,
    "enhance_curves_f32": 128,
    "enhance_pointwise_f32": 128,
    "slice_apply_f32": 128,
    "slice_apply_any": 96,
    "slice_apply": 80,
    "": 96,
}
# Instructions a pixel of the loop over rows. In the fused kernels' some 33 of them are the loops
# over the points of a curve, counted once each, which only pixels in a crowded cell enter.
BUDGET = {
    "slice_apply_f32": 90,
    "slice_apply_f16": 104,
    "slice_apply_bf16": 124,
    "enhance_curves_f16": 168,
    "enhance_curves_u8": 172,
}
BACKWARD = 420  # of the loop over strips, in which a lane has one pixel
BACKWARD_OLDEST = 1800  # where there are no tensor cores for it (sm_75)
# What computes runs faster with one block more, although a few registers are then put aside before
# the loop over rows, of which some are read again once in a row.
LOCAL = {
    "slice_apply_f16": 8,
    "slice_apply_bf16": 8,
    "enhance_curves_u8": 4,
    "enhance_pointwise_f16": 10,
    "enhance_pointwise_u8": 4,
}
IN_A_ROW = 4


def tool(name: str) -> Path:
    path = Path(sysconfig.get_path("purelib")) / "nvidia" / "cu13" / "bin" / name
    if not path.exists():
        pytest.skip(f"no {name} (nvidia-cuda-{name} is not installed)")
    return path


class Kernel(NamedTuple):
    registers: int
    stack: int
    instructions: list[str]
    labels: dict[str, int]

    def loops(self) -> Iterator[list[str]]:
        """The instructions between each backward branch and where it goes."""
        for index, text in enumerate(self.instructions):
            branch = re.search(r"\bBRA\b.*?(\.L_x_\d+)", text)
            if branch and self.labels.get(branch[1], index + 1) < index:
                yield self.instructions[self.labels[branch[1]] : index + 1]


def compiled(architecture: str, program: Path, output: Path) -> dict[str, Kernel]:
    """Kernels by name. NVRTC runs in a process of its own, so that several do at once."""
    script = (
        "import sys; from pathlib import Path; from cuda.core import Program, ProgramOptions;"
        "options = ProgramOptions(arch=sys.argv[1], std='c++17',"
        " device_as_default_execution_space=True);"
        "code = Program(Path(sys.argv[2]).read_text(), 'c++', options).compile('cubin').code;"
        "Path(sys.argv[3]).write_bytes(code)"
    )
    command = [sys.executable, "-c", script, architecture, str(program), str(output)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    usage = _say(tool("cuobjdump"), "--dump-resource-usage", str(output))
    counts = {
        name: (int(registers), int(stack))
        for name, registers, stack in re.findall(r"Function (\w+):\s+REG:(\d+) STACK:(\d+)", usage)
    }
    kernels = {}
    for section in re.split(
        r"\n\s*\.section\s+\.text\.", _say(tool("nvdisasm"), "-c", str(output))
    )[1:]:
        instructions: list[str] = []
        labels: dict[str, int] = {}
        for line in section.splitlines():
            if label := re.match(r"\s*(\.L_x_\d+):", line):
                labels[label[1]] = len(instructions)
            elif text := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+(.*?);", line):
                instructions.append(text[1])
        name = section.split(",")[0]
        kernels[name] = Kernel(*counts[name], instructions, labels)
    return kernels


def _say(*command: object) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def by_architecture(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Kernel]]:
    folder = tmp_path_factory.mktemp("cubin")
    every = {source(kernel): kernel for kernel in ("slice_apply", "slice_gr", "curves", "enhance")}
    for text, name in every.items():
        (folder / f"{name}.cu").write_text(text)
    jobs = [(a, name) for a in ARCHITECTURES for name in every.values()]
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(
            lambda job: compiled(
                job[0], folder / f"{job[1]}.cu", folder / f"{'-'.join(job)}.cubin"
            ),
            jobs,
        )
        kernels: dict[str, dict[str, Kernel]] = {}
        for (architecture, _), found in zip(jobs, made, strict=True):
            kernels.setdefault(architecture, {}).update(found)
        return kernels


each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)


def opcodes(instructions: list[str]) -> list[str]:
    """Each instruction's name, without the predicate before it."""
    return [re.sub(r"^@!?U?P\w+\s+", "", text).split()[0] for text in instructions]


def is_local(opcode: str) -> bool:
    return opcode.split(".")[0] in ("LDL", "STL")


@each_architecture
def test_no_double_precision_few_spills_no_compare_and_swap(
    by_architecture: dict[str, dict[str, Kernel]], architecture: str, host_library: Path
) -> None:
    kernels = by_architecture[architecture]
    assert set(kernels) == set(HostKernels(host_library).argument_bytes())
    for name, kernel in kernels.items():
        names = opcodes(kernel.instructions)
        local = sum(map(is_local, names))
        assert local <= LOCAL.get(name, 0), name
        assert kernel.stack <= 8 * LOCAL.get(name, 0), name
        for found in names:
            assert not re.match(r"D(ADD|MUL|FMA|SETP|MNMX)\b", found), f"{name}: {found}"
            assert "F64" not in found, f"{name}: {found}"
            assert not re.match(r"(ATOM|ATOMS|ATOMG|RED)\b", found), f"{name}: {found}"
        ceiling = next(most for start, most in REGISTERS.items() if name.startswith(start))
        assert kernel.registers <= ceiling, name


@each_architecture
def test_shared_memory_is_read_in_128_bit_words(
    by_architecture: dict[str, dict[str, Kernel]], architecture: str
) -> None:
    # Twelve for each of four pixels; the backward has one at a time.
    for name, least in (
        ("slice_apply_f32", 48),
        ("slice_gradient_f32", 12),
        ("enhance_curves_u8", 48),
    ):
        names = opcodes(by_architecture[architecture][name].instructions)
        wide = sum(bool(re.match(r"LDS(\.U)?\.128", n)) for n in names)
        assert wide >= least, name
    names = opcodes(by_architecture[architecture]["slice_apply_f32"].instructions)
    assert sum(n.startswith("LDG") and "128" in n for n in names) >= 4  # guide and three planes
    assert sum(n.startswith("STG") and "128" in n for n in names) >= 3


def row_loop(kernel: Kernel) -> list[str]:
    """The planar loop over rows, four pixels a turn: the shortest with 48 shared reads."""
    with_slab = [
        loop
        for loop in kernel.loops()
        if sum(n.startswith("LDS") and "128" in n for n in opcodes(loop)) >= 48
    ]
    return min(with_slab, key=len)


@each_architecture
def test_instructions_a_pixel_are_under_their_budget(
    by_architecture: dict[str, dict[str, Kernel]], architecture: str, tmp_path: Path
) -> None:
    kernels = by_architecture[architecture]
    loops = {name: row_loop(kernels[name]) for name in BUDGET}
    for name, loop in loops.items():
        assert sum(is_local(found) for found in opcodes(loop)) <= IN_A_ROW, name
    counts = {name: len(loop) / 4 for name, loop in loops.items()}
    assert {name: n for name, n in counts.items() if n > BUDGET[name]} == {}
    per_pixel = counts["slice_apply_f32"]
    naive = compiled(architecture, HERE / "eight_corners.cu", tmp_path / "naive.cubin")
    corners = naive["eight_corners"]
    assert corners.stack == 0
    others = len(corners.instructions) - opcodes(corners.instructions).count("NOP")
    print(f"{architecture}: {per_pixel:.0f} instructions a pixel; eight corners {others}")
    assert others >= 3 * per_pixel


def strip_loop(kernel: Kernel) -> list[str]:
    """The shortest loop with the pixels' own gradients, and so with the products."""

    def wide(loop: list[str]) -> int:
        return sum(bool(re.match(r"LDS(\.U)?\.128", n)) for n in opcodes(loop))

    return min((o for o in kernel.loops() if wide(o) >= 12), key=len)


@each_architecture
@pytest.mark.parametrize("name", ["f32", "f16", "bf16"])
def test_instructions_a_pixel_of_the_backward_kernel(
    by_architecture: dict[str, dict[str, Kernel]], architecture: str, name: str
) -> None:
    kernel = by_architecture[architecture][f"slice_gradient_{name}"]
    assert kernel.stack == 0
    assert kernel.registers <= 128  # four blocks of 128 threads at a time
    loop = strip_loop(kernel)
    print(f"{architecture} {name}: {len(loop)} a pixel, {kernel.registers} registers")
    assert len(loop) <= (BACKWARD_OLDEST if architecture == "sm_75" else BACKWARD)
    if architecture != "sm_75":
        assert sum(n.startswith("HMMA") for n in opcodes(loop)) == 24
