"""Pages of the site that are not written by hand: a hook of MkDocs (`make docs`).

``cli/`` comes from the command line's own verbs, ``api/`` from the docstrings of the public rooms;
CHANGELOG, CONTRIBUTING and SECURITY are taken from the root. Links to files beside ``docs/`` are turned
to these pages.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import typer

from headstart.cli.app import PANELS, whole_command

if TYPE_CHECKING:  # the extra docs
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
FROM_ROOT = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
# Public rooms beside the package itself, in the order of the pages.
ROOMS = (
    "heads",
    "features",
    "data",
    "backbones",
    "training",
    "augment",
    "text",
    "export",
    "errors",
)
# Code after a bracket, or before the end of one or of a sentence.
AMONG_SIGNS = re.compile(r"[(\[]+<code>[^<]*</code>[)\].,:;!?]*|<code>[^<]*</code>[)\].,:;!?]+")
PLACES = {"README.md": "index.md", **{name: name.lower() for name in FROM_ROOT}}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of a folder in the place of ``folder/*`` in the navigation."""
    written = {name for name, _ in written_pages()}
    docs = Path(config.docs_dir)
    known = sorted(written | {p.relative_to(docs).as_posix() for p in docs.rglob("*.md")})
    config.nav = expanded(config.nav, known)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in ``docs/``."""
    from mkdocs.structure.files import File

    for name, content in written_pages():
        files.append(File.generated(config, name, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: Any) -> str:
    """Lead links to files at the root of the repository to their pages here."""
    up = "../" * page.file.src_uri.count("/")
    for name, place in PLACES.items():
        markdown = markdown.replace(f"]({up}../{name}", f"]({up}{place}")
    return markdown


def on_page_content(html: str, **_: Any) -> str:
    """Names in docstrings without Sphinx's roles; code on one line with the signs before and after it."""
    html = re.sub(r":(?:func|class|meth|mod|attr|data):(?=<code>)", "", html)
    return AMONG_SIGNS.sub(r'<span class="together">\g<0></span>', html)


def expanded(entry: Any, known: list[str]) -> Any:
    """A part of the navigation in which ``folder/*`` has become the pages of the folder."""
    if isinstance(entry, dict):
        return {title: expanded(inner, known) for title, inner in entry.items()}
    if not isinstance(entry, list):
        return entry
    found: list[Any] = []
    for one in entry:
        folder = one.removesuffix("*") if isinstance(one, str) and one.endswith("/*") else ""
        found += [k for k in known if folder and k.startswith(folder) and k != f"{folder}index.md"]
        found += [] if folder else [expanded(one, known)]
    return found


def written_pages() -> Iterator[tuple[str, str]]:
    """Name and Markdown of each page that is made here."""
    yield from command_pages()
    yield from api_pages()
    for name in FROM_ROOT:
        text = (ROOT / name).read_text(encoding="utf-8")
        yield PLACES[name], re.sub(r"\]\(docs/", "](", text.replace("](README.md", "](index.md"))


def command_pages() -> Iterator[tuple[str, str]]:
    """One page a verb, and one that lists them."""
    group = whole_command()
    context = group.context_class(group, info_name="headstart")
    lines = ["# The command line", "", *usage(group, context), *options(group, context)]
    placed = [verb for verbs in PANELS.values() for verb in verbs]
    panels = {**PANELS, "Others": tuple(v for v in group.commands if v not in placed)}
    for panel, verbs in panels.items():
        if verbs:
            lines += [f"## {panel}", "", "| command | what it does |", "| --- | --- |"]
        for verb in verbs:
            command = group.commands[verb]
            lines.append(f"| [`headstart {verb}`]({verb}.md) | {first_line(command)} |")
            page = command_section(command, context, f"headstart {verb}", "#")
            yield f"cli/{verb}.md", "\n".join(page)
        lines.append("")
    yield "cli/index.md", "\n".join(lines)


def command_section(command: Any, parent: Any, name: str, level: str) -> list[str]:
    """A verb, and below it those of a group."""
    context = typer.Context(command, info_name=name.rsplit(" ", 1)[-1], parent=parent)
    lines = [f"{level} headstart {name.removeprefix('headstart ')}", ""]
    lines += [help_text(command), "", *usage(command, context), *options(command, context)]
    for inner, below in getattr(command, "commands", {}).items():
        lines += command_section(below, context, f"{name} {inner}", level + "#")
    return lines


