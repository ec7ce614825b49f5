"""Export a run on texts as a folder: a program that needs no Headstart, checked against ``predict``."""

from __future__ import annotations

import io
import json
import shutil
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn

import headstart
from headstart.errors import (
    DataError,
    HeadstartError,
    InputError,
    OutputError,
    argument,
    one_line,
)
from headstart.export import formats
from headstart.export.card import plain, prose
from headstart.export.exporting import Exported
from headstart.export.facts import Port, portable_name
from headstart.export.formats import OPSET, need_onnx, quiet
from headstart.export.text_program import Classifier
from headstart.files import held, require_folder, temporary_name, write_atomically
from headstart.progress import Progress, silent
from headstart.runs.reader_files import locate_encoder
from headstart.runs.retrieval_texts import index_of_texts
from headstart.text import tokens
from headstart.text.encoders import Encoder, read_encoder
from headstart.text.sentences import load_tokenizer, pool
from headstart.text.textcnn import TextCNN, linear_of
from headstart.text.transformer import OWN, Bert, load_network
from headstart.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headstart.runs.model import Model
    from headstart.runs.run import Run
    from headstart.sources.text import TextReader

PROGRAM = "predict.py"
# All that an export may contain; nothing else in its folder is touched.
FILES = (
    PROGRAM,
    "tokens.py",
    "model.json",
    "model.npz",
    "encoder.onnx",
    "tokenizer.json",
    "textcnn.onnx",
    "README.md",
)
# Of probabilities, against those of `Run.predict_texts`.
TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True)
class TextCheck:
    """How the exported program compares with the run on the same texts."""

    n_texts: int
    n_same_class: int
    max_difference: float
    why_not: str = ""  # why there was no check; empty where there was one

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        return asdict(self)

    @property
    def sentence(self) -> str:
        """The result as a sentence."""
        if self.why_not:
            return f"not checked, as the run's texts cannot be read: {self.why_not}"
        return (
            f"{PROGRAM} gives the class of headstart predict for {self.n_same_class} of "
            f"{counted(self.n_texts, 'text')}, probabilities within {self.max_difference:.1e}"
        )


def export_texts(
    run: Run,
    *,
    out: Path | str | None = None,
    n_check: int = 32,
    force: bool = False,
    cache: Path | None = None,
    progress: Progress = silent,
) -> Exported:
    """Write what a run on texts needs as files, with a program that runs them, and check that program.

    Raises InputError where a package is missing or the encoder is not BERT or RoBERTa; OutputError
    where the folder exists or cannot be written; HeadstartError where the program does not say what
    the run says: it is not kept. Where the run's table cannot be read, nothing is checked, and the
    card says so.

    Parameters
    ----------
    run : Run
    out : Path or str, optional
        The folder; default: the run's name with ``-texts`` in the current one.
    n_check : int >= 1
        Number of test texts for the check; training texts where there are none.
    force : bool, default False
        Replace the files of an existing export; what else is in the folder stays.
    cache : Path, optional
        Of features.
    """
    from headstart.home import cache_folder

    path = Path(out) if out is not None else Path(f"{run.folder.resolve().name}-texts")
    _check_free(path, force=force)
    reader = run.model.texts
    assert reader is not None
    if reader.layers or reader.network is not None:
        need_onnx()
    try:
        index = index_of_texts(run, None, cache or cache_folder(), progress)
        texts, why_not = [r.text for r in index.test or index.train][:n_check], ""
    except DataError as error:  # its cause does not ask for an option that export does not have
        texts, why_not = [], str(error.__cause__ or error)
    progress("export", 0, 1)
    whole = path.absolute()
    staged = temporary_name(whole)
    staged.mkdir(parents=True)
    try:
        with held(staged):
            facts = _write(staged, run.model, reader)
            progress("export", 1, 1)
            check = TextCheck(n_texts=0, n_same_class=0, max_difference=0.0, why_not=why_not)
            if texts:
                check = check_program(staged, run.model, texts)
            write_atomically(staged / "README.md", card_of(run, facts, check, staged).encode())
            n_bytes = sum(file.stat().st_size for file in staged.iterdir())
            _move(staged, path)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return Exported(path=path, card=path / "README.md", n_bytes=n_bytes, check=check, facts=facts)


def _check_free(path: Path, *, force: bool) -> None:
    """Fail before the work; ``force`` replaces a folder of an export only."""
    shown = one_line(str(path))
    if path.is_symlink():
        raise OutputError(
            f"{argument('out')} {shown} is a symbolic link: give the folder itself, or a new name"
        )
    if not path.exists():
        require_folder(path)
        return
    is_ours = (path / PROGRAM).is_file() and (path / "model.json").is_file()
    if not is_ours:
        raise OutputError(
            f"{argument('out')} {shown} exists already, and is not an exported run on texts: give "
            "the name of a new folder"
        )
    if not force:
        raise OutputError(
            f"{shown} exists already: choose another {argument('out')}, or add "
            f"{argument('force', True)}"
        )
    for file in (path / name for name in FILES):
        if file.is_symlink() or (file.exists() and not file.is_file()):
            raise OutputError(
                f"cannot replace {one_line(str(file))}: it is not a regular file; choose another "
                f"{argument('out')}"
            )
    require_folder(path)


