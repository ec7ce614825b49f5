"""Join or start a Ray cluster, and run a worker class on it with Ray Data."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import shutil
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

from headstart.errors import HeadstartError, InputError, argument, one_line
from headstart.features.cores import n_cores

logger = logging.getLogger(__name__)

DEVICES = ("auto", "cpu", "cuda", "mps")
# Retries of a unit that loses its worker, since one of its images may be the cause.
RETRIES = 3
_CONNECT_S = 5.0
# Return answers one by one instead of gathering Ray Data's default of 128 MiB.
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster and the number of workers.

    Parameters
    ----------
    address : str, optional
        ``HOST:PORT`` of a running cluster that this machine is part of, or ``auto``; default: start one
        on this machine.
    n_workers : int, optional
        Default: one per GPU, or without GPUs one per machine.
    """

    address: str | None = None
    n_workers: int | None = None

    def check(self, device: str | None = None) -> None:
        """Raise InputError where Ray is not installed, a value is illegal, or the address does not answer.

        `device`: that of the workers.
        """
        if importlib.util.find_spec("ray") is None:
            needed = argument("engine", "ray")
            raise InputError(f'{needed} needs the extra ray: pip install "headstart[ray]"')
        if self.n_workers is not None and self.n_workers < 1:
            raise InputError(f"{argument('n_workers')} must be 1 or more; got {self.n_workers}")
        if device not in (None, *DEVICES):
            raise InputError(
                f"{argument('device')} must be {', '.join(DEVICES[:-1])} or {DEVICES[-1]} with "
                f"{argument('engine', 'ray')}, whose workers each see one GPU; got {one_line(device)!r}"
            )
        if self.address in (None, "auto"):
            return
        address = one_line(str(self.address))
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdigit() or "/" in host:
            raise InputError(f"{argument('address')} must be HOST:PORT or auto; got {address!r}")
        try:
            _greet(host.strip("[]"), int(port))
        except (OSError, OverflowError, ValueError) as error:
            raise InputError(
                f"{argument('address')} {address} cannot be reached ({one_line(str(error), limit=80)}): start a "
                f"cluster with `ray start --head`, or leave {argument('address')} out"
            ) from None


def _greet(host: str, port: int) -> None:
    """Check that a gRPC server answers: Ray itself retries for minutes, whatever its timeouts.

    A server answers the preface of HTTP/2 and an empty SETTINGS frame with a frame of the same type, 4.
    """
    with socket.create_connection((host, port), timeout=_CONNECT_S) as connection:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
        answer = connection.recv(9)
        if len(answer) < 4 or answer[3] != 4:
            raise OSError("what answers there is no Ray cluster")


@dataclass(frozen=True, kw_only=True)
class Workers:
    """The workers of a cluster."""

    n_workers: int
    device: str
    n_cpus: float  # reserved by each worker
    n_gpus: float
    is_local: bool  # whether all are on this machine
    _actors: dict[type, list[Any]] = field(default_factory=dict)

    @property
    def n_threads(self) -> int:
        """CPU threads per worker."""
        return max(1, int(self.n_cpus))

    def run(self, worker: type, plan: Any, units: Sequence[str]) -> Iterator[Any]:
        """Yield tables of answers to units (texts) as they arrive.

        A `worker` is created once per process with a reference to `plan`; called with a table of units, it
        returns rows of answers. Raises HeadstartError where one raised it, or was lost repeatedly with the
        same unit.
        """
        import pyarrow as pa
        import ray

        kept = ray.put(plan)  # kept alive for workers that are started again
        tables = [pa.table({"unit": [unit]}) for unit in units]
        size = min(self.n_workers, len(tables))
        with warnings.catch_warnings():
            # Ray has no other way to set the number of retries per unit.
            warnings.filterwarnings("ignore", message=".*ray_remote_args_fn")
            answers = ray.data.from_arrow(tables).map_batches(
                worker,
                fn_constructor_args=(kept,),
                batch_size=None,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(size=size),
                num_cpus=self.n_cpus,
                num_gpus=self.n_gpus,
                ray_remote_args_fn=_remote_args,
            )
        answers.context.enable_progress_bars = False
        answers.context.target_max_block_size = _BLOCK_BYTES
        with explained():
            yield from answers.iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            )

    def actors(self, worker: type, *arguments: Any) -> list[Any]:
        """Actors of a class, one per worker, started at the first call and kept with these workers.

        Each takes as many calls at once as it has threads. One that is lost is created again and its calls
        are repeated. They reserve nothing, so that no other actor waits for them.
        """
        import ray

        if worker in self._actors:
            return self._actors[worker]
        remote: Any = ray.remote(worker)
        options = {
            "num_cpus": 0,
            "scheduling_strategy": "SPREAD",
            "max_concurrency": self.n_threads,
            **_remote_args(),
        }
        found = [remote.options(**options).remote(*arguments) for _ in range(self.n_workers)]
        self._actors[worker] = found
        return found


