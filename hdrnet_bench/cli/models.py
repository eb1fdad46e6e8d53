"""Commands that use a trained model: enhance, export, import-tf1."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..errors import CapabilityError, DataError, UsageError
from ..stopping import says_when_stopped
from . import completion
from .console import choose_device, err, next_step, out, print_json, report_values
from .model_argument import model_file, say_unfinished
from .options import MODEL, Device, DryRun, Json, Overwrite, Quiet
from .progress import progress

if TYPE_CHECKING:
    from ..config import Encoding
    from ..model.hdrnet import HDRNet
    from ..portable.models import Numbers

_Model = Annotated[
    str,
    typer.Argument(metavar="MODEL", help=f"{MODEL}.", autocompletion=completion.models),
]


def enhance(
    model: _Model,
    pictures: Annotated[
        list[str], typer.Argument(metavar="INPUT… OUTPUT", help="Pictures, folders or globs.")
    ],
    kind: Annotated[
        Literal["jpeg", "png", "tiff", "webp", "heic", "avif", "jxl"] | None,
        typer.Option("--format", help="Of the outputs; by default that of each input."),
    ] = None,
    bits: Annotated[
        Literal["8", "16"] | None, typer.Option(help="A channel; by default as the input.")
    ] = None,
    quality: Annotated[
        int, typer.Option(min=1, max=100, metavar="N", help="Of what is written with losses.")
    ] = 95,
    untagged: Annotated[
        Literal["srgb", "linear", "camera"],
        typer.Option(help="What pictures without a colour profile are."),
    ] = "srgb",
    linearise: Annotated[
        bool,
        typer.Option(
            "--linearise", help="Give a model for linear light pictures encoded for display."
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Refuse a damaged file, of which a decoder reads the rest."),
    ] = False,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="That decode, and as many that encode; by default up to 4."
        ),
    ] = None,
    device: Device = None,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave what is there; make the rest.")
    ] = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Enhance pictures with a trained model: JPEG, PNG, TIFF, WebP, HEIC, AVIF, JPEG XL and DNG.

    OUTPUT is a file for one picture, else a folder. Profile, EXIF, XMP, IPTC and alpha are kept;
    what is not, is said.
    """
    if len(pictures) < 2:
        raise UsageError("name at least one INPUT and the OUTPUT")
    if skip_existing and overwrite:
        raise UsageError("--skip-existing leaves what is there, --overwrite replaces it: use one")
    from ..enhance.plan import passed_over, passed_over_lines, path_text, plan, split_existing
    from ..images.limits import max_pixels
    from ..model_names import find_model

    max_pixels()  # what the environment says of it is no picture's fault
    source = find_model(model)
    *inputs, output = pictures
    jobs = plan(inputs, output, kind, int(bits) if bits else None, overwrite, skip_existing)
    others = passed_over(inputs, output)
    for line in passed_over_lines(others):
        err.print(line)
    skipped = [_skipped(path, None, reason) for path, reason in others.items()]
    if skip_existing:
        total = len(jobs)
        jobs, there = split_existing(jobs)
        if there:
            err.print(f"{len(there)} of {total} are there already: skipped")
        skipped[:0] = [_skipped(job.source, job.target, "output is there") for job in there]
    if dry_run:
        if source.path is not None:  # nothing is downloaded to say what would be done
            model_file(source, quiet or as_json)
        would = [{"input": path_text(j.source), "output": path_text(j.target)} for j in jobs]
        if as_json:
            print_json([*would, *skipped])
        else:
            for pair in would:
                out.print(f"{pair['input']} -> {pair['output']}")
        return
    if not jobs:
        if as_json:
            print_json(skipped)
        return

    from ..enhance.run import Settings, run
    from ..images.kinds import KINDS
    from ..images.photo_writer import check_kind
    from ..model.load import read_model

    # A picture of such a kind itself is only that one's failure.
    for each in {j.kind for j in jobs if KINDS.get(j.source.suffix.lower()) != j.kind}:
        check_kind(each)

    device = choose_device(device)
    file, origin = model_file(source, quiet or as_json)
    network, header = read_model(file, device)
    say_unfinished(file, header)
    settings = Settings(untagged, linearise, quality, overwrite, strict)
    written: list[Path] = []

    def kept() -> str:
        count = f"{len(written)} of {len(jobs)} pictures are written"
        if not written:
            return count
        done = set(written)
        if any(job.target.exists() for job in jobs if job.target not in done):
            return f"{count}, each whole; the same again with --overwrite makes all"
        instead = " in place of --overwrite" if overwrite else ""
        return f"{count}, each whole; --skip-existing{instead} makes the rest"

    with says_when_stopped(kept), progress("enhance", len(jobs), quiet) as step:
        reports = list(run(network, jobs, settings, threads, step, written))
    failed = [report for report in reports if report["error"]]
    if as_json:
        print_json([*({**report, "model": origin} for report in reports), *skipped])
    else:
        for report in reports:
            _print_enhanced(report)
        if len(reports) > 1:
            err.print(f"{len(reports) - len(failed)} of {len(reports)} pictures are in {output}")
    if failed:
        names = ", ".join(report["input"] for report in failed[:3])
        message = f"{len(failed)} of {len(reports)} pictures were not enhanced: {names}"
        if all(report.get("missing_capability") for report in failed):
            raise CapabilityError(f"{message}; {failed[0]['error']}")
        raise DataError(message)


