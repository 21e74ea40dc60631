"""Measures discovery: a hundred tasks, the operations that each needs, and what the way from task to schema costs.

python -m bench.questions

The tasks are in the words of people who do not know the document, and were written before any result was seen.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from bench.figures import section, table
from bench.stdio import module, session
from bench.tokens import compact, count
from portkey_bridge.bridge.calls import CallContext
from portkey_bridge.builtin.search_tools import BY_NAME, BY_PLACE, AnswerForm, SearchTools
from portkey_bridge.cli.loading import load_tools
from portkey_bridge.settings.options import Settings
from tests.node import MODULES
from tests.public_documents import FOLDER

#: A heading for each API; each other line is a task, a bar, and the operations that it needs with commas between them.
_TASKS = Path(__file__).with_suffix(".txt")

#: Where an answer names an operation.
_OPERATION = re.compile(r"\b[A-Z]+ /\S*")


class Answer(NamedTuple):
    """The first answer to a task: the operations that the task needs, those that it names, and its characters."""

    needed: Sequence[str]
    named: Sequence[str]
    characters: int

    @property
    def found(self) -> int:
        """How many of the needed operations the answer names."""
        return len([operation for operation in self.needed if operation in self.named])


class Questions(NamedTuple):
    """Tasks for an API, each with the operations that it needs. `document` is its file, or None for the shipped one."""

    api: str
    document: Path | None
    pairs: Sequence[tuple[str, Sequence[str]]]

    async def answers(self, form: AnswerForm = BY_PLACE) -> list[Answer]:
        """Return the first answer to each task, as a model would see it. A tool's name stands for its operation."""
        api, tools = load_tools(Settings(spec=str(self.document) if self.document else None))
        known = {tool.name: str(tool.operation) for tool in tools}
        search = SearchTools(tools, api.title, form=form)
        answers = []
        for task, needed in self.pairs:
            assert {*known.values()}.issuperset(needed), f"{self.api} has no {set(needed) - {*known.values()}}"  # noqa: S101
            (block,) = (await search.run({"query": task}, CallContext())).content
            text: str = block.text  # type: ignore[union-attr]  # it is text
            places = [name.rstrip(",") for name in _OPERATION.findall(text)]
            named = [known[word] for word in re.findall(r"\w+", text) if word in known] if form is BY_NAME else []
            answers.append(Answer(needed, [*places, *named], len(text)))
        return answers


#: The documents of Blockfrost and Star Trek are those of the packages that `.ci/run` installs from npm.
_DOCUMENTS = {
    "Docker": FOLDER / "docker-engine.yaml",
    "Mastodon": FOLDER / "mastodon.json",
    "Netlify": FOLDER / "netlify.yml",
    "Superset": FOLDER / "superset.json",
    "Blockfrost": MODULES / "@blockfrost/openapi/openapi.yaml",
    "Star Trek": MODULES / "@readme/oas-examples/3.0/json/star-trek.json",
    "Portkey": None,
}


def _read() -> Iterator[Questions]:
    for part in _TASKS.read_text(encoding="utf-8").removeprefix("# ").split("\n# "):
        api, *lines = part.strip().splitlines()
        pairs = (line.rsplit(" | ", 1) for line in lines)
        yield Questions(api, _DOCUMENTS[api], [(task, operations.split(", ")) for task, operations in pairs])


QUESTIONS = tuple(_read())


def recall(answers: Sequence[Answer]) -> float:
    """Return the share of the needed operations that the answers name."""
    return sum(answer.found for answer in answers) / sum(len(answer.needed) for answer in answers)


async def tokens() -> tuple[int, int]:
    """Return the tokens of the listing, and of the way from a plain question to the schema of a chat completion."""
    async with session(module("portkey_bridge", "--discover"), {}) as server:
        listed = json.loads(await server.request("tools/list"))["result"]["tools"]
        question = {"query": "create a chat completion"}
        schema = {"toolName": "createchatcompletion", "jsonPointers": [""]}
        way = 0
        for name, arguments in (("searchTools", question), ("expandSchema", schema)):
            answer = json.loads(await server.call(name, arguments))["result"]
            way += count(compact(arguments)) + sum(count(block["text"]) for block in answer["content"])
    return count(compact(listed)), way


def _row(api: str, answers: Sequence[Answer]) -> tuple[str, ...]:
    needed = sum(len(answer.needed) for answer in answers)
    complete = len([answer for answer in answers if answer.found == len(answer.needed)])
    characters = [answer.characters for answer in answers]
    shown = (api, len(answers), needed, f"{recall(answers):.2f}", complete, round(mean(characters)), max(characters))
    return tuple(map(str, shown))


def main() -> None:
    """Print how much of what the tasks need the first answers name, and what they cost."""
    rows, everything, for_programs = [], list[Answer](), list[Answer]()
    for questions in QUESTIONS:
        if questions.document and not questions.document.is_file():
            missing = f"{questions.api}: not measured, because {questions.document.name} is not there"
            print(missing, file=sys.stderr)
            continue
        answers = asyncio.run(questions.answers())
        rows.append(_row(questions.api, answers))
        everything += answers
        for_programs += asyncio.run(questions.answers(BY_NAME))
    heads = ("API", "tasks", "needed operations", "named by the first answer", "complete answers", "characters", "most")
    listed, way = asyncio.run(tokens())
    print(
        section(
            "Discovery",
            table(heads, [*rows, _row("all", everything), _row("all, with --code", for_programs)]),
            f"The three tools are listed in {listed:,} tokens. From a plain question to the schema of a chat "
            f"completion it takes {way:,} tokens, what the model writes included.",
        )
    )


if __name__ == "__main__":
    main()
