"""What whoever clicked is told of an error."""

from __future__ import annotations

import pytest

from elfbook.client.outward import told
from elfbook.errors import ElfUsageError


def test_a_mistake_is_told_with_its_next_step_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert told(ElfUsageError("no such flow", hint="See  %elf runs"), "a retry") == "no such flow. See  %elf runs"
    assert told(ElfUsageError("no such flow"), "a retry") == "no such flow"
    assert not caplog.records


def test_any_other_error_is_told_by_its_type_and_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    error = ZeroDivisionError("division by zero")
    assert told(error, "a retry, asked by a board,") == "ZeroDivisionError: division by zero"
    (record,) = caplog.records
    assert record.getMessage() == "a retry, asked by a board, failed" and record.exc_info[1] is error
