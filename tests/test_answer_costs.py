"""What `select` and the first view save on answers of the shipped document, in tokens of o200k_base.

The document has no examples of answers, so they are made up by its schemas, with twenty items in each list.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from bench.tokens import count
from portkey_bridge.bridge.service import Service
from portkey_bridge.bridge.several_apis import load_services
from portkey_bridge.response.selection import Selection
from portkey_bridge.response.tables import tabulated
from portkey_bridge.schema.samples import Samples
from portkey_bridge.settings.options import Settings
from portkey_bridge.tools.subjects import SubjectReader

ITEMS = 20

#: A task, the tool whose answer it needs, the fields that it needs of each item, and where the items are
TASKS = [
    ("Which of my API keys are active?", "get_api_keys", ("name", "status"), "data"),
    ("Which model does each assistant use?", "listassistants", ("name", "model"), "data"),
    ("Which batches are still running?", "listbatches", ("id", "status"), "data"),
    ("Who said what in this thread?", "listmessages", ("role", "content[].text.value"), "data"),
    ("Which runs have failed, and why?", "listruns", ("id", "status", "last_error.message"), "data"),
    ("Which virtual keys are near their limit?", "get_virtual_keys", ("name", "usage_limits.credit_limit"), "data"),
    ("How are my providers called?", "get_providers", ("name", "slug"), "data"),
    ("Who changed what today?", "get_audit_logs", ("timestamp", "user_id", "action"), "records"),
    ("Which fine-tuned models do I have?", "listpaginatedfinetuningjobs", ("fine_tuned_model", "status"), "data"),
    ("What are the ids of the workspaces?", "get_admin_workspaces", ("id", "name"), "data"),
]


@cache
def service() -> Service:
    """Return the shipped document as it is served."""
    (shipped,) = load_services([Settings()])
    return shipped


def answer_of(name: str, items: str) -> dict[str, Any]:
    """Return a made-up answer of a tool with twenty items, which differ in their identifiers."""
    tool = next(tool for tool in service().tools if tool.name == name)
    schema = next(each for each in SubjectReader(service().api.root).answers(tool.operation) if isinstance(each, dict))
    answer: dict[str, Any] = Samples(service().shapes)(schema)
    (item,) = answer[items]
    answer[items] = [
        {key: f"{value}-{number}" if isinstance(value, str) else value for key, value in item.items()}
        for number in range(ITEMS)
    ]
    return answer


def select_of(fields: tuple[str, ...], items: str) -> str:
    """Return the expression for these fields of each item."""
    return f"{items}[].[{', '.join(fields)}]"


@pytest.mark.slow
@pytest.mark.parametrize(("task", "tool", "fields", "items"), TASKS, ids=[tool for _, tool, _, _ in TASKS])
def test_a_task_costs_a_fraction_of_the_answer(task: str, tool: str, fields: tuple[str, ...], items: str) -> None:
    """What the task needs is there for each item, and takes less than half of the tokens."""
    answer = answer_of(tool, items)
    body = json.dumps(answer).encode()
    selected = Selection(select_of(fields, items)).apply(body)
    assert selected is not None, task
    rows = json.loads(selected)
    assert len(rows) == ITEMS
    for row, item in zip(rows, answer[items], strict=True):
        assert row[0] == item[fields[0]]
        assert None not in row
    assert count(selected.decode()) < count(body.decode()) / 2


def test_all_tasks_together_cost_a_fifth() -> None:
    """At least 80 % of the tokens are saved, and the first view of a long list is shorter still."""
    whole = selected = views = 0
    for _, tool, fields, items in TASKS:
        body = json.dumps(answer_of(tool, items)).encode()
        part, view = Selection(select_of(fields, items)).apply(body), tabulated(body, 4000)
        assert part is not None
        assert view is not None
        whole, selected, views = (
            whole + count(body.decode()),
            selected + count(part.decode()),
            views + count(view),
        )
    assert selected <= whole / 5
    assert views <= whole / 5
