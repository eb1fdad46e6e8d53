"""Recipes: what is trained on which data, how, and how it is evaluated. One YAML file each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from .config import HDRNetConfig
from .errors import UsageError, near_matches
from .files import json_line, sha256_text
from .metric_specs import CANONICAL, METRICS
from .paths import LONGEST_NAME, NAME, data_dir, search
from .yaml_files import read_mapping, validated


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


_Name = Annotated[str, Field(pattern=f"^{NAME}$", max_length=LONGEST_NAME)]
_LONGEST_SIDE = 1 << 16  # pixels


class DatasetSpec(_Section):
    """Which prepared dataset: <source>-<protocol>[-<expert>][-<part>][-<size>]."""

    source: _Name = Field(
        description="demo, folder, fivek, hdrplus, synthetic-hdrplus, bsds500 or ppr10k"
    )
    protocol: _Name = Field(description="what the pairs are; of folder, a name of your own")
    expert: _Name | None = Field(None, description="whose edit is the target")
    part: Literal["subset", "full"] | None = Field(
        None, description="of hdrplus: which set of bursts"
    )
    size: _Name | None = Field(None, description="of the pictures, as prepare names it")

    @model_validator(mode="before")
    @classmethod
    def _drop_default_size(cls, values: Any) -> Any:
        """A protocol's default size is in no dataset's name: with or without it, a recipe means the
        same dataset, and has the same digest."""
        if not isinstance(values, dict) or values.get("size") is None:
            return values
        from .prepare.protocols import default_size

        default = default_size(values.get("source"), values.get("protocol"))
        return {k: v for k, v in values.items() if (k, v) != ("size", default)}

    @model_validator(mode="after")
    def _require_part_and_expert(self) -> DatasetSpec:
        """The names of prepared datasets of these sources always have them: without, no dataset
        would be found, however often it is prepared."""
        if (self.part is None) == (self.source == "hdrplus"):
            raise ValueError("part: subset or full for source hdrplus, and for no other")
        letters = {"fivek": "a to e", "ppr10k": "a to c"}.get(self.source)
        if letters and self.expert is None:
            raise ValueError(
                f"expert: {letters} for source {self.source}, whose datasets are of one expert"
            )
        return self

    @model_serializer(mode="wrap")
    def _without_nulls(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if value is not None}

    @property
    def name(self) -> str:
        parts = (self.source, self.protocol, self.expert, self.part, self.size)
        return "-".join(part for part in parts if part)

    @property
    def prepare_command(self) -> str:
        """The command line that prepares the dataset."""
        from .prepare.command import prepare_command

        folders = ""
        if self.source == "folder":
            from .prepare.sources.folder import COMPUTED_PROTOCOLS

            computed = self.protocol in COMPUTED_PROTOCOLS
            folders = "--input-dir DIR" if computed else "--input-dir DIR --target-dir DIR"
        if self.source == "synthetic-hdrplus":
            from .prepare.sources import synthetic_hdrplus

            folders = "" if self.protocol == synthetic_hdrplus.PROTOCOL else "--source-dir DIR"
        if self.source in ("fivek", "ppr10k", "bsds500"):
            from .prepare.protocols import rendering_options

            folders = rendering_options(self.source, self.protocol, self.size)
        chosen = {"expert": self.expert, "part": self.part, "size": self.size}
        return prepare_command(self.source, self.protocol, folders=folders, **chosen)

    @property
    def advice(self) -> str:
        """What to do where the dataset is missing."""
        from .prepare import SOURCES

        if self.source in SOURCES:
            return f"run `{self.prepare_command}` first"
        return (
            f"`{self.prepare_command}` would make it, but this version cannot prepare the source "
            f"{self.source} yet"
        )


class TrainingSpec(_Section):
    """How a model is trained. Loss and optimiser are by default the paper's: mean squared error,
    Adam."""

    seeds: Annotated[
        tuple[int, ...], Field(strict=False, description="a run for each; integers, all different")
    ] = (0,)
    steps: int | None = Field(None, ge=1, le=10**9, description="this, or epochs")
    epochs: int | None = Field(
        None, ge=1, le=10**9, description="how often each picture is shown, rounded up to a batch"
    )
    batch_size: int = Field(ge=1, le=4096, description="of all processes together")
    crop: int = Field(
        ge=8,
        le=65536,
        description="side of the square crop, pixels; a picture that is smaller on a side is "
        "continued there by its mirror image, to the right and below",
    )
    flips: bool = Field(True, description="left-right and up-down, each with probability 1/2")
    rot90: bool = Field(False, description="rotate by 0, 90, 180 or 270 degrees")
    loss: Literal["l2", "l1", "charbonnier"] = Field(
        "l2", description="l2: mean squared error; l1: mean absolute error; charbonnier: l1, smooth"
    )
    optimiser: Literal["adam", "adamw"] = Field("adam", description="of torch")
    learning_rate: float = Field(gt=0, le=1, description="its largest, after the warm-up")
    weight_decay: float = Field(
        0.0,
        ge=0,
        le=1,
        description="on the weights of convolutions and dense layers alone; adam: the gradient of "
        "weight_decay * sum(w^2) / 2 added to the loss's, as in the reference; adamw: decoupled",
    )
    warmup_steps: int = Field(
        0, ge=0, le=10**9, description="over which the learning rate rises from near 0"
    )
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="of the learning rate; cosine: falls to the end"
    )
    gradient_clip: float | None = Field(None, gt=0, description="largest norm of the gradient")
    ema: float | None = Field(
        None, gt=0, lt=1, description="decay of the averaged weights, which are validated and kept"
    )
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="of the coefficient network on CUDA; the rest is float32 always"
    )
    compile: bool = Field(False, description="torch.compile the training step's forward pass")
    validate_every: int = Field(ge=1, le=10**9, description="steps between validations")
    checkpoint_every: int | None = Field(
        None, ge=1, le=10**9, description="steps between states to resume from; as validate_every"
    )
    best_metric: str = Field("psnr", description="by which best.safetensors is chosen")
    patience: int | None = Field(
        None,
        ge=1,
        le=10**9,
        description="validations in a row without a better best_metric, after which training ends "
        "early; the schedule goes by all steps, so that cosine is not at its end then",
    )

    def model_post_init(self, context: Any) -> None:
        seeds = self.seeds
        if not seeds or len(set(seeds)) != len(seeds) or not all(0 <= s < 2**31 for s in seeds):
            raise ValueError(f"seeds {list(seeds)} must be different, and from 0 to 2^31 - 1")
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give steps or epochs: one of them, not both")
        if self.best_metric not in METRICS:
            raise ValueError(
                f"best_metric: unknown metric {self.best_metric!r}: "
                f"{near_matches(self.best_metric, METRICS)}"
            )
        if needs := METRICS[self.best_metric].needs:
            raise ValueError(
                f"best_metric: {self.best_metric} needs {needs}, which training does not look at; "
                "evaluation.metrics may name it"
            )

    def total_steps(self, pictures: int) -> int:
        """Steps of a training on so many pictures."""
        if self.steps is not None:
            return self.steps
        assert self.epochs is not None
        return -(-self.epochs * pictures // self.batch_size)


def _check_metrics(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in METRICS:
            raise ValueError(f"unknown metric {name!r}: {near_matches(name, METRICS)}")
    if len(set(names)) != len(names):
        raise ValueError(f"a metric is named twice: {', '.join(names)}")
    if "psnr" not in names:
        raise ValueError("psnr must be among the metrics: tables and comparisons rest on it")


_Resolution = Annotated[tuple[int, int], Field(strict=False)]


class EvaluationSpec(_Section):
    """What `eval` measures, and the sizes (width, height) that `time` times."""

    metrics: Annotated[
        tuple[str, ...],
        Field(strict=False, description="names of metrics, psnr among them; also as published"),
    ] = CANONICAL
    resolutions: Annotated[
        tuple[_Resolution, ...], Field(strict=False, description="pairs of width and height")
    ] = (
        (640, 480),
        (1280, 720),
        (1920, 1080),
    )

    def model_post_init(self, context: Any) -> None:
        _check_metrics(self.metrics)
        if not self.resolutions:
            raise ValueError("resolutions: at least one is needed")
        for width, height in self.resolutions:
            if min(width, height) < 8:
                raise ValueError(f"resolution {width} x {height} is too small to time")
            if max(width, height) > _LONGEST_SIDE:
                raise ValueError(f"a resolution has a side over {_LONGEST_SIDE}, too large to time")


class Recipe(_Section):
    """A recipe, validated: unknown keys and wrong types are errors."""

    name: _Name = Field(description="in commands, in the names of runs and results")
    version: int = Field(ge=1, le=10**9, description="raised with every change of what it gives")
    summary: str = Field(min_length=1, description="what it is, in a sentence")
    published: str = Field(
        "none stated",
        min_length=1,
        description="the published experiment that this corresponds to, and where it differs",
    )
    expected: str | None = Field(
        None, min_length=1, description="the score that it should come to, and who says so"
    )
    cost: str | None = Field(
        None, min_length=1, description="gigabytes, memory and hours, and how each is known"
    )
    by_hand: str | None = Field(
        None, min_length=1, description="what has to be done before `prepare` can be run"
    )
    changed: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (), description="what --set changed; written by `train`, not by hand"
    )
    dataset: DatasetSpec
    model: HDRNetConfig = HDRNetConfig()
    training: TrainingSpec
    evaluation: EvaluationSpec = EvaluationSpec()

    def model_post_init(self, context: Any) -> None:
        if self.model.batch_norm and self.training.batch_size == 1:
            raise ValueError(
                "batch_norm needs a batch_size over 1: of one sample the dense layers have no "
                "statistics"
            )

    @model_serializer(mode="wrap")
    def _without_absent_prose(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        return {k: v for k, v in content.items() if k not in PROSE or v is not None}

    @property
    def digest(self) -> str:
        """SHA-256 of what the resolved recipe asks for, as canonical JSON.

        A key that came after the first version counts only where it is not at its default, so that
        a recipe from before keeps its digest; the default of such a key therefore never changes.
        """
        # Prose says nothing of what is trained, and what `changed` lists is in the values.
        # `summary` is prose too, but was part of the first digests.
        content = self.model_dump(mode="json", exclude={*PROSE, "changed"})
        for section, first_keys in _FIRST_KEYS.items():
            values = getattr(self, section)
            for key, field in type(values).model_fields.items():
                if key not in first_keys.split() and getattr(values, key) == field.default:
                    # Some sections leave out such keys by themselves when they are dumped.
                    content[section].pop(key, None)
        return sha256_text(json_line(content))

    @property
    def label(self) -> str:
        """The name in results. Where --set changed the recipe it is a name of its own, so that the
        results are not taken for those of the named recipe."""
        return f"{self.name}-set-{self.digest[:8]}" if self.changed else self.name

    def yaml(self) -> str:
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


# What is said of a recipe's own data and experiment: no part of the digest, and true of no other.
PROSE = ("published", "expected", "cost", "by_hand")

# For pairs that no recipe is made for, and for who has none yet: small, and quick on a CPU.
FIRST_RECIPE = "demo-retouch"

# Of a picture's short edge: crops that are smaller show the network too little of it.
SMALL_CROP = 0.25

# A recipe's sections, and what each may say.
SECTIONS: dict[str, type[BaseModel]] = {
    "dataset": DatasetSpec,
    "model": HDRNetConfig,
    "training": TrainingSpec,
    "evaluation": EvaluationSpec,
}

# The keys of the first version, always part of the digest. Nothing is ever added here.
_FIRST_KEYS = {
    "dataset": "source protocol",
    "model": "variant net_input_size spatial_bin luma_bins channel_multiplier guide_complexity "
    "batch_norm local_layers lowres_resize",
    "training": "seeds steps batch_size crop flips learning_rate warmup_steps schedule "
    "gradient_clip validate_every",
    "evaluation": "metrics resolutions",
}


def recipe_paths() -> dict[str, Path]:
    """Recipes by name. One in the current directory's recipes/ hides the project's of that name."""
    paths: dict[str, Path] = {}
    for folder in search("recipes"):
        for path in sorted(folder.glob("*.yaml"), key=lambda path: path.stem):
            paths.setdefault(path.stem, path)
    return paths


def is_recipe_file(name: str) -> bool:
    """Whether it is the path of a recipe's file rather than a name, by how it ends."""
    return name.endswith((".yaml", ".yml"))


