"""The command on raters: how far they agree."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from flows.commands.shared import JsonOption, StoreOption, command


def agreement(
    store: StoreOption,
    dimension: Annotated[str, typer.Option("--dimension", "-d", help="Which ratings.")] = "valence",
    as_json: JsonOption = False,
) -> None:
    """How far raters agree, each with the mean of the others and all together; who looks wrong, in words."""

    def work() -> dict[str, Any]:
        from tasks.agreement.plan import is_pending
        from tasks.ingest.recordings import read_recordings
        from tasks.store.layout import existing_store

        found = existing_store(store)
        if is_pending(found, read_recordings(found), dimension):
            from flows.measure_agreement import measure_agreement
            from schemas.runs import AgreementRun

            measure_agreement(AgreementRun(store=store, dimension=dimension))
        from tasks.agreement.told import read_agreement

        told = read_agreement(found, dimension)
        return {**told.as_json(), "said": told.as_text()}

    command(work, as_json)
