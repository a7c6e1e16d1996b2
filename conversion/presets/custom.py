"""The start of recipes that are put together from parts, by hand or by a search."""

from conversion.recipes import Recipe, preset

preset(
    Recipe(
        "custom",
        "No method of its own: the start of a recipe whose parts are all chosen one by one.",
        "no publication",
    )
)
