"""The expression model that another training starts from: which one is meant, what of it is taken over."""

from __future__ import annotations

from pathlib import Path

from schemas.cards import StartCard
from schemas.errors import SettingsError
from schemas.training import NamedNetwork
from tasks.expression.plan import ExpressionStore, FinishedModel, read_expression_card, read_expression_cards
from tasks.expression.shipped import SHIPPED, shipped_model
from tasks.store.cards import CARD_FILE


def named_start(store: ExpressionStore, wanted: str) -> FinishedModel:
    """The expression model that goes by a name: a folder's path, an id or a name in the store.

    `shipped` is the model of that name in the store, else the one in the package.

    Raises:
        SettingsError: there is no such model, or several go by that name.
        StoreError: its card is damaged.
    """
    for folder in (Path(wanted), store.model(wanted)):
        if (folder / CARD_FILE).exists():
            return FinishedModel(folder, read_expression_card(folder))
    cards = read_expression_cards(store)
    named = [card for card in cards if card.name == wanted]
    if not named and wanted == SHIPPED:
        return shipped_model()
    if len(named) != 1:
        found = named or cards
        raise SettingsError(
            f"start_from = {wanted!r}: expected the folder of an expression model, or the id or name of one in "
            f"{store.models}; found there {', '.join(card.model_id for card in found) or 'none'}. "
            + ("Name one of these by its id" if found else "Run affectflow train-expression first")
            + f', or take "{SHIPPED}", the network in the package'
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
            f'set name = "{card.network}" under network'
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
