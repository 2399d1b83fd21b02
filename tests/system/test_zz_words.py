from __future__ import annotations
DIE = '''\
import os


class Dying:
    def task_die(self, n):
        print("about to go", flush=True)
        os._exit(7)
'''


async def test_words(book):
    dying = book.cell(DIE)["Dying"]()
    run = await book.settled(await book.submit("words", lambda: [dying.task_die(n) for n in range(20)], lost_retries=0), 100)
    print(sum("about to go" in job.event.why for job in run.state.jobs), "of 20")
    raise AssertionError
