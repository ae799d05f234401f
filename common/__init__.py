"""What keeps a run safe. Nobody needs it to understand a part.

A thread of GNU's OpenMP that waits for another one spins. Beside other work on the machine it then takes the processor
from the thread that it waits for. The bound on spinning must be set before torch is loaded. A user's own setting wins.
"""

import os

if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
