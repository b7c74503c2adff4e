"""docs/losses.md says what the code does: losses, hyperparameters, ranges, paper's values."""

import re
from pathlib import Path

import pytest
import torch

from spaces import space_for, space_rows
from trainable.config import LOSS_HYPERPARAMETERS, PAPER_LOSS_VALUES
from trainable.losses import LOSSES, build_loss

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "losses.md").read_text(encoding="ascii")


def table(heading):
    """The rows of the table under a heading, as lists of cells; the first column without ticks."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return {cells[0].strip().strip("`"): [cell.strip() for cell in cells[1:]] for cells in rows[2:]}


def test_the_eight_and_their_hyperparameters():
    documented = {
        loss: tuple(re.findall(r"`(\w+)`", row[-1])) for loss, row in table("The eight").items()
    }
    assert documented == dict(LOSS_HYPERPARAMETERS)
    assert tuple(documented) == LOSSES


def test_weighting_focal_and_shift_follow_from_the_hyperparameters():
    for loss, (_, weighting, focal, shift, _) in table("The eight").items():
        used = LOSS_HYPERPARAMETERS[loss]
        expected = (
            "class-balanced" if "cb_beta" in used else "rebalanced" if "mu" in used else "none"
        )
        assert weighting == expected
        assert focal == ("yes" if "gamma" in used else "no")
        assert shift == ("yes" if "kappa" in used else "no")


def test_ranges_scales_and_paper_values():
    documented = table("Hyperparameters")
    assert set(documented) == {"learning_rate", "mu", *PAPER_LOSS_VALUES}
    for loss in LOSSES:
        for name, searched, scale, paper, *_ in space_rows(space_for(loss, mu=0.9)):
            row = documented[name]
            assert row[2] == scale
            if name == "mu":
                continue
            assert row[1].replace("1e-5", "1e-05").replace("1e-3", "0.001") == searched
            assert float(row[0].split()[0]) == float(paper)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_factors_between_the_formulas(loss):
    values = {**PAPER_LOSS_VALUES, "mu": 0.9}
    used = {name: values[name] for name in LOSS_HYPERPARAMETERS[loss]}
    logits_BL = torch.linspace(-2, 2, 6, dtype=torch.float64).reshape(2, 3)
    targets_BL = torch.tensor([[1, 0, 0], [0, 1, 0]])
    released, paper = (
        build_loss(loss, label_counts=[5, 3, 1], num_examples=9, formula=formula, **used)(
            logits_BL, targets_BL
        ).item()
        for formula in ("released", "paper")
    )
    documented = table("`released` and `paper`")[loss][0]
    if loss == "ntr-fl":
        assert documented == "between 0.5 and 0.5 `lambda_`"
        assert 0.5 < released / paper < 0.5 * values["lambda_"]
    else:
        assert released / paper == pytest.approx(float(documented))
