"""Rows in memory and in a file that several instances share."""

from pathlib import Path

import pytest

from pcs_gateway.sample import SampleConfig, SampleServer
from pcs_gateway.sample.seed import PROMPTS, prompt_id, seed
from pcs_gateway.sample.store import DuplicateNameError, Store
from tests.fakes.raw_client import RawClient


def test_an_updated_row_moves_to_the_end() -> None:
    """A list has the order of the last writes."""
    store = Store()
    for name in "abc":
        store.insert("prompt", {"id": name})
    store.replace("prompt", {"id": "a", "changed": True})

    assert [row["id"] for row in store.select("prompt")] == ["b", "c", "a"]
    assert store.page("prompt", 1, 1) == [{"id": "c"}]
    store.close()


def test_a_name_is_taken_once_per_kind() -> None:
    """The same name is refused within a kind, and a failed transaction leaves nothing."""
    store = Store()
    store.insert("prompt", {"id": "1"}, name="same")
    store.insert("context_type", {"id": "1"}, name="same")

    def insert_two() -> None:
        with store.transaction():
            store.insert("prompt", {"id": "2"})
            store.insert("prompt", {"id": "3"}, name="same")

    with pytest.raises(DuplicateNameError):
        insert_two()

    assert store.count("prompt") == 1
    store.close()


def test_removing_a_row_removes_what_belongs_to_it() -> None:
    """A prompt takes its versions along."""
    store = Store()
    store.insert("prompt", {"id": "1"})
    store.insert("version", {"id": "2"}, parent="1")

    assert store.remove("prompt", "1")
    assert not store.remove("prompt", "1")
    assert store.count("version") == 0
    store.close()


def test_only_an_empty_database_is_seeded(tmp_path: Path) -> None:
    """Instances that start one after another on a file find the same rows once."""
    stores = [Store(str(tmp_path / "pcs.db")) for _ in range(3)]
    for store in stores:
        seed(store)

    assert [store.count("prompt") for store in stores] == [PROMPTS] * 3
    for store in stores:
        store.close()


async def test_instances_share_a_file(tmp_path: Path) -> None:
    """What one instance deletes is gone for the other."""
    path = str(tmp_path / "pcs.db")
    target = f"/api/v1/prompts/{prompt_id(1)}"
    async with (
        SampleServer(SampleConfig(instance="one", database=path)) as one,
        SampleServer(SampleConfig(instance="two", database=path)) as two,
        RawClient(one.port) as first,
        RawClient(two.port) as second,
    ):
        deleted = await first.ask(f"DELETE {target}")
        missing = await second.ask(f"GET {target}")

    assert (deleted.status, missing.status) == (204, 404)
    assert (deleted.fields["x-pcs-instance"], missing.fields["x-pcs-instance"]) == ("one", "two")
    assert deleted.fields["content-type"] == "application/json"
