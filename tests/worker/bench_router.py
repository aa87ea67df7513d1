"""How long the matcher takes: ``python -m tests.worker.bench_router``.

Its steps are counted in test_tree.py; this measures what a step costs, with ten routes and with ten thousand.
"""

from __future__ import annotations

from timeit import repeat

from worker.patterns import read_pattern
from worker.tree import Node

SIZES = (10, 100, 1_000, 10_000)
CALLS = 50_000


def microseconds(size: int, target: str) -> float:
    """Return the time that it takes to find ``target`` among about ``size`` routes; the best of five runs."""
    root: Node[str, str] = Node()
    for number in range(size // 2):
        for path in (f"/shop/section{number}/{{item}}", f"/shop/{{section}}/{{item:int}}/part{number}"):
            root.reach(read_pattern(path).segments).routes["GET"] = path
    segments = target[1:].split("/")
    assert root.find(segments) is not None
    return min(repeat(lambda: root.find(segments), number=CALLS, repeat=5)) / CALLS * 1e6


def main() -> None:
    """Print a line for each number of routes."""
    print("routes  literal  parameters, after a dead end  (µs)")
    for size in SIZES:
        print(
            f"{size:6}  {microseconds(size, '/shop/section3/lamp'):7.2f}"
            f"  {microseconds(size, '/shop/section3/7/part2'):28.2f}"
        )


if __name__ == "__main__":
    main()
