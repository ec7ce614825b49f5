"""``headstart serve``: a run behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart.cli import options


def register(app: typer.Typer) -> None:
    """Add the verb of this file."""
    app.command()(serve)


def serve(
    run: options.RunFolder,
    host: Annotated[
        str, typer.Option(help="Address to listen on; default: this machine only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: a free one.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(help="File with the token that requests must send [or HEADSTART_TOKEN]."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Host name that requests may use; repeatable; * for any."),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(
            help="A site whose pages may use the service (CORS), such as https://app.example; "
            "repeatable; * for any."
        ),
    ] = None,
    root_path: Annotated[
        str, typer.Option(help="Path under which a proxy publishes the service.")
    ] = "",
    workers: Annotated[
        int, typer.Option(help="Worker processes; each has its own model and limits.")
    ] = 1,
    drain: Annotated[
        float,
        typer.Option(help="Seconds after SIGTERM in which new requests are still accepted."),
    ] = 0.0,
    max_mb: Annotated[float, typer.Option(help="Largest request, in MiB.")] = 32.0,
    max_images: Annotated[int, typer.Option(help="Maximum number of images per request.")] = 32,
    max_megapixels: Annotated[
        float, typer.Option(help="Largest image; refused before it is decoded.")
    ] = 50.0,
    timeout: Annotated[
        float, typer.Option(help="Seconds for a whole request, its upload included.")
    ] = 30.0,
    max_waiting: Annotated[
        int,
        typer.Option(help="Maximum number of waiting images; more are refused with status 503."),
    ] = 256,
    device: options.Device = None,
    refuse_below: options.RefuseBelow = None,
    target_accuracy: options.TargetAccuracy = None,
    label_sets: options.LabelSets = None,
    novelty: options.Novelty = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print address and classes as one line of JSON when ready."),
    ] = False,
) -> None:
    """Serve predictions over HTTP until Ctrl-C or SIGTERM.

    POST /predict takes a form with several images, images in base64 as JSON, or one image as the
    body. /docs has the documentation; GET /livez, /readyz and /metrics (Prometheus) are for
    machines.

    Examples:

        headstart serve runs/photos

        headstart serve runs/photos --port 9000 --max-images 8 --timeout 10

        headstart serve runs/photos --workers 4 --drain 5

        headstart serve runs/photos --target-accuracy 0.95 --novelty 0.99

        headstart serve runs/photos --host 0.0.0.0 --token-file token.txt --allow-host photos.example
    """
    from headstart.cli.console import echo_json, is_quiet
    from headstart.errors import visible
    from headstart.serve.settings import MIB, ServeSettings, read_token

    settings = ServeSettings(
        host=host,
        port=port,
        token=read_token(token_file),
        allowed_hosts=tuple(allow_host or ()),
        allowed_origins=tuple(allow_origin or ()),
        root_path=root_path.rstrip("/"),
        n_workers=workers,
        grace_s=drain,
        max_bytes=int(max_mb * MIB) if 0 < max_mb < 1e6 else 0,
        max_images=max_images,
        max_pixels=int(max_megapixels * 1e6) if 0 < max_megapixels < 1e6 else 0,
        timeout_s=timeout,
        max_waiting=max_waiting,
    )
    import headstart
    from headstart.runs.caution import Caution
    from headstart.serve.server import need_packages
    from headstart.serve.server import serve as run_service

    caution = Caution(
        refuse_below=refuse_below,
        target_accuracy=target_accuracy,
        label_sets=label_sets,
        novelty=novelty,
    )
    need_packages()
    opened = headstart.load(run)

    def ready(url: str) -> None:
        if not settings.is_loopback and settings.token is None:
            typer.echo(
                "headstart: warning: whoever reaches this machine can use the service: give --token-file",
                err=True,
            )
        if as_json:
            facts = {"url": url, "run": run, "classes": list(opened.model.classes)}
            echo_json(facts, indent=None)
        elif not is_quiet():
            print(f"serving {visible(run)} at {url} ({url}/docs describes it; Ctrl-C stops it)")
            has_token = settings.token is not None
            line = curl_line(url, is_texts=opened.is_texts, has_token=has_token)
            print(f"try      {line}", flush=True)

    n = run_service(opened, settings, device=device, caution=caution, on_ready=ready)
    if not as_json and not is_quiet():
        print(f"stopped after {n:,} requests", flush=True)


def curl_line(url: str, *, is_texts: bool, has_token: bool) -> str:
    """A command that asks the service at once."""
    what = "-H 'Content-Type: text/plain' -d 'some text'" if is_texts else "-F image=@picture.jpg"
    token = '-H "Authorization: Bearer $TOKEN" ' * has_token
    here = url.replace("://0.0.0.0", "://127.0.0.1").replace("://[::]", "://[::1]")
    return f"curl {token}{what} {here}/predict"
