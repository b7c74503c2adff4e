"""MLflow: the search folder, replayed into a tracking store. The only importer of mlflow.

Nothing here decides anything: the journal and the files beside it are the truth (DESIGN D9, D16),
and what lies in MLflow is a function of them. So a replay is idempotent, and whatever could not
be sent is sent by replaying again.

    check      is the store usable?  before the search, without mlflow
    messages   journal events -> what each run must be told      no mlflow, no I/O
    documents  the other files of the folder -> the same
    store      the environment, the SQLite file, the experiment
    sender     messages -> MlflowClient calls
    replay     folder + sender: one step of catching up
    lock       who sends a folder: one process at a time
    recording  replays until told to end; __main__ is the process that does it while a search runs
    tracker    the driver's side: starts that process, hears of it, ends it
    catch_up   `sync`: one replay, afterwards, in whatever process asks for it
    reasons    MLflow's errors in plain words
    links      where to look
    baseline   a baseline's own run, told from its folder
    models     a trained model -> the registry
    view       what is seen there: columns, order, charts
"""

from search.tracking.catch_up import Synced, sync
from search.tracking.check import check_tracking
from search.tracking.tracker import Tracker

__all__ = ["Synced", "Tracker", "check_tracking", "sync"]
