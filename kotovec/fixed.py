"""Fixed-point numbers, whose int64 sums are never rounded, so that any order of adding gives the same bits.

A number of a vector is a multiple of 2^-30, and its squared norm one of 2^-20. float32 is no finer than the former from
0.008 on, and a mean loses 5e-10 at most.
"""

SCALE, LARGEST = 2.0**30, 2.0**18  # units in 1, and the limit of a number
ENERGY_SCALE, ENERGY_LARGEST = 2.0**20, 2.0**28  # the same of a squared norm
MOST = 2**15  # vectors per row, so that no sum leaves int64
