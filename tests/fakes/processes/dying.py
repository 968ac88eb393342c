"""A stand-in for a process that cannot run: it ends as soon as it starts."""

raise SystemExit(3)
