"""eval --against: exit 5 where a metric got worse, beyond chance."""

import json

import pytest

from tests.conftest import Workspace
from tests.report.fixtures import made_up

PATH = "results/tiny/hdrnet-curves/seed-0/eval-test-full.json"


def shifted(workspace: Workspace, psnr: float) -> str:
    """The run's result with every PSNR so much higher, as an earlier file."""
    result = json.loads((workspace.path / PATH).read_text())
    for row in result["rows"]:
        row["psnr"] += psnr
    summary = result["metrics"]["psnr"]
    for key in ("mean", "min", "max"):
        summary[key] += psnr
    (workspace.path / "before.json").write_text(json.dumps(result))
    return "before.json"


@pytest.mark.parametrize(("before", "code"), [(1.0, 5), (0.0, 0), (-1.0, 0)])
def test_worse_than_before(trained: Workspace, before: float, code: int) -> None:
    trained.json("eval")
    file = shifted(trained, before)
    done = trained.run("eval", "tiny/seed-0", "--against", file, "--json")
    assert done.returncode == code, done.stderr
    assert [r["method"]["name"] for r in json.loads(done.stdout)] == ["identity", "hdrnet-curves"]
    if code:
        message = trained.fails(5, "eval", "tiny/seed-0", "--against", file)
        assert "worse than before.json: hdrnet-curves seed-0: PSNR" in message


def test_the_file_may_be_the_one_that_is_replaced(trained: Workspace) -> None:
    """What is measured again is held against what stood there."""
    trained.json("eval")
    (trained.path / PATH).write_text((trained.path / shifted(trained, 1.0)).read_text())
    trained.fails(5, "eval", "tiny/seed-0", "--overwrite", "--against", PATH)
    trained.json("eval", "tiny/seed-0", "--overwrite", "--against", PATH)


def test_of_other_pictures_or_nothing(trained: Workspace) -> None:
    trained.json("eval")
    file = shifted(trained, 0.0)
    command = ("eval", "./tiny.yaml", "--baseline", "identity")
    message = trained.fails(2, *command, "--split", "validation", "--against", file)
    assert "before.json is of demo-tiny, test, full: nothing" in message
    assert "missing" in trained.fails(3, *command, "--against", "no.json")
    content = json.loads((trained.path / file).read_text())
    content["dataset"]["digest"] = "0" * 64
    (trained.path / file).write_text(json.dumps(content))
    trained.fails(3, *command, "--against", file)


def test_what_is_no_evaluation_is_refused_before_anything_is_measured(tiny: Workspace) -> None:
    path = made_up.kernels(tiny.path)
    message = tiny.fails(3, "eval", "./tiny.yaml", "--baseline", "identity", "--against", str(path))
    assert "is no evaluation: give a file that eval wrote" in message
    assert not (tiny.path / "results").exists()


def test_other_recipes_are_not_held_against_the_files_own(trained: Workspace) -> None:
    from hdrnet_bench.cli.eval import _check_against
    from hdrnet_bench.errors import RegressionError
    from hdrnet_bench.results import Evaluation, read_result

    trained.json("eval")
    now = read_result(trained.path / PATH)
    assert isinstance(now, Evaluation)
    rows = [row.model_copy(update={"psnr": row.value("psnr") - 5}) for row in now.rows]
    recipe = now.recipe.model_copy(update={"name": "other"})
    worse = now.model_copy(update={"rows": rows, "recipe": recipe})
    _check_against(now, "before.json", [now, worse])
    with pytest.raises(RegressionError, match="PSNR"):
        _check_against(now, "before.json", [worse])


def test_a_run_is_held_against_its_own_result_first(
    trained: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    """What another run of the recipe scores is no regression of it."""
    from hdrnet_bench.cli.eval import _check_against
    from hdrnet_bench.errors import RegressionError
    from hdrnet_bench.results import Evaluation

    trained.json("eval")
    content = json.loads((trained.path / PATH).read_text())
    before = Evaluation.model_validate(content)
    worse = json.loads((trained.path / shifted(trained, -9.0)).read_text())
    worse["method"] |= {"run": "seed-1", "seed": 1}
    other = Evaluation.model_validate(worse)
    _check_against(before, PATH, [other, before])
    with pytest.raises(RegressionError, match="hdrnet-curves seed-1: PSNR"):
        _check_against(before, PATH, [other])
    capsys.readouterr()
