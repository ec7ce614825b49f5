"""``headstart web``: the page in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import options
from headstart.cli.console import console, echo_json


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(web)


def web(
    port: Annotated[int, typer.Option(help="Port; 0: a free one.")] = 7860,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; any other than the default makes the page reachable for others."
        ),
    ] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A name under which browsers may ask, such as that of a proxy; repeatable; * for any."
        ),
    ] = None,
    runs: Annotated[Path, options.folder_to_write("Folder of runs.")] = Path("runs"),
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the address as JSON when the page is ready.")
    ] = False,
) -> None:
    """Open Headstart as a page in the browser.

    Train, predict, explore layers, kernels and augmentations, and compare runs, all on this computer:
    nothing is loaded from the network and nothing is sent anywhere. Ctrl-C stops the server
    and running jobs.

    Examples:

        headstart web

        headstart web --port 8000 --runs work/runs --open

        headstart web --host 0.0.0.0 --allow-host pictures.school.example
    """
    from headstart.serve.settings import plain_host
    from headstart.web.server import LOCAL, serve

    names = [plain_host(name) for name in allow_host or ()]

    def ready(url: str) -> None:
        if as_json:
            echo_json({"url": url, "runs": str(runs)}, indent=None)
        else:
            console().print(f"page     {url}", soft_wrap=True)
            console().print("stop     Ctrl-C")
        if open_browser:
            typer.launch(url)

    if host not in LOCAL:
        typer.echo(
            f"headstart: warning: whoever reaches {host} can read this computer's folders of "
            "pictures and train on them: there is no password",
            err=True,
        )
    serve(host=host, port=port, runs=runs, on_ready=ready, allowed_hosts=names)