def _move(staged: Path, path: Path) -> None:
    """Give an export its name; where there is one already, its files are replaced, all or none.

    Raises OutputError where that fails.
    """
    kept = staged.with_suffix(".replaced")
    try:
        if not path.exists():
            staged.rename(path)
            return
        kept.mkdir()
        placed: list[Path] = []
        try:
            for file in [path / name for name in FILES if (path / name).exists()]:
                file.rename(kept / file.name)
            for file in sorted(staged.iterdir()):
                placed.append(file.rename(path / file.name))
        except BaseException:
            for new in placed:
                new.unlink()
            for old in kept.iterdir():
                old.rename(path / old.name)
            kept.rmdir()
            raise
        shutil.rmtree(kept, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"cannot write {one_line(str(path))}: {error.strerror or error}"
        ) from error


class EncoderFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence encoder, and how the program applies it."""

    name: str
    digest: str
    licence: str
    layers: tuple[str, ...]
    max_tokens: int
    lowers_case: bool
    weight: float  # of its layers beside TF-IDF


class NetworkFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How many words a TextCNN takes."""

    max_words: int
    least_words: int


class TextFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is worth showing of an exported classifier of texts; with the words in its model.json."""

    headstart: str
    classes: tuple[str, ...]
    features: str
    inputs: tuple[Port, ...]
    output: Port
    costs: tuple[tuple[float, ...], ...] | None
    scale: float
    is_unit: bool
    encoder: EncoderFacts | None = None
    network: NetworkFacts | None = None

    @property
    def outputs(self) -> tuple[Port, ...]:
        """The output, as of `ExportFacts`."""
        return (self.output,)


def _write(folder: Path, model: Model, reader: TextReader) -> TextFacts:
    """All files but the card; returns the facts that are worth showing."""
    arrays: dict[str, Any] = {"coef": model.coef, "intercept": model.intercept}
    arrays |= {f"idf{i}": counts.idf for i, counts in enumerate(reader.tfidf)}
    words: Sequence[str] = ()
    of_network = of_encoder = None
    if reader.embeddings is not None:
        words, arrays["vectors"] = reader.embeddings.words, reader.embeddings.vectors
    if reader.network is not None:
        trained, vocabulary = reader.network
        words = vocabulary.words
        of_network = NetworkFacts(
            max_words=trained.settings.max_words, least_words=max(trained.model.widths)
        )
        _write_textcnn(folder / "textcnn.onnx", trained.model)
    if reader.layers:
        found = locate_encoder(reader, model.folder)
        assert found is not None
        encoder = read_encoder(found)
        of_encoder = EncoderFacts(
            name=portable_name(reader.encoder_name or encoder.root.name),
            digest=encoder.digest,
            licence=encoder.licence,
            layers=reader.layers,
            max_tokens=encoder.max_tokens,
            lowers_case=encoder.lowers_case,
            weight=float(np.sqrt((len(reader.tfidf) or 1) / len(reader.layers))),
        )
        _write_encoder(folder, encoder, reader.layers)
    facts = TextFacts(
        headstart=headstart.__version__,
        classes=model.classes,
        features=str(model.blocks),
        inputs=(Port(name="texts", dtype="str", shape=("n",)),),
        output=Port(name="probabilities", dtype="float64", shape=("n", len(model.classes))),
        costs=model.costs,
        scale=model.temperature.scale,
        is_unit=bool(reader.tfidf) or model.normalize == "l2",
        encoder=of_encoder,
        network=of_network,
    )
    stored = io.BytesIO()
    np.savez(stored, **arrays)
    write_atomically(folder / "model.npz", stored.getvalue())
    lists = {"counted": [[t.kind, list(t.terms)] for t in reader.tfidf], "words": list(words)}
    whole = json.dumps(msgspec.to_builtins(facts) | lists, ensure_ascii=False)
    write_atomically(folder / "model.json", whole.encode("utf-8", "surrogatepass"))
    source = Path(__file__).with_name("text_program.py").read_text("utf-8")
    alone = source.replace("from headstart.text.tokens import", "from tokens import")
    write_atomically(folder / PROGRAM, alone.encode())
    write_atomically(folder / "tokens.py", Path(str(tokens.__file__)).read_bytes())
    return facts


class _EncoderLayers(nn.Module):
    """An encoder as a graph: token numbers and mask to the pooled outputs of some layers."""

    def __init__(self, network: Bert, encoder: Encoder, layers: Sequence[str]) -> None:
        super().__init__()
        self._network = network
        self._wanted = [
            (
                encoder.layer_of(tap) - 1,
                "mean" if tap in encoder.taps[: encoder.n_layers] else encoder.pooling,
            )
            for tap in layers
        ]

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        found = self._network.outputs(ids, mask.bool())
        return tuple(pool(found[layer], mask, how) for layer, how in self._wanted)


class _TextCNNLogits(nn.Module):
    """A TextCNN as a graph, in which every text of a batch has its own length."""

    def __init__(self, network: TextCNN) -> None:
        super().__init__()
        self.network = network.eval()

    def forward(self, tokens: Tensor) -> Tensor:
        net = self.network
        vectors, lengths = net.embed(tokens), (tokens != 0).sum(1)
        maxima = []
        for width in net.widths:
            responses = net.maps[f"width{width}"](vectors)
            own = (lengths - width + 1).clamp(min=1)
            beyond = torch.arange(responses.shape[2])[None] >= own[:, None]
            maxima.append(responses.masked_fill(beyond[:, None], -torch.inf).amax(2).relu())
        logits: Tensor = linear_of(net)(torch.cat(maxima, 1))
        return logits.log_softmax(1)


def _write_encoder(folder: Path, encoder: Encoder, layers: Sequence[str]) -> None:
    network = load_network(encoder)
    if not isinstance(network, Bert):
        raise InputError(
            f"headstart export writes encoders of the kinds {', '.join(OWN)}, and this run's is a "
            f"{one_line(encoder.arch, limit=40)} network: fit again with {argument('encoder')} one of these"
        )
    n_bytes = 4 * sum(W.numel() for W in network.weights.values())  # as float32
    if n_bytes > formats.ONNX_LIMIT_BYTES:
        raise InputError(
            f"the sentence encoder has {n_bytes / 2**30:.1f} GiB of weights and an ONNX file holds "
            f"2 GiB: fit again with a smaller {argument('encoder')}"
        )
    load_tokenizer(encoder).save(str(folder / "tokenizer.json"))
    given = {"input_ids": torch.ones(2, 7, dtype=torch.long)}
    given["attention_mask"] = given["input_ids"].clone()
    names = [layer.replace(" ", "_") for layer in layers]
    _write_onnx(folder / "encoder.onnx", _EncoderLayers(network, encoder, layers), given, names)


def _write_textcnn(path: Path, network: TextCNN) -> None:
    given = {"tokens": torch.ones(2, max(network.widths) + 3, dtype=torch.long)}
    _write_onnx(path, _TextCNNLogits(network), given, ["log_probabilities"])


def _write_onnx(
    path: Path, module: nn.Module, given: dict[str, Tensor], outputs: Sequence[str]
) -> None:
    n, t = torch.export.Dim("n"), torch.export.Dim("t", min=2)
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            module.eval(),
            tuple(given.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(given),
            output_names=list(outputs),
            dynamic_shapes=tuple({0: n, 1: t} for _ in given),
            external_data=False,
            verbose=False,
        )
    assert program is not None
    write_atomically(path, program.model_proto.SerializeToString())


def check_program(folder: Path, model: Model, texts: Sequence[str]) -> TextCheck:
    """Give texts to the program that the folder has a copy of, and compare it with the run.

    Raises HeadstartError where they differ by more than rounding.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the runtime, about the machine
        P = Classifier(folder).probabilities(texts)
    wanted = model.of_texts(texts)
    found = TextCheck(
        n_texts=len(texts),
        n_same_class=int((model.decide(P) == model.decide(wanted)).sum()),
        max_difference=float(np.abs(P - wanted).max(initial=0.0)),
    )
    if not found.max_difference <= TOLERANCE:
        raise HeadstartError(f"the exported program is not kept: {found.sentence}")
    return found


