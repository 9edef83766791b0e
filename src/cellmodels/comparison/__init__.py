"""Tables of models and data sets: read from TOML, trained and evaluated row by row."""

from .compare import compare
from .display import show
from .forecast import plan_compare
from .table import Row, Table

__all__ = ["Row", "Table", "compare", "plan_compare", "show"]
