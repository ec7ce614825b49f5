"""What a fit does with texts alone: word vectors, encoders, TextCNNs and what tells classes apart."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headstart.data.training import training_records
from headstart.errors import argument
from headstart.runs.kind import Kind
from headstart.runs.networks import ALLOWANCE_S, Networks, NetworkTrials
from headstart.runs.origin import Origin
from headstart.runs.provenance import provenance
from headstart.runs.run_file import TextRunFile, UsedPrecision
from headstart.runs.settings import TextSettings, fields_for
from headstart.runs.text_findings import text_findings
from headstart.sources.blocks import Blocks
from headstart.sources.text import TextBlocks, TextReader, TextSource, network_scores
from headstart.text.encoders import AUTO, BUNDLED, resolve_encoder
from headstart.text.sentences import prepare
from headstart.text.settings import TextTraining
from headstart.wording import rough_time

if TYPE_CHECKING:
    from headstart.data.texts import TextIndex, TextRecord
    from headstart.runs.choose import Candidate
    from headstart.runs.measure import Task
    from headstart.runs.metrics import Results
    from headstart.runs.refit import TrainNetwork

logger = logging.getLogger(__name__)

# Of a budget, what is left for refitting and the report once networks are trained, and what a sentence
# encoder that was not asked for may take.
KEPT_BACK, ENCODER_SHARE = 0.15, 0.3


@dataclass(kw_only=True)
class Texts(Kind):
    """A table of labelled texts."""

    settings: TextSettings
    _source: TextSource = field(init=False)
    _note: str = ""

    def check(self) -> None:
        from headstart.features.engines import check_device

        check_device(self.settings.device)

    def index(self) -> TextIndex:
        from headstart.data.texts import index_texts

        s = self.settings
        return index_texts(
            s.data,
            text_column=s.text,
            label_column=s.label,
            **fields_for(index_texts, s),
            cache=self.cache,
            progress=self.progress,
        )

    def open(self, index: TextIndex) -> tuple[TextIndex, TextSource]:
        """Word vectors and an encoder that were asked for are looked up now, before any work."""
        s = self.settings
        self._source = TextSource(
            train=training_records(index),
            embeddings=s.embeddings,
            encoder=resolve_encoder(s.encoder),
            cache=self.cache,
            device=s.device,
            progress=self.progress,
        )
        with self.clock.timed("word_vectors"):
            if s.embeddings is not None:
                logger.info("word vectors: %s", self._source.known.source)
            if self._source.encoder_files is not None:
                logger.info("sentence encoder: %s", self._source.encoder_files.root)
                if s.encoder == AUTO:
                    self._leave_out_if_slow(index)
                else:
                    prepare(self._source.encoder_files, s.device)
        return index, self._source

    def _leave_out_if_slow(self, index: TextIndex) -> None:
        """An encoder that nobody asked for is used where it takes a small part of the time."""
        source, budget_s = self._source, self.settings.budget_s
        allowance = ALLOWANCE_S if budget_s is None else ENCODER_SHARE * budget_s
        needed = source.encoder_seconds([r.text for r in index.records])
        if needed > allowance:
            self._note = (
                f"sentence encoder not tried: {rough_time(needed)} are more than the "
                f"{rough_time(allowance)} allowed; {argument('encoder', BUNDLED)} takes it in any case"
            )
            self._source = replace(source, encoder=None)

    def networks(
        self, task: Task, rivals: Sequence[Candidate], *, is_stopped: bool
    ) -> tuple[Networks, TrainNetwork]:
        """TextCNNs, as many as there is time for."""
        s = self.settings
        trials = NetworkTrials(
            task=task, source=self._source, progress=self.progress, rivals=rivals
        )
        base = TextTraining(epochs=s.epochs, seed=s.seed)

        def train(
            blocks: Blocks, test: Sequence[TextRecord]
        ) -> tuple[TextReader, NDArray[np.float64]]:
            assert isinstance(blocks, TextBlocks)
            trained = trials.train(replace(base, variant=blocks.parts[0]))
            network = (trained, self._source.vocabulary)
            reader = replace(self._source.reader(blocks), network=network)
            return reader, network_scores(*network, [r.text for r in test])

        if not s.finetune:
            said = f"TextCNN not tried: {argument('finetune', False)}"
            return Networks(note=_joined(self._note, said)), train
        if is_stopped:
            return Networks(note=self._note, untried=("TextCNN",)), train
        allowance = ALLOWANCE_S
        if s.budget_s is not None:
            allowance = (1 - KEPT_BACK) * s.budget_s - self.clock.spent_s
        with self.clock.timed("networks"):
            found = trials.judge(base, allowance_s=allowance)
        found.note = _joined(self._note, found.note)
        return found, train

    def figures(self, results: Results, task: Task) -> dict[str, Any]:
        with self.clock.timed("findings"):
            return {"text": text_findings(results, self._source, progress=self.progress)}

    def provenance(self, results: Results) -> TextRunFile:
        model = results.final.model
        network = model.texts and model.texts.network
        training = network[0].settings.to_dict() if network else None
        return provenance(
            TextRunFile,
            self.settings,
            results.index,
            model.backbone,
            engine="cpu",
            precision=UsedPrecision(chosen="float32", reason="texts have no other"),
            training=training,
        )

    def origin(self, results: Results) -> Origin:
        reader = results.final.model.texts
        encoder = reader and reader.encoder
        return Origin(data=self.settings.data, encoder=str(encoder) if encoder else None)


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))
