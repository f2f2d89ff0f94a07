"""JSON schemas: which of them the API takes (`strict.py`), and a value that fits one (`sampling.py`)."""
