"""Settings of all stages together."""

from __future__ import annotations

from pydantic import Field

from schemas.evaluation import EvaluateSettings
from schemas.settings import FacesSettings, FeaturesSettings, IngestSettings, PredictSettings, Settings
from schemas.training import CnnTraining, RnnTraining


class PipelineSettings(Settings):
    """Everything `run` needs, as `conf/*.toml` writes it."""

    ingest: IngestSettings = IngestSettings()
    faces: FacesSettings = FacesSettings()
    cnn: CnnTraining = CnnTraining()
    features: FeaturesSettings = FeaturesSettings()
    rnn: RnnTraining = RnnTraining()
    predict: PredictSettings = PredictSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    control: bool = Field(False, description="also train on swapped ratings: a negative control, expected near 0")

    def trainings(self, *, swapped: bool) -> tuple[CnnTraining, RnnTraining]:
        """The two trainings of a run; with swapped ratings they are the negative controls, under names of their own."""
        if not swapped:
            return self.cnn, self.rnn
        cnn, rnn = (
            training.model_copy(update={"swap_ratings": True, "name": f"{training.name}-control"})
            for training in (self.cnn, self.rnn)
        )
        assert isinstance(cnn, CnnTraining)
        assert isinstance(rnn, RnnTraining)
        return cnn, rnn
