"""python -m search compare: searches for several losses under one budget, and the paper's tables.

request   what was asked for
searches  the searches it consists of: new, begun, done; the same budget for all
running   ... one after the other
gather    ... or those that there are; do they compare?
numbers   their records -> one row a loss
pairs     which differences on test are more than noise
sheets    numbers -> tables, for a terminal and as Markdown
folder    ... and as files
"""
