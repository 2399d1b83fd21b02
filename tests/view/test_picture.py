"""What is drawn of a graph, and the two pictures of it: our own SVG and graphviz's description."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from xml.etree import ElementTree as XML

import pytest

from elfbook.facts import State
from elfbook.model import ElfUse, Graph, JobSpec
from elfbook.view.arrows import Point, down, point, seen
from elfbook.view.drawing import digraph, dot_svg
from elfbook.view.layout import Box
from elfbook.view.outline import Arrow, Node, Outline, in_words, outline, tally
from elfbook.view.picture import ARROWS, COLOURS, INK, ROOM, TALLEST, drawing, svg

SVG = "{http://www.w3.org/2000/svg}"
GREETER = (ElfUse("Greeter", "d1"),)


def graph(jobs: list[JobSpec], elves: tuple[ElfUse, ...] = GREETER) -> Graph:
    return Graph(elves, tuple(jobs), b"")


def all_in(drawn: Outline, state: State) -> tuple[dict[State, int], ...]:
    return tally(drawn, lambda job: state)


@pytest.fixture
def animals(call: Callable[..., JobSpec]) -> Callable[[int], Graph]:
    """blumycelium's example: draw, save, every fifth round three statistics and a report."""
    stats = [("Stats", f"calc{n}") for n in (1, 2, 3)]
    elves = [("Animals", ""), ("Storage", "store"), *stats, ("Form", "form")]

    def make(rounds: int) -> Graph:
        jobs: list[JobSpec] = []

        def add(*args: object, **more: object) -> int:
            jobs.append(call(*args, **more))
            return len(jobs) - 1

        saved: list[int] = []
        for turn in range(rounds):
            drawn = add("task_draw", turn)
            saved.append(add("task_save", turn, parents=(drawn,), elf=1))
            if turn % 5 == 4:
                known = tuple(saved)
                stats = tuple(add("task_stat", 3 * (turn // 5) + n, after=known, elf=2 + n) for n in range(3))
                add("task_report", turn // 5, parents=stats, elf=5)
        return graph(jobs, tuple(ElfUse(elf, "d", name) for elf, name in elves))

    return make


# ---------------------------------------------------------------------------- outline


def test_of_a_small_graph_every_job_is_drawn(call: Callable[..., JobSpec]) -> None:
    join = call("task_join", parents=(0, 1), after=(0,))
    drawn = outline(graph([call("task_hello"), call("task_hello", 1), join]))
    assert drawn == Outline(
        nodes=(Node("task_hello[0]", (0,)), Node("task_hello[1]", (1,)), Node("task_join[0]", (2,))),
        arrows=(Arrow(0, 2, 1), Arrow(1, 2, 1)),
    )


def test_a_map_is_one_box_for_each_step(call: Callable[..., JobSpec]) -> None:
    jobs = [call("task_a", n) for n in range(1000)]
    jobs += [call("task_b", n, parents=(n,)) for n in range(1000)]
    jobs += [call("task_c", 0, parents=tuple(range(1000, 2000)))]
    drawn = outline(graph(jobs))
    assert [node.label for node in drawn.nodes] == [
        "Greeter.task_a × 1\u202f000", "Greeter.task_b × 1\u202f000", "Greeter.task_c",
    ]
    assert drawn.arrows == (Arrow(0, 1, 1000), Arrow(1, 2, 1000))


def test_the_same_task_at_two_places_stays_two_boxes(call: Callable[..., JobSpec]) -> None:
    jobs = [call("task_a", n) for n in range(20)] + [call("task_a", 20 + n, parents=(n,)) for n in range(20)]
    assert [node.label for node in outline(graph(jobs)).nodes] == ["Greeter.task_a × 20"] * 2


def test_named_elves_have_boxes_of_their_own(animals: Callable[[int], Graph]) -> None:
    drawn = outline(animals(100))
    assert [node.label for node in drawn.nodes] == [
        "Animals.task_draw × 100", "store.task_save × 100", "calc1.task_stat × 20", "calc2.task_stat × 20",
        "calc3.task_stat × 20", "form.task_report × 20",
    ]
    assert [arrow.control for arrow in drawn.arrows] == [False, True, True, True, False, False, False]


def test_a_long_chain_is_one_box_that_leads_to_itself(call: Callable[..., JobSpec]) -> None:
    drawn = outline(graph([call("task_s", n, parents=(n - 1,) if n else ()) for n in range(200)]))
    assert drawn.nodes[0].label == "Greeter.task_s × 200"
    assert drawn.arrows == (Arrow(0, 0, 199),)


def test_a_thousand_names_are_drawn_as_their_class(call: Callable[..., JobSpec]) -> None:
    elves = tuple(ElfUse("Storage", "d", f"s{n}") for n in range(1000))
    drawn = outline(graph([call("task_save", n, elf=n) for n in range(1000)], elves))
    assert [node.label for node in drawn.nodes] == ["Storage.task_save × 1\u202f000"]


def test_in_words(animals: Callable[[int], Graph], call: Callable[..., JobSpec]) -> None:
    assert in_words(animals(5)) == (
        "Animals.task_draw (5 jobs) leads to Storage.task_save (5 jobs);"
        " Storage.task_save leads to Stats.task_stat (3 jobs);"
        " Stats.task_stat leads to Form.task_report (1 job)"
    )
    apart = graph([call("task_a"), call("task_b")])
    assert in_words(apart) == "Greeter.task_a (1 job); Greeter.task_b (1 job)"


# ---------------------------------------------------------------------------- SVG


def test_the_picture_word_for_word(call: Callable[..., JobSpec]) -> None:
    drawn = outline(graph([call("task_a"), call("task_b", after=(0,))]))
    states = {0: State.DONE, 1: State.RUNNING}
    assert svg(drawn, tally(drawn, states.__getitem__)) == "\n".join([
        '<svg xmlns="http://www.w3.org/2000/svg" width="270" height="42" viewBox="-6 -6 270 42"'
        ' font-family="system-ui,sans-serif">',
        '<path d="M108 15 C126 15 126 15 144 15" fill="none" stroke="#808080" stroke-dasharray="5 4"/>',
        '<path d="M150 15L143 11 143 19z" fill="#808080"/>',
        '<g fill="none" stroke="#2f7fc4"><rect x="150" y="0" width="108" height="30" rx="5"/></g>',
        '<g fill="none" stroke="#808080" stroke-opacity=".5"><rect x="0" y="0" width="108" height="30" rx="5"/></g>',
        '<g font-size="12" fill="#2f7fc4"><rect x="154" y="4" width="5" height="22" rx="2"/>'
        '<text x="165" y="20">●</text></g>',
        '<g font-size="12" fill="#12896a"><rect x="4" y="4" width="5" height="22" rx="2"/>'
        '<text x="15" y="20">✓</text></g>',
        '<g font-size="12.5" font-weight="600" fill="#797979"><text x="32" y="20">task_a[0]</text>'
        '<text x="182" y="20">task_b[0]</text></g>',
        "</svg>",
    ])


def test_pictures_are_small_and_fit_a_notebook(
    animals: Callable[[int], Graph], call: Callable[..., JobSpec]
) -> None:
    shapes = {
        "animals": animals(100), "thirty jobs": graph(list(animals(11).jobs[:30]), animals(11).elves),
        "chain": graph([call("task_s", n, parents=(n - 1,) if n else ()) for n in range(30)]),
        "wide": graph([call("task_with_a_rather_long_name_indeed", n) for n in range(30)]),
    }
    for name, shape in shapes.items():
        drawn = outline(shape)
        root = XML.fromstring(svg(drawn, all_in(drawn, State.DONE)))
        assert int(root.get("width")) <= ROOM, name
        assert int(root.get("height")) <= TALLEST, name
        assert len(svg(drawn, all_in(drawn, State.DONE))) < 10_000, name
        tags = {part.tag.removeprefix(SVG) for part in root.iter()}
        assert tags <= {"svg", "g", "path", "rect", "text"}
        assert not any(part.get("id") for part in root.iter())


def test_a_group_tells_its_shares(call: Callable[..., JobSpec]) -> None:
    drawn = outline(graph([call("task_a", n) for n in range(1000)]))
    picture = svg(drawn, tally(drawn, lambda job: State.FAILED if job < 4 else State.DONE))
    assert ">Greeter.task_a × 1\u202f000</text>" in picture
    assert ">996 done, 4 failed</text>" in picture
    assert picture.count('height="5" fill="') == 2


def test_labels_are_text(call: Callable[..., JobSpec]) -> None:
    drawn = outline(graph([call("task_a", elf=0)], (ElfUse("E", "d", '</text><script x="1">\x00&'),)))
    root = XML.fromstring(svg(drawn, all_in(drawn, State.WAITING)))
    assert [text.text for text in root.iter(f"{SVG}text")] == ["○", '</text><scrip… · task_a[0]']


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#111111"], ids=["light", "dark"])
def test_on_a_light_page_as_on_a_dark_one_all_can_be_read(page: str) -> None:
    """The picture knows no theme and has no ground. No colour has more than 4.35 to 1 on both."""
    assert contrast(INK, page) >= 4.3
    assert all(contrast(colour, page) >= 3 for colour in (ARROWS, *COLOURS.values()))
    assert set(COLOURS) == set(State)


def chain(call: Callable[..., JobSpec], jobs: int) -> Outline:
    return outline(graph([call("task_s", n, parents=(n - 1,) if n else ()) for n in range(jobs)]))


@pytest.mark.parametrize(("jobs", "sideways"), [(2, True), (5, True), (7, False), (30, False)])
def test_from_left_to_right_as_on_the_board_where_that_is_large_enough(
    call: Callable[..., JobSpec], jobs: int, sideways: bool
) -> None:
    drawn = chain(call, jobs)
    boxes = drawing(drawn, all_in(drawn, State.DONE)).places.boxes
    assert len({box.y for box in boxes}) == (1 if sideways else jobs)
    assert len({box.middle for box in boxes}) == (jobs if sideways else 1)
    root = XML.fromstring(svg(drawn, all_in(drawn, State.DONE)))
    shown, own = float(root.get("width")), float(root.get("viewBox").split()[2])
    assert not sideways or shown / own >= 0.78


def inside(place: Point, box: Box) -> bool:
    x, y = place
    return box.x <= x <= box.x + box.width and box.y <= y <= box.y + box.height


def test_an_arrow_goes_on_behind_the_boxes_between_its_ends() -> None:
    """They have no ground that would hide it."""
    way = ((0.0, 0.0), (100.0, 0.0), (200.0, 0.0), (300.0, 0.0))
    box = Box(120.0, -10.0, 60.0, 20.0)
    first, last = seen(way, [box, Box(0.0, 50.0, 300.0, 20.0)])
    assert first[0] == way[0] and last[3] == way[3]
    for part in (first, last):
        assert not any(inside(point(part, step / 20), box) for step in range(21))
    assert 100.0 < first[3][0] < 120.0 and 180.0 < last[0][0] < 200.0
    assert seen(way, []) == [way]
    assert seen(way, [Box(-10.0, -10.0, 400.0, 20.0)]) == []


@pytest.mark.parametrize("jobs", [3, 4, 6])
def test_an_arrow_that_skips_a_box_goes_around_it_within_the_picture(call: Callable[..., JobSpec], jobs: int) -> None:
    chained = [call("task_s", n, parents=(n - 1,) if n else ()) for n in range(jobs - 1)]
    drawn = outline(graph([*chained, call("task_s", jobs - 1, parents=(0, jobs - 2))]))
    told = drawing(drawn, all_in(drawn, State.DONE))
    boxes = [box.turned for box in told.places.boxes] if told.sideways else told.places.boxes
    way = down(boxes[0], boxes[-1], boxes[1:-1], told.places.height if told.sideways else told.places.width)
    assert not any(inside(point(way.curve, step / 40), box) for step in range(41) for box in boxes[1:-1])
    root = XML.fromstring(svg(drawn, all_in(drawn, State.DONE)))
    left, top, width, height = map(float, root.get("viewBox").split())
    first, size = (top, height) if told.sideways else (left, width)
    assert first <= way.middle[0] <= first + size


def test_a_number_stands_in_a_gap_of_its_arrow(call: Callable[..., JobSpec]) -> None:
    drawn = outline(graph([call("task_a", n) for n in range(40)] + [call("task_b", n, parents=(n,)) for n in range(40)]))
    root = XML.fromstring(svg(drawn, all_in(drawn, State.DONE)))
    number = next(text for text in root.iter(f"{SVG}text") if text.text == "× 40")
    first, second = root.find(f"{SVG}path").get("d").split("M")[1:]
    assert float(first.split()[-2]) < float(number.get("x")) - 10
    assert float(second.split()[0]) > float(number.get("x")) + 10


def test_the_end_of_a_long_name_is_kept(call: Callable[..., JobSpec]) -> None:
    drawn = outline(graph([call("task_with_a_rather_long_name_indeed", n) for n in range(2)]))
    assert drawing(drawn, all_in(drawn, State.DONE)).labels == ("task_with_a_r…me_indeed[0]", "task_with_a_r…me_indeed[1]")


# ---------------------------------------------------------------------------- graphviz


def test_graphviz_gets_the_same_picture(call: Callable[..., JobSpec]) -> None:
    drawn = outline(graph([call("task_a"), call("task_b", parents=(0,)), call("task_c", after=(1,))]))
    described = digraph(drawn, all_in(drawn, State.DONE), 'par"ty')
    assert described.source.splitlines() == [
        'digraph "par\\"ty" {',
        "\tgraph [bgcolor=transparent rankdir=LR]",
        '\tnode [fontcolor="#797979" fontname="sans-serif" shape=box style=rounded]',
        '\tedge [color="#808080" fontname="sans-serif"]',
        *(
            f'\tn{number} [label="task_{letter}[0]\\n✓ done" color="#12896a"]'
            for number, letter in enumerate("abc")
        ),
        "\tn0 -> n1",
        "\tn1 -> n2 [style=dashed]",
        "}",
    ]


def test_graphviz_labels_are_text() -> None:
    drawn = Outline((Node('<b>"\\N', (0,)),), ())
    assert 'label="<b>\\"\\\\N\\n✓ done"' in digraph(drawn, all_in(drawn, State.DONE)).source


def test_dot_draws_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("dot"):
        assert "<svg" in dot_svg("digraph { a -> b }")
        assert dot_svg("not a graph {") is None
    monkeypatch.setenv("PATH", "")
    assert dot_svg("digraph { a -> b }") is None
