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
    tracker    a daemon thread around a replay; `sync`, the same without a thread
    links      where to look
    baseline   a baseline's own run, told from its folder
    view       what is seen there: columns, order, charts
"""

from search.tracking.check import check_tracking
from search.tracking.tracker import Tracker, sync

__all__ = ["Tracker", "check_tracking", "sync"]
