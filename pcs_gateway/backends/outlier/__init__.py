"""
What traffic proves about a backend, and whom a failure speaks against: pure decisions.

Workers report how their attempts ended. In the order in which a report is read:

    ways           failures that are of the same way, and what they speak against
    window         outcomes of the last seconds
    detector       the evidence of one pool: when is there enough of it for an accusation
    attribution    do all backends fail alike: then it is the dependency that they share
    ruling         is the accused ejected, or spared, and why
    repetition     for how long: longer with each time in a row, and forgotten while healthy
    hanging        attempts that get no answer while other backends give theirs
"""
