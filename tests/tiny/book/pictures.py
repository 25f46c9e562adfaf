"""The figures of the tiny book: cheap to draw, and different in every state."""

import time

from matplotlib.figure import Figure


def bars(height=1.0, tall=False, ink="blue"):
    figure = Figure(figsize=(4, 2), dpi=75)
    figure.subplots().bar(["a", "b"], [height, 3 * height if tall else 2], color=ink)
    return figure


def walk(q=2, temperature=1.0):
    figure = Figure(figsize=(4, 2), dpi=75)
    axes = figure.subplots()
    axes.plot([0, q], [0, temperature * q])
    axes.set(xlim=(0, 10), ylim=(0, 20))
    return figure


def slow(height=0):
    """Takes its time, as a figure that computes does, and has no picture of 3."""
    time.sleep(0.3)
    if height == 3:
        raise ArithmeticError("three <is> too many")
    return bars(height)
