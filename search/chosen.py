"""What a search will do, as one table: shown before the data are read."""

from rich.table import Table
from rich.text import Text

from search.samplers import TPE
from search.spec import SearchSpec
from search.words import duration
from trainable.config import TrialConfig
from trainable.objectives import objective_words


def chosen_table(spec: SearchSpec) -> Table:
    """What was chosen, before the data are read."""
    config = spec.longest
    table = facts_table(f"search {spec.name}")
    data = config.dataset if config.data_path is None else f"{config.dataset}, {config.data_path}"
    table.add_row("data", Text(data))
    most = limits(config)
    if any(most.values()):
        parts = [f"{count or 'all'} {name}" for name, count in most.items()]
        table.add_row("thinned to", f"{', '.join(parts)} documents")
    table.add_row("encoder", f"{config.encoder}, {config.max_length} word pieces{_frozen(config)}")
    table.add_row("loss", _loss(spec))
    table.add_row("objective", _objective(spec))
    table.add_row("preset", spec.preset)
    table.add_row("trials", f"{spec.trials}, {spec.max_concurrent} at once{_budgets(spec)}")
    table.add_row("a trial has", _resources(spec))
    table.add_row(
        "training",
        f"at most {config.epochs} epochs, batch {config.batch_size}, "
        f"dropout {config.dropout:g}, {config.lr_schedule} learning rate",
    )
    rungs = ", ".join(map(str, spec.rungs)) or "none"
    table.add_row("ASHA", f"keeps the best 1/{spec.reduction_factor} after epoch {rungs}")
    if spec.confirm:
        table.add_row(
            "confirmed", f"the best {spec.confirm} and trial 0, each with {spec.seeds} more seeds"
        )
    table.add_row("searched", ", ".join(spec.space.names) or "nothing")
    if spec.sampler != TPE:
        table.add_row("sampler", spec.sampler)
    return table


def facts_table(title: str) -> Table:
    """A table of two columns: what, and what of it."""
    table = Table(box=None, show_header=False, pad_edge=False, title=title)
    table.title_justify = "left"
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _loss(spec: SearchSpec) -> str:
    """The loss, or which of them are searched and what trials begin with."""
    losses, formula = spec.space.losses, spec.config.loss_formula
    if len(losses) == 1:
        return f"{losses[0]} ({formula} formula)"
    tried = min(len(losses), spec.trials)
    return (
        f"{spec.space.loss}: one of {', '.join(losses)} ({formula} formulas); trials 0 to "
        f"{tried - 1} have the paper's values, of one loss each"
    )


def _objective(spec: SearchSpec) -> str:
    if not spec.pareto:
        return f"validation {objective_words(spec.config.objective)}"
    first, second = map(objective_words, spec.pareto_scores)
    return f"validation {first} against {second} (ASHA and the winner: their mean)"


def limits(config: TrialConfig) -> dict[str, int | None]:
    """The most documents of each split; None: all."""
    return {
        "train": config.max_train_docs,
        "val": config.max_val_docs,
        "test": config.max_test_docs,
    }


def _frozen(config: TrialConfig) -> str:
    if config.tune != "head":
        return ""
    hidden = f"with {config.head_hidden} hidden units" if config.head_hidden else "linear"
    return f"; frozen, a head is trained ({hidden})"


def _budgets(spec: SearchSpec) -> str:
    limits = []
    if spec.time_budget_s is not None:
        limits.append(f"at most {duration(spec.time_budget_s)}")
    if spec.compute_budget_s is not None:
        limits.append(f"at most {duration(spec.compute_budget_s)} of trials")
    if spec.disk_budget_gib is not None:
        limits.append(f"at most {spec.disk_budget_gib:g} GiB on disk")
    if spec.patience:
        limits.append(f"until {spec.patience} have brought nothing better")
    return "".join(f", {limit}" for limit in limits)


def _resources(spec: SearchSpec) -> str:
    cpus = f"{spec.cpus_per_trial:g} CPU core{'' if spec.cpus_per_trial == 1 else 's'}"
    if not spec.gpus_per_trial:
        return cpus
    return f"{cpus}, {spec.gpus_per_trial:g} GPU{'s' if spec.gpus_per_trial > 1 else ''}"
