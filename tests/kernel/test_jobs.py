"""Jobs in a real ipykernel: results and output come home to the job they belong to."""

from __future__ import annotations

import asyncio
import hashlib
import textwrap
from pathlib import Path

import pytest

from elfbook.model import INLINE_LIMIT
from elfbook.work.outputs import text_of_display


async def test_results_come_back_in_order(desk, until) -> None:
    kernel = await desk.start()
    jobs = [desk.job("double", number) for number in range(200)]
    kernel.run(jobs)
    await until(lambda: len(desk.done) == 200)
    assert [desk.value(job.token) for job in jobs] == [2 * number for number in range(200)]
    assert list(desk.done) == [job.token for job in jobs]
    assert kernel.pid > 1 and kernel.python.startswith("3.")


async def test_output_lands_with_its_job(desk, until) -> None:
    await desk.start()
    tokens = [desk.put("say", f"number {number}") for number in range(20)]
    shown = desk.put("show", "<b>hi</b>")
    threaded = desk.put("thread", "from a thread")
    silent = desk.put("double", 1)
    last = [*tokens, shown]
    await until(lambda: silent in desk.done)
    ended = {(token, "status") for token in last}
    await until(lambda: ended <= {(t, kind) for t, kind, content in desk.heard})
    for number, token in enumerate(tokens):
        assert desk.text(token) == f"number {number}\n"
        assert desk.text(token, "stderr") == f"NUMBER {number}\n"
        assert desk.done[token][0]["output"]
    assert [each["text/html"] for each in desk.bundles(shown)] == ["<b>hi</b>"]
    await until(lambda: desk.text(threaded) == "from a thread\n")
    assert "output" not in desk.done[silent][0]
    assert not [kind for token, kind, _ in desk.heard if token == silent]


async def test_the_mark_that_a_jobs_output_is_complete_comes_last(desk, until) -> None:
    await desk.start()
    token = desk.put("say", "x" * 20_000)
    await until(lambda: (token, "status") in {(t, kind) for t, kind, _ in desk.heard})
    assert desk.text(token) == "x" * 20_000 + "\n"
    assert [kind for t, kind, _ in desk.heard if t == token][-1] == "status"


async def test_output_still_lands_after_a_job_ran_a_cell(desk, until) -> None:
    """IPython puts its own streams and parent back after each cell."""
    await desk.start()
    ran = desk.put("run_cell")
    said = desk.put("say", "afterwards")
    await until(lambda: said in desk.done and (said, "status") in {(t, kind) for t, kind, _ in desk.heard})
    assert desk.value(ran) == 42
    assert desk.text(said) == "afterwards\n"


async def test_figures_are_shown(desk, until) -> None:
    pytest.importorskip("matplotlib")
    await desk.start()
    token = desk.put("figure")
    await until(lambda: desk.bundles(token), timeout_s=60)
    await until(lambda: token in desk.done)
    assert desk.bundles(token)[0]["image/png"].startswith("iVBOR")


async def test_jobs_that_have_not_begun_are_given_back(desk, until) -> None:
    kernel = await desk.start()
    path = desk.folder / "begun"
    running = desk.put("stubborn", str(path))
    waiting = [desk.put("double", number) for number in range(3)]
    await until(path.exists)
    kernel.drop([running, *waiting[1:], "w1.999"])
    await until(lambda: desk.dropped)
    (desk.folder / "begun.go").touch()
    await until(lambda: waiting[0] in desk.done)
    assert desk.dropped == waiting[1:]
    assert desk.value(running) == "ready"
    last = desk.put("double", 9)
    await until(lambda: last in desk.done)
    assert not set(waiting[1:]) & set(desk.done)


async def test_async_tasks(desk, until) -> None:
    await desk.start()
    tokens = [desk.put("later", number) for number in range(5)]
    await until(lambda: len(desk.done) == 5)
    assert [desk.value(token) for token in tokens] == [1, 2, 3, 4, 5]
    await until(lambda: [desk.text(token) for token in tokens] == [f"later {n}\n" for n in range(5)])


async def test_the_shell_answers_between_short_jobs(desk, until) -> None:
    """Completion, inspection and the debugger go on working on a busy worker."""
    kernel = await desk.start()
    kernel.run([desk.job("double", number) for number in range(20_000)])
    reply = await kernel._client.kernel_info(reply=True, timeout=20)
    before = len(desk.done)
    assert reply["content"]["status"] == "ok"
    assert before < 20_000
    await until(lambda: len(desk.done) == 20_000, timeout_s=60)


