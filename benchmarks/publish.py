"""
Puts the main table of the latest results into README.md, between its markers.

    python -m benchmarks.publish
"""

import sys
from pathlib import Path

from benchmarks import command_line, results, tables

BEGIN = "<!-- benchmark:begin -->"
END = "<!-- benchmark:end -->"
README = Path(__file__).resolve().parent.parent / "README.md"


def insert(document: str, table: str) -> str:
    """
    Return the document with the text between the markers replaced.

    Raises:
        ValueError: the markers are missing or in the wrong order.

    """
    head, begin, rest = document.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"README.md has no {BEGIN} … {END}")
    return f"{head}{BEGIN}\n{table}\n{END}{tail}"


def main() -> int:
    """Rewrite README.md; 0 when it was done."""
    command_line.parser("benchmarks.publish", __doc__).parse_args()
    found = results.load(results.DIRECTORY / "latest.json")
    try:
        README.write_text(insert(README.read_text(), tables.readme(found)))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
