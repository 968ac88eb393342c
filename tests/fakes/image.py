"""
A Dockerfile carried out in an empty folder, for machines without a Docker engine.

What it keeps of the real thing: stages start empty, COPY brings only what the Dockerfile names, RUN stops at
the first failure, ENV, WORKDIR and USER hold from where they stand. What it cannot keep: the base image is
this machine, so /usr, /bin and the interpreter are the machine's own; only paths in OWN lie in the folder.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

OWN = ("opt", "src", "etc", "var", "srv", "home")
"""Top-level directories that belong to the image; a path into any other one is the machine's."""

OWN_PATH = re.compile(rf"(?<![\w./~-])/(?=(?:{'|'.join(OWN)})(?:[/\s:\"]|$))")

ABLE = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))"
"""What an interpreter must be able to do to carry out the Dockerfile."""

DESCRIPTIVE = frozenset({"EXPOSE", "LABEL", "STOPSIGNAL"})


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction of a Dockerfile with its argument, comments gone and continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        if line.strip():
            name, _, argument = line.strip().partition(" ")
            yield name.upper(), argument.strip()


def options_and_words(argument: str) -> tuple[dict[str, str], list[str]]:
    """Split `--from=build a b` into its options and its words."""
    words = shlex.split(argument)
    options = [word[2:].partition("=") for word in words if word.startswith("--")]
    return {name: value for name, _, value in options}, [word for word in words if not word.startswith("--")]


def is_reachable_for_others(path: Path) -> bool:
    """Say whether a user without rights may go to a path: every directory above lets others through."""
    return all(place.stat().st_mode & 0o001 for place in path.resolve().parents)


def base_interpreter() -> Path:
    """Return the interpreter that stands for the base image's, if possible one in every user's reach."""
    ours = Path(getattr(sys, "_base_executable", sys.executable))
    others = [shutil.which(name, path="/usr/local/bin:/usr/bin") for name in ("python3.11", "python3")]
    able = [
        Path(found)
        for found in others
        if found and not subprocess.run([found, "-c", ABLE], capture_output=True, check=False).returncode
    ]
    return next((path for path in [ours, *able] if is_reachable_for_others(path)), ours)


@dataclass
class Image:
    """
    What building a Dockerfile leaves: a root, and how to start a container in it.

    Attributes:
        folder: Holds `root` of the stage at work; finished stages are moved beside it.
        context: The repository, from which COPY takes.
        interpreter: What `python` is in the base image.
    """

    folder: Path
    context: Path
    interpreter: Path = field(default_factory=base_interpreter)
    environment: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, list[str]] = field(default_factory=dict)
    user: str = ""
    workdir: str = "/"
    stage: str = ""

    @property
    def root(self) -> Path:
        """Where the paths of the stage at work lie; the same folder for every stage, as scripts name it."""
        return self.folder / "root"

    def build(self, dockerfile: Path) -> None:
        """Carry out every instruction; an unknown one is an error."""
        python = self.folder / "base" / "python"
        python.parent.mkdir()
        python.write_text(f'#!/bin/sh\nexec {self.interpreter} "$@"\n')
        python.chmod(0o755)
        actions = {
            "FROM": self._from,
            "COPY": self._copy,
            "RUN": self._run,
            "ENV": self._env,
            "USER": self._user,
            "WORKDIR": self._workdir,
        }
        for name, argument in instructions(dockerfile.read_text()):
            if name in {"ENTRYPOINT", "CMD"}:
                self.metadata[name] = json.loads(argument)
            elif name == "HEALTHCHECK":
                self.metadata[name] = json.loads(argument.partition("CMD ")[2])
            elif name in DESCRIPTIVE:
                self.metadata[name] = argument.split()
            else:
                actions[name](argument)

    def local(self, text: str) -> str:
        """Turn the image's paths in a text into those of the folder."""
        return OWN_PATH.sub(f"{self.root}/", text)

    def command(self, *arguments: str) -> list[str]:
        """Return what a container runs: the entry point with these arguments, or with the default ones."""
        return [
            self.local(word) for word in [*self.metadata["ENTRYPOINT"], *(arguments or self.metadata["CMD"])]
        ]

    def start(
        self, command: list[str], environment: Mapping[str, str], output: IO[bytes] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program as the container would: directory, variables and, where root may, user."""
        user = group = None
        if self.user and self.may_change_user:
            user, group = (int(number) for number in self.user.split(":"))
        return subprocess.Popen(
            command,
            cwd=self.directory(self.workdir),
            env={**self.base_environment(), **environment},
            stdout=output,
            user=user,
            group=group,
            extra_groups=None if user is None else [],
        )

    @property
    def base_path(self) -> str:
        """The base image's PATH; its `python` comes first."""
        return f"{self.folder / 'base'}:{os.environ['PATH']}"

    @property
    def may_change_user(self) -> bool:
        """Whether programs and files may belong to the image's user; else all is done as who we are."""
        places = (self.root, self.interpreter)
        return os.geteuid() == 0 and all(is_reachable_for_others(place) for place in places)

    def base_environment(self) -> dict[str, str]:
        """Return what a base image would have, where packages come from, and the image's own."""
        kept = {
            name: value for name, value in os.environ.items() if name.startswith(("PIP_", "HOME", "LANG"))
        }
        return {"PATH": self.base_path, **kept, **self.environment}

    def directory(self, path: str) -> Path:
        """Return the folder that an absolute directory of the image is."""
        return self.root / path.lstrip("/")

    def _from(self, argument: str) -> None:
        if self.root.exists():
            self.root.rename(self.folder / self.stage)
        self.stage = argument.partition(" AS ")[2] or "final"
        self.environment, self.user, self.workdir = {}, "", "/"
        for name in ("", *OWN):
            (self.root / name).mkdir(mode=0o755)

    def _copy(self, argument: str) -> None:
        options, [*sources, target] = options_and_words(argument)
        origin = self.folder / options["from"] if "from" in options else self.context
        place = self.directory(target if target.startswith("/") else f"{self.workdir}/{target}")
        into_directory = target.endswith("/") or len(sources) > 1
        for source in sources:
            found = origin / source.lstrip("/")
            if found.is_dir():
                shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True)
            else:
                destination = place / found.name if into_directory else place
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(found, destination)

    def _run(self, argument: str) -> None:
        script = self.local(re.sub(r"^(--\S+\s+)+", "", argument))
        if not self.may_change_user:
            script = re.sub(r"-[og] \d+ ?", "", script)
        run = subprocess.run(
            ["/bin/sh", "-ec", script],
            cwd=self.directory(self.workdir),
            env=self.base_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode:
            raise RuntimeError(f"RUN {script}\n{run.stdout}{run.stderr}")

    def _env(self, argument: str) -> None:
        before = {"PATH": self.base_path} | self.environment
        for word in shlex.split(argument):
            name, _, value = word.partition("=")
            expanded = re.sub(r"\$\{?(\w+)\}?", lambda match: before.get(match[1], ""), self.local(value))
            self.environment[name] = expanded

    def _user(self, argument: str) -> None:
        self.user = argument

    def _workdir(self, argument: str) -> None:
        self.workdir = argument
        self.directory(argument).mkdir(parents=True, exist_ok=True)