@contextlib.contextmanager
def joined(cluster: Cluster, *, device: str | None) -> Iterator[Workers]:
    """The workers of a cluster; a cluster that was started for them ends with the block.

    Usage statistics, the dashboard and Ray's output are off. Raises InputError where the cluster cannot be
    joined, or does not have the device.
    """
    cluster.check()
    with _quiet():
        import ray
        import ray.data

        ray.data.DataContext.get_current()  # warns when it is first created
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        if ray.is_initialized():  # by the caller
            yield _workers_of(cluster, device, is_local=_is_this_machine())
            return
        scratch = None if cluster.address else _scratch()
        try:
            try:
                _init(cluster, scratch)
            except Exception as error:
                where = cluster.address or "on this machine"
                raise InputError(
                    f"no Ray cluster can be joined at {one_line(where)}: {_first_line(error)}"
                    if cluster.address
                    else f"no Ray cluster can be started on this machine: {_first_line(error)}"
                ) from error
            yield _workers_of(cluster, device, is_local=cluster.address is None)
        finally:
            with contextlib.redirect_stdout(io.StringIO()):  # it prints buffered output
                ray.shutdown()
            if scratch is not None:
                shutil.rmtree(scratch, ignore_errors=True)


def _init(cluster: Cluster, scratch: str | None) -> None:
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    with _without_stderr():
        if cluster.address is not None:
            ray.init(address=cluster.address, **quiet)
        else:
            ray.init(
                address="local",
                num_cpus=n_cores(),
                include_dashboard=False,
                _temp_dir=scratch,
                **quiet,
            )


def _workers_of(cluster: Cluster, device: str | None, *, is_local: bool) -> Workers:
    """The number of workers and their resources, such that all fit on the machines."""
    nodes = [n["Resources"] for n in _nodes() if n["Alive"] and n["Resources"].get("CPU")]
    if not nodes:
        raise InputError("the Ray cluster has no machine with CPUs")
    n_gpus = int(sum(n.get("GPU", 0) for n in nodes))
    best = "cuda" if n_gpus else "cpu"
    chosen = best if device in (None, "auto") else device
    if chosen == "cuda":
        if not n_gpus:
            raise InputError(f"{argument('device')} cuda: the Ray cluster has no GPU")
        each = min(n["CPU"] // max(1, n["GPU"]) for n in nodes if n.get("GPU"))
        n_workers = min(cluster.n_workers or n_gpus, n_gpus)
        if cluster.n_workers and n_workers < cluster.n_workers:
            asked = argument("n_workers", str(cluster.n_workers))
            logger.warning("%s: only %d, one for each GPU of the cluster", asked, n_gpus)
        # Each worker only sees its own GPU.
        return Workers(
            n_workers=n_workers, device="cuda", n_cpus=max(1, each), n_gpus=1, is_local=is_local
        )
    smallest, total = min(n["CPU"] for n in nodes), sum(n["CPU"] for n in nodes)
    n_workers = cluster.n_workers or len(nodes)
    share = min(smallest, total / n_workers)
    n_cpus = float(int(share)) if share >= 1 else int(100 * share) / 100
    return Workers(n_workers=n_workers, device=chosen, n_cpus=n_cpus, n_gpus=0, is_local=is_local)


def _nodes() -> list[dict[str, Any]]:
    import ray

    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return found


def _is_this_machine() -> bool:
    """Whether the cluster has no other machine."""
    import ray

    own = ray.get_runtime_context().get_node_id()
    return all(node["NodeID"] == own for node in _nodes() if node["Alive"])


def _remote_args() -> dict[str, Any]:
    """Always replace lost workers, but limit the retries of a unit."""
    return {"max_restarts": -1, "max_task_retries": RETRIES}


def _scratch() -> str:
    """A folder for Ray's files, with a short path, which its sockets need."""
    return tempfile.mkdtemp(prefix="headstart-ray-", dir="/tmp" if os.name == "posix" else None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Ray without usage statistics, output and warnings."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ |= {name: v for name, v in _ENVIRONMENT.items() if name not in os.environ}
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(_WithoutRay(sys.stdout)):
            warnings.filterwarnings("ignore", module=r"ray(\.|$)")
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


# Local workers run with normal priority: with Ray's niceness of 15 they take minutes to start when the
# machine is busy.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_worker_niceness": "0",
}


@contextlib.contextmanager
def _without_stderr() -> Iterator[None]:
    """Silence the standard error of Ray's C++ part; errors are raised in Python."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


class _WithoutRay:
    """Standard output without Ray's threads, one of which prints errors of workers unconditionally."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> int:
        if threading.current_thread().name.startswith("ray_"):
            if text.strip():
                logger.debug("Ray: %s", text.strip())
            return len(text)
        return self._out.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Raise an error of a worker as one line, a HeadstartError."""
    try:
        yield
    except Exception as error:
        raise _told(error) from error


def _told(error: BaseException) -> HeadstartError:
    """An error of a worker as one line."""
    import ray.exceptions as failures

    seen: BaseException | None = error
    while seen is not None:
        for one in (seen, getattr(seen, "cause", None)):
            if type(one).__module__ == "headstart.errors":
                assert isinstance(one, HeadstartError)
                return one
        if isinstance(seen, failures.RayActorError | failures.WorkerCrashedError):
            return HeadstartError(
                f"a worker was lost {RETRIES + 1} times with the same images in hand: one of them may "
                "need more memory than there is, or the machines fail; what is finished is kept, and "
                "the same command goes on from there"
            )
        seen = seen.__cause__ or seen.__context__
    return HeadstartError(f"the Ray cluster failed: {_first_line(error)}")


def _first_line(error: BaseException) -> str:
    """First line of the root cause of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return one_line(lines[0], limit=200)
