"""Flow: how far raters agree."""

from __future__ import annotations

from prefect import flow

from flows import stages
from schemas.runs import AgreementRun
from tasks.agreement.task import measure_agreement_task


@flow(name="measure-agreement", flow_run_name="agreement {run.store.name}")
def measure_agreement(run: AgreementRun) -> bool:
    """Measure the agreement of one dimension's raters; True if anything was missing or stale.

    Raises:
        UnusableInputError: no recording has ratings of this dimension.
    """
    with stages.on_store(run.store) as store:
        return measure_agreement_task(store.root, run.dimension)