async def test_a_large_result_is_a_file_with_its_hash(desk, until) -> None:
    await desk.start()
    small, large = desk.put("large", INLINE_LIMIT // 2), desk.put("large", 3_000_000)
    await until(lambda: large in desk.done)
    assert "file" not in desk.done[small][0]
    header, parts = desk.done[large]
    path = Path(header["file"]["path"])
    # Where the worker keeps values: its socket may be on another file system, and files do not move across.
    assert path.parent == desk.values
    data = path.read_bytes()
    assert parts == []
    assert header["file"]["size"] == len(data) >= 3_000_000
    assert header["file"]["digest"] == hashlib.sha256(data).hexdigest()
    assert desk.decode(data) == bytes(3_000_000)


async def test_a_named_elf_keeps_its_attributes_until_it_is_forgotten(desk, until) -> None:
    kernel = await desk.start()
    first = [desk.put("count", name="ann"), desk.put("count", name="ann"), desk.put("count", name="bob")]
    await until(lambda: len(desk.done) == 3)
    assert [desk.value(token) for token in first] == [1, 2, 1]
    kernel.forget(["ann"])
    again = desk.put("count", name="ann")
    await until(lambda: again in desk.done)
    assert desk.value(again) == 1


async def test_what_an_elf_keeps_comes_with_the_result_and_is_put_back(desk, until) -> None:
    await desk.start()
    kept = desk.encode({"x": 40})
    token = desk.put("keep", 2, name="ann", kept=kept)
    await until(lambda: token in desk.done)
    header, parts = desk.done[token]
    assert header["keep"]
    assert desk.decode(parts[1]) == desk.value(token) == {"x": 42}


async def test_code_that_does_not_load_is_refused_with_its_reason(desk, until) -> None:
    await desk.start(
        cell=textwrap.dedent("""\
        import no_such_module_at_all
        class Zoo:
            def task_double(self, x): return 2 * x
    """)
    )
    token = desk.put("double", 1)
    await until(lambda: token in desk.done)
    assert desk.done[token][0]["refused"]
    assert desk.failure(token)["type"] == "ModuleNotFoundError"
    assert desk.failure(token)["frames"][-1]["line"] == 1


def test_a_display_as_text() -> None:
    data = {
        "text/plain": "x",
        "image/png": b"\x89PNG",
        "text/html": ["<b>", "</b>"],
        "application/json": {"a": [1]},
    }
    assert text_of_display({"data": data}) == {
        "text/plain": "x",
        "image/png": "iVBORw==",
        "text/html": "<b></b>",
        "application/json": '{"a": [1]}',
    }
    assert text_of_display({}) == {}


async def test_each_attempt_has_its_token_and_nothing_else_has_it(desk, until) -> None:
    await desk.start()
    first, later, cell = desk.put("fence"), desk.put("fence_later"), desk.put("double", 1)
    await until(lambda: cell in desk.done)
    assert desk.value(first) == ((3, 1), (3, 1), "0000000003-0000000000000001")
    assert desk.value(later) == (3, 2)
    reply = await desk.kernel._client.execute("import elfbook; elfbook.fence()", reply=True, timeout=20)
    assert reply["content"]["status"] == "error"
    assert "no task is running here" in reply["content"]["evalue"]


async def test_a_kernel_tells_what_packages_it_has_also_while_it_works(desk, until) -> None:
    kernel = await desk.start()
    path = desk.folder / "begun"
    running = desk.put("stubborn", str(path))
    await until(path.exists)
    names = ["json", "numpy", "no_such_package", "elfbook", "elfbook_inside_room"]
    assert await kernel.find(names) == {
        "json": True, "numpy": True, "no_such_package": False, "elfbook": True, "elfbook_inside_room": True,
    }  # fmt: skip
    (desk.folder / "begun.go").touch()
    await until(lambda: running in desk.done)


async def test_a_kernel_that_ends_owes_no_answer(desk, until) -> None:
    kernel = await desk.start()
    kernel.kill()
    answers = asyncio.gather(kernel.find(["json"]), kernel.find(["scipy"]))
    await until(lambda: desk.deaths)
    await kernel.stop()
    assert await answers == [{}, {}]