def help_text(command: Any) -> str:
    """The help of a verb, its examples as one block and its options as code."""
    text, _, examples = (command.help or "").partition("Examples:\n")
    text = re.sub(r"(?<![\w`-])--[a-z][\w-]*", r"`\g<0>`", text)
    lines = [line.strip() for line in examples.splitlines() if line.strip()]
    return "\n".join([text, "```sh", *lines, "```"] if lines else [text])


def first_line(command: Any) -> str:
    """What a verb does, in one sentence."""
    return cell((command.help or "").split("\n", 1)[0])


def usage(command: Any, context: Any) -> list[str]:
    """How a command is called."""
    words = " ".join(command.collect_usage_pieces(context))
    return ["```text", f"{context.command_path} {words}", "```", ""]


def options(command: Any, context: Any) -> list[str]:
    """The arguments and options of a command as a table."""
    rows = []
    for parameter in command.get_params(context):
        if (record := parameter.get_help_record(context)) is not None:
            rows.append(f"| {code(record[0])} | {cell(record[1])} |")
    return ["| option | meaning |", "| --- | --- |", *rows, ""] if rows else []


def cell(text: str) -> str:
    """Text that a cell of a Markdown table may hold."""
    plain = " ".join(text.split()).replace("|", r"\|")
    return re.sub(r"(?<![`\w])<(?=\w)", "&lt;", plain) if "`" not in plain else plain


def code(text: str) -> str:
    """Text of a cell as code, in which a bar needs no escape."""
    return f"`{' '.join(text.split())}`"


def api_pages() -> Iterator[tuple[str, str]]:
    """A page for the package, one for `headstart.transfer`, and one for each public room."""
    names = {"headstart": "headstart", "transfer": "headstart.transfer"}
    names |= {room: f"headstart.{room}" for room in ROOMS}
    lines = ["# The Python interface", "", "| module | what it has |", "| --- | --- |"]
    for page, module in names.items():
        about = (importlib.import_module(module).__doc__ or "").strip().split("\n", 1)[0]
        lines.append(f"| [`{module}`]({page}.md) | {cell(about)} |")
        yield f"api/{page}.md", "\n".join(api_page(module))
    yield "api/index.md", "\n".join([*lines, ""])


def api_page(module: str) -> Iterator[str]:
    """Every public name of a module: a directive of mkdocstrings, or what it would write."""
    found = importlib.import_module(module)
    yield f"# {module}\n"
    yield f"{fenced_doctests(found.__doc__ or '')}\n"
    for name in public_names(found):
        if module == "headstart.transfer":
            yield from experiment_section(name, getattr(found, name))
        else:
            yield f"::: {module}.{name}\n"


def fenced_doctests(text: str) -> str:
    """A docstring whose examples stand in blocks of code."""
    parts = inspect.cleandoc(text).split("\n\n")
    plain = [re.sub(r"\s*# doctest: \+SKIP", "", part) for part in parts]
    return "\n\n".join(f"```pycon\n{p}\n```" if p.startswith(">>> ") else p for p in plain)


def public_names(module: ModuleType) -> list[str]:
    """What a module exports, or what it defines if it does not say."""
    defined = [
        n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
    ]
    names = getattr(module, "__all__", defined)
    return [n for n in names if not n.startswith("_") and not inspect.ismodule(getattr(module, n))]


def experiment_section(name: str, function: Any) -> Iterator[str]:
    """An experiment, whose function is made from its settings: mkdocstrings cannot read it."""
    import griffe

    signature = inspect.signature(function)
    arguments = [n for n, p in signature.parameters.items() if p.default is p.empty]
    yield f"## {name}\n"
    yield f"```python\nheadstart.transfer.{name}({', '.join(arguments)}, *, ...)\n```\n"
    for section in griffe.Docstring(function.__doc__).parse("numpy"):
        if section.kind is griffe.DocstringSectionKind.text:
            yield f"{section.value}\n"
        elif section.kind is griffe.DocstringSectionKind.parameters:
            yield "| parameter | type | default | meaning |\n| --- | --- | --- | --- |"
            for p in section.value:
                default = code(str(p.default)) if p.default is not None else ""
                yield f"| `{p.name}` | {code(str(p.annotation))} | {default} | {cell(p.description)} |"
            yield ""
