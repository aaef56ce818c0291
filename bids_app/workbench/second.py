"""A second model beside the first when a table is scored: its z, and the deviations on which they disagree."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pandas as pd

from bids_app.bids.columns import columns_for
from bids_app.clinical.second_opinion import agreement, check_shared, disagreements, in_words, opinions
from bids_app.errors import UsageError
from bids_app.normative.base import Deviations, NormativeModel
from bids_app.normative.harmonise.adaptation import SiteAdaptation
from bids_app.workbench.table_pieces import tsv_writer


class SecondOpinion:
    """Writes ``OUT_second.tsv`` (z of the second model) and ``OUT_disagreements.tsv`` beside OUT.tsv, piece by piece.

    Parameters
    ----------
    output : str
        The table of z of the first model.
    first, second : NormativeModel
    adaptation : SiteAdaptation or None
        Of the second model.
    stack : ExitStack
        Closes the files; they appear when it closes without an error.

    Raises
    ------
    UsageError
        When z goes to standard output.
    ModelError
        When the models are the same or share no region.
    """

    def __init__(
        self,
        output: str,
        first: NormativeModel,
        second: NormativeModel,
        adaptation: SiteAdaptation | None,
        stack: ExitStack,
    ) -> None:
        if output == "-":
            raise UsageError("--second-model writes tables beside that of z", "name that table with -o OUT.tsv")
        check_shared(first, second)
        self._first, self._second, self._adaptation = first, second, adaptation
        places = (Path(output).with_name(f"{Path(output).stem}_{name}.tsv") for name in ("second", "disagreements"))
        self._z, self._disagreements = (stack.enter_context(tsv_writer(place)) for place in places)
        self._counts = {"n_regions": 0, "n_both": 0, "n_disagree": 0}

    def write(self, ids: pd.DataFrame, data: pd.DataFrame, found: Deviations) -> None:
        """Score the rows of a piece with the second model and set them beside the first one's z.

        Parameters
        ----------
        ids : (n, k) DataFrame
            Identifying columns.
        data : (n, q) DataFrame
            Model input.
        found : Deviations
            Of the first model, the same n rows.
        """
        other = self._second.deviations(data, self._adaptation)
        z = pd.DataFrame(other.z, columns=list(other.regions), index=ids.index)
        self._z.write(pd.concat([ids, z], axis=1))
        both = opinions(found, other)
        for name, count in agreement(both).items():
            self._counts[name] += count
        rows = disagreements(both)
        whose = ids.iloc[rows["row"]].reset_index(drop=True)
        shown = rows[[name for name in columns_for("second") if name != "agree"]].reset_index(drop=True)
        taken = {name: f"table_{name}" for name in whose.columns if name in shown}
        self._disagreements.write(pd.concat([whose.rename(columns=taken), shown], axis=1))

    def sentence(self) -> str:
        """How far the models agree."""
        return in_words(self._counts, self._first.card.name, self._second.card.name)
