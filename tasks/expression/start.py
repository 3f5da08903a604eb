"""The expression model that another training starts from: which one is meant, what of it is taken over."""

from __future__ import annotations

from pathlib import Path

from schemas.cards import StartCard
from schemas.errors import SettingsError, few
from schemas.training import NamedNetwork
from tasks.expression.plan import ExpressionStore, FinishedModel, read_expression_card, read_expression_cards
from tasks.expression.shipped import SHIPPED, shipped_model
from tasks.store.cards import CARD_FILE


def named_model(store: ExpressionStore, wanted: str) -> FinishedModel:
    """The expression model that is meant: by its folder, its id or its name in the store; `shipped` is the package's.

    Raises:
        SettingsError: there is no such model, or several go by that name.
        StoreError: its card is damaged.
    """
    if wanted == SHIPPED:
        return shipped_model()
    for folder in (Path(wanted), store.model(wanted)):
        if (folder / CARD_FILE).exists():
            return FinishedModel(folder, read_expression_card(folder))
    cards = read_expression_cards(store)
    named = [card for card in cards if card.name == wanted]
    if len(named) != 1:
        found = named or cards
        there = few([card.model_id for card in found] or ["none"], 10)
        raise SettingsError(
            f"{wanted!r}: expected {SHIPPED} (the network in the package), the folder of an expression model, or the "
            f"id or name of one in {store.models}; found there {there}. "
            + ("Name one of these by its id" if found else "Run affectflow train-expression first")
        )
    return FinishedModel(store.model(named[0].model_id), named[0])


def network_of(start: FinishedModel, network: NamedNetwork) -> NamedNetwork:
    """The network with the options that the start was built with; what the settings state goes before.

    Raises:
        SettingsError: the settings name another network.
    """
    card = start.card
    if network.name != card.network:
        raise SettingsError(
            f"start_from: {card.model_id} is a {card.network}, found the network {network.name}; "
            f'set name = "{card.network}" under network (train-expression: --network {card.network})'
        )
    return NamedNetwork(name=card.network, options={**card.network_options, **network.options})


def recorded(start: FinishedModel) -> StartCard:
    """What the card of the new model says of it."""
    card = start.card
    return StartCard(
        model_id=card.model_id,
        weights_sha256=card.weights_sha256,
        dataset=card.dataset.name,
        terms=card.dataset.terms,
        licence=card.licence,
        start=card.start,
    )
