"""The portable ONNX graph in its runtimes beside our own path, and frames a second:
`.venv/bin/python -m tests.bench_portable [--rounds 3] [--model MODEL]`.

Each runtime has a process of its own, which take turns; two threads each, float32 in and out. What
is timed is a whole picture that is in memory, made once before. Memory is what the process grew by
above what it had with the model loaded and the picture made, at most, the output included.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

SIZES = {"1080p": (1080, 1920), "4K": (2160, 3840), "12 MP": (3000, 4000)}
THREADS = 2
RUNTIMES = ("native", "plain torch", "onnxruntime", "OpenVINO", "ncnn")
FRAMES = {"each frame its grid": 1, "a grid for 4 frames": 4, "one grid": 10**9}


def opened(runtime: str, name: str, folder: Path, size: str) -> Callable[[np.ndarray], np.ndarray]:
    """A model in a runtime: (1, 3, H, W) float32 -> the same."""
    if runtime in ("native", "plain torch"):
        import torch

        from hdrnet_bench import load_model

        torch.set_num_threads(THREADS)
        model, backend = load_model(name), {"native": "native", "plain torch": "reference"}[runtime]
        return lambda picture: model.enhance(torch.from_numpy(picture), backend).numpy()
    if runtime == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        session = onnxruntime.InferenceSession(folder / "model.onnx", options)
        return lambda picture: session.run(None, {"picture": picture})[0]
    if runtime == "OpenVINO":
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": THREADS}
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(folder / "model.onnx"), "CPU", settings)
        return lambda picture: compiled({"picture": picture})[0]
    return _opened_in_ncnn(folder / size)


def _opened_in_ncnn(folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    import ncnn

    network = ncnn.Net()
    network.opt.num_threads = THREADS
    network.opt.use_fp16_packed = network.opt.use_fp16_storage = False
    network.opt.use_fp16_arithmetic = False
    assert network.load_param(str(folder / "model.ncnn.param")) == 0
    assert network.load_model(str(folder / "model.ncnn.bin")) == 0

    def run(picture: np.ndarray) -> np.ndarray:
        with network.create_extractor() as extractor:
            extractor.input("in0", ncnn.Mat(picture[0]))
            status, output = extractor.extract("out0")
        assert status == 0
        return np.array(output)[None]

    return run


def measure(runtime: str, name: str, folder: Path, size: str) -> dict[str, float]:
    """In this process: seconds, the fastest of some calls; MiB; largest difference from ours."""
    from tests.conftest import smooth_picture
    from tests.memory_use import memory_taken

    small = smooth_picture(0, 540, 960).astype(np.float32) / 255
    height, width = SIZES[size]
    rows, columns = np.arange(height) * 540 // height, np.arange(width) * 960 // width
    picture = np.ascontiguousarray(small[rows[:, None], columns].transpose(2, 0, 1)[None])
    run = opened(runtime, name, folder, size)
    mib = memory_taken(lambda: run(picture))
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        output = run(picture)
        seconds.append(time.perf_counter() - start)
    expected = opened("native", name, folder, size)(picture)
    difference = float(np.abs(output - expected).max())
    return {"seconds": min(seconds), "mib": mib or float("nan"), "difference": difference}


def frames_a_second(name: str, every: int) -> dict[str, float]:
    """In this process: of bytes (1080, 1920, 3) that are in memory."""
    import torch

    from hdrnet_bench import load_model
    from tests.conftest import smooth_picture

    torch.set_num_threads(THREADS)
    frames = [smooth_picture(seed, 1080, 1920) for seed in range(4)]
    enhancer = load_model(name).enhancer(1080, 1920, every=every)
    for frame in frames:
        enhancer(frame)
    start = time.perf_counter()
    for index in range(100):
        enhancer(frames[index % 4])
    return {"fps": 100 / (time.perf_counter() - start)}


def _child(*arguments: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench_portable", "--child", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _convert_for_ncnn(folder: Path) -> None:
    pnnx = Path(sys.prefix) / "bin" / "pnnx"
    for size, (height, width) in SIZES.items():
        (folder / size).mkdir()
        (folder / size / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
        shape = f"inputshape=[1,3,{height},{width}]"
        command = [pnnx, "model.onnx", shape, "fp16=0"]
        subprocess.run(command, cwd=folder / size, capture_output=True, check=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="demo-retouch/seed-0")
    parser.add_argument("--child", nargs="*")
    options = parser.parse_args()
    if options.child:
        what, name, *rest = options.child
        if what == "frames":
            print(json.dumps(frames_a_second(name, int(rest[0]))))
        else:
            print(json.dumps(measure(what, name, Path(rest[0]), rest[1])))
        return
    from hdrnet_bench import load_model
    from hdrnet_bench.portable import write_onnx

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_onnx(load_model(options.model), folder / "model.onnx")
        _convert_for_ncnn(folder)
        print("| picture | runtime | ms | of our own | MiB | largest difference |")
        print("|---|---|---|---|---|---|")
        for size in SIZES:
            rows: dict[str, list[dict[str, float]]] = {runtime: [] for runtime in RUNTIMES}
            for _ in range(options.rounds):
                for runtime in RUNTIMES:
                    rows[runtime].append(_child(runtime, options.model, temporary, size))
            own = [row["seconds"] for row in rows["native"]]
            for runtime, found in rows.items():
                seconds = [row["seconds"] for row in found]
                ratios = [mine / base for mine, base in zip(seconds, own, strict=True)]
                middle = statistics.median
                print(
                    f"| {size} | {runtime} | {middle(seconds) * 1e3:,.0f} "
                    f"[{min(seconds) * 1e3:,.0f}, {max(seconds) * 1e3:,.0f}] | "
                    f"{middle(ratios):.1f} [{min(ratios):.1f}, {max(ratios):.1f}] | "
                    f"{middle(row['mib'] for row in found):,.0f} | "
                    f"{max(row['difference'] for row in found):.1e} |",
                    flush=True,
                )
    print("\n| frames of 1080p | a second |\n|---|---|")
    for label, every in FRAMES.items():
        found = [_child("frames", options.model, str(every))["fps"] for _ in range(options.rounds)]
        print(f"| {label} | {statistics.median(found):.0f} [{min(found):.0f}, {max(found):.0f}] |")


if __name__ == "__main__":
    main()
