"""Print the README's table of shipped counters, a row a card, and the commands that trained them.

python scripts/model_table.py
"""

import lib

HEADER = """| model | views | sides | fresh events | original files | parameters | trained in |
| --- | --- | --- | --- | --- | --- | --- |"""


def order(name):
    """Counters of one tracker side come first."""
    return _sides(lib.load_card(name)), name


def row(name):
    """The Markdown row of a shipped counter: its card on one line."""
    card = lib.load_card(name)
    tests, generator = card["metrics"], card["arguments"]["generator"]
    cells = [f"[`{name}`](models/{name}/card.json)", ", ".join(sorted(card["inputs"])), str(_sides(card))]
    cells += [f"{accuracy(tests['test'])} of {tests['test']['n_events']:,} `{generator}`"]
    cells += [f"{accuracy(tests['files'])} of {tests['files']['n_events']:,}" if "files" in tests else "–"]
    cells += [f"{card['parameters']:,}", f"{card['wall_time_s'] / 60:.0f} min"]
    return "| " + " | ".join(cells) + " |"


def accuracy(scores):
    """An accuracy and its 68 % interval, in percent."""
    low, high = scores["interval"]
    return f"{100 * scores['accuracy']:.2f} % ({100 * low:.2f}–{100 * high:.2f})"


def table():
    """The whole table, Markdown."""
    return "\n".join([HEADER, *map(row, sorted(lib.shipped_counters(), key=order))])


def commands():
    """What trained them, a line each."""
    return "\n".join(lib.load_card(name)["command"] for name in sorted(lib.shipped_counters(), key=order))


def _sides(card):
    return next(iter(card["inputs"].values()))[-1]


if __name__ == "__main__":
    print(f"{table()}\n\n```\n{commands()}\n```")