def card_of(run: Run, facts: TextFacts, check: TextCheck, folder: Path) -> str:
    """The card in Markdown."""
    needs = "numpy"
    if facts.encoder is not None:
        needs = "numpy, onnxruntime and tokenizers"
    elif facts.network is not None:
        needs = "numpy and onnxruntime"
    files = ", ".join(f"`{file.name}`" for file in sorted(folder.iterdir()))
    classes = ", ".join(plain(one_line(c, limit=60)) for c in facts.classes[:20])
    more = len(facts.classes) - 20
    checked = f"Checked when it was written: {check.sentence}."
    if check.why_not:  # which may name files of this machine
        checked = "Not checked when it was written: the run's texts could not be read."
    return f"""# {plain(run.folder.resolve().name)}

{plain(run.sentence)}

{prose(run.detail)}

## Use

{files}. The program needs {needs}, not Headstart. In this folder:

```sh
python {PROGRAM} "a text" "another text"
```

```python
from predict import Classifier

classifier = Classifier()
print(classifier.predict(["a text"]), classifier.probabilities(["a text"]))
```

{checked}

## Classes

{classes}{f" and {more} more" if more > 0 else ""}

## Where it comes from

Headstart {facts.headstart}; {facts.features}{_encoder_line(facts.encoder)}. What the training texts allow, Headstart cannot know: add it here.
"""


def _encoder_line(encoder: EncoderFacts | None) -> str:
    if encoder is None:
        return ""
    return (
        f"; sentence encoder {plain(encoder.name)}, digest {encoder.digest}, licence by its card: "
        f"{plain(encoder.licence)}"
    )
