"""Links of the documentation lead somewhere, and its commands have the options that they name."""

import ast
import importlib.util
import re
import shlex
from collections.abc import Callable

import pytest

from benchmarks.documentation.pages import PAGES, ROOT, commands_of
from benchmarks.documentation.stand_ins import RULES, rule_of
from venhancer_jax.cli.sample import parse_sample_config
from venhancer_jax.cli.train import parse_train_config
from venhancer_jax.errors import InputError

_LINK = re.compile(r"\]\(([^)\s]+)\)")
ALL = [(page, command) for page in PAGES for command in commands_of((ROOT / page).read_text())]


def arguments_of(command: str, script: str) -> list[str] | None:
    """Arguments of a script, also where a command for other machines quotes it."""
    words = shlex.split(command)
    words = [part for word in words for part in (shlex.split(word) if script in word else [word])]
    if script not in words or "..." in words:
        return None
    after = words[words.index(script) + 1 :]
    return [word for word in after if word.startswith("--")]


def anchors(text: str) -> set[str]:
    """Names of the headings of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_links(page: str):
    text = (ROOT / page).read_text()
    for link in _LINK.findall(text):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text()), link


def test_all_pages_are_reached_from_the_readme():
    reached, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or not page.endswith(".md"):
            continue
        reached.add(page)
        folder = (ROOT / page).parent
        for link in _LINK.findall((ROOT / page).read_text()):
            if not link.startswith("http") and (target := folder / link.split("#")[0]).is_file():
                waiting.append(str(target.resolve().relative_to(ROOT)))
    assert set(PAGES) <= reached


@pytest.mark.parametrize(
    ("script", "parse"), [("sample.py", parse_sample_config), ("train.py", parse_train_config)]
)
def test_commands_have_the_options_that_they_name(
    script: str, parse: Callable, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(ROOT)
    found = [arguments for _, c in ALL if (arguments := arguments_of(c, script)) is not None]
    assert len(found) > 3
    for arguments in found:
        assert parse(arguments)[0] is not None
    with pytest.raises(InputError):
        parse([*found[0], "--config.no_such_key=1"])


def test_modules_that_are_named_exist():
    modules = {name for _, c in ALL for name in re.findall(r"python -m ([\w.]+)", c)} - {"venv"}
    assert len(modules) > 10
    assert [name for name in modules if importlib.util.find_spec(name) is None] == []


def test_every_rule_of_the_commands_is_used():
    """A rule that no command needs any longer hides what changed."""
    used = {rule_of(command).kind for _, command in ALL}
    assert {rule.kind for rule in RULES} <= used


def test_benchmarks_get_the_flags_that_they_need_and_no_others():
    commands = [rule_of(c).applied(c) for _, c in ALL if not rule_of(c).reason]
    named = [re.search(r"python -m benchmarks\.(\w+)( .*)?$", command) for command in commands]
    found = [match.groups("") for match in named if match]
    assert len(found) > 15
    for name, arguments in found:
        required, known = flags_of(name)
        given = {word[2:].split("=")[0] for word in shlex.split(arguments) if word[:2] == "--"}
        assert given <= known, (name, given - known)
        assert required <= given, (name, required - given)


def flags_of(benchmark: str) -> tuple[set[str], set[str]]:
    """Names of the flags that a benchmark requires, and of all, with those of what it imports."""
    required, known = set(), set()
    path = ROOT / "benchmarks" / benchmark
    text = (path / "__main__.py" if path.is_dir() else path.with_suffix(".py")).read_text()
    for imported in re.findall(r"from benchmarks\.([a-z_]+) import", text):
        if (module := ROOT / f"benchmarks/{imported}.py").exists():
            text += module.read_text().split("\nif __name__")[0]
    for call in ast.walk(ast.parse(text)):
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("flags.DEFINE_"):
            name = ast.literal_eval(call.args[0])
            known.add(name)
            if any(keyword.arg == "required" for keyword in call.keywords):
                required.add(name)
    return required, known
