"""What programs save: tasks on an issue tracker, solved with all tools, with --discover and with --code."""

from __future__ import annotations

import pytest

from bench.programs import TASKS, WAYS, Task, measured


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.question)
async def test_programs_solve_the_same_tasks(task: Task) -> None:
    """All ways lead to the same result, and --code never costs more than 1.2 times as many tokens as all tools."""
    costs = {way: await measured(task, way) for way in WAYS}
    results = [cost.result for cost in costs.values()]
    assert results[0] is not None
    assert results == [results[0]] * len(WAYS)
    assert costs["--code"].tokens <= 1.2 * costs["all tools"].tokens
    assert costs["--code"].processed <= 1.2 * costs["all tools"].processed
    assert costs["--code"].calls <= costs["--discover"].calls


@pytest.mark.slow
async def test_programs_save_tokens_in_loops_and_joins() -> None:
    """Tasks of several calls take at most a fifth of the tokens altogether, counted once or in each turn."""
    several = [task for task in TASKS if len(task.tools) > 1]
    plain = [await measured(task, "all tools") for task in several]
    coded = [await measured(task, "--code") for task in several]
    assert 5 * sum(cost.tokens for cost in coded) <= sum(cost.tokens for cost in plain)
    assert 5 * sum(cost.processed for cost in coded) <= sum(cost.processed for cost in plain)
