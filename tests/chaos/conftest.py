"""
Which cases run: each fault once, or with `--chaos` every fault in every setting.

The scene is shared by the cases of one setting, since each of them ends as it began; one that went wrong
gets the next a scene of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.scene import Scene, scene

QUICK_WORKERS = (2,)
ALL_WORKERS = (1, 2, 4)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test its faults and settings."""
    is_full = metafunc.config.getoption("--chaos")
    if "fault" in metafunc.fixturenames:
        metafunc.parametrize("fault", FAULTS, ids=str)
        reloads = (False, True) if is_full else (False,)
        metafunc.parametrize("reloads", reloads, ids=["reloaded" if one else "quiet" for one in reloads])
    if "workers" in metafunc.fixturenames:
        metafunc.parametrize("workers", ALL_WORKERS if is_full else QUICK_WORKERS, ids="{}-workers".format)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out settings in which a fault is another one."""
    items[:] = [item for item in items if not _is_another(getattr(item, "callspec", None))]


def _is_another(callspec: Any) -> bool:
    params = callspec.params if callspec is not None else {}
    fault = params.get("fault")
    return isinstance(fault, Fault) and params["workers"] < fault.least_workers


class Stage:
    """The scene on which cases play, made anew when one went wrong or another setting is wanted."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self._wanted: tuple[int, dict[str, Any]] | None = None
        self._scene: Scene | None = None
        self._count = 0

    def set(self, workers: int, **sections: Any) -> Scene:
        """Give a sound scene."""
        wanted = (workers, sections)
        if self._scene is None or self._wanted != wanted or not self._scene.is_sound:
            self.clear()
            self._count += 1
            directory = self._directory / f"scene-{self._count}"
            self._scene = self._stack.enter_context(scene(directory, workers, **sections))
            self._wanted = wanted
        return self._scene

    def clear(self) -> None:
        """End the scene."""
        self._scene = None
        self._stack.close()


Set = Callable[..., Scene]


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Where cases play."""
    made = Stage(tmp_path_factory.mktemp("chaos"))
    yield made
    made.clear()
