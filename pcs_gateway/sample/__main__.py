"""Run one instance: `python -m pcs_gateway.sample --port 8001 --instance one`."""

import sys

from pcs_gateway.sample.command import main

sys.exit(main())
