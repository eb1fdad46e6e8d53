"""What the tests inject to break things, counted: the table in tests/README.md.

A test that injects faults is marked with their kind, `@pytest.mark.fault("signals")`, and counts as
one; where it injects several, it says how many: `record_property("faults", 12)`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

BEGIN, END = "<!-- faults -->", "<!-- /faults -->"
KINDS = {
    "kills": "SIGKILL at moments all over a command, then the same command again: it goes on, and "
    "ends with the same bytes",
    "signals": "Ctrl-C and SIGTERM, to the process and to its group: no traceback, no worker left, "
    "no half-written file, what is kept is said, exit code 130 or 143",
    "I/O errors": "EIO, ESTALE, EMFILE, files and folders that go away: exit code 3, and nothing "
    "is concluded about the file",
    "full disks": "ENOSPC, limits on a file's size, /dev/full: one line, exit code 3, the last "
    "good state kept",
    "servers": "bodies without end, lies about lengths and hashes, slow ones, redirects, listings: "
    "an error of one line, in bounded time and space",
    "hostile datasets": "rows, headers and pictures that a stranger made: refused by name",
    "hostile pictures": "code in place of pixels, rings of directories, sizes that no memory holds",
    "hostile recipes and models": "YAML, JSON and safetensors that explode, lie or are none",
    "hostile results": "markup, formulas and absurd numbers in what the report is made from",
    "names and texts": "control codes, direction marks, line ends and bytes that are no UTF-8",
    "several at once": "two or three of the same command in one place",
    "streams and limits": "closed and full stdout and stderr, few open files, no memory, a removed "
    "current directory",
    "mutated pictures": "files cut off and with flipped bits: pixels, or an error of one line",
}


class Count:
    """A plugin that counts, and once all tests are done compares with the table or writes it."""

    def __init__(self, readme: Path, write: bool) -> None:
        self.readme, self.write = readme, write
        self.tests: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.not_injected: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        properties = dict(report.user_properties)
        kind = properties.get("fault")
        if kind is None or (report.when != "call" and report.passed):
            return
        if not report.passed:
            self.not_injected.append(report.nodeid)
        self.tests[kind] += 1
        self.faults[kind] += int(properties.get("faults", 1))

    def table(self) -> str:
        lines = ["| what is injected, and what holds | tests | faults |", "|---|---:|---:|"]
        lines += [
            f"| **{kind}**: {text} | {self.tests[kind]} | {self.faults[kind]} |"
            for kind, text in KINDS.items()
        ]
        total = f"| all | {self.tests.total()} | {self.faults.total()} |"
        return "\n".join([*lines, total])

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.not_injected:  # those failed, or lack what they need here: they cannot be counted
            print(f"\ntests/README.md: not compared, without {', '.join(self.not_injected)}")
            if self.write:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            return
        text = self.readme.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        after = rest.split(END)[1]
        new = f"{before}{BEGIN}\n{self.table()}\n{END}{after}"
        if self.write:
            self.readme.write_text(new, encoding="utf-8")
        elif new != text:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            print("\ntests/README.md: the table is not what the tests inject: `make faults`")


def mark(items: list[pytest.Item]) -> None:
    """Give each test's report the kind of its faults."""
    for item in items:
        for marker in item.iter_markers("fault"):
            (kind,) = marker.args
            if kind not in KINDS:
                raise pytest.UsageError(f"{item.nodeid}: unknown kind of fault {kind!r}")
            item.user_properties.append(("fault", kind))
