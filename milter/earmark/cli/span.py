"""Spans of time, as options take them."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(span: str) -> float:
    """Return how long 30m, 24h or 7d are. Raises ValueError, which names --since."""
    number, unit = span[:-1], span[-1:]
    if not (number.isascii() and number.isdigit() and len(number) < 7 and unit in _UNITS):
        raise ValueError(f"--since {span}: not a span of time such as 30m, 24h or 7d")
    return float(int(number) * _UNITS[unit])
