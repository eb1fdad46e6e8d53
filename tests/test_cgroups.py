"""What a container or a job may have, as the system's files say."""

from pathlib import Path

import pytest

from hdrnet_bench import memory
from hdrnet_bench.cgroups import cpu_quota


def system(root: Path, **files: str) -> Path:
    """A made-up /proc and /sys: `__` in a name stands for /, DOT for a dot."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


@pytest.mark.parametrize(
    ("content", "cores"),
    [
        ("150000 100000\n", 1.5),
        ("400000 100000\n", 4.0),
        ("max 100000\n", None),
        ("", None),
        ("150000\n", None),
        ("0 100000\n", None),
        ("150000 0\n", None),
    ],
)
def test_a_quota_of_the_second_version(tmp_path: Path, content: str, cores: float | None) -> None:
    system(tmp_path, proc__self__cgroup="0::/jobs/one\n", sys__fs__cgroup__jobs__cpuDOTmax=content)
    assert cpu_quota(tmp_path) == cores


@pytest.mark.parametrize(("quota", "cores"), [("50000\n", 0.5), ("-1\n", None)])
@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
def test_a_quota_of_the_first_version(
    tmp_path: Path, quota: str, cores: float | None, controllers: str
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"4:memory:/a\n3:{controllers}:/a\n")
    folder = tmp_path / "sys/fs/cgroup" / controllers / "a"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text(quota)
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert cpu_quota(tmp_path) == cores


def test_the_tightest_group_counts(tmp_path: Path) -> None:
    system(
        tmp_path,
        proc__self__cgroup="0::/a/b\n",
        sys__fs__cgroup__a__cpuDOTmax="200000 100000\n",
        sys__fs__cgroup__a__b__cpuDOTmax="300000 100000\n",
        sys__fs__cgroup__a__memoryDOTmax="5000\n",
        sys__fs__cgroup__a__memoryDOTcurrent="1000\n",
        sys__fs__cgroup__a__b__memoryDOTmax="6000\n",
        sys__fs__cgroup__a__b__memoryDOTcurrent="1000\n",
    )
    assert cpu_quota(tmp_path) == 2.0
    assert memory.limit(tmp_path) == 5000


def test_the_machine_s_own_memory(tmp_path: Path) -> None:
    assert memory.limit(tmp_path) is None
    system(tmp_path, proc__meminfo="MemTotal: 9000 kB\nMemAvailable: 0 kB\n")
    assert memory.total(tmp_path) == 9000 * 1024
    assert memory.available(tmp_path) == 0