def _skipped(source: Path, target: Path | None, reason: str) -> dict[str, Any]:
    """The report of a picture that is left out."""
    from ..enhance.plan import path_text

    output = target and path_text(target)
    return {"input": path_text(source), "output": output, "error": None, "skipped": reason}


def _print_enhanced(report: dict[str, Any]) -> None:
    if report["error"]:
        from ..enhance.run import error_text

        err.print(error_text(report), style="red")
        return
    seconds = ", ".join(f"{name} {value * 1e3:.0f}" for name, value in report["seconds"].items())
    notes = f"; {'; '.join(report['notes'])}" if report["notes"] else ""
    out.print(
        f"{report['output']}: {report['width']}x{report['height']}, {report['bits']} bits; "
        f"ms: {seconds}{notes}"
    )


def export(
    model: _Model,
    output: Annotated[
        Path | None,
        typer.Argument(
            metavar="OUTPUT",
            help="By default beside the model, with the format's suffix; in the current folder if "
            "it is a pretrained one or the Hub's.",
        ),
    ] = None,
    kind: Annotated[
        Literal["onnx", "torch", "web"],
        typer.Option(
            "--format",
            help="ONNX (opset 16), a torch.export program, or a web page to try the model on.",
        ),
    ] = "onnx",
    numbers: Annotated[
        Literal["float32", "uint8"],
        typer.Option("--numbers", help="ONNX: of the pictures that go in and come out."),
    ] = "float32",
    parts: Annotated[
        bool,
        typer.Option(
            "--parts",
            help="ONNX: network and slicing as two graphs, and the guide as a small file.",
        ),
    ] = False,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a model for other runtimes: ONNX, picture to output; a torch.export program; or a web
    page that enhances photographs in a browser, offline (models of sRGB pictures)."""
    from ..model.export import ONNX, PROGRAM
    from ..model.load import read_model
    from ..model_names import find_model

    if kind != "onnx" and (parts or numbers != "float32"):
        option = "--parts" if parts else "--numbers"
        raise UsageError(f"{option} is of --format onnx, not of --format {kind}")
    found = find_model(model)
    suffix = {"onnx": ONNX, "torch": PROGRAM, "web": ".html"}[kind]
    path = output or found.beside(suffix)
    if path.suffix != suffix:
        raise UsageError(f"{path}: the name of this format ends in {suffix}")
    written = [path]
    if kind == "onnx":
        from ..portable.export import check_onnx, part_paths

        check_onnx()
        written = list(part_paths(path)) if parts else written
    for each in written:
        _not_there(each, overwrite)
    names = [str(each) for each in written] if parts else str(path)
    if dry_run and found.path is None:  # nothing is downloaded to say what would be done
        report_values({"model": model, "would write": names}, as_json)
        return
    source, origin = model_file(found, quiet or as_json)
    network, _ = read_model(source)
    if dry_run:
        if kind == "web":
            from ..web.page import check_input

            check_input(network, source)
        report_values({"model": str(source), "would write": names}, as_json)
        return
    with progress(f"export {path.name}", 1, quiet) as step:
        report = _export(network, source, path, kind, numbers, parts)
        step()
    about = {"model": str(source)} | ({"found": origin} if as_json else {})  # else it was said
    report_values(about | {"wrote": names} | report, as_json)
    next_step(_after_export(kind, written, network.config.input_encoding), quiet or as_json)


def _export(
    network: HDRNet,
    source: Path,
    path: Path,
    kind: Literal["onnx", "torch", "web"],
    numbers: Numbers,
    parts: bool,
) -> dict[str, Any]:
    """Write it; what is said of it."""
    if kind == "web":
        from ..web.page import write_page

        return write_page(network, source, path)
    if kind == "torch":
        from ..model.export import write_program

        return write_program(network, path)
    from ..portable.export import write_onnx, write_parts

    # What is there was asked about before anything was computed.
    if not parts:
        return write_onnx(network, path, numbers, overwrite=True)
    about = write_parts(network, path, numbers, overwrite=True)
    own = ("inputs", "outputs")
    shared = {key: value for one in about.values() for key, value in one.items() if key not in own}
    return shared | {name: {key: one[key] for key in own} for name, one in about.items()}


def _after_export(
    kind: Literal["onnx", "torch", "web"], written: list[Path], encoding: Encoding
) -> str:
    path = written[0]
    if kind == "web":
        return f"open {shlex.quote(str(path))} in a browser"
    if kind == "torch":
        return f"in Python, `torch.export.load({str(path)!r}).module()` takes (lowres, fullres)"
    if len(written) > 1:
        return (
            f"{path} makes a grid of a picture, {written[1]} enhances the picture with it; slicing "
            "in a shader of your own: hdrnet_bench/portable/README.md"
        )
    if encoding != "srgb":
        return f"any runtime of ONNX runs it; its metadata say what {encoding} pictures it takes"
    return (
        f"`python -m hdrnet_bench.examples.onnx_inference {shlex.quote(str(path))} INPUT OUTPUT` "
        "runs it in onnxruntime, without torch"
    )


def import_tf1(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            help="A TensorFlow checkpoint: its prefix, or the folder it is in.",
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The .safetensors to write.")],
    net_input_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Side of the low-res input; by default as the layers' shapes suggest.",
        ),
    ] = None,
    lowres_resize: Annotated[
        Literal["area", "nearest"], typer.Option(help="How the low-res input is made.")
    ] = "nearest",
    input_encoding: Annotated[
        Literal["srgb", "linear", "camera"], typer.Option(help="What the model was trained on.")
    ] = "srgb",
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make a model file of the reference implementation's weights (needs the tf1 extra).

    Variant, grid and layers are read off the variables' shapes.
    """
    if output.suffix != ".safetensors":
        raise UsageError(f"{output}: the name of a model file ends in .safetensors")
    _not_there(output, overwrite)

    from ..model.file import ModelHeader, save_model
    from ..model.hdrnet import HDRNet
    from ..tf1 import config_from_tf1, state_dict_from_tf1
    from ..tf1_checkpoint import read_checkpoint

    name, variables = read_checkpoint(checkpoint)
    try:
        config = config_from_tf1(
            variables,
            net_input_size=net_input_size,
            lowres_resize=lowres_resize,
            input_encoding=input_encoding,
        )
        state = state_dict_from_tf1(variables, config)
    except (KeyError, ValueError) as error:
        raise DataError(f"{checkpoint}: {error.args[0]}") from None
    network = HDRNet(config)
    network.load_state_dict(state)
    step = variables.get("global_step")
    header = ModelHeader(
        config=config,
        step=None if step is None else int(step),
        source=f"imported from the TensorFlow checkpoint {name}",
    )
    report = {
        "checkpoint": name,
        "parameters": sum(p.numel() for p in network.parameters()),
        "step": header.step,
        "config": config.model_dump(mode="json"),
    }
    if dry_run:
        report_values(report | {"would write": str(output)}, as_json)
        return
    save_model(output, network, header)
    report_values(report | {"wrote": str(output)}, as_json)
    next_step(
        f"`hdrbench enhance {shlex.quote(str(output))} INPUT OUTPUT`; what that makes of a "
        "dataset's test inputs, `hdrbench eval RECIPE --predictions OUTPUT --name NAME` scores",
        quiet or as_json,
    )


def _not_there(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise UsageError(f"{path} is a folder: name a file, in it or elsewhere")
    if path.exists() and not overwrite:
        raise UsageError(f"{path} is there already: name another one, or --overwrite")
