"""The page docs/telemetry.md tells all that there is."""

import re
from pathlib import Path

from pcs_gateway.telemetry.access_log import AccessLine

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "telemetry.md").read_text()
NAMED = set(re.findall(r"`(\w+)`", PAGE)) | set(re.findall(r'"(\w+)":', PAGE))


def test_every_metric_is_explained() -> None:
    """Each family of the golden page stands in the table."""
    golden = Path(__file__).with_name("golden") / "metrics.txt"
    families = re.findall(r"^# TYPE pcs_gateway_(\w+)", golden.read_text(), re.MULTILINE)

    assert set() == {*families, "build_info"} - NAMED


def test_every_field_of_the_access_log_is_explained() -> None:
    """Each is in the example or in the text."""
    assert set() == set(AccessLine.__struct_fields__) - NAMED
