import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # gradients.py, shared with benchmarks/
