"""One trial: text in, metrics out. Runs without Ray on any machine with torch and transformers.

Reading order: `config` (what a trial is), `datasets` -> `tokenization` -> `label_stats` (what it
learns from), `losses` / `model` / `optim` / `batching` (how), `loop` (one epoch), `metrics` and
`thresholds` (how well), `trial` (the `ray.tune.Trainable`; the only importer of ray here) and
`__main__` (retrain an exported configuration).
"""
