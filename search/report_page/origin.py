"""Where the numbers come from, and what to type to have the model again."""

import shlex
from pathlib import Path
from typing import Any, Final

from search.chosen import limits
from search.export import BEST_NAME, retrain_command
from search.provenance import origins
from search.report_page.parts import Commands, Section, Table
from search.results import SearchRecord
from search.show import DEFAULT_RUNS_DIR, next_command

_DIGEST: Final = 16
"""Characters of a fingerprint that are shown."""


def origin_section(record: SearchRecord) -> Section:
    """Data, code, versions, machine and seeds."""
    spec, config = record.spec, record.spec.longest
    told = origins(record.folder)
    thinned = {name: count for name, count in limits(config).items() if count}
    facts = [
        ("search", f"{spec.name}, fingerprint {spec.fingerprint[:_DIGEST]}"),
        ("dataset", f"{config.dataset}, fingerprint {_short(record.dataset.get('fingerprint'))}"),
        ("documents", _documents(record)),
        *(
            [("thinned to", ", ".join(f"{n} {name}" for name, n in thinned.items()))]
            if thinned
            else []
        ),
        ("encoder", f"{config.encoder}, {config.max_length} word pieces, tune {config.tune}"),
        ("loss", f"{spec.space.loss} ({config.loss_formula} formula)"),
        ("sampler", f"{spec.sampler}, seed {spec.seed}; training seed {config.seed}"),
        ("ASHA", _asha(record)),
        *(fact for origin in told for fact in _versions(origin, several=len(told) > 1)),
    ]
    return Section(
        name="origin",
        title="Provenance",
        parts=(
            Table(
                title="What decides these numbers",
                columns=("", ""),
                rows=tuple(facts),
                texts=frozenset({0, 1}),
                notes=(
                    "`versions.json` and `spec.yaml` in the folder of the search have all of it.",
                ),
            ),
        ),
    )


def commands_section(record: SearchRecord, runs_dir: str) -> Section:
    """Export, retrain, and what a search in this state needs next."""
    place = "" if runs_dir == DEFAULT_RUNS_DIR else f" --runs-dir {shlex.quote(runs_dir)}"
    best = Path(BEST_NAME)
    lines = [("show it on a terminal", f"python -m search show {record.spec.name}{place}")]
    if record.best is not None:
        lines += [
            (
                "export the best configuration",
                f"python -m search export {record.spec.name}{place} -o {best}",
            ),
            ("train it again", retrain_command(best)),
            (
                "... on training and validation documents",
                f"{retrain_command(best)}-all --train-on train+val",
            ),
        ]
    following = next_command(record, runs_dir)
    if " export " not in following:
        lines.insert(0, ("go on", following))
    else:
        extend = f"python -m search resume {record.spec.name}{place}"
        lines += [
            ("extend the search", f"{extend} --add-trials 16"),
            ("confirm the best with other seeds", f"{extend} --confirm 2"),
        ]
    lines.append(("write this report again", f"python -m search report {record.spec.name}{place}"))
    return Section(name="commands", title="Next", parts=(Commands(lines=tuple(lines)),))


def _short(fingerprint: Any) -> str:
    return str(fingerprint or "unknown")[:_DIGEST]


def _documents(record: SearchRecord) -> str:
    splits = record.dataset.get("splits") or {}
    counts = [
        f"{part['documents']:,} {name}" for name, part in splits.items() if "documents" in part
    ]
    labels = record.dataset.get("num_labels")
    return f"{' / '.join(counts) or 'unknown'}; {labels:,} labels" if labels else "unknown"


def _asha(record: SearchRecord) -> str:
    rungs = ", ".join(map(str, record.spec.rungs))
    if not rungs:
        return "stops no trial"
    return f"keeps the best 1/{record.spec.reduction_factor} after epoch {rungs}"


def _versions(origin: dict[str, Any], *, several: bool) -> list[tuple[str, str]]:
    prefix = f"from attempt {origin['attempt']}: " if several else ""
    packages = ", ".join(f"{name} {text}" for name, text in (origin.get("packages") or {}).items())
    commit = origin.get("git_commit")
    changed = " with changes" if origin.get("git_changed") else ""
    machine = [
        str(origin.get("cpu") or ""),
        f"{origin['cpus']} cores" if origin.get("cpus") else "",
        f"{origin['memory_gib']} GiB" if origin.get("memory_gib") else "",
        f"{origin['gpus']} x {origin['gpu']}" if origin.get("gpu") else "no GPU",
        str(origin.get("platform") or ""),
    ]
    return [
        (f"{prefix}versions", f"Python {origin.get('python', '?')}, {packages}"),
        (f"{prefix}git commit", f"{str(commit)[:_DIGEST]}{changed}" if commit else "none"),
        (f"{prefix}machine", ", ".join(part for part in machine if part)),
    ]