def load_recipe(name_or_path: str) -> Recipe:
    """Read and validate a recipe.

    Raises UsageError that says which key is wrong and why, or which names are near.
    """
    if "/" in name_or_path or is_recipe_file(name_or_path):
        path = Path(name_or_path)
        if not path.exists():
            raise UsageError(f"there is no recipe file {path}")
    else:
        paths = recipe_paths()
        if name_or_path not in paths:
            hint = _something_else(name_or_path) or near_matches(name_or_path, paths)
            raise UsageError(f"unknown recipe {name_or_path!r}: {hint}")
        path = paths[name_or_path]
        recipe = parse_recipe(path)
        if recipe.name != path.stem:
            raise UsageError(f"{path}: its name {recipe.name!r} must be that of its file")
        return recipe
    return parse_recipe(path)


def _something_else(name: str) -> str | None:
    """What to do where the name is no recipe's, but a protocol's or a dataset's."""
    from .prepare.protocols import SOURCES, protocol_names

    for source in SOURCES:
        if name in protocol_names(source):
            return f"it is a protocol of {source}: `hdrbench protocols {name}`"
    # Asked of the system with the name as part of a path: of one that cannot be, there is none.
    if "\0" not in name and (data_dir() / name / "dataset.json").is_file():
        return f"it is a dataset: `hdrbench train RECIPE --dataset {name}`"
    return None


def parse_recipe(path: Path) -> Recipe:
    """The recipe in a file, whatever its name. Raises as `read_mapping` and `validate_recipe`."""
    return validate_recipe(read_mapping(path, "a recipe"), str(path))


def validate_recipe(content: dict[str, Any], where: str) -> Recipe:
    """A recipe from plain values. Raises UsageError that names `where` and every faulty key."""
    return validated(Recipe, content, where)
