"""Print the README's table of shipped counters, a row a card.

python scripts/model_table.py
"""

import lib

HEADER = """| model | command | test events | accuracy (68 % interval) | parameters | device, wall time |
| --- | --- | --- | --- | --- | --- |"""


def row(name):
    """The Markdown row of a shipped model: its card on one line, a line for each of its test sets."""
    card = lib.load_card(name)
    tests, accuracies = [], []
    for test, scores in card["metrics"].items():
        low, high = scores["interval"]
        source = f"fresh `{card['arguments']['generator']}`" if test == "test" else "original files"
        tests.append(f"{scores['n_events']} ({source})")
        accuracies.append(f"{100 * scores['accuracy']:.2f} % ({100 * low:.2f} to {100 * high:.2f})")
    wall = f"{card['device']}, {card['wall_time_s'] / 60:.0f} min"
    cells = [f"[`{name}`](models/{name}/card.json)", f"`{card['command']}`", "<br>".join(tests), "<br>".join(accuracies)]
    return "| " + " | ".join([*cells, f"{card['parameters']:,}", wall]) + " |"


def table():
    """The whole table, Markdown."""
    return "\n".join([HEADER, *map(row, lib.shipped_counters())])


if __name__ == "__main__":
    print(table())
