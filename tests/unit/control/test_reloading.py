"""Putting a changed file in force."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pcs_gateway.control.configuration import Configuration
from pcs_gateway.control.reloading import Rejection, Reloader, ReloadReport
from pcs_gateway.control.watching import looks_of
from pcs_gateway.control_process import FileSource
from pcs_gateway.processes.plan import ListenPlan
from tests.fakes.clock import FakeClock
from tests.fakes.control import Control, Generations, control_plan

GOOD = """
listen: [{address: "127.0.0.1:8080"}]
workers: 2
pools: {pcs: {backends: [{url: "http://127.0.0.1:8001", name: one}]}}
"""


class Scene:
    """A gateway that was started with the file GOOD."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "gateway.yaml"
        self.clock = FakeClock()
        self.control = Control(self.clock, directory)
        self.generations = Generations()
        self.applied: list[Configuration] = []
        self.source = FileSource(control_plan(directory, workers=2), {"TOKEN": "geheim"})
        self.reloader = Reloader(
            self.source,
            self.control.plane,
            self.generations,
            [ListenPlan("127.0.0.1:8080")],
            2,
            self.applied.append,
            self.clock,
        )

    async def begin(self) -> ReloadReport:
        """Start with the good file."""
        self.file.write_text(GOOD)
        new = self.source.read()
        self.control.publisher.baseline = new.document
        return await self.reloader.put_in_force(new, "start")

    async def reload(self, text: str) -> ReloadReport:
        """Replace the file and reload."""
        self.file.write_text(text)
        return await self.reloader.reload("test")


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """A gateway that has not begun."""
    scene = Scene(tmp_path)
    yield scene
    await scene.control.plane.close()


async def test_first_configuration_is_applied(scene: Scene) -> None:
    """At the start everything is published and no generation is asked for."""
    report = await scene.begin()

    assert report == ReloadReport("applied", str(scene.file), 1)
    assert scene.control.workers.ready() == [False]
    assert scene.generations.requests == []
    assert len(scene.applied) == 1


async def test_same_file_changes_nothing(scene: Scene) -> None:
    """No snapshot is published for a file that means the same, whatever its comments say."""
    await scene.begin()
    report = await scene.reload(GOOD + "# a comment\n")

    assert report.result == "unchanged"
    assert len(scene.control.workers.snapshots()) == 1
    assert len(scene.applied) == 1


async def test_changed_file_is_published_with_the_keys_that_changed(scene: Scene) -> None:
    """Workers get one snapshot; the report says what is different."""
    await scene.begin()
    report = await scene.reload(GOOD + "timeouts: {connect: 2s}\n")

    assert (report.result, report.changed) == ("applied", ("timeouts.connect",))
    latest = scene.control.workers.snapshots()[-1]
    assert latest.version == report.version
    assert latest.configuration["timeouts"]["connect"] == "2s"


async def test_bad_file_changes_nothing_and_says_why(scene: Scene) -> None:
    """Every problem is reported, and the old configuration serves on."""
    await scene.begin()
    report = await scene.reload("pools: {}\nworkers: many\nnonsense: 1\n")

    assert report.result == "rejected"
    assert len(report.problems) == 3
    assert all(str(scene.file) in problem for problem in report.problems)
    assert len(scene.control.workers.snapshots()) == 1
    assert scene.control.plane.configuration is scene.applied[0]
    assert scene.reloader.reports == {"applied": 1, "rejected": 1}


async def test_rejected_file_is_remembered_until_a_good_one_is_read(scene: Scene) -> None:
    """A restart would fail; that what is in force is put in force again does not mend the file."""
    await scene.begin()
    rejected = [scene.reloader.rejected]
    scene.clock.advance(5.0)
    report = await scene.reload("pools: {}\nworkers: many\n")
    rejected.append(scene.reloader.rejected)
    restored = scene.source.restored(scene.applied[0].document, {})
    await scene.reloader.put_in_force(restored, "start")
    rejected.append(scene.reloader.rejected)
    await scene.reload(GOOD)
    rejected.append(scene.reloader.rejected)

    remembered = Rejection(scene.clock.time(), report.problems)
    assert rejected == [None, remembered, remembered, None]


async def test_unchanged_file_is_told_with_when_and_why_it_came_into_force(scene: Scene) -> None:
    """Whoever edits a file and reloads is most often slower than the watcher."""
    await scene.begin()
    scene.clock.advance(5.0)
    changed_at = scene.clock.time()
    scene.file.write_text(GOOD + "timeouts: {connect: 2s}\n")
    applied = await scene.reloader.reload("file changed")
    scene.clock.advance(5.0)
    unchanged = await scene.reloader.reload("admin API")

    assert (applied.result, applied.since, applied.by) == ("applied", 0.0, "")
    assert (unchanged.result, unchanged.since, unchanged.by) == ("unchanged", changed_at, "file changed")


