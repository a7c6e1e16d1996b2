"""Equations of einsum with a letter for every axis: no dots, no letter twice in a factor, and a result."""

from __future__ import annotations

import string
from typing import Any

import torch

from conversion.graph.stand_ins import Formless, is_signal, rank_of, shape_of


def plain_sum(equation: Any, *operands: Any) -> Any:
    """What `torch.einsum` gives, by an equation of letters alone; of one factor, without an einsum."""
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = tuple(operands[0])
    if not isinstance(equation, str):
        raise Formless
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    indices = inputs.split(",")
    if len(indices) != len(operands):
        raise Formless
    if not arrow:
        joined = "".join(indices).replace(".", "")
        alone = sorted(index for index in set(joined) if joined.count(index) == 1)
        output = ("..." if "..." in inputs else "") + "".join(alone)
    factors = list(operands)
    if "..." in inputs:
        indices, output, factors = _without_dots(indices, output, factors)
    for place, letters in enumerate(indices):
        indices[place], factors[place] = _without_repetition(letters, factors[place])
    if len(factors) > 1:
        return torch.einsum(f"{','.join(indices)}->{output}", *factors)
    (letters,), (result,) = indices, factors
    summed = [axis for axis, letter in enumerate(letters) if letter not in output]
    result = result.sum(summed) if summed else result
    left = [letter for letter in letters if letter in output]
    return result if left == list(output) else result.permute(*(left.index(letter) for letter in output))


def _without_dots(indices: list[str], output: str, factors: list[Any]) -> tuple[list[str], str, list[Any]]:
    """Letters in place of dots; a constant's axes of size 1 among them are dropped."""
    free = [letter for letter in string.ascii_letters if letter not in "".join(indices)]
    hidden = [
        rank_of(factor) - len(letters) + 3 if "..." in letters else 0
        for letters, factor in zip(indices, factors, strict=True)
    ]
    names = free[: max(hidden)]
    found: list[str] = []
    for place, letters in enumerate(indices):
        if "..." not in letters:
            found.append(letters)
            continue
        first = letters.index("...")
        mine = names[len(names) - hidden[place] :]
        sizes = shape_of(factors[place])[first : first + hidden[place]]
        dropped = [i for i, size in enumerate(sizes) if size == 1 and not is_signal(factors[place])]
        for axis in reversed(dropped):
            factors[place] = factors[place].squeeze(first + axis)
        kept = "".join(name for i, name in enumerate(mine) if i not in dropped)
        found.append(letters.replace("...", kept))
    used = "".join(found)
    return found, output.replace("...", "".join(name for name in names if name in used)), factors


def _without_repetition(letters: str, factor: Any) -> tuple[str, Any]:
    """A diagonal for a letter that stands twice in one factor."""
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            first = letters.index(letter)
            second = letters.index(letter, first + 1)
            factor = factor.diagonal(0, first, second)
            letters = letters[:first] + letters[first + 1 : second] + letters[second + 1 :] + letter
    return letters, factor
