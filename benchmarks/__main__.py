"""`python -m benchmarks` runs the comparison."""

import sys

from benchmarks.run import main

sys.exit(main())