async def test_missing_file_changes_nothing(scene: Scene) -> None:
    """A file that is away is a file with a problem."""
    await scene.begin()
    scene.file.unlink()
    report = await scene.reloader.reload("test")

    assert report.result == "rejected"
    assert "cannot be read" in report.problems[0]


@pytest.mark.parametrize(
    ("change", "request_made"),
    [
        (("8080", "8081"), (("127.0.0.1:8081",), 2)),
        (("workers: 2", "workers: 3"), (("127.0.0.1:8080",), 3)),
    ],
)
async def test_listen_and_workers_ask_for_a_new_generation(
    scene: Scene, change: tuple[str, str], request_made: tuple[tuple[str, ...], int]
) -> None:
    """Sockets and workers are the supervisor's; asked for once."""
    await scene.begin()
    report = await scene.reload(GOOD.replace(*change))
    assert (report.result, report.generation) == ("applied", 2)
    assert scene.generations.requests == [request_made]

    await scene.reload(GOOD.replace(*change) + "timeouts: {connect: 2s}\n")
    assert len(scene.generations.requests) == 1


async def test_generation_that_fails_is_reported_and_tried_again(scene: Scene) -> None:
    """All else of the file is in force; the next reload tries again, even of the same file."""
    await scene.begin()
    scene.generations.error = "127.0.0.1:8081: address in use"
    report = await scene.reload(GOOD.replace("8080", "8081") + "timeouts: {connect: 2s}\n")
    assert report.result == "incomplete"
    assert report.problems == (
        "listen, workers: not applied, the old ones serve on: 127.0.0.1:8081: address in use",
    )
    assert len(scene.control.workers.snapshots()) == 2

    scene.generations.error = ""
    report = await scene.reloader.reload("test")
    assert (report.result, report.generation) == ("applied", 3)


async def test_what_needs_a_restart_is_said_until_it_is_taken_back(scene: Scene) -> None:
    """It is compared with what the gateway started with, not with the last file."""
    await scene.begin()
    other = GOOD + 'admin: {address: "127.0.0.1:9999"}\n'
    report = await scene.reload(other)
    assert report.result == "applied"
    assert report.needs_restart == (
        "admin.address needs restart: its socket is opened once, by the supervisor",
    )

    report = await scene.reload(other + "timeouts: {connect: 2s}\n")
    assert len(report.needs_restart) == 1

    report = await scene.reload(GOOD)
    assert report.needs_restart == ()


async def test_drain_times_are_given_to_the_supervisor(scene: Scene) -> None:
    """They are the supervisor's too, and need no restart."""
    await scene.begin()
    assert scene.generations.drain == (0.0, 30.0)

    await scene.reload(GOOD + "drain_delay: 5s\ndrain_timeout: 1m\n")
    assert scene.generations.drain == (5.0, 60.0)


async def test_notices_are_passed_on(scene: Scene) -> None:
    """A section without effect says so at each reload."""
    await scene.begin()
    report = await scene.reload(GOOD + "alerts: {evaluate_every: 5s}\n")

    assert any("alerts" in notice for notice in report.notices)


async def test_secrets_are_published_but_not_shown(scene: Scene) -> None:
    """Workers get what they need; the document for people is masked."""
    await scene.begin()
    await scene.reload(GOOD + "admin: {token: '${TOKEN}'}\n")

    configuration = scene.control.plane.configuration
    assert configuration is not None
    assert configuration.token == "geheim"
    assert "geheim" not in str(configuration.shown)


async def test_configuration_that_does_not_fit_is_rejected(scene: Scene) -> None:
    """More backends than columns, with those that still drain: nothing changes."""
    await scene.begin()
    plane = scene.control.plane
    plane.roster.columns = type(plane.roster.columns)(size=1).allot([("pcs", "http://127.0.0.1:8001")], 1)
    two = GOOD.replace("}]}}", '}, {url: "http://127.0.0.1:8002"}]}}')
    report = await scene.reload(two)

    assert report.result == "rejected"
    assert len(scene.control.workers.pool().backends) == 1


async def test_overridden_weight_is_told(scene: Scene) -> None:
    """An operator's weight outlasts the file's, and a reload says so."""
    await scene.begin()
    scene.control.plane.reweigh(scene.control.plane.roster.find("pcs", "one"), 7)
    report = await scene.reload(GOOD.replace("name: one", "name: one, weight: 3"))

    assert scene.control.workers.pool().backends[0].weight == 7
    assert report.notices == ("pcs/one keeps the weight 7 that an operator gave it; the file says 3",)


async def test_looks_of_files_are_those_before_they_were_read(scene: Scene, tmp_path: Path) -> None:
    """In vain, too: a certificate that comes after the file that names it is then seen to be new."""
    await scene.begin()
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    named = [str(certificate), str(key)]
    key.write_text("no key")
    before = looks_of(named)
    tls = f"tls: {{certificate: {certificate}, key: {key}}}"
    report = await scene.reload(GOOD.replace('8080"', f'8080", {tls}'))

    assert "rejected" == report.result
    assert before == scene.source.looks
    certificate.write_text("no certificate")
    assert before != looks_of(named)
